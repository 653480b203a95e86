"""The section of bench/RESULTS.md that tells of the suites, made from the rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.intent.registry import BESIDE, FIGURES
from bench.measure import Row


def section(rows: Sequence[Row]) -> list[str]:
    """The section's lines: every limit with its figure, the figures beside, the profiles' hashes, what was missed."""
    by_id = {str(row["id"]): row for row in rows}
    out = [
        "## Work held to its intent", "",
        "Made by `make bench-intent`; the suites, the attacker and the rows stand in `docs/benchmarks.md`. The peer is",
        "a role with the names of the tools that the suites' tasks use.", "",
        "| id | what | Flyball | peer | must | aim | met | n |", "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for figure in FIGURES:
        row = by_id.get(figure.id)
        must, aim = ("; ".join(map(str, limits)) for limits in (figure.must, figure.aim))
        if row is None:
            out.append(f"| {figure.id} | {figure.what} | not measured | | {must} | {aim} | | |")
        else:
            out.append(
                f"| {figure.id} | {figure.what} | {_shown(row)} | {_peer(row)} | {must} | {aim} | {_met(row)} "
                f"| {row['n']} |"
            )
    for row in (by_id[one] for one in BESIDE if one in by_id):
        out.append(f"| {row['id']} | {row.get('title', '')} | {_shown(row)} | {_peer(row)} | | | | {row['n']} |")
    shown = [by_id[figure.id] for figure in FIGURES if figure.id in by_id]
    out += ["", "The profiles, each folder frozen by its hash before anything was run:", ""]
    out += [f"- {line}" for line in sorted({_hashes(row) for row in rows if row.get("by_suite")})] or ["- none"]
    without = sorted({str(one) for row in rows for one in _list(row.get("without_profiles"))})
    out += [f"- {one}" for one in without]
    for row in shown:
        if row["met"] is False:
            out += ["", f"**{row['id']}** must be {row['must']} and is {_shown(row)}. What it wants:", ""]
            out += [f"- {one}" for one in _list(row.get("missed"))] or ["- (run it again to see)"]
    return [*out, ""]


def _hashes(row: Row) -> str:
    held = row.get("by_suite")
    suites = held if isinstance(held, Mapping) else {}
    told = ", ".join(f"{suite} `{digest}`" for suite, digest in sorted(suites.items()))
    return f"{told} ({row.get('date', '')}, commit {row.get('commit', '')})"


def _shown(row: Row) -> str:
    value, unit = row["value"], str(row["unit"])
    return f"{value:g} {unit}".strip() if isinstance(value, float | int) else str(value)


def _peer(row: Row) -> str:
    value = row.get("peer_value")
    return f"{value:g} {row['unit']}" if isinstance(value, float | int) else "–"


def _met(row: Row) -> str:
    return "yes, and the aim" if row["met"] and row.get("aim_met") else "yes" if row["met"] else "**no**"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
