"""What surrounds every request, whatever its route: an id, a bound on its body, one log line, one last net.

A plain ASGI wrapper, outermost, so that nothing the framework does itself escapes it.

- `X-Request-ID` is echoed where it is a plain token, and made where it is not.
- The body is read here, whole, up to a bound of bytes and of time; the app sees it complete. A
  slow or endless sender thus never holds one of the threads that heartbeats need.
- An exception that nobody foresaw becomes a problem document, and one log line that says where.
- The access log names the route's template, never the path's own words, a query or a header.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import traceback
from collections.abc import MutableMapping

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flyball.edges.http import problems

BODY_SECONDS = 10.0
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_log = structlog.get_logger("flyball.http")
_access = structlog.get_logger("flyball.access")
_QUIET = frozenset({"/v1/health", "/v1/tasks/{task}/heartbeat", "/v1/metrics"})


class Shell:
    """Wraps an ASGI app; see the module's text."""

    def __init__(self, app: ASGIApp, *, max_body: int, body_seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._max_body = max_body
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        request_id = _request_id(scope)
        scope["flyball.request_id"] = request_id
        sent = _Sent(send, request_id)
        try:
            body = await self._body(scope, receive)
            if isinstance(body, Response):
                await body(scope, receive, sent)
            else:
                await self._app(scope, _replay(body, receive), sent)
        except Exception as fault:  # the last net: the caller gets an answer, the log the place
            # Where, and not what it said: an error of no known kind may quote whatever it was given.
            frames = traceback.extract_tb(fault.__traceback__)[-8:]
            where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
            _log.error("a request failed", request=request_id, error=type(fault).__name__, where=where)
            if sent.status:
                raise  # the answer has begun; cutting the connection is the only honest end
            await problems.internal(request_id)(scope, receive, sent)
        finally:
            _record(scope, sent.status, request_id, began)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | Response:
        request_id = scope["flyball.request_id"]
        declared = _header(scope, b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > self._max_body:
            return self._too_large(request_id)
        try:
            async with asyncio.timeout(self._body_seconds):
                body = bytearray()
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return problems.problem(400, "body_cut", "the request ended early", request_id=request_id)
                    body += message.get("body", b"")
                    if len(body) > self._max_body:
                        return self._too_large(request_id)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            headers = {"Connection": "close"}
            detail = f"the body did not arrive within {self._body_seconds:.0f} s"
            return problems.problem(408, "body_slow", detail, request_id=request_id, headers=headers)

    def _too_large(self, request_id: str) -> Response:
        detail = f"the body is larger than {self._max_body} bytes"
        return problems.problem(413, "body_too_large", detail, request_id=request_id, headers={"Connection": "close"})


class _Sent:
    """The sending side: adds the headers that every answer has, and remembers the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", []),
                (b"x-request-id", self._request_id.encode()),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ]
        await self._send(message)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _header(scope: MutableMapping[str, object], name: bytes) -> bytes | None:
    headers = scope["headers"]
    assert isinstance(headers, list)
    found: list[bytes] = [value for key, value in headers if key == name]
    return found[0] if len(found) == 1 else None


def _request_id(scope: Scope) -> str:
    offered = _header(scope, b"x-request-id")
    return offered.decode() if offered is not None and _ID.fullmatch(offered) else secrets.token_hex(8)


def _record(scope: Scope, status: int, request_id: str, began: float) -> None:
    route = getattr(scope.get("route"), "path", "-")
    tell = _access.debug if route in _QUIET and status < 400 else _access.info
    ms = round((time.monotonic() - began) * 1000, 1)
    tell("request", method=scope["method"], route=route, status=status, ms=ms, request=request_id)
