"""The section `http_gateway` of flyball.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from flyball.assembly.config_listening import GatewayConfig, read_gateway
from flyball.assembly.config_reader import Reader


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
        **read_gateway(section, ticket_ms=8 * 3_600_000, most_ticket_ms=24 * 3_600_000),
        max_body=section.size("max_body", 256 << 10, least=1 << 10, most=1 << 20),
    )
