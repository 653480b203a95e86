"""The section `http_gateway` of flyball.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flyball.assembly.config_listening import GatewayConfig
from flyball.assembly.config_reader import Reader

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")


@dataclass(frozen=True, slots=True)
class HttpGatewayConfig(GatewayConfig):
    """Where the HTTP gateway listens.

    Attributes:
        max_body: bytes of a body that is decided on, or reported, at most.
    """

    max_body: int


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
