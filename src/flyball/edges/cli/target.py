"""`target list`, `target rotate`, `target adopt`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from flyball.edges.cli import render
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, JsonOption, ReasonOption
from flyball.edges.cli.errors import FAILED, UNWELL
from flyball.edges.cli.plain import Plain
from flyball.edges.cli.status import foreign
from flyball.kernel.json import Json

target = typer.Typer(
    name="target", help="The targets, and Flyball's own login there.", no_args_is_help=True, rich_markup_mode=None
)


@target.command("list", short_help="Every target, looked at now.", cls=Plain)
def list_targets(config: ConfigOption = None, addr: AddrOption = "", as_json: JsonOption = False) -> int:
    """Every target, looked at now: whether it answers, who Flyball is there, when that login was last rotated.

    The exit code is 3 while one cannot be reached, Flyball's own role may do more than it needs, another Flyball of
    our issuer is at work there, or one has left something there.

    \b
    Examples:
      flyball target list
      flyball target list --json | jq '.[] | select(.reachable | not)'
    """
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        listed = render.objects(client.get("/v1/targets"), "targets")
    unwell = UNWELL if any(one.get("reachable") is not True or _remark(one) for one in listed) else 0
    if as_json:
        cli.tell([*listed])
        return unwell
    rows: list[tuple[str, ...]] = [
        (
            render.text(one.get("target")),
            render.text(one.get("kind")),
            "ok" if one.get("reachable") is True else "unreachable",
            render.text(one.get("version")),
            render.text(one.get("role")),
            _rotated(one),
            render.text(one.get("leases")),
            _remark(one),
        )
        for one in listed
    ]
    columns = ("target", "kind", "state", "version", "own role", "rotated", "leases", "remark")
    cli.table(columns, rows, empty="no targets: the bundle names none")
    return unwell


@target.command("rotate", short_help="Give our own login there a new password.", cls=Plain)
def rotate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The target, as the bundle names it.")],
    reason: ReasonOption = "",
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give Flyball's own login at a target a new password. Leases and their sessions are not touched.

    The new one is written beside the old one, set, tried, and only then takes its place. If anything fails on the
    way, whichever of the two the target knows is found, so trying again is always right.

    \b
    Examples:
      flyball target rotate orders --reason "monthly"
    """
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        found = client.post(f"/v1/targets/{quote(name, safe='')}/rotate", {"reason": reason})
    if as_json:
        cli.tell(found)
        return
    at = render.when(found.get("rotated_ms"))
    render.line(f"Flyball's own login at {render.text(found.get('target'))} was rotated {at}, and the new one works")


@target.command("adopt", short_help="Take back what a lost store left there.", cls=Plain)
def adopt(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The target, as the bundle names it.")],
    store: Annotated[str, typer.Argument(metavar="STORE", help="The lost store's mark, as `target list` shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it without being asked.")] = False,
    reason: ReasonOption = "",
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> int:
    """Take back all that another store of our issuer left at a target, with its sessions.

    For a store that is lost: its Flyball can take back nothing any more. Refused while a Flyball of that store, or any
    other of our issuer, is at work there. Each gets a receipt; the record says who asked for it.

    \b
    Examples:
      flyball target adopt orders 5f0c1e9a77b2 --reason "the old disk is gone"
    """
    cli = Cli.of(config, addr, as_json=as_json)
    question = f"Is store {store} lost for good? All that it left at {name} is removed, and its sessions end."
    if not yes and not typer.confirm(question, default=False, err=True):
        render.line("nothing was taken back")
        return FAILED
    with cli.client() as client:
        found = client.post(f"/v1/targets/{quote(name, safe='')}/adopt", {"store": store, "reason": reason})
    if as_json:
        cli.tell(found)
        return 0
    count, at = render.text(found.get("count")), render.text(found.get("target"))
    render.line(f"{count} of store {store} at {at} are being taken back; `flyball receipts` shows what came of it")
    return 0


def _rotated(one: dict[str, Json]) -> str:
    if one.get("rotates") is not True:
        return "not supported"
    return render.when(one.get("rotated_ms")) or "never by Flyball"


def _remark(one: dict[str, Json]) -> str:
    if one.get("reachable") is not True:
        return render.text(one.get("detail"))
    excess = one.get("excess")
    more = [f"more than it needs: {render.listed(excess)}"] if isinstance(excess, list) and excess else []
    return "; ".join([*more, *foreign(one)])
