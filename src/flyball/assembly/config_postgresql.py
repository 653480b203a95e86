"""The section `postgresql_gateway` of flyball.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flyball.assembly.config_listening import GatewayConfig, read_gateway
from flyball.assembly.config_reader import Reader
from flyball.policy.diagnostics import Mark, Problems

_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SOCKET = re.compile(r"\.s\.PGSQL\.[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class PostgresqlGatewayConfig(GatewayConfig):
    """Where the PostgreSQL gateway listens. A Unix socket's name is `.s.PGSQL.PORT`, as clients look for it.

    Attributes:
        client_ca: PEM file of the authorities of X509-SVIDs with which clients may log in, or None.
        client_trust_domain: the trust domain that these authorities speak for; empty without them.
    """

    client_ca: Path | None
    client_trust_domain: str


def read_postgresql(section: Reader) -> PostgresqlGatewayConfig:
    """The section as it is written."""
    return PostgresqlGatewayConfig(
        **read_gateway(section, ticket_ms=300_000, most_ticket_ms=3_600_000),
        client_ca=section.optional_path("client_ca", None),
        client_trust_domain=section.name("client_trust_domain", "", _DOMAIN),
    )


def check_postgresql(gateway: PostgresqlGatewayConfig, problems: Problems, mark: Mark) -> None:
    """What its fields must be to each other."""
    if gateway.unix is not None and _SOCKET.fullmatch(gateway.unix.name) is None:
        problems.error(
            "unix_path",
            mark,
            f"`postgresql_gateway.unix` is named {gateway.unix.name!r}, where no client looks",
            "name it .s.PGSQL.5432, with the port that clients are to say",
        )
    if gateway.listen.endswith(":0") and gateway.host:
        problems.error("listen", mark, "`postgresql_gateway.host` needs a port that is known", "name the port")
    if (gateway.client_ca is None) != (not gateway.client_trust_domain):
        problems.error(
            "client_ca",
            mark,
            "`postgresql_gateway` has one of client_ca and client_trust_domain",
            "name the authorities, and the trust domain that they speak for",
        )
    if gateway.client_ca is not None and gateway.tls_cert is None:
        hint = "set postgresql_gateway.tls_cert and postgresql_gateway.tls_key"
        problems.error("tls", mark, "`postgresql_gateway.client_ca` asks for TLS", hint)
