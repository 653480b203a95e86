"""The section `http_gateway` of flyball.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flyball.assembly.config_reader import Reader

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")


@dataclass(frozen=True, slots=True)
class HttpGatewayConfig:
    """Where the HTTP gateway listens: nowhere, where both are left out.

    Attributes:
        listen: `host:port`; port 0 takes a free one. Plain on loopback; else TLS is demanded.
        unix: the Unix socket's path, or None.
        unix_mode: its mode; who may open it may speak, and still has to show a ticket.
        tls_cert, tls_key: PEM files; given together, `listen` takes TLS only.
        tls_ca: PEM file that clients are told to trust, where their system does not trust the certificate anyway.
        host: the name that clients are told, where it is not the one of `listen`.
        max_body: bytes of a body that is decided on, or reported, at most.
        max_connections: connections at most.
        workers: threads that serve.
        ticket_ms: for how long a ticket is good, if its task lives as long.
    """

    listen: str
    unix: Path | None
    unix_mode: int
    tls_cert: Path | None
    tls_key: Path | None
    tls_ca: Path | None
    host: str
    max_body: int
    max_connections: int
    workers: int
    ticket_ms: int

    @property
    def on(self) -> bool:
        """Whether it listens anywhere."""
        return bool(self.listen) or self.unix is not None


def read_http(section: Reader) -> HttpGatewayConfig:
    """The section as it is written."""
    return HttpGatewayConfig(
        listen=section.address("listen", ""),
        unix=section.optional_path("unix", None),
        unix_mode=section.octal("unix_mode", 0o600),
        tls_cert=section.optional_path("tls_cert", None),
        tls_key=section.optional_path("tls_key", None),
        tls_ca=section.optional_path("tls_ca", None),
        host=section.name("host", "", _HOST),
        max_body=section.size("max_body", 256 << 10, least=1 << 10, most=1 << 20),
        max_connections=section.whole("max_connections", 1000, least=1, most=65_536),
        workers=section.whole("workers", 2, least=1, most=64),
        ticket_ms=section.duration("ticket", 8 * 3_600_000, least=1000, most=24 * 3_600_000),
    )
