"""What was seen of an agent that nobody governs: calls and results, with the fields that arguments came from.

A file of JSON lines, written as things happen, so that it is whole however it ends. `flyball profile draft` reads it.
It holds arguments and results in clear: mode 0600, and for the person who started the recording alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Object, Value
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json

MARK: Final = "flyball-observation"
VERSION: Final = 1
MAX_VALUES: Final = 50_000
MAX_BYTES: Final = 256 << 20
"""A recording ends here: what is seen after it is shown and not kept."""


class Recording:
    """A file that grows. It is never written over."""

    def __init__(self, file: Path) -> None:
        """Begin.

        Raises:
            ConfigError: `observation`: the file is there already, or cannot be made.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.fdopen(os.open(file, flags, 0o600), "wb", buffering=0)
        except OSError as fault:
            raise ConfigError(
                f"cannot record into {file}: {fault.strerror}", code="observation", hint="name a new file with --out"
            ) from fault
        self.path = file
        self._written = 0
        self.full = False
        self.write({"kind": MARK, "version": VERSION})

    def write(self, one: Object) -> None:
        """Write one line, if there is room."""
        raw = frames.dumps(one) + b"\n"
        self.full = self.full or self._written + len(raw) > MAX_BYTES
        if not self.full:
            self._written += self._file.write(raw) or 0

    def close(self) -> None:
        """The end."""
        self._file.close()


class Origins:
    """Where the values of arguments were seen before: in which field of which call's result."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def take(self, action: str, result: Value) -> None:
        """Remember a result's values by their fields; what came first is the origin."""
        for field, value in _fields(_structured(result), ""):
            if len(self._seen) >= MAX_VALUES:
                return
            self._seen.setdefault(_normal(value), f"{action}{' ' + field if field else ''}")

    def of(self, args: Mapping[str, Value]) -> dict[str, str]:
        """For each argument with a value that was seen before: where."""
        found: dict[str, str] = {}
        for field, value in _fields(dict(args), ""):
            place = self._seen.get(_normal(value))
            if place is not None and len(value) > 1:
                found[field] = place
        return found


def _structured(result: Value) -> Value:
    """A text that is JSON, as what it holds: the decision plane reads it so too."""
    if isinstance(result, str) and result[:1] in ("{", "["):
        try:
            return frames.loads(result.encode())
        except (ValueError, RecursionError):
            return result
    return result


def _fields(value: Value, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _fields(one, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for one in value:
            yield from _fields(one, path)
    elif isinstance(value, str | int | float | Decimal) and not isinstance(value, bool) and value != "":
        yield path, str(value)


def _normal(value: str) -> str:
    return re.sub(r"\s+", " ", value).strip().casefold()


def is_recording(raw: bytes) -> bool:
    """Whether these bytes begin as a recording does."""
    return raw.startswith(frames.dumps({"kind": MARK, "version": VERSION}))


def read(raw: bytes) -> tuple[list[Json], dict[str, Json]]:
    """A recording's tool definitions, and its calls with their results as one reviewed task (`inputs`, `calls`).

    Raises:
        ValueError: a line is no line of a recording; a last one that was cut is left out.
    """
    tools: dict[str, Json] = {}
    calls: dict[str, dict[str, Json]] = {}
    whole = raw[: raw.rfind(b"\n") + 1]
    for line in whole.splitlines():
        one = _plain(frames.loads(line))
        if not isinstance(one, dict):
            raise ValueError("a line of a recording is an object")
        kind, ident = one.get("kind"), str(one.get("call"))
        if kind == "tools":
            listed = one.get("tools")
            tools.update(
                (str(tool.get("name")), tool)
                for tool in (listed if isinstance(listed, list) else ())
                if isinstance(tool, dict)
            )
        elif kind == "call":
            calls[ident] = {"action": one.get("action"), "args": one.get("args"), "effect": "allow"}
        elif kind == "result" and ident in calls:
            calls[ident]["result"] = one.get("result")
    made: list[Json] = [*calls.values()]
    return [*tools.values()], {"inputs": {}, "calls": made}


def _plain(value: Value) -> Json:
    """The same with numbers as text where JSON has none that keeps their digits."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Decimal) else value
