"""`audit verify`, `audit show`: the chain, read from the store's file, with no server."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from flyball.assembly import local
from flyball.edges.cli import render
from flyball.edges.cli.context import Cli, ConfigOption, JsonOption
from flyball.edges.cli.errors import MISUSED, CliError
from flyball.edges.cli.plain import Plain
from flyball.flow import evidence, offline

audit = typer.Typer(
    name="audit",
    help="The record: verify it, look into it. Needs no server, and never writes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

StoreOption = Annotated[
    Path | None,
    typer.Option("--store", metavar="PATH", help="A store's file or folder, such as a copy; else the configuration's."),
]
_AGO = re.compile(r"([1-9][0-9]{0,6})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@audit.command("verify", short_help="Verify the chain, signatures and tables.", cls=Plain)
def verify(
    store: StoreOption = None,
    anchor: Annotated[
        Path | None,
        typer.Option("--anchor", metavar="FILE", help="The anchor; else the configuration's, if it is there."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="FILE", help="The public keys; else the configuration's, if there.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Verify the hash chain, the signed checkpoints and the tables; against the anchor, that nothing was cut.

    Exit code 0: all holds; 1: something was changed, and it says where; 2: it cannot be read.

    \b
    Examples:
      flyball audit verify
      flyball audit verify --store backup/ --anchor /mnt/other-disk/anchor.json
    """
    cli = Cli.of(config, as_json=as_json)
    file = local.store_file(store or cli.config.store)
    named = anchor or (cli.config.anchor if cli.config.anchor.is_file() else None)
    if anchor is not None and not anchor.is_file():
        raise CliError(f"there is no anchor at {anchor}")
    known = keys or (cli.config.public_keys if cli.config.public_keys.is_file() else None)
    report = offline.verify_audit(file, anchor=named, keys=known)
    if as_json:
        print(report.to_json())
        return report.exit_code
    for index, line in enumerate(report.lines()):
        render.escaped(line, ("green" if report.ok else "bold red") if index == 0 else "")
    if named is None:
        render.line("no anchor was given: a tail cut with its checkpoints would go unnoticed", "yellow")
    if known is None:
        render.line("no public keys were given: signatures were not checked", "yellow")
    return report.exit_code


@audit.command("show", cls=Plain)
def show(
    kind: Annotated[list[str] | None, typer.Option("--kind", metavar="KIND", help="Only these (repeatable).")] = None,
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="Only this task's.")] = "",
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Only where this agent stands.")] = "",
    lease: Annotated[str, typer.Option("--lease", metavar="LEASE", help="Only where this lease stands.")] = "",
    effect: Annotated[str, typer.Option("--effect", metavar="EFFECT", help="Decisions with this effect: deny, …")] = "",
    since: Annotated[str, typer.Option("--since", metavar="AGO", help="Only the last 30s, 15m, 2h, 1d.")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=100_000, help="How many at most.")] = 100,
    ocsf: Annotated[bool, typer.Option("--ocsf", help="Decisions as OCSF events (JSON lines), for a SIEM.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The newest records that match, oldest first. With --json, one JSON object a line.

    \b
    Examples:
      flyball audit show --kind decided --effect deny --since 1h
      flyball audit show --ocsf --since 1d > events.jsonl
    """
    cli = Cli.of(config, as_json=as_json)
    lines = evidence.shown(
        local.store_file(store or cli.config.store),
        kinds=frozenset(kind or ()),
        task=task,
        agent=agent,
        lease=lease,
        effect=effect,
        since_ms=_since_ms(since),
        limit=limit,
        form="ocsf" if ocsf else "json" if as_json else "line",
    )
    for line in lines:
        print(line)


def _since_ms(text: str) -> int:
    if not text:
        return 0
    match = _AGO.fullmatch(text)
    if match is None:
        raise CliError(f"--since {text!r} is no time ago", "for example 30s, 15m, 2h, 1d", exit_code=MISUSED)
    return int(time.time() - int(match.group(1)) * _SECONDS[match.group(2)]) * 1000
