"""Help as a shell's user knows it: an argument by its name, without braces and without the type that holds it."""

from __future__ import annotations

import re

import typer
from typer.core import TyperCommand

_BRACES = re.compile(r"\{([^{}]+?)(…?)\}(?:\.\.\.)?")
_TYPE = re.compile(r"<(?:str|path|list\[str\])>")


class Plain(TyperCommand):
    """A command with such help."""

    def get_help(self, ctx: typer.Context) -> str:  # type: ignore[override]
        """The help page."""
        usage, rest = super().get_help(ctx).split("\n\n", 1)
        usage = _BRACES.sub(r"\1\2", usage)
        # As wide as it was, so that what stands beside stays in its column.
        rest = _TYPE.sub(lambda found: " " * len(found.group()), rest)
        return f"{usage}\n\n{rest}"
