"""A server over Streamable HTTP, as the gateway's upstream: one POST a message, JSON or an event stream back.

The client's own token never goes there (token passthrough is forbidden): what the gateway shows is its own, or a lease
of the task. Both revisions: in the older one the server's session is this link's own, its stream of other messages is
read, and a stream that breaks is taken up again at the event that it broke off after.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from flyball.edges.mcp.events import Events
from flyball.edges.mcp.withheld import Withheld
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import INTERNAL, MAX_FRAME, Frame, Malformed, Message, Object, Value
from flyball.enforcement.mcp.headers import mirrored
from flyball.kernel.errors import ConfigError, FlyballError

QUEUED: Final = 256
_OPEN_S: Final = 10.0
RESUMED: Final = 8
"""How often one broken stream is taken up again at most, and the longest that a server may have us wait for it."""
_LONGEST_PAUSE_S: Final = 30.0
_SCHEMES: Final = ("basic", "bearer", "dpop", "token")
_FAULTS: Final = (aiohttp.ClientError, OSError, ValueError, TimeoutError)
log = structlog.get_logger("flyball.mcp")

Shown = Callable[[], Awaitable[Mapping[str, str]]]
"""Headers that show who asks: the gateway's own token, or a lease of the task. Asked for each request."""
Challenged = Callable[[int, Sequence[str], str], Awaitable[bool]]
"""The server refused what we showed (status, its challenges, our Authorization): whether to show something else."""
Schema = Callable[[Value], Object | None]


async def nothing() -> Mapping[str, str]:
    """No header."""
    return {}


def no_schema(_name: Value) -> Object | None:
    """No tool's schema is known."""
    return None


async def settled(_status: int, _challenges: Sequence[str], _shown: str) -> bool:
    """There is nothing else to show."""
    return False


def bearer(file: Path | None) -> Shown:
    """The token in a file, read each time, since whoever gives it renews it there; nothing without a file."""
    if file is None:
        return nothing

    async def shown() -> Mapping[str, str]:
        try:
            return {"Authorization": f"Bearer {file.read_text('ascii').strip()}"}
        except (OSError, ValueError) as fault:
            raise ConfigError("the gateway's own token cannot be read", code="bearer_file") from fault

    return shown


