"""What the sections of flyball.yaml share that say where something listens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Listening:
    """Where something listens: nowhere, where both places are left out.

    Attributes:
        listen: `host:port`; port 0 takes a free one. Plain on loopback, which is for trying out; else TLS is demanded.
        unix: the Unix socket's path, or None.
        unix_mode: its mode; who may open it may speak, and still has to prove who it is.
        tls_cert, tls_key: PEM files; given together, `listen` takes TLS only.
    """

    listen: str
    unix: Path | None
    unix_mode: int
    tls_cert: Path | None
    tls_key: Path | None

    @property
    def on(self) -> bool:
        """Whether it listens anywhere."""
        return bool(self.listen) or self.unix is not None


@dataclass(frozen=True, slots=True)
class GatewayConfig(Listening):
    """Where a gateway of this process listens, for clients that show a ticket.

    Attributes:
        tls_ca: PEM file that clients are told to trust, where their system does not trust the certificate anyway.
        host: the name that clients are told, where it is not the one of `listen`.
        max_connections: connections at most.
        workers: threads that serve.
        ticket_ms: for how long a ticket is good, if its task lives as long.
    """

    tls_ca: Path | None
    host: str
    max_connections: int
    workers: int
    ticket_ms: int
