"""`run`: a task for one command. It opens the task, hands over the credentials, ends with the command."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

import flyball_sdk
from flyball.assembly import config as configuration
from flyball.edges.cli.child import Child
from flyball.edges.cli.confine import Confinement, Grants, spare_user
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, InputsOption, VouchersOption
from flyball.edges.cli.errors import FAILED, MISUSED, CliError
from flyball.edges.cli.handover import Handover
from flyball.edges.cli.main import complain
from flyball.kernel.json import Json


def run(
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="The profile of the task.")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND [ARG]…", help="What to run.")],
    given: InputsOption = None,
    voucher: VouchersOption = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="The effects that the command is for, as JSON; it is held to them."
        ),
    ] = None,
    credential: Annotated[
        list[str] | None, typer.Option("--credential", metavar="NAME", help="Only these; else all of the profile's.")
    ] = None,
    env_secrets: Annotated[
        bool,
        typer.Option(
            "--env-secrets", help="Put secrets into the environment too, where more can read them; receipts say so."
        ),
    ] = False,
    confine: Annotated[
        bool,
        typer.Option(
            "--confine",
            help="Leave the command no way out but the gateways (Linux, as root): another user, a network of its own, "
            "Landlock, seccomp.",
        ),
    ] = False,
    read: Annotated[
        list[Path] | None, typer.Option("--read", metavar="PATH", help="With --confine: what it may read as well.")
    ] = None,
    write: Annotated[
        list[Path] | None, typer.Option("--write", metavar="PATH", help="With --confine: what it may write as well.")
    ] = None,
    reach: Annotated[
        list[str] | None,
        typer.Option("--reach", metavar="HOST:PORT", help="With --confine: a gateway or proxy that it may connect to."),
    ] = None,
    keep_env: Annotated[
        list[str] | None, typer.Option("--keep-env", metavar="NAME", help="With --confine: a variable handed on.")
    ] = None,
    config: ConfigOption = None,
    addr: AddrOption = "",
) -> int:
    """Run a command with a task's privilege, and take the privilege back when the command ends.

    Credentials go into files of mode 0600 in a private folder, which is removed at the end:
    PGPASSFILE with PGHOST, PGPORT, PGUSER and PGDATABASE for the first PostgreSQL credential, and
    FLYBALL_CREDENTIAL_<NAME> with the path of a JSON file for each. For an HTTP API the gateway is set as
    the proxy (HTTP_PROXY, HTTPS_PROXY, and the authorities to trust), and FLYBALL_HTTP_<NAME>_URL and
    _TICKET say where the API is and with which key. A credential that a gateway holds is handed over as a
    ticket for the gateway, by the same files and variables. FLYBALL_TASK_TOKEN_FILE holds the task's
    token, for requests through a proxy that asks Flyball. Signals are passed on,
    and so is the command's exit code (128+n when a signal ended it). If the task is revoked meanwhile,
    the command is stopped. Who we are comes from FLYBALL_SVID_FILE or FLYBALL_SVID.

    \b
    Examples:
      flyball run settle-refund -i ticket=T-1042 -i limit=120 -- psql -c 'SELECT 1'
      flyball run settle-refund -i ticket=T-1042 -i limit=120 --voucher ticket.voucher -- ./settle
      flyball run nightly-report --credential warehouse -- python report.py
      flyball run refunds --confine --reach 127.0.0.1:10000 --read ./agent -- python3 ./agent/agent.py
    """
    inputs = inputs_of(given or [])
    grants = _grants(confine, read, write, reach, keep_env)
    if addr or os.environ.get("FLYBALL_ADDR"):
        where = addr or os.environ["FLYBALL_ADDR"]
        configuration.find(config, os.environ)
    else:
        where = Cli.of(config).addr
    task = flyball_sdk.task(
        profile,
        inputs=inputs,
        plan=None if plan is None else _plan(plan),
        vouchers=[text_of(one).strip() for one in voucher or ()],
        addr=where,
    )
    child = Child()
    try:
        task.open()
        names = credential or list(task.credentials)
        if grants is not None:
            _ready_to_confine(grants, task, names, config, local=not addr)
        with ExitStack() as stack:
            stack.enter_context(child.signals_held())
            user = None if grants is None else spare_user()
            handed = stack.enter_context(Handover(task, names, in_env=env_secrets, user=user))
            if grants is None:
                child.start(command, {**_clean(), **handed.environment, "FLYBALL_TASK": task.id})
            else:
                place = stack.enter_context(Confinement(grants, handed.environment, handed.folder, user))
                _say(place.start(child, command, {"FLYBALL_TASK": task.id}))
            while not child.ended(0.5):
                if task.lost:
                    complain(f"task {task.id} is over; the command is stopped", "see `flyball task show`")
                    child.stop()
                    break
                handed.refresh()
            return child.exit_code
    except flyball_sdk.FlyballError as fault:
        raise CliError(f"{fault.detail} [{fault.code}]", fault.hint, exit_code=FAILED) from fault
    finally:
        child.kill()
        _end(task)


def _grants(
    confine: bool, read: list[Path] | None, write: list[Path] | None, reach: list[str] | None, env: list[str] | None
) -> Grants | None:
    if not confine:
        if read or write or reach or env:
            raise CliError("--read, --write, --reach and --keep-env are for --confine", exit_code=MISUSED)
        return None
    return Grants(read or (), write or (), reach or (), env or ())


def _ready_to_confine(
    grants: Grants, task: flyball_sdk.Task, names: list[str], config: Path | None, *, local: bool
) -> None:
    """Refuse what could not work or would undo it."""
    released = [name for name in names if name not in task.brokered]
    if released:
        raise CliError(
            f"credential {released[0]!r} is handed out, and its target would be out of reach",
            "make its access `brokered`, or leave it out with --credential",
            exit_code=MISUSED,
        )
    private = [Path(file) for file in (os.environ.get("FLYBALL_SVID_FILE"),) if file]
    if local:
        ours = configuration.load(config, os.environ)
        private += [
            ours.state_dir,
            ours.keys_dir,
            ours.seal_key,
            ours.admin_token_file,
            ours.journal.path,
            ours.dev.dir,
        ]
    grants.refuse(private)


def _say(missing: tuple[str, ...]) -> None:
    if missing:
        complain(f"cooperative: the command is not confined ({'; '.join(missing)})", "see docs/guides/confine.md")


def _end(task: flyball_sdk.Task) -> None:
    try:
        task.end()
    except flyball_sdk.FlyballError as fault:
        complain(f"the task could not be ended: {fault.detail} [{fault.code}]", "its missing heartbeat will end it")


def inputs_of(given: list[str]) -> dict[str, object]:
    """Inputs as they were given on the command line.

    Raises:
        CliError: one is not NAME=VALUE, or stands twice.
    """
    inputs: dict[str, object] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name or name in inputs:
            raise CliError(f"--input {one!r} is not NAME=VALUE, or stands twice", "see --help", exit_code=MISUSED)
        inputs[name] = value
    return inputs


def text_of(file: Path) -> str:
    """What stands in a file.

    Raises:
        CliError: it cannot be read.
    """
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as fault:
        raise CliError(f"{file} cannot be read", "name a file", exit_code=MISUSED) from fault


def _plan(file: Path) -> list[Mapping[str, object]]:
    """The entries of a plan, as they stand in a file."""
    try:
        entries: Json = json.loads(text_of(file))
    except ValueError as fault:
        raise CliError(f"{file} is not JSON", '[{"action": "tool.refund", "count": 1}]', exit_code=MISUSED) from fault
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise CliError(f"{file} holds no plan", '[{"action": "tool.refund", "count": 1}]', exit_code=MISUSED)
    return [one for one in entries if isinstance(one, dict)]


def _clean() -> dict[str, str]:
    """Our environment, without who we are: the command acts under this task, and opens none of its own."""
    drop = {"FLYBALL_SVID", "FLYBALL_SVID_FILE"}
    return {name: value for name, value in os.environ.items() if name not in drop}
