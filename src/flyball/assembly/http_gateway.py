"""The HTTP gateway of this process, as `flow` sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flyball.assembly.config import Config
from flyball.assembly.gateways import told_of
from flyball.assembly.places import Bound
from flyball.enforcement.gateway import Lent, NotLendable, Ticket
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json, canonical
from flyball.kernel.private_files import private_dir, read_private, write_private
from flyball.kernel.secret import Secret
from flyball.policy import http_gateway
from flyball.policy.bundle import Bundle
from flyball.policy.engine import Core, CoreError
from flyball.policy.engine import HttpGateway as Native

HTTP = "http"
T = TypeVar("T")


class HttpGateway:
    """The HTTP gateway, listening from the moment it is made. It knows the upstreams of the bundle in force.

    Raises:
        ConfigError: it cannot listen where it is told to, or the bundle's APIs cannot be used.
    """

    def __init__(self, core: Core, config: Config, bundle: Bundle) -> None:
        self._config = config.http_gateway
        self._base = config.file.resolve().parent if config.file is not None else Path.cwd()
        self._key_file = config.keys_dir / "http-authority.pem"
        self._ca_pem = ""
        told = {**told_of(self._config), "max_body": self._config.max_body}
        self._native = _told(lambda: Native(core, canonical(told)))
        self.in_force(bundle)
        bound = Bound(_told(self._native.start))
        self.addresses = bound.addresses
        self._proxy = self._reached(bound)

    def stop(self) -> None:
        """Close it; live connections end."""
        self._native.stop()

    def renew(self) -> bytes:
        """Look at its certificates again; what was found, as `certificates.looks_of` reads it."""
        return self._native.renew()

    def in_force(self, bundle: Bundle) -> None:
        """Go on with the APIs of this bundle.

        Raises:
            ConfigError: one of them cannot be used; those before stay.
        """
        told: list[Json] = []
        for name, upstream in http_gateway.upstreams(bundle).items():
            file = bundle.targets[name].config.get("ca_file")
            upstream["ca_pem"] = "" if file is None else self._authorities(name, str(file))
            told.append(dict(upstream))
        key = self._key() if any(isinstance(one, dict) and one["intercept"] for one in told) else ""
        self._ca_pem = _told(lambda: self._native.know(canonical(told), key)) or ""

    def lend(self, lent: Lent) -> None:
        """See `Gateway`."""
        self._native.lend(lent.task, lent.credential, lent.lease, lent.target, lent.secret.reveal())

    def take_back(self, lease: str) -> bool:
        """See `Gateway`."""
        return self._native.take_back(lease)

    def lent(self, task: str, credential: str) -> str | None:
        """See `Gateway`."""
        return self._native.lent(task, credential)

    def ticket(self, task: str, credential: str, place: str, renew: str = "") -> Ticket:
        """See `Gateway`. The one that is to be renewed stays good beside the new one: a program knows it by its
        environment, which nobody can change."""
        del renew
        try:
            name, secret = self._native.ticket(task, credential, self._config.ticket_ms)
        except CoreError as fault:
            raise NotLendable(f"no ticket was given: {fault.args[1]}") from fault
        connection: dict[str, Json] = {"user": name, "proxy": self._proxy, "api": place}
        if self._ca_pem:
            connection["ca_pem"] = self._ca_pem
        if self._config.tls_ca is not None:
            connection["proxy_ca_file"] = str(self._config.tls_ca)
        return Ticket(connection, Secret(f"{name}.{secret}"), self._config.ticket_ms)

    def _authorities(self, target: str, file: str) -> str:
        try:
            return (self._base / file).read_text("ascii")
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(f"the authorities of target {target!r} cannot be read: {fault}", code="tls") from fault

    def _key(self) -> str:
        """The interception authority's key: made once, private, and never anywhere else."""
        if not self._key_file.exists():
            private_dir(self._key_file.parent)
            write_private(self._key_file, _told(Native.new_key).encode())
        return read_private(self._key_file).decode()

    def _reached(self, bound: Bound) -> str:
        """What clients are told: the address over TCP, else the socket."""
        config = self._config
        if bound.tcp is None:
            return f"unix:{config.unix}"
        host, port = bound.tcp
        name = config.host or host
        scheme = "http" if config.tls_cert is None else "https"
        return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"


def _told(call: Callable[[], T]) -> T:
    """What the compiled gateway answers; its faults are the configuration's or the bundle's."""
    try:
        return call()
    except CoreError as fault:
        raise ConfigError(
            f"the HTTP gateway: {fault.args[1]}", code=str(fault.args[0]), hint="see http_gateway"
        ) from fault
