"""`receipts`, `why`: what was taken back, and why a decision came out as it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from flyball.edges.cli import render
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, JsonOption
from flyball.edges.cli.errors import CliError
from flyball.edges.cli.plain import Plain
from flyball.edges.cli.tasks import LimitOption, payload_of
from flyball.flow import evidence, offline
from flyball.kernel.json import Json

receipts = typer.Typer(
    name="receipts",
    help="Signed evidence of revocations, verifiable offline.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@receipts.command("list", cls=Plain)
def receipts_list(
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="Only this task's.")] = "",
    lease: Annotated[str, typer.Option("--lease", metavar="LEASE", help="Only this lease's.")] = "",
    limit: LimitOption = 100,
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """Receipts, newest last."""
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        listed = render.objects(client.get("/v1/receipts", {"task": task, "lease": lease, "limit": limit}), "receipts")
    if as_json:
        cli.tell([*listed])
        return
    rows = []
    for one in map(payload_of, listed):
        took = render.number(one.get("completed_ms")) - render.number(one.get("fenced_ms"))
        rows.append(
            (*(render.text(one.get(name)) for name in ("receipt", "outcome", "agent", "target", "name", "cause")),
             f"{took} ms", render.when(one.get("completed_ms")))
        )  # fmt: skip
    columns = ("receipt", "outcome", "agent", "target", "name", "cause", "took", "completed")
    cli.table(columns, rows, empty="no receipts")


@receipts.command("show", cls=Plain)
def receipts_show(
    receipt: Annotated[str, typer.Argument(metavar="RECEIPT", help="The receipt's id.")],
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """One receipt, step by step. With --json, the signed envelope, to be kept and verified elsewhere.

    \b
    Examples:
      flyball receipts show rcp_local_01k… --json > receipt.json
      flyball receipts verify receipt.json
    """
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        found = client.get(f"/v1/receipts/{quote(receipt, safe='')}")
    if as_json:
        cli.tell(found)
        return
    show_receipt(payload_of(found))


@receipts.command("verify", cls=Plain)
def receipts_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A receipt's envelope, as JSON.")],
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help="The public keys; else `public_keys` of the configuration."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a receipt's signature, with no server. Take the keys from somewhere you trust.

    \b
    Examples:
      flyball receipts verify receipt.json --keys public-keys.json
    """
    cli = Cli.of(config, as_json=as_json)
    known = keys or cli.config.public_keys
    if not known.is_file():
        raise CliError(
            f"there are no public keys at {known}", "name them with --keys; `serve` writes them at its start"
        )
    payload = offline.verify_receipt(file, known)
    if as_json:
        cli.tell({"ok": True, "payload": payload})
        return
    render.line(f"the signature holds, by {known}", "green")
    show_receipt(payload)


def show_receipt(payload: dict[str, Json]) -> None:
    """A receipt for people."""
    for line in evidence.receipt_lines(payload):
        render.escaped(line)


def why(
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="The decision's id: dec_…")],
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """Why a decision came out as it did: the argument that failed, what was demanded, where its value really came
    from, the policies, and which change of the profile would allow it. For operators: an agent is told the reason's
    code and this id, and no more.

    \b
    Examples:
      flyball why dec_local_01k…_1_7
    """
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        found = client.get(f"/v1/decisions/{quote(decision, safe='')}")
    if as_json:
        cli.tell(found)
        return
    effect = render.text(found.get("effect"))
    said = f"{render.text(found.get('decision'))}: {effect}, {render.text(found.get('headline'))}"
    render.line(said, "green" if effect == "allow" else "bold red")
    facts = [(render.text(one.get("label")), render.text(one.get("text"))) for one in render.objects(found, "facts")]
    if found.get("values") == "erased":
        facts.append(("values", "gone: the task's data key is erased"))
    if found.get("change"):
        facts.append(("to allow it", render.text(found.get("change"))))
    args = render.member(found, "arguments")
    if args:
        facts.append(("arguments", json.dumps(args, ensure_ascii=False)))
    render.fields([(f"  {name}", value) for name, value in facts])
