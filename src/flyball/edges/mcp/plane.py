"""The decision plane, asked as an enforcement point: over a Unix socket (our user) or mTLS (our certificate).

A small HTTP/1.1 client: two requests stand in the way of every call, and these connections carry nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Object
from flyball.kernel.errors import ConfigError, Unavailable

EVALUATION, RESULT = "/access/v1/evaluation", "/access/v1/result"
MAX_ANSWER: Final = 1 << 20
_KEPT: Final = 8
_HEAD: Final = 32 << 10

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


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
            async with asyncio.timeout(self._timeout_s):
                while self._idle:
                    line = self._idle.pop()
                    try:
                        return await self._exchange(line, head + body)
                    except (ConnectionError, asyncio.IncompleteReadError) as fault:
                        # It was closed while it lay idle: nothing was answered on it. Reports are taken once anyway.
                        line[1].close()
                        if isinstance(fault, asyncio.IncompleteReadError) and fault.partial:
                            raise
                return await self._exchange(await self._connect(), head + body)
        except (OSError, TimeoutError, ValueError, EOFError, ssl.SSLError) as fault:
            raise Unavailable(
                f"the decision plane cannot be asked ({type(fault).__name__})", code="plane_unreachable"
            ) from fault

    async def _connect(self) -> Line:
        if self._uds:
            return await asyncio.open_unix_connection(self._uds, limit=_HEAD)
        return await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=_HEAD)

    async def _exchange(self, line: Line, request: bytes) -> tuple[int, Object]:
        reader, writer = line
        whole = False
        try:
            writer.write(request)
            await writer.drain()
            lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            status = int(lines[0].split(b" ", 2)[1])
            headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)}
            length = int(headers.get(b"content-length", b"-1"))
            if not 0 <= length <= MAX_ANSWER:
                raise ValueError("an answer of no known length")
            answer = frames.loads(await reader.readexactly(length)) if length else {}
            whole = headers.get(b"connection", b"").lower() != b"close"
        finally:
            if whole and len(self._idle) < _KEPT:
                self._idle.append(line)
            else:
                writer.close()
        return status, answer if isinstance(answer, dict) else {}

    def close(self) -> None:
        """Close what lies idle."""
        while self._idle:
            self._idle.pop()[1].close()
