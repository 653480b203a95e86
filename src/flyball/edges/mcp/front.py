"""The shared gateway: Streamable HTTP in front of several servers, both revisions, as an OAuth protected resource.

Each server is at `/mcp/NAME`, and its tools' actions are `NAME.TOOL`: names are told apart by where they are. Every
request carries a token for this gateway; without one, or with another's, it is a 401 that says where to get one.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from flyball.edges.mcp.callers import Caller, Callers
from flyball.edges.mcp.conversation import Conversation, Link
from flyball.edges.mcp.links import Links
from flyball.edges.mcp.servers import Served, Server
from flyball.edges.mcp.streams import Stream
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import frames, headers
from flyball.enforcement.mcp.asking import Asking
from flyball.enforcement.mcp.frames import INVALID, MAX_FRAME, UNKNOWN_METHOD, Frame, Malformed
from flyball.enforcement.mcp.pins import Pins
from flyball.kernel.errors import FlyballError, Unauthenticated

MAX_CONVERSATIONS: Final = 512
FORGOTTEN_S: Final = 3600.0
_FIRST_S: Final = 0.25
_ALIVE_S: Final = 15.0
MODERN: Final = "2026-07-28"
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


class Front:
    """The gateway as an ASGI app."""

    def __init__(self, served: Served, callers: Callers, pins: dict[str, Pins], links: Links) -> None:
        self._served = served
        self._callers = callers
        self._pins = pins
        self._links = links
        self._talks: dict[str, Conversation] = {}
        self._modern: dict[tuple[tuple[str, str], str], Conversation] = {}
        self._making = asyncio.Lock()
        self._asking = Asking(served.approvals_url or f"{served.url}/approvals/{{reference}}")

    def app(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/mcp/{server}", self._endpoint, methods=["GET", "POST", "DELETE"]),
                Route("/approvals/{reference}", _approvals),
                Route(WELL_KNOWN, self._metadata),
                Route(WELL_KNOWN + "/mcp/{server}", self._metadata),
            ]
        )

    async def tidy(self) -> None:
        """Close what nobody has used for an hour, again and again."""
        while True:
            await asyncio.sleep(30)
            for talk in [*self._talks.values(), *self._modern.values()]:
                if talk.gone or (not talk.busy and time.monotonic() - talk.last_s > FORGOTTEN_S):
                    await self._close(talk)
            open_ = {talk.caller.key for talk in (*self._talks.values(), *self._modern.values())}
            for caller in self._callers.idle(FORGOTTEN_S, open_):
                await caller.desk.close()

    async def close(self) -> None:
        """End every conversation and every task."""
        for talk in [*self._talks.values(), *self._modern.values()]:
            await self._close(talk)
        await self._callers.close()

    # --- one request --------------------------------------------------------------------------

    async def _metadata(self, request: Request) -> Response:
        """RFC 9728: what this resource is, and who gives tokens for it."""
        server = request.path_params.get("server")
        if server is not None and server not in self._served.servers:
            return Response(status_code=404)
        path = "" if server is None else f"/mcp/{server}"
        return JSONResponse(
            {
                "resource": self._served.url + path,
                "authorization_servers": list(self._served.authorization_servers),
                "bearer_methods_supported": ["header"],
                "resource_name": "Flyball MCP gateway",
            }
        )

    async def _endpoint(self, request: Request) -> Response:
        name = str(request.path_params["server"])
        server = self._served.servers.get(name)
        if server is None:
            return Response(status_code=404)
        origin = request.headers.get("origin")
        if request.headers.get("host", "") not in self._served.hosts:
            return _refused(421, "that is no name of this gateway")  # a page that had its own name point here
        if origin is not None and origin not in self._served.own_origins | set(self._served.origins):
            return _refused(403, "this origin may not speak to the gateway")
        try:
            caller = await self._callers.of(_token(request))
        except Unauthenticated as fault:
            place = f"{self._served.url}{WELL_KNOWN}/mcp/{name}"
            challenge = f'Bearer resource_metadata="{place}", error="invalid_token"'
            return _refused(401, fault.detail, {"WWW-Authenticate": challenge})
        except FlyballError as fault:
            return _refused(503, fault.detail)
        if request.method == "POST":
            return await self._post(request, caller, name, server)
        talk = self._found(request, caller, name)
        if isinstance(talk, Response):
            return talk
        if request.method == "DELETE":
            await self._close(talk)
            return Response(status_code=204)
        lost = talk.resumed(request.headers.get("last-event-id", ""))
        if lost is not None:
            return _events(talk, lost, None)
        if talk.other is not None:
            return _refused(409, "this session has a stream already")
        talk.other = Stream()
        return _events(talk, talk.other, None)

    async def _post(self, request: Request, caller: Caller, name: str, server: Server) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _refused(415, "a message is application/json")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FRAME:
                return _refused(413, f"a message has at most {MAX_FRAME} bytes")
        try:
            frame = frames.read(bytes(body))
        except Malformed as fault:
            return Response(frames.error(fault.id, fault.code, fault.text), 400, media_type="application/json")
        talk = await self._talk(request, frame, caller, name, server)
        if isinstance(talk, Response):
            return talk
        if not frame.is_request:
            await talk.tell(frame)
            return Response(status_code=202)
        stream = talk.ask(frame)
        more = {"Mcp-Session-Id": talk.ident} if frame.method == "initialize" else {}
        try:
            async with asyncio.timeout(_FIRST_S):
                first = await stream.get()
        except TimeoutError:
            return _events(talk, stream, None)
        except asyncio.CancelledError:
            talk.leave(stream)
            raise
        if stream.over and first is not None:
            return Response(first, _status(frame, stream), more, "application/json")
        return _events(talk, stream, first)

    async def _talk(
        self, request: Request, frame: Frame, caller: Caller, name: str, server: Server
    ) -> Conversation | Response:
        """The conversation that a message belongs to, or why it belongs to none."""
        version = request.headers.get("mcp-protocol-version", "")
        if frame.modern or (version >= MODERN and frame.is_request):
            talk = await self._stateless(caller, name, server)
            if isinstance(talk, Response):
                return talk
            schema = talk.tools.schema(frame.params.get("name")) if frame.method == "tools/call" else None
            wrong = headers.mismatch(frame, {key.lower(): value for key, value in request.headers.items()}, schema)
            if wrong:
                told = frames.error(frame.id, headers.MISMATCH, wrong)
                return Response(told, 400, media_type="application/json")
            return talk
        if frame.method == "initialize":
            return await self._new(secrets.token_urlsafe(24), caller, name, server)
        if version >= MODERN and "mcp-session-id" not in request.headers:
            return await self._stateless(caller, name, server)
        return self._found(request, caller, name)

    def _found(self, request: Request, caller: Caller, name: str) -> Conversation | Response:
        """The session that a request of the older revision names, if it is this caller's and this server's."""
        ident = request.headers.get("mcp-session-id")
        if ident is None:
            if request.method == "POST":
                return _refused(400, "Mcp-Session-Id is missing")
            return Response(status_code=405, headers={"Allow": "POST"})
        talk = self._talks.get(ident)
        if talk is None or talk.gone or talk.caller is not caller or talk.server != name:
            return _refused(404, "there is no such session")
        return talk

    async def _stateless(self, caller: Caller, name: str, server: Server) -> Conversation | Response:
        async with self._making:
            talk = self._modern.get((caller.key, name))
            if talk is not None and not talk.gone:
                return talk
            if talk is not None:
                await self._close(talk)
            made = await self._make("", caller, name, server)
            if isinstance(made, Conversation):
                self._modern[caller.key, name] = made
            return made

    async def _new(self, ident: str, caller: Caller, name: str, server: Server) -> Conversation | Response:
        made = await self._make(ident, caller, name, server)
        if isinstance(made, Conversation):
            self._talks[ident] = made
        return made

    async def _make(self, ident: str, caller: Caller, name: str, server: Server) -> Conversation | Response:
        if len(self._talks) + len(self._modern) >= MAX_CONVERSATIONS:
            return _refused(503, "too many sessions")
        tools = Tools(self._pins.get(name, Pins()), prefix=f"{name}.", own=caller.desk.tools)
        link: Link
        try:
            link = await self._links.to(name, server, schema=tools.schema, governor=lambda: caller.desk.governor)
        except FlyballError as fault:
            return _refused(503, fault.detail)
        return Conversation(ident, caller, name, link, tools, self._asking)

    async def _close(self, talk: Conversation) -> None:
        self._talks.pop(talk.ident, None)
        if self._modern.get((talk.caller.key, talk.server)) is talk:
            del self._modern[talk.caller.key, talk.server]
        await talk.close()


async def _approvals(request: Request) -> Response:
    """What somebody is shown who opens the page of a call that waits. It settles nothing, whoever asks for it."""
    reference = str(request.path_params["reference"])
    if not _REFERENCE.fullmatch(reference):
        return Response(status_code=404)
    page = (
        "<!doctype html><meta charset=utf-8><title>A call waits for a person</title>"
        f"<p>A call of an agent waits for a person, under the reference <code>{reference}</code>.</p>"
        f"<p>An operator of Flyball sees it with <code>flyball approvals</code> and answers it with "
        f"<code>flyball approve {reference}</code> or <code>flyball refuse {reference}</code>.</p>"
        "<p>Nothing on this page, and nothing that is said to the agent, answers it.</p>"
    )
    shut = {"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store", "X-Frame-Options": "DENY"}
    return Response(page, 200, shut, "text/html")


def _token(request: Request) -> str:
    """The one bearer token.

    Raises:
        Unauthenticated: there is none, or more than one.
    """
    shown = request.headers.getlist("authorization")
    scheme, _, token = (shown[0] if len(shown) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("show a token for this gateway", code="invalid_token")
    return token.strip()


def _refused(status: int, why: str, more: dict[str, str] | None = None) -> Response:
    return Response(frames.error(None, INVALID, why), status, more, "application/json")


def _status(frame: Frame, stream: Stream) -> int:
    """The newer revision has an HTTP status for some errors."""
    if not frame.modern:
        return 200
    if stream.code == UNKNOWN_METHOD:
        return 404
    return 400 if stream.code in (frames.PARSE, INVALID, headers.MISMATCH, -32021, -32022) else 200


def _events(talk: Conversation, stream: Stream, first: bytes | None) -> Response:
    """An event stream of what is in `stream`; a line now and then keeps what stands between from giving up."""

    turn = stream.turn

    async def lines() -> AsyncIterator[bytes]:
        try:
            one = first
            while True:
                if one is not None:
                    # In the older revision a client that loses the stream may take it up again after this event.
                    number = f"id: {stream.inner}.{stream.read}\n".encode() if talk.ident and stream.inner else b""
                    yield number + b"data: " + one.replace(b"\n", b" ") + b"\n\n"
                try:
                    async with asyncio.timeout(_ALIVE_S):
                        one = await stream.get(turn)
                except TimeoutError:
                    one = None
                    yield b": still here\n\n"
                    continue
                if one is None:
                    return
        finally:
            talk.leave(stream)

    more = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if talk.ident:
        more["Mcp-Session-Id"] = talk.ident
    return StreamingResponse(lines(), 200, more, "text/event-stream")
