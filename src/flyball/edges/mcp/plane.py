"""The decision plane, asked as an enforcement point: over a Unix socket (our user) or mTLS (our certificate).

A small HTTP/1.1 client: two requests stand in the way of every call, and these connections carry nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Object
from flyball.kernel.errors import ConfigError, Unavailable

EVALUATION, RESULT = "/access/v1/evaluation", "/access/v1/result"
MAX_ANSWER: Final = 1 << 20
_KEPT: Final = 8
_HEAD: Final = 32 << 10


class Line(asyncio.Protocol):
    """One connection, one request at a time: written as one piece, its answer read as it comes."""

    def __init__(self) -> None:
        self.open = False
        self.heard = False
        """Whether anything of the answer has come."""
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[tuple[int, bytes, bool]] | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport, self.open = cast("asyncio.Transport", transport), True

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes, bool]]:
        """Put a request: its status, its body, and whether the connection stays open."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._buffer.clear()
        self.heard = False
        if self._transport is None or not self.open:
            self._fail(ConnectionResetError("it is closed"))
        else:
            self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        """Some of the answer."""
        self.heard = True
        self._buffer += data
        try:
            told = _answer(self._buffer)
        except ValueError as fault:
            self._fail(fault)
            self.close()
            return
        if told is not None and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(told)

    def late(self) -> None:
        """No answer came in time: whoever waits is told so."""
        self._fail(TimeoutError("no answer in time"))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whichever side."""
        self.open = False
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("it was closed"))

    def close(self) -> None:
        """Close it."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def _fail(self, fault: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(fault)


def _answer(buffer: bytearray) -> tuple[int, bytes, bool] | None:
    """Status, body, and whether the connection stays; None while it is not whole.

    Raises:
        ValueError: it is none that can be read.
    """
    at = buffer.find(b"\r\n\r\n")
    if at < 0:
        if len(buffer) > _HEAD:
            raise ValueError("a head too long")
        return None
    lines = bytes(buffer[:at]).split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines[1:])}
    length = int(headers.get(b"content-length", b"-1"))
    if not 0 <= length <= MAX_ANSWER:
        raise ValueError("an answer of no known length")
    if len(buffer) < at + 4 + length:
        return None
    status = int(lines[0].split(b" ", 2)[1])
    stays = headers.get(b"connection", b"").lower() != b"close"
    return status, bytes(buffer[at + 4 : at + 4 + length]), stays


def identity(cert: Path, key: Path, ca: Path | None) -> ssl.SSLContext:
    """TLS with our certificate.

    Raises:
        ConfigError: `pep_identity`: the files cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as fault:
        raise ConfigError(
            f"the enforcement point's certificate cannot be used: {fault.strerror or fault}",
            code="pep_identity",
            hint="--pep-cert and --pep-key are PEM files of a certificate and its key",
        ) from fault
    return context


class Plane:
    """Connections to one decision plane."""

    def __init__(self, address: str, tls: ssl.SSLContext | None = None, *, timeout_s: float = 10.0) -> None:
        """Nothing is connected yet. `address` is `unix:/path`, `https://host:port`, or `http://` on loopback.

        Raises:
            ConfigError: `pep_address`: it is none of these, or offers no way to show who we are.
        """
        self._uds = address.removeprefix("unix:").removeprefix("//") if address.startswith("unix:") else ""
        parts = urlsplit("http://localhost" if self._uds else address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"not an address: {address!r}", code="pep_address", hint="unix:/path or https://host:port"
            )
        if not self._uds and (parts.scheme != "https" or tls is None):
            raise ConfigError(
                "an enforcement point shows its identity by a Unix socket or by mTLS",
                code="pep_address",
                hint="name the decision plane's socket with --decisions unix:/path, or give --pep-cert and --pep-key",
            )
        self._host, self._port = parts.hostname, parts.port or 443
        self._tls = tls
        self._timeout_s = timeout_s
        self._idle: deque[Line] = deque()

    async def post(self, path: str, body: bytes, token: str) -> tuple[int, Object]:
        """Send one request with the task's token; status and answer.

        Raises:
            Unavailable: `plane_unreachable`: no answer, or none that can be read. Nothing is allowed by that.
        """
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nFlyball-Task: {token}\r\n\r\n"
        ).encode("ascii")
        try:
            while self._idle:
                line = self._idle.pop()
                try:
                    return await self._exchange(line, head + body)
                except ConnectionError:
                    # It was closed while it lay idle: nothing was answered on it. Reports are taken once anyway.
                    if line.heard:
                        raise
            async with asyncio.timeout(self._timeout_s):
                line = await self._connect()
            return await self._exchange(line, head + body)
        except (OSError, TimeoutError, ValueError, ssl.SSLError) as fault:
            raise Unavailable(
                f"the decision plane cannot be asked ({type(fault).__name__})", code="plane_unreachable"
            ) from fault

    async def _connect(self) -> Line:
        loop = asyncio.get_running_loop()
        if self._uds:
            return (await loop.create_unix_connection(Line, self._uds))[1]
        return (await loop.create_connection(Line, self._host, self._port, ssl=self._tls))[1]

    async def _exchange(self, line: Line, request: bytes) -> tuple[int, Object]:
        whole = False
        asked = line.ask(request)
        late = asyncio.get_running_loop().call_later(self._timeout_s, line.late)
        try:
            status, told, whole = await asked
            answer = frames.loads(told) if told else {}
        finally:
            late.cancel()
            if whole and line.open and len(self._idle) < _KEPT:
                self._idle.append(line)
            else:
                line.close()
        return status, answer if isinstance(answer, dict) else {}

    def close(self) -> None:
        """Close what lies idle."""
        while self._idle:
            self._idle.pop().close()
