"""What the sections of flyball.yaml share that say where something listens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from flyball.assembly.config_reader import Reader

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")


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


class _Places(TypedDict):
    listen: str
    unix: Path | None
    unix_mode: int
    tls_cert: Path | None
    tls_key: Path | None


class _Gateway(_Places):
    tls_ca: Path | None
    host: str
    max_connections: int
    workers: int
    ticket_ms: int


def read_places(section: Reader) -> _Places:
    """The fields of `Listening`, as a section has them that listens nowhere unless told."""
    return {
        "listen": section.address("listen", ""),
        "unix": section.optional_path("unix", None),
        "unix_mode": section.octal("unix_mode", 0o600),
        "tls_cert": section.optional_path("tls_cert", None),
        "tls_key": section.optional_path("tls_key", None),
    }


def read_gateway(section: Reader, *, ticket_ms: int, most_ticket_ms: int) -> _Gateway:
    """The fields of `GatewayConfig`; a ticket is good for `ticket_ms` unless told, and `most_ticket_ms` at most."""
    return {
        **read_places(section),
        "tls_ca": section.optional_path("tls_ca", None),
        "host": section.name("host", "", _HOST),
        "max_connections": section.whole("max_connections", 1000, least=1, most=65_536),
        "workers": section.whole("workers", 2, least=1, most=64),
        "ticket_ms": section.duration("ticket", ticket_ms, least=1000, most=most_ticket_ms),
    }
