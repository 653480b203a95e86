"""One caller's conversation with one server over HTTP: which response stream each message belongs on.

Ids are mapped one to one, since requests of one caller may come from several of its processes; so are progress tokens.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from typing import Final, Protocol

from flyball.edges.mcp.callers import Caller
from flyball.edges.mcp.session import Session
from flyball.edges.mcp.streams import Stream
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import frames, results
from flyball.enforcement.mcp.asking import Asking
from flyball.enforcement.mcp.frames import Frame, Malformed, Message, Object

SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
RESUMED: Final = 8
"""Streams of a session that are kept after their end, for a client that lost one to take up again."""


class Link(Protocol):
    """A server: a child process, or one over HTTP."""

    def send(self, message: Message) -> Awaitable[None]:
        """Send one message."""

    def messages(self) -> AsyncIterator[Message]:
        """What it says, until it ends."""

    def end(self) -> Awaitable[None]:
        """End it."""


class Conversation:
    """Between one caller and one server. `ident` is the session's id in the older revision, empty in the newer."""

    def __init__(self, ident: str, caller: Caller, server: str, link: Link, tools: Tools, asking: Asking) -> None:
        self.ident = ident
        self.caller = caller
        self.server = server
        self.tools = tools
        self.last_s = time.monotonic()
        self.gone = False
        self.other: Stream | None = None
        self._link = link
        self._streams: dict[str, Stream] = {}
        self._ended: deque[Stream] = deque(maxlen=RESUMED)
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.session = Session(
            None,
            tools,
            to_client=self._to_client,
            to_server=link.send,
            local=caller.desk.answer,
            asking=asking,
        )
        caller.desk.attach(self.session, self._to_client)
        self._reading = asyncio.create_task(self._read(), name=f"mcp {server}")

    @property
    def busy(self) -> bool:
        """Whether somebody waits for something here."""
        return bool(self._streams) or self.other is not None

    def ask(self, frame: Frame) -> Stream:
        """Put one request; its stream."""
        self.last_s = time.monotonic()
        self._count += 1
        stream = Stream(frame.id, frame.meta.get("progressToken"))
        stream.inner = f"c{self._count}"
        self._streams[stream.inner] = stream
        body: Object = {**frame.body, "id": stream.inner}
        if stream.token is not None:
            body["params"] = {**frame.params, "_meta": {**frame.meta, "progressToken": stream.inner}}
        self._later(self.session.from_client(frames.remade(frame, body)))
        return stream

    async def tell(self, frame: Frame) -> None:
        """Pass a notification or an answer of the client's."""
        self.last_s = time.monotonic()
        wanted = frame.params.get("requestId")
        if frame.method == "notifications/cancelled" and wanted is not None:
            for stream in list(self._streams.values()):
                if stream.ident == wanted:
                    await self.abandon(stream)
            return
        await self.session.from_client(frame)

    async def abandon(self, stream: Stream) -> None:
        """The client no longer waits: cancel it at the server."""
        if self._streams.pop(stream.inner, None) is not None:
            stream.close()
            await self.session.from_client(results.cancelled(stream.inner, "the client has gone"))

    def resumed(self, event: str) -> Stream | None:
        """The stream that a client lost after an event of this id, set back to what follows; None where it is gone."""
        inner, _, after = event.partition(".")
        for stream in (*self._streams.values(), *self._ended):
            if stream.inner == inner and after.isascii() and after.isdigit() and len(after) < 10:
                return stream if stream.back(int(after)) else None
        return None

    def leave(self, stream: Stream) -> None:
        """The response was closed. In the newer revision that cancels; in the older it does not."""
        if self.other is stream:
            self.other = None
        if stream.inner in self._streams and not self.ident:
            self._later(self.abandon(stream))

    async def close(self) -> None:
        """End it, and its server."""
        self.gone = True
        self.caller.desk.detach(self.session)
        self._reading.cancel()
        await self.session.close()
        await self._link.end()
        for stream in [*self._streams.values(), *([self.other] if self.other else [])]:
            stream.close()
        self._streams.clear()

    # --- inside -------------------------------------------------------------------------------

    async def _read(self) -> None:
        async for message in self._link.messages():
            await self.session.from_server(message)
        self.gone = True
        await self.session.server_gone()

    async def _to_client(self, message: Message) -> None:
        try:
            frame = frames.frame_of(message)
        except Malformed:
            return
        stream = self._streams.get(str(frame.id)) if frame.is_response else self._stream_of(frame)
        if stream is None:
            if frame.is_request:
                nobody = frames.error(frame.id, frames.INTERNAL, "the client is not listening")
                await self.session.from_client(nobody)
            return
        body = frame.body
        if frame.is_response:
            del self._streams[stream.inner]
            if self.ident:
                self._ended.append(stream)
            body = {**body, "id": stream.ident}
            error = body.get("error")
            stream.code = error.get("code") if isinstance(error, dict) else None
        await stream.put(frames.dumps(self._outer(body, stream)), last=frame.is_response)

    def _stream_of(self, frame: Frame) -> Stream | None:
        """The stream of a message that is no response: its request's, else the other one, else any that is open."""
        inner = frame.params.get("progressToken", frame.meta.get(SUBSCRIPTION))
        if isinstance(inner, str) and inner in self._streams:
            return self._streams[inner]
        if self.other is not None:
            return self.other
        if self.ident and self._streams:
            return next(reversed(self._streams.values()))
        return None

    def _outer(self, body: Object, stream: Stream) -> Object:
        """The message with the client's own names for its requests."""
        members = ("params", "result")
        for member in members:
            part = body.get(member)
            if not isinstance(part, dict):
                continue
            if part.get("progressToken") == stream.inner:
                part = {**part, "progressToken": stream.token}
            meta = part.get("_meta")
            if isinstance(meta, dict) and meta.get(SUBSCRIPTION) == stream.inner:
                part = {**part, "_meta": {**meta, SUBSCRIPTION: stream.ident}}
            body = {**body, member: part}
        return body

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)  # held, so that none is collected while it runs
        task.add_done_callback(self._tasks.discard)
