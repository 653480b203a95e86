"""Showing things. Tables and colour only on a terminal (NO_COLOR is honoured); tab-separated lines otherwise.

Every text that came from elsewhere goes through `clean` here, so that no name of an agent's or a
target's can steer a terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flyball.flow.text import clean
from flyball.kernel.json import Json

GOOD = {"ok", "open", "active", "delivered", "verified", "allow", "closed"}
BAD = {"quarantined", "deny", "failed", "unreachable"}
_CELL = 200
_LINE = 500


def console() -> Console:
    """Where tables go."""
    return Console(highlight=False, markup=False, emoji=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Rows under their columns; `empty` says what no rows mean (on a terminal)."""
    shown = [[clean(cell, _CELL) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        print("\t".join(columns))
        for row in shown:
            print("\t".join(row))
        return
    if not rows:
        print(empty)
        return
    drawn = Table(box=None, pad_edge=False, header_style="dim", collapse_padding=True)
    for column in columns:
        drawn.add_column(column.upper(), overflow="fold", no_wrap=column in ("task", "lease", "receipt"))
    for row in shown:
        drawn.add_row(*(_coloured(cell) for cell in row))
    console().print(drawn)


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Named values, one a line."""
    width = max((len(name) for name, _ in pairs), default=0)
    out = console()
    for name, value in pairs:
        line = Text.assemble((f"{name:<{width}}", "dim"), "  ", _coloured(clean(value, 400)))
        out.print(line, soft_wrap=True)


def line(text: str, style: str = "") -> None:
    """One line, escaped."""
    escaped(clean(text, _LINE), style)


def escaped(text: str, style: str = "") -> None:
    """One line that was escaped where it was made."""
    console().print(Text(text, style=style), soft_wrap=True)


def cut(text: str) -> None:
    """One line, escaped, and cut where a terminal ends."""
    width = console().width if sys.stdout.isatty() else _LINE
    shown = clean(text, _LINE)
    escaped(shown if len(shown) <= width else f"{shown[: width - 1]}…")


def headline(text: str) -> None:
    """A small heading."""
    console().print()
    line(text, "bold")


def _coloured(cell: str) -> Text:
    style = "green" if cell in GOOD else "bold red" if cell in BAD else ""
    return Text(cell, style=style)


def text(value: Json) -> str:
    """A value as text for a cell; the caller or `table` cleans it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return ", ".join(f"{k} {text(v)}" for k, v in value.items()) if isinstance(value, dict) else listed(value)
    return str(value)


def listed(values: Sequence[Json]) -> str:
    """A list as text."""
    return ", ".join(text(one) for one in values)


def number(value: Json) -> int:
    """A whole number, 0 where there is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def when(ms: Json) -> str:
    """A wall time in milliseconds as UTC to the second."""
    at = number(ms)
    if not at:
        return ""
    try:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"@{at}"


def left(ms: Json) -> str:
    """How long until a wall time, in words; `over` once it has passed."""
    seconds = number(ms) // 1000 - int(time.time())
    if seconds <= 0:
        return "over"
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds % 60:02}s" if minutes else f"{seconds}s"


def digest(value: Json) -> str:
    """The beginning of a digest."""
    found = text(value)
    return f"{found[:19]}…" if len(found) > 19 else found


def limit(value: Json) -> str:
    """A limit that is cooperative: the action it is on, where it is on one, and what it says."""
    if not isinstance(value, dict):
        return text(value)
    return " ".join(part for part in (text(value.get("action")), text(value.get("limit"))) if part)


def objects(holder: Mapping[str, Json], name: str) -> list[dict[str, Json]]:
    """The list of objects under a name."""
    found = holder.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def member(holder: Mapping[str, Json], name: str) -> dict[str, Json]:
    """The object under a name, empty where there is none."""
    found = holder.get(name)
    return found if isinstance(found, dict) else {}
