"""`flyball mcp --observe -- COMMAND…`: watch an agent work, before there is any profile. It governs nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flyball.edges.mcp.gateway import carry, clean, say
from flyball.edges.mcp.session import Session
from flyball.edges.mcp.stdio import Child, Standard
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.checks import Ask
from flyball.enforcement.mcp.frames import Frame, Object, Value
from flyball.enforcement.mcp.observation import Origins, Recording

REMIND_S: Final = 60.0
NOT_GOVERNING: Final = "RECORDING, NOT GOVERNING: every call passes"
_SHOWN: Final = 60


class Recorder:
    """A judge that lets everything through and writes it down."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._origins = Origins()
        self._actions: dict[str, str] = {}
        self.calls = 0
        self.task = ""

    def shows(self, action: str) -> bool:
        """Everything is shown."""
        return bool(action)

    async def check(self, ask: Ask) -> str:
        """Write the call down, and say where its arguments were seen before."""
        self.calls += 1
        ident = f"call-{self.calls}"
        self._actions[ident] = ask.action
        origins = self._origins.of(ask.args)
        told: Object = {**origins}
        self._recording.write(
            {"kind": "call", "call": ident, "action": ask.action, "args": dict(ask.args), "origins": told}
        )
        shown = ", ".join(f"{name}={_short(value)}" for name, value in ask.args.items())
        say(f"[{NOT_GOVERNING}] {self.calls:>4}  {_clean(ask.action)}({_clean(shown)})")
        for name, place in origins.items():
            say(f"              {_clean(name)} was seen in the result of {_clean(place)}")
        return ident

    async def note(self, ask: Ask) -> str:  # noqa: ARG002 - as in Judge
        """Nothing is refused here."""
        return ""

    async def report(self, decision: str, value: Value, *, size: int, ms: int) -> bool:
        """Write the result down."""
        action = self._actions.pop(decision, "")
        self._origins.take(action, value)
        self._recording.write({"kind": "result", "call": decision, "result": value, "bytes": size, "ms": ms})
        return True

    def saw(self, page: Object) -> None:
        """Write tool definitions down."""
        self._recording.write({"kind": "tools", "tools": page.get("tools")})


class SeenTools(Tools):
    """A server's tools, each page of them written down."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(None)
        self._recorder = recorder

    def see(self, page: Object) -> None:
        """Remember the definitions of one page."""
        super().see(page)
        self._recorder.saw(page)

    def shown(self, frame: Frame, result: Object, judge: object) -> Object:  # noqa: ARG002 - as in Tools
        """The server's own answer: nothing is filtered, so nothing is changed."""
        if frame.method == "tools/list":
            self.see(result)
        return result


async def run(command: Sequence[str], out: Path) -> int:
    """Record until the client goes; the exit code.

    Raises:
        ConfigError: the file or the server cannot be had.
    """
    recording = Recording(out)
    recorder = Recorder(recording)
    say(f"{NOT_GOVERNING}. It is written to {out}")
    try:
        child = await Child.start(command, clean(os.environ))
        reminder = asyncio.create_task(_remind(recorder))
        try:
            client = await Standard.open()
            session = Session(recorder, SeenTools(recorder), to_client=client.send, to_server=child.send)
            return await carry(session, child, client)
        finally:
            reminder.cancel()
            await child.end()
    finally:
        recording.close()
        say(f"{recorder.calls} calls were recorded, none governed{'; the file was full' if recording.full else ''}")
        say(f"next: flyball profile draft --from {out} --name NAME --out BUNDLE_FOLDER")


async def _remind(recorder: Recorder) -> None:
    while True:
        await asyncio.sleep(REMIND_S)
        say(f"{NOT_GOVERNING}; {recorder.calls} calls so far")


def _short(value: Value) -> str:
    text = frames.dumps(value).decode(errors="replace")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _clean(text: str) -> str:
    """Nothing that could steer a terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)