class Remote:
    """A link to one server. `schema` tells a tool's input schema, for the headers that mirror its arguments; `hide`
    takes out of a message what the client must not see, beside what we show; `challenged` is told what was refused."""

    def __init__(
        self,
        url: str,
        shown: Shown = nothing,
        schema: Schema = no_schema,
        hide: Callable[[bytes], bytes] = bytes,
        challenged: Challenged = settled,
    ) -> None:
        self._schema = schema
        self._challenged = challenged
        self._withheld = Withheld()
        self._hide = hide
        self._url = url
        self._shown = shown
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # its TLS is one for the process: the system's authorities
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_OPEN_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # what we did not ask for is refused, and no small answer becomes a large one
            skip_auto_headers=("User-Agent",),
        )
        self._arrived: asyncio.Queue[Message | None] = asyncio.Queue(QUEUED)
        self._posts: dict[frames.Id, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._session = ""
        self._version = ""

    async def send(self, message: Message) -> None:
        """Send one message; what comes back arrives among `messages`."""
        frame = frames.frame_of(message)
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

    async def messages(self) -> AsyncIterator[Message]:
        """What it says, until the link is closed."""
        while (one := await self._arrived.get()) is not None:
            yield one

    async def end(self) -> None:
        """Close the link, and the server's session with it."""
        if self._session:
            with contextlib.suppress(FlyballError, *_FAULTS):
                async with asyncio.timeout(2.0):
                    async with self._http.delete(self._url, headers=await self._headers(None), allow_redirects=False):
                        pass
        for task in list(self._others):
            task.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        await self._http.close()
        with contextlib.suppress(asyncio.QueueFull):
            self._arrived.put_nowait(None)

    async def _headers(self, frame: Frame | None, last: str = "") -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "Accept": "text/event-stream"}
        if frame is not None:
            headers |= {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        if self._session:
            headers["Mcp-Session-Id"] = self._session
        if self._version:
            headers["MCP-Protocol-Version"] = self._version
        if last:
            headers["Last-Event-ID"] = last
        if frame is not None and frame.modern:
            # Made anew from the body that is sent, whatever the client's said.
            schema = self._schema(frame.params.get("name")) if frame.method == "tools/call" else None
            headers |= mirrored(frame, schema)
        shown = await self._shown()
        for value in shown.values():
            scheme, _, rest = value.partition(" ")
            self._withheld.add(rest if scheme.lower() in _SCHEMES and rest else value)
        return headers | dict(shown)

    async def _again(self, response: aiohttp.ClientResponse, shown: Mapping[str, str]) -> bool:
        """Whether a request that was refused is worth sending once more."""
        if response.status not in (401, 403):
            return False
        challenges = response.headers.getall("WWW-Authenticate", [])
        return await self._challenged(response.status, challenges, shown.get("Authorization", ""))

    async def _post(self, frame: Frame) -> None:
        why = "the server did not answer"
        try:
            events = Events()
            try:
                for first in (True, False):
                    headers = await self._headers(frame)
                    async with self._http.post(
                        self._url, data=frame.raw, headers=headers, allow_redirects=False
                    ) as response:
                        if first and await self._again(response, headers):
                            continue
                        if frame.method == "initialize" and response.ok:
                            self._session = response.headers.get("Mcp-Session-Id", "")
                        if await self._read(frame, response, events):
                            return
                        if response.status in (401, 403):
                            why = f"the server refuses the gateway ({response.status})"
                        break
            except _FAULTS:
                if not events.last or not self._session:
                    raise
            if await self._resume(frame, events):
                return
        except _FAULTS as fault:
            log.warning("the server cannot be reached", error=type(fault).__name__)
        except FlyballError as fault:
            log.warning("there is nothing to show to the server", code=fault.code, why=fault.detail, hint=fault.hint)
            why = f"the gateway has nothing to show to the server ({fault.code})"
        if frame.is_request:
            await self._arrived.put(frames.error(frame.id, INTERNAL, why))

    async def _read(self, frame: Frame | None, response: aiohttp.ClientResponse, events: Events) -> bool:
        """Hand on what a response holds; whether the answer to `frame` was among it (no request: always)."""
        answered = frame is None or not frame.is_request
        kind = response.content_type
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise ValueError("an encoding that was not asked for")
        whole = bytearray()
        async for chunk in response.content.iter_any():
            if kind == "text/event-stream":
                for message in events.feed(chunk):
                    answered = await self._take(frame, message) or answered
            elif kind == "application/json":
                whole += chunk
                if len(whole) > MAX_FRAME:
                    raise ValueError("a message too long")
        if whole:
            answered = await self._take(frame, bytes(whole)) or answered
        return answered

    async def _take(self, frame: Frame | None, message: bytes) -> bool:
        """Hand one message on; whether it is the answer to `frame`."""
        message = self._hide(self._withheld.hide(message))
        try:
            found = frames.read(message)
        except Malformed:
            if frame is None or frame.is_request:
                await self._arrived.put(message)  # who reads it says so
            return False  # a notification is owed no answer, and what comes instead of none need not be one
        if frame is not None and frame.method == "initialize" and found.id == frame.id:
            version = found.result.get("protocolVersion")
            self._version = version if isinstance(version, str) and version.isascii() else ""
        await self._arrived.put(found)
        return frame is not None and found.is_response and found.id == frame.id

    async def _resume(self, frame: Frame, events: Events) -> bool:
        """Take up the stream of a request where it broke off; whether the answer came (older revision alone)."""
        for _ in range(RESUMED):
            if not events.last or not self._session or not frame.is_request:
                return False
            await asyncio.sleep(min(events.pause_s, _LONGEST_PAUSE_S))
            events.broken()
            async with self._http.get(
                self._url, headers=await self._headers(None, events.last), allow_redirects=False
            ) as response:
                if response.status != 200:
                    return False
                with contextlib.suppress(aiohttp.ClientError):
                    if await self._read(frame, response, events):
                        return True
        return False

    async def _listen(self) -> None:
        """The older revision's stream of the server's own messages; a server without one says 405."""
        events = Events()
        with contextlib.suppress(FlyballError, *_FAULTS):
            while True:
                async with self._http.get(
                    self._url, headers=await self._headers(None, events.last), allow_redirects=False
                ) as response:
                    if response.status != 200:
                        return
                    with contextlib.suppress(aiohttp.ClientError):
                        await self._read(None, response, events)
                events.broken()
                await asyncio.sleep(min(max(events.pause_s, 1.0), _LONGEST_PAUSE_S))
