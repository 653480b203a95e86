"""The uvicorn protocol, with who is at the other end of a Unix socket.

The kernel says which user connected (SO_PEERCRED, unix(7)); the scope's state carries it as
`peer_uid`, None on TCP. A connection that does not send a
request's whole head in time is closed.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_SECONDS = 10.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class PeerProtocol(H11Protocol):
    """HTTP/1.1 on one connection; `scope["state"]["peer_uid"]` says whose it is."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A connection: ask the kernel who is there, and start waiting for the first request."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer_uid": peer_uid(transport)}
        self._late = self.loop.call_later(HEADERS_SECONDS, self.transport.close)

    def data_received(self, data: bytes) -> None:
        """Bytes: a request whose head is still not whole has its deadline, however slowly they drip."""
        super().data_received(data)
        waiting = self.cycle is None or self.cycle.response_complete
        if not waiting:
            self._in_time()
        elif self._late is None:
            self._late = self.loop.call_later(HEADERS_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def peer_uid(transport: asyncio.BaseTransport) -> int | None:
    """The user behind a Unix socket, by the kernel; None for any other transport."""
    found = transport.get_extra_info("socket")
    if found is None or found.family != socket.AF_UNIX:
        return None
    data = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid = _CREDENTIALS.unpack(data)[1]
    return uid if isinstance(uid, int) and uid >= 0 else None
