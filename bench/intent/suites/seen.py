"""Tools of a benchmark that ships no schemas: names, arguments and shapes, from the types of recorded calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bench.intent.shape import Shape
from bench.intent.suites.model import Call, Tool
from flyball.kernel.json import Json


class Seen:
    """Collects calls and results by tool, and keeps types only."""

    def __init__(self) -> None:
        self._args: dict[str, dict[str, set[str]]] = {}
        self._given: dict[str, Counter[str]] = {}
        self._calls: Counter[str] = Counter()
        self._results: dict[str, Shape] = {}

    def call(self, call: Call) -> None:
        """Take in one call."""
        self._calls[call.function] += 1
        args = self._args.setdefault(call.function, {})
        for name, value in call.args.items():
            args.setdefault(name, set()).add(_type(value))
            self._given.setdefault(call.function, Counter())[name] += 1

    def result(self, function: str, result: Json) -> None:
        """Take in one result."""
        self._results.setdefault(function, Shape()).see(result)

    def tools(self) -> list[Tool]:
        """What was seen, by name."""
        return [self._tool(name) for name in sorted(self._args)]

    def _tool(self, name: str) -> Tool:
        properties: dict[str, Json] = {}
        for arg, kinds in self._args[name].items():
            properties[arg] = _schema(kinds)
        always = [arg for arg in properties if self._given[name][arg] == self._calls[name]]
        shape = self._results.get(name)
        return Tool(
            name,
            "",
            {"type": "object", "properties": properties, "required": list(always)},
            tuple(shape.lines()) if shape is not None else (),
        )


def _type(value: Json) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if value is None:
        return "null"
    if isinstance(value, list):
        kinds: Iterable[str] = {_type(item) for item in value}
        return f"array of {'|'.join(sorted(kinds))}" if value else "array"
    return "object" if isinstance(value, dict) else "string"


def _schema(kinds: set[str]) -> Json:
    found: list[Json] = []
    arrays = {kind.removeprefix("array of ") for kind in kinds if kind.startswith("array of ")}
    for kind in sorted(kinds):
        if not kind.startswith("array"):
            found.append({"type": kind})
    if arrays:
        found += [{"type": "array", "items": {"type": inner}} for inner in sorted(arrays)]
    elif "array" in kinds:
        found.append({"type": "array"})
    plain = {"integer", "number"} >= kinds
    if plain and len(kinds) == 2:
        return {"type": "number"}
    return found[0] if len(found) == 1 else {"anyOf": found}
