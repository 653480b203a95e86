"""results.json, kept across partial runs, and RESULTS.md, made from it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence

from bench.intent import registry as intent
from bench.intent.section import section
from bench.measure import ROOT, Row
from bench.registry import FIGURES

RESULTS = ROOT / "results.json"
MACHINE = ROOT / "machine.json"
PAGE = ROOT / "RESULTS.md"

_ORDER = {figure.id: place for place, figure in enumerate(FIGURES)}


def merge(rows: Sequence[Row], facts: Mapping[str, object]) -> list[Row]:
    """Put new rows over the old ones of the same ids, write both files, return all rows."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    kept = {str(row["id"]): row for row in load()}
    for row in rows:
        kept[str(row["id"])] = {**row, "date": now, "commit": facts.get("commit", "")}
    found = sorted((row for row in kept.values() if row["id"] in _ORDER), key=lambda row: _ORDER[str(row["id"])])
    found += _intent(kept)
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    MACHINE.write_text(json.dumps({**facts, "date": now}, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(render(found, {**facts, "date": now}))
    return found


def merge_intent(rows: Sequence[Row]) -> list[Row]:
    """Put rows of `bench.intent`, stamped already, over the old ones of the same ids; write both files."""
    old = load()
    kept = {str(row["id"]): row for row in (*old, *rows)}
    found = [row for row in old if row["id"] in _ORDER] + _intent(kept)
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    machine: dict[str, object] = json.loads(MACHINE.read_text()) if MACHINE.exists() else {}
    PAGE.write_text(render(found, machine))
    return found


def _intent(rows: Mapping[str, Row]) -> list[Row]:
    """The rows of the suites that the page shows: those with a limit, and those that stand beside them."""
    return [rows[name] for name in (*intent.BY_ID, *intent.BESIDE) if name in rows]


def load() -> list[Row]:
    """The rows of earlier runs."""
    if not RESULTS.exists():
        return []
    found: list[Row] = json.loads(RESULTS.read_text())
    return found


def render(rows: Sequence[Row], facts: Mapping[str, object]) -> str:
    """The page."""
    out = [
        "# Results",
        "",
        "Made by `make bench` from `bench/results.json`; how each figure is taken stands in `docs/benchmarks.md`.",
        "The value is the median of n repetitions, its least and greatest stand beside it; peers were measured in",
        "the same run, in turns with Flyball.",
        "",
        "| id | Flyball | peer | ratio | must | aim | met | n |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by_id = {str(row["id"]): row for row in rows}
    for figure in FIGURES:
        row = by_id.get(figure.id)
        if row is None:
            must, aim = ("; ".join(map(str, limits)) for limits in (figure.must, figure.aim))
            out.append(f"| {figure.id} | not measured | | | {must} | {aim} | | |")
            continue
        out.append(
            f"| {figure.id} | {_shown(row, 'value', 'spread')} | {_peer(row)} | {_ratio(row)} "
            f"| {row['must']} | {row['aim']} | {_met(row)} | {row['n']} |"
        )
    out += ["", "## What each is", ""]
    for figure in FIGURES:
        out.append(f"- **{figure.id}**: {figure.what}.")
        row = by_id.get(figure.id)
        if row is not None and row.get("note"):
            out.append(f"  {row['note']}")
        if row is not None:
            out.append(
                f"  *{row.get('date', '')}, commit {row.get('commit', '')}{', QUICK' if row.get('quick') else ''}*"
            )
    out += ["", *section(rows), "## The machine", ""]
    out += [f"- {name}: {value}" for name, value in facts.items()]
    out += [
        "",
        "## The commands",
        "",
        "```",
        "make bench                # all of them",
        "make bench ONLY=http-cpu  # one",
        "make bench-intent         # the suites, with the profiles of bench/intent/profiles",
        "python -m bench --only http-cpu --only http-p99",
        "```",
        "",
    ]
    return "\n".join(out)


def _number(value: object) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 100 else f"{value:g}"
    return "–"


def _shown(row: Row, value: str, spread: str) -> str:
    low_high = row.get(spread)
    beside = ""
    if isinstance(low_high, list) and low_high[0] != low_high[1]:
        beside = f" ({_number(low_high[0])}–{_number(low_high[1])})"
    return f"{_number(row[value])} {row['unit']}{beside}"


def _peer(row: Row) -> str:
    if row.get("peer") is None:
        return "–"
    return (
        f"{row['peer']}: {_shown(row, 'peer_value', 'peer_spread')}"
        if row.get("peer_value") is not None
        else str(row["peer"])
    )


def _ratio(row: Row) -> str:
    return f"{row['ratio']}×" if row.get("ratio") is not None else "–"


def _met(row: Row) -> str:
    if row["met"] and row.get("aim_met"):
        return "yes, and the aim"
    return "yes" if row["met"] else "**no**"
