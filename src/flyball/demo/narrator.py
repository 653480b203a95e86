"""How the story is told: as text for a person, or as JSON lines for a machine. The same facts either way."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flyball.flow.text import clean
from flyball.kernel.json import Json


class Narrator:
    """Tells what was done and what was observed.

    Args:
        as_json: JSON lines on stdout instead of text.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._start = time.monotonic()
        self._console = Console(highlight=False, soft_wrap=True)
        self._step = 0

    def _emit(self, event: str, **facts: Json) -> None:
        at = str(round(time.monotonic() - self._start, 3))
        print(json.dumps({"event": event, "step": self._step, "at_s": at, **facts}, ensure_ascii=False), flush=True)

    def title(self, text: str) -> None:
        """The first line."""
        if self._json:
            self._emit("title", text=text)
        else:
            self._console.print(Text(text, style="bold"))

    def step(self, number: int, text: str) -> None:
        """A chapter begins."""
        self._step = number
        if self._json:
            self._emit("step", text=text)
        else:
            self._console.print()
            self._console.print(Text(f"{number}  {text}", style="bold cyan"))

    def did(self, text: str, **facts: Json) -> None:
        """Something was done."""
        self._line("did", "→", "", text, facts)

    def saw(self, text: str, *, good: bool = True, **facts: Json) -> None:
        """Something was observed. `good` is whether it is what should have been seen."""
        self._line("saw", "✓" if good else "✗", "green" if good else "bold red", text, {**facts, "good": good})

    def hostile(self, text: str, **facts: Json) -> None:
        """The agent tries something it should not."""
        self._line("hostile", "!", "yellow", text, facts)

    def note(self, text: str, **facts: Json) -> None:
        """An aside."""
        self._line("note", " ", "dim", text, facts)

    def _line(self, event: str, mark: str, style: str, text: str, facts: Mapping[str, Json]) -> None:
        text = clean(text, 400)
        if self._json:
            self._emit(event, text=text, **facts)
        else:
            self._console.print(
                Text.assemble("   ", (mark, style or "dim"), " ", (text, style if style == "dim" else ""))
            )

    def try_it(self, text: str, command: str) -> None:
        """A line for the viewer to paste. It is shown whole, on a line of its own."""
        if self._json:
            self._emit("try", text=text, command=command)
        else:
            self._console.print(Text(f"     {text}", style="dim"))
            self._console.print(Text(f"     $ {command}", style="bold"))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of figures."""
        if self._json:
            listed: list[Json] = [dict(zip(columns, row, strict=True)) for row in rows]
            self._emit("table", title=title, rows=listed)
            return
        table = Table(
            title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False
        )
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(clean(cell, 200) for cell in row))
        self._console.print()
        self._console.print(table)

    def failed(self, text: str, hint: str) -> None:
        """The story could not go on."""
        if self._json:
            self._emit("failed", text=text, hint=hint)
        else:
            sys.stdout.flush()
            print(f"error: {text}\nhint: {hint}", file=sys.stderr, flush=True)
