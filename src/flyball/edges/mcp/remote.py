"""A server over Streamable HTTP, as the gateway's upstream: one POST a message, JSON or an event stream back.

The client's own token never goes there (token passthrough is forbidden): the gateway has one of its own, or none.
Both revisions: in the older one the server's session is this link's own, and its stream of other messages is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx
import structlog

from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import INTERNAL, MAX_FRAME, Frame, Malformed
from flyball.enforcement.mcp.headers import mirrored

QUEUED: Final = 256
_OPEN_S: Final = 10.0
log = structlog.get_logger("flyball.mcp")


class Remote:
    """A link to one server. `bearer_file` holds the gateway's own token for it, read for each request."""

    def __init__(self, url: str, bearer_file: Path | None = None) -> None:
        self._url = url
        self._bearer_file = bearer_file
        timeout = httpx.Timeout(_OPEN_S, read=None)
        self._http = httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False)
        self._arrived: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED)
        self._posts: dict[frames.Id, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._session = ""
        self._version = ""

    async def send(self, raw: bytes) -> None:
        """Send one message; what comes back arrives among `messages`."""
        frame = frames.read(raw)
        task = asyncio.create_task(self._post(frame))
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        if frame.is_request and frame.id is not None:
            ident = frame.id
            self._posts[ident] = task
            task.add_done_callback(lambda _done: self._posts.pop(ident, None))
        elif frame.method == "notifications/cancelled" and not self._session:
            # In the stateless revision closing the response is the cancellation.
            wanted = frame.params.get("requestId")
            post = self._posts.get(wanted) if isinstance(wanted, str | int) else None
            if post is not None:
                post.cancel()
        elif frame.method == "notifications/initialized":
            await task
            stream = asyncio.create_task(self._listen())
            self._others.add(stream)
            stream.add_done_callback(self._others.discard)

    async def messages(self) -> AsyncIterator[bytes]:
        """What it says, until the link is closed."""
        while (one := await self._arrived.get()) is not None:
            yield one

    async def end(self) -> None:
        """Close the link, and the server's session with it."""
        if self._session:
            with contextlib.suppress(httpx.HTTPError):
                await self._http.delete(self._url, headers=self._headers(None), timeout=2.0)
        for task in list(self._others):
            task.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        await self._http.aclose()
        with contextlib.suppress(asyncio.QueueFull):
            self._arrived.put_nowait(None)

    def _headers(self, frame: Frame | None) -> dict[str, str]:
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        if self._session:
            headers["Mcp-Session-Id"] = self._session
        if self._version:
            headers["MCP-Protocol-Version"] = self._version
        if frame is not None and frame.modern:
            headers |= mirrored(frame)  # made anew from the body that is sent, whatever the client's said
        if self._bearer_file is not None:
            headers["Authorization"] = f"Bearer {self._bearer_file.read_text('ascii').strip()}"
        return headers

    async def _post(self, frame: Frame) -> None:
        answered = not frame.is_request
        try:
            async with self._http.stream(
                "POST", self._url, content=frame.raw, headers=self._headers(frame)
            ) as response:
                if frame.method == "initialize" and response.is_success:
                    self._session = response.headers.get("Mcp-Session-Id", "")
                async for message in _messages(response):
                    answered = await self._take(frame, message) or answered
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as fault:
            log.warning("the server cannot be reached", error=type(fault).__name__)
        if not answered:
            await self._arrived.put(frames.error(frame.id, INTERNAL, "the server did not answer"))

    async def _take(self, frame: Frame, message: bytes) -> bool:
        """Hand one message on; whether it is the answer to `frame`."""
        await self._arrived.put(message)
        try:
            found = frames.read(message)
        except Malformed:
            return False
        if frame.method == "initialize" and found.id == frame.id:
            version = found.result.get("protocolVersion")
            self._version = version if isinstance(version, str) and version.isascii() else ""
        return found.is_response and found.id == frame.id

    async def _listen(self) -> None:
        """The older revision's stream of the server's own messages; a server without one says 405."""
        headers = {**self._headers(None), "Accept": "text/event-stream"}
        with contextlib.suppress(httpx.HTTPError, OSError, ValueError):
            async with self._http.stream("GET", self._url, headers=headers) as response:
                if response.status_code == 200:
                    async for message in _messages(response):
                        await self._arrived.put(message)


async def _messages(response: httpx.Response) -> AsyncIterator[bytes]:
    """The messages in a response: one of JSON, or those of an event stream. None is larger than a message may be."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    buffer = bytearray()
    data = bytearray()
    async for chunk in response.aiter_bytes():
        buffer += chunk
        if kind == "text/event-stream":
            while (at := buffer.find(b"\n")) >= 0:
                line = bytes(buffer[:at]).rstrip(b"\r")
                del buffer[: at + 1]
                if line.startswith(b"data:"):
                    data += line[5:].removeprefix(b" ")
                elif not line and data:
                    yield bytes(data)
                    data.clear()
        if len(buffer) + len(data) > MAX_FRAME:
            raise ValueError("a message too long")
    if kind == "application/json" and buffer:
        yield bytes(buffer)
