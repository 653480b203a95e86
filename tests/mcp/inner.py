"""One conversation in this process: a judge that lets everything pass, and what reached either end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flyball.edges.mcp.session import Session
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.checks import Ask
from flyball.enforcement.mcp.frames import Message, Object, Value

MODERN: Object = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}},
}


class Allowing:
    """Allows, and keeps what it was asked and told."""

    task = "tsk_1"

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.told: list[tuple[str, Value]] = []

    def shows(self, action: str) -> bool:
        return bool(action)

    async def check(self, ask: Ask) -> str:
        self.asked.append(ask)
        return f"dec_{len(self.asked)}"

    async def note(self, ask: Ask) -> str:
        return ""

    async def report(self, decision: str, value: Value, *, size: int, ms: int) -> bool:
        if decision in (one for one, _ in self.told):
            return False
        self.told.append((decision, value))
        return True


class Inner:
    """A session, its judge, and the messages that came out of it."""

    def __init__(self, *, call_s: float = 600.0, tools: Tools | None = None) -> None:
        self.judge = Allowing()
        self.client: list[bytes] = []
        self.server: list[bytes] = []
        tools = tools or Tools(None)
        self.session = Session(self.judge, tools, to_client=self._client, to_server=self._server, call_s=call_s)

    async def _client(self, message: Message) -> None:
        self.client.append(frames.raw_of(message))

    async def _server(self, message: Message) -> None:
        self.server.append(frames.raw_of(message))

    async def says(self, raw: bytes) -> bytes | None:
        """The client says something; what reached the server of it."""
        before, told = len(self.server), len(self.client)
        await self.session.from_client(raw)
        await until(lambda: len(self.server) > before or len(self.client) > told)
        return self.server[before] if len(self.server) > before else None

    async def answers(self, raw: bytes) -> bytes:
        """The server says something; what reached the client of it."""
        before = len(self.client)
        await self.session.from_server(raw)
        await until(lambda: len(self.client) > before)
        return self.client[before]

    async def ask(self, ident: Value, method: str, **params: Value) -> Object:
        """A request of the client's in the newer revision, as it reached the server."""
        sent = {"jsonrpc": "2.0", "id": ident, "method": method, "params": {**params, "_meta": MODERN}}
        raw = await self.says(frames.dumps(sent))
        assert raw is not None, self.client
        return frames.read(raw).body

    async def answer(self, ident: Value, **result: Value) -> Object:
        """A result of the server's, as it reached the client."""
        raw = await self.answers(frames.dumps({"jsonrpc": "2.0", "id": ident, "result": result}))
        return frames.read(raw).body


async def until(done: Callable[[], bool], turns: int = 2000) -> None:
    """Let the loop turn until it is so."""
    for _ in range(turns):
        if done():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to that")
