"""Which of a server's tools, resources and prompts a client is shown, and which tools may be called at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from flyball.edges.mcp.judge import Judge
from flyball.enforcement.mcp import checks
from flyball.enforcement.mcp.checks import Ask
from flyball.enforcement.mcp.frames import Frame, Object, Value
from flyball.enforcement.mcp.headers import sound
from flyball.enforcement.mcp.pins import Pins, fingerprint

MAX_TOOLS: Final = 4096
_TWO: Final = "two definitions"


class Tools:
    """The tools of one server, as they were seen, beside what was approved of them.

    `pins` None: nothing is pinned, which is for recording alone. `prefix` stands before a tool's name in its action.
    `own` are tools that the gateway itself answers.
    """

    MAX_PAGES: Final = 64

    def __init__(self, pins: Pins | None, *, prefix: str = "", own: Sequence[Object] = ()) -> None:
        self.seen = False
        """Whether all pages of the server's list were read since it last said that it changed."""
        self._pins = pins
        self._prefix = prefix
        self._own = tuple(own)
        self._hashes: dict[str, str] = {}
        self._schemas: dict[str, Object] = {}

    @property
    def pinned(self) -> bool:
        """Whether definitions are held to what was approved."""
        return self._pins is not None

    def named(self, ask: Ask) -> Ask:
        """The question with this server's name in the action."""
        return replace(ask, action=self._prefix + ask.action) if self._prefix else ask

    def forget(self) -> None:
        """The server's list has changed: what was seen of it says nothing any more."""
        self.seen = False
        self._hashes.clear()
        self._schemas.clear()

    def see(self, page: Object) -> None:
        """Remember the definitions of one page."""
        listed = page.get("tools")
        for tool in listed if isinstance(listed, list) else ():
            name = tool.get("name") if isinstance(tool, dict) else None
            if not isinstance(name, str) or len(self._hashes) >= MAX_TOOLS:
                continue
            found = fingerprint(tool)
            schema = tool.get("inputSchema") if isinstance(tool, dict) else None
            self._schemas[name] = schema if isinstance(schema, dict) else {}
            # Two words about one tool: which of them a call would meet is unknown, so it meets none of them.
            self._hashes[name] = found if self._hashes.get(name, found) == found else _TWO

    def objection(self, name: str) -> str:
        """Why a tool may not be called, whatever its arguments; empty where it may be asked about."""
        if not checks.sound(name):
            return "tool_name"
        if self._pins is None:
            return ""
        if name not in self._pins.tools:
            return "tool_not_approved"
        if name not in self._hashes:
            return "tool_unknown"
        if self._hashes[name] != self._pins.tools[name]:
            return "tool_changed"
        return "" if sound(self._schemas.get(name)) else "tool_headers"

    def unapproved(self, ask: Ask, why: str) -> Ask:
        """What is put on record of a call of a tool that may not be called: its name, and both definitions' hashes."""
        tool = self._prefix + ask.tool[:256]
        approved = "" if self._pins is None else self._pins.tools.get(ask.tool, "")
        found = self._hashes.get(ask.tool, "")
        return Ask(checks.UNAPPROVED, tool, {"tool": tool, "why": why, "approved": approved, "found": found})

    def schema(self, name: Value) -> Object | None:
        """A tool's input schema, as it was seen."""
        return self._schemas.get(name) if isinstance(name, str) else None

    def is_own(self, frame: Frame) -> bool:
        """Whether a request calls one of the gateway's own tools."""
        return frame.method == "tools/call" and self._answers_to(frame.params.get("name"))

    def own_list(self, frame: Frame) -> Object:
        """The list where only the gateway's own tools are there."""
        result: Object = {"tools": list(self._own)}
        if frame.modern:
            result |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        return result

    def shown(self, frame: Frame, result: Object, judge: Judge | None) -> Object:
        """A handshake's or list's result, as this client may see it."""
        if frame.method in checks.HANDSHAKE:
            return self._greeting(result)
        member = checks.LISTS[frame.method]
        found = result.get(member)
        listed = found if isinstance(found, list) else []
        if frame.method == "tools/list":
            self.see(result)
            if not isinstance(result.get("nextCursor"), str) and "cursor" not in frame.params:
                self.seen = True  # it was one page, and all of it
            first = "cursor" not in frame.params
            kept: list[Value] = [one for one in listed if isinstance(one, dict) and self._visible(one, judge)]
            told: Object = {**result, member: [*(self._own if first else ()), *kept]}
        else:
            action = checks.PROMPT if member == "prompts" else checks.READ
            told = {**result, member: listed if judge is not None and judge.shows(self._prefix + action) else []}
        if "cacheScope" in told or frame.modern:
            told["cacheScope"] = "private"  # filtered for one task: nobody else's to reuse
        return told

    def _answers_to(self, name: Value) -> bool:
        """Whether a tool of the gateway's own answers to this name."""
        return any(one["name"] == name for one in self._own)

    def _visible(self, tool: Object, judge: Judge | None) -> bool:
        name = tool.get("name")
        if not isinstance(name, str) or not checks.sound(name) or judge is None:
            return False
        if self._answers_to(name):
            return False
        approved = self._pins is None or self._pins.holds(tool)
        return approved and sound(tool.get("inputSchema")) and judge.shows(self._prefix + name)

    def _greeting(self, result: Object) -> Object:
        """The server's handshake, without instructions that nobody approved, and with our own tools announced."""
        told = dict(result)
        instructions = told.get("instructions")
        if self._pins is not None and instructions and fingerprint(instructions) != self._pins.instructions:
            del told["instructions"]
        capabilities = told.get("capabilities")
        if self._own and isinstance(capabilities, dict):
            tools = capabilities.get("tools")
            told["capabilities"] = {
                **capabilities,
                "tools": {**(tools if isinstance(tools, dict) else {}), "listChanged": True},
            }
        if "cacheScope" in told:
            told["cacheScope"] = "private"
        return told
