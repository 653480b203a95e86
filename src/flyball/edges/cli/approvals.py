"""`approvals`, `approve`, `refuse`: what waits for a person, and the person's word."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from flyball.edges.cli import render
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, JsonOption
from flyball.edges.cli.errors import FAILED

ReferenceArgument = Annotated[str, typer.Argument(metavar="REF", help="The decision's id: dec_…")]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; it stands in the record.")]


def approvals(
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="pending, approved, used, refused, expired, or all.")
    ] = "pending",
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="Only this task's.")] = "",
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """What waits for a person: calls that are allowed once an operator says so, each for ten minutes.

    \b
    Examples:
      flyball approvals
      flyball approvals --state all --json
    """
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        found = client.get("/v1/approvals", {"state": "" if state == "all" else state, "task": task})
    listed = render.objects(found, "approvals")
    if as_json:
        cli.tell([*listed])
        return
    rows = []
    for one in listed:
        resource = render.member(one, "resource")
        until = render.left(one.get("until_ms")) if one.get("state") == "pending" else ""
        names = (render.text(one.get(name)) for name in ("decision", "state", "kind", "agent", "action"))
        rows.append((*names, render.text(resource.get("id")), until))
    cli.table(("reference", "state", "kind", "agent", "action", "on", "left"), rows, empty="nothing waits")


def approve(
    reference: ReferenceArgument,
    note: NoteOption = "",
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> int:
    """Allow exactly this call, once. Look at it first: `flyball why REF` shows its arguments.

    \b
    Examples:
      flyball why dec_local_01k…_1_7
      flyball approve dec_local_01k…_1_7 --note "called the customer"
    """
    return _settle(reference, "approve", note, Cli.of(config, addr, as_json=as_json))


def refuse(
    reference: ReferenceArgument,
    note: NoteOption = "",
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> int:
    """Refuse this call. The task goes on; the same call is refused from then on.

    \b
    Examples:
      flyball refuse dec_local_01k…_1_7 --note "not our supplier"
    """
    return _settle(reference, "refuse", note, Cli.of(config, addr, as_json=as_json))


def _settle(reference: str, outcome: str, note: str, cli: Cli) -> int:
    with cli.client() as client:
        told = client.post(f"/v1/approvals/{quote(reference, safe='')}", {"outcome": outcome, "note": note})
    settled = render.text(told.get("outcome"))
    if cli.as_json:
        cli.tell(told)
    else:
        render.line(f"{settled}: {reference}, by {render.text(told.get('by'))}", "green")
    return 0 if settled == {"approve": "approved", "refuse": "refused"}[outcome] else FAILED
