"""Names of actions for tools that servers named as they liked: two of one name, and names that no action can have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flyball.kernel.json import Json
from flyball.policy.draft_text import remark

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


@dataclass(slots=True)
class Names:
    """Gives each tool an action's name of its own. `notes` says, for people, what was done to whom."""

    taken: dict[str, Json] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def give(self, spec: Mapping[str, Json], server: str) -> tuple[str, str]:
        """The action's name, and what the tool's sheet must say of it; both empty where it gets none."""
        called = spec.get("name")
        if not isinstance(called, str) or not called.strip():
            self.notes.append("a tool without a name was left out: give it a `name` in the schemas")
            return "", ""
        if self.taken.get(called) == dict(spec):
            return "", ""  # the very same tool, listed twice
        name, why = called, ""
        if not NAME.fullmatch(called):
            name = re.sub(r"^[^A-Za-z]+", "", re.sub(r"[^A-Za-z0-9_.-]+", "_", called)).strip("_")[:50] or "tool"
            why = "no action can have that name"
        if name in self.taken:
            of = re.sub(r"[^A-Za-z0-9_-]+", "_", server).strip("_")
            name = self._free(f"{of}.{name}" if of and of[0].isalpha() else name)
            why = why or f"another tool has that name{f' (this one is of {remark(server, 40)})' if server else ''}"
        self.taken[name] = dict(spec)
        if name == called:
            return name, ""
        self.notes.append(
            f"tool {remark(called, 60)!r} is drafted as action `{name}`: {why}. "
            f"Whatever asks for it must say `{name}`; rename the tool, or the action in the sheet and the profile"
        )
        return name, f"DECIDE: its server calls it {remark(called, 60)!r}; {why}, so who asks must say `{name}`"

    def _free(self, wished: str) -> str:
        candidate, number = wished[:63], 2
        while candidate in self.taken:
            candidate = f"{wished[:58]}_{number}"
            number += 1
        return candidate


def listed(schemas: Json, server: str = "") -> Iterator[tuple[str, dict[str, Json]]]:
    """Every tool in any of the usual shapes, with its server's name where one is told.

    A list of tools; `{"tools": […]}` and its likes; a map of servers to any of these; a list of any of these.
    """
    if isinstance(schemas, list):
        for one in schemas:
            yield from listed(one, server)
    elif isinstance(schemas, dict):
        told = schemas.get("server")
        here = told if isinstance(told, str) and told else server
        inner = next((schemas[key] for key in ("tools", "functions", "result") if key in schemas), None)
        if inner is not None:
            yield from listed(inner, here)
        elif isinstance(function := schemas.get("function"), dict):
            yield here, function
        elif _is_tool(schemas):
            yield here, schemas
        else:
            for name, one in schemas.items():
                if isinstance(one, (dict, list)):
                    yield from listed(one, name)


def _is_tool(one: Mapping[str, Json]) -> bool:
    members: Sequence[str] = ("name", "description", "parameters", "inputSchema", "input_schema")
    return any(key in one and not (isinstance(one[key], dict) and key == "name") for key in members)
