"""`run`: a task for one command. It opens the task, hands over the credentials, ends with the command."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

import flyball_sdk
from flyball.assembly import config as configuration
from flyball.edges.cli.child import Child
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
    config: ConfigOption = None,
    addr: AddrOption = "",
) -> int:
    """Run a command with a task's privilege, and take the privilege back when the command ends.

    Credentials go into files of mode 0600 in a private folder, which is removed at the end:
    PGPASSFILE with PGHOST, PGPORT, PGUSER and PGDATABASE for the first PostgreSQL credential, and
    FLYBALL_CREDENTIAL_<NAME> with the path of a JSON file for each. For an HTTP API the gateway is set as
    the proxy (HTTP_PROXY, HTTPS_PROXY, and the authorities to trust), and FLYBALL_HTTP_<NAME>_URL and
    _TICKET say where the API is and with which key. A credential that a gateway holds
    is handed over as a ticket for the gateway, by the same files and variables. Signals are passed on,
    and so is the command's exit code (128+n when a signal ended it). If the task is revoked meanwhile,
    the command is stopped. Who we are comes from FLYBALL_SVID_FILE or FLYBALL_SVID.

    \b
    Examples:
      flyball run settle-refund -i ticket=T-1042 -i limit=120 -- psql -c 'SELECT 1'
      flyball run settle-refund -i ticket=T-1042 -i limit=120 --voucher ticket.voucher -- ./settle
      flyball run nightly-report --credential warehouse -- python report.py
    """
    inputs = inputs_of(given or [])
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
        with child.signals_held(), Handover(task, credential or list(task.credentials), in_env=env_secrets) as handed:
            child.start(command, {**_clean(), **handed.environment, "FLYBALL_TASK": task.id})
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
