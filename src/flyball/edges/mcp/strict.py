"""Members of a strict JSON file, and its URLs: what is unknown or of another kind is refused, with the file's name."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flyball.enforcement.mcp.frames import Object, Value
from flyball.kernel.errors import ConfigError
from flyball.kernel.hosts import is_loopback


@dataclass(frozen=True, slots=True)
class Strict:
    """How the objects of one file are read. Every method raises ConfigError `servers` with a sentence that says why."""

    file: Path

    def only(self, one: Object, known: AbstractSet[str]) -> None:
        """No member but these."""
        unknown = sorted(set(one) - known)
        if unknown:
            raise self.wrong(f"{unknown[0]!r} is no member of it; there are {', '.join(sorted(known))}")

    def text(self, one: Object, member: str, default: str) -> str:
        """A text."""
        found = one.get(member, default)
        if not isinstance(found, str):
            raise self.wrong(f"`{member}` is a text")
        return found

    def texts(self, one: Object, member: str) -> list[str]:
        """A list of texts; none where it is missing."""
        found: Value = one.get(member, [])
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise self.wrong(f"`{member}` is a list of texts")
        return [str(text) for text in found]

    def path(self, one: Object, member: str) -> Path | None:
        """A path, from the file's own folder on."""
        found = self.text(one, member, "")
        return self.file.parent / found if found else None

    def wrong(self, why: str) -> ConfigError:
        """The error to raise."""
        return ConfigError(f"{self.file}: {why}", code="servers", hint="see docs/guides/mcp.md, *A shared gateway*")


def is_safe(url: str) -> bool:
    """Whether nobody in between can read what goes to a URL: https, or http on loopback."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        )
    except ValueError:
        return False
