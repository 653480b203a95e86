"""Gateways of this process: the compiled ones, as `flow` sees them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flyball.assembly.config_listening import GatewayConfig
from flyball.assembly.config_postgresql import PostgresqlGatewayConfig
from flyball.assembly.places import Bound, places_of
from flyball.credential.lease import Delivery, Lease
from flyball.enforcement.gateway import Gateway, Lent, NotLendable, Ticket
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json, canonical
from flyball.kernel.secret import Secret
from flyball.policy.engine import Core, CoreError, Edge, PgGateway

POSTGRESQL = "postgresql"
EXT_AUTHZ = ("http", "memory")
"""Kinds of targets whose credentials Envoy may put into requests."""
EXT_AUTHZ_TICKET_MS = 300_000
_VERIFIED = ("verify-full",)


def let_go(gateways: Mapping[str, Gateway], lease: Lease) -> None:
    """A lease is about to be revoked: no session of a gateway outlives that."""
    if lease.delivery is Delivery.BROKERED:
        for gateway in gateways.values():
            gateway.take_back(lease.id)


class PostgresqlGateway:
    """The PostgreSQL gateway, listening from the moment it is made.

    Raises:
        ConfigError: it cannot listen where it is told to.
    """

    def __init__(self, core: Core, config: PostgresqlGatewayConfig) -> None:
        self._config = config
        try:
            told = {**told_of(config, config.client_ca), "client_trust_domain": config.client_trust_domain or None}
            self._native = PgGateway(core, canonical(told))
            bound = Bound(self._native.start())
        except CoreError as fault:
            detail = f"the PostgreSQL gateway cannot listen: {fault.args[1]}"
            raise ConfigError(detail, code=str(fault.args[0]), hint="see postgresql_gateway") from fault
        self.addresses = bound.addresses
        self._connection = self._reached(bound)

    def stop(self) -> None:
        """Close it; live sessions end."""
        self._native.stop()

    def renew(self) -> bytes:
        """Look at its certificates again; what was found, as `certificates.looks_of` reads it."""
        return self._native.renew()

    def lend(self, lent: Lent) -> None:
        """See `Gateway`."""
        place: dict[str, Json] = {"search_path": ["public"], **lent.judging, "target": lent.target}
        place |= {name: lent.connection.get(name) for name in ("host", "port", "user", "database")}
        mode = lent.connection.get("sslmode")
        if mode in _VERIFIED:
            place["ca_pem"] = lent.connection.get("sslrootcert")
        try:
            self._native.lend(lent.task, lent.credential, lent.lease, canonical(place), lent.secret.reveal())
        except CoreError as fault:
            raise NotLendable(f"the gateway cannot use this target: {fault.args[1]}") from fault

    def take_back(self, lease: str) -> bool:
        """See `Gateway`."""
        return self._native.take_back(lease)

    def lent(self, task: str, credential: str) -> str | None:
        """See `Gateway`."""
        return self._native.lent(task, credential)

    def ticket(self, task: str, credential: str, place: str, renew: str = "") -> Ticket:
        """See `Gateway`."""
        try:
            name, secret = self._native.ticket(task, credential, self._config.ticket_ms, renew or None)
        except CoreError as fault:
            raise NotLendable(f"no ticket was given: {fault.args[1]}") from fault
        connection = {**self._connection, "user": name, "database": place}
        return Ticket(connection, Secret(secret), self._config.ticket_ms)

    def _reached(self, bound: Bound) -> dict[str, Json]:
        """What clients are told: the address over TCP, else the socket's folder and port."""
        config = self._config
        if bound.tcp is not None:
            host, port = bound.tcp
            found: dict[str, Json] = {"host": config.host or host, "port": port}
            found["sslmode"] = "disable" if config.tls_cert is None else "verify-full"
            if config.tls_ca is not None:
                found["sslrootcert"] = str(config.tls_ca)
            return found
        assert config.unix is not None  # it listens somewhere, or was not made
        return {"host": str(config.unix.parent), "port": int(config.unix.suffix[1:]), "sslmode": "disable"}


class ExtAuthzGateway:
    """Envoy, as the keeper of brokered credentials: the edge puts them into requests that it allows.

    Its clients show the task's token with every request, so a ticket holds no secret; it says which header takes it.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def lend(self, lent: Lent) -> None:
        """See `Gateway`."""
        self._edge.lend(lent.task, lent.credential, lent.lease, lent.secret.reveal())

    def take_back(self, lease: str) -> bool:
        """See `Gateway`."""
        return self._edge.take_back(lease)

    def lent(self, task: str, credential: str) -> str | None:
        """See `Gateway`."""
        return self._edge.lent(task, credential)

    def ticket(self, task: str, credential: str, database: str, renew: str = "") -> Ticket:
        """See `Gateway`."""
        del database, renew
        if self._edge.lent(task, credential) is None:
            raise NotLendable("the lease was taken back")
        return Ticket({"through": "envoy", "header": "flyball-task"}, Secret(""), EXT_AUTHZ_TICKET_MS)


def told_of(config: GatewayConfig, client_ca: Path | None = None) -> dict[str, Json]:
    """What a compiled gateway is told."""
    limits: dict[str, Json] = {"max_connections": config.max_connections, "workers": config.workers}
    return {"listen": places_of(config, client_ca), **limits}
