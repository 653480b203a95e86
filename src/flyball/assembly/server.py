"""`flyball serve`: build, recover, listen, and stop in order.

Signals are taken by the main thread, which only waits: a call into Rust there would delay them.
SIGTERM and SIGINT stop orderly (stop accepting, drain, sign the last head); a second one stops at
once. SIGHUP activates the bundle folder anew; a bad bundle is refused and the running one stays. It also has the
certificates looked at at once, which else happens every few seconds.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace

import structlog

from flyball.assembly.build import Built, build
from flyball.assembly.certificates import Look, Renewal, looks_of
from flyball.assembly.config import Config
from flyball.assembly.gateways import EXT_AUTHZ, POSTGRESQL, ExtAuthzGateway, PostgresqlGateway
from flyball.assembly.http_gateway import HTTP, HttpGateway
from flyball.assembly.logs import configure
from flyball.assembly.places import Bound, places_of
from flyball.edges.http.runner import ControlServer, run_control
from flyball.flow import bundles
from flyball.flow.watch import Watch
from flyball.kernel import collector
from flyball.kernel.errors import ConfigError, FlyballError
from flyball.kernel.json import Json, canonical
from flyball.policy.engine import CoreError, Edge

log = structlog.get_logger("flyball.server")


class Server:
    """Everything that runs. `start` returns once it listens; `stop` once it has ended."""

    def __init__(self, config: Config, *, env: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.built: Built = build(config, env=env)
        self.house = self.built.house
        self.bound = Bound()
        self._watch = Watch(self.house)
        self.renewal = Renewal(self.house, [self._compiled_looks, self._control_looks])
        self._edge: Edge | None = None
        self._control: ControlServer | None = None
        self._postgresql: PostgresqlGateway | None = None
        self._http: HttpGateway | None = None

    def start(self) -> None:
        """Listen. The control API comes last: once it answers, all is there.

        Raises:
            ConfigError: it cannot listen where it is told to.
        """
        self._edge = Edge(self.house.core, canonical(edge_config(self.config, self.built)))
        try:
            self.bound = Bound(self._edge.start())
        except CoreError as fault:
            raise ConfigError(
                f"the decision plane does not start: {fault.args[1]}",
                code=str(fault.args[0]),
                hint="see decision and ext_authz; another Flyball may be running",
            ) from fault
        self.house.settings = replace(self.house.settings, check_endpoints=tuple(self._endpoints()))
        if self.config.ext_authz.on:
            for kind in EXT_AUTHZ:
                self.house.gateways.setdefault(kind, ExtAuthzGateway(self._edge))
        if self.config.postgresql_gateway.on:
            self._postgresql = PostgresqlGateway(self.house.core, self.config.postgresql_gateway)
            self.house.gateways[POSTGRESQL] = self._postgresql
        if self.config.http_gateway.on:
            self._http = HttpGateway(self.house.core, self.config, self.house.active.bundle)
            self.house.gateways[HTTP] = self._http
            self.house.bundle_watchers.append(self._http.in_force)
        self._watch.start()
        self._control = run_control(self.house, self.config)
        self.renewal.start()

    @property
    def control(self) -> ControlServer:
        """The running control API."""
        assert self._control is not None
        return self._control

    def stop(self) -> None:
        """Say that we go, stop accepting, drain, stop watching, close. Live privilege stays; the next start goes on."""
        self.renewal.stop()
        if self._edge is not None:
            self._edge.drain()
        if self._control is not None:
            self._control.stop()
        for gateway in (self._postgresql, self._http):
            if gateway is not None:
                gateway.stop()
        if self._edge is not None:
            self._edge.stop(2000)
        self._watch.stop()
        self.built.close()

    @property
    def ext_authz_addresses(self) -> list[str]:
        """Where Envoy may ask."""
        return [at for kind, at in self.bound.places if kind.startswith("ext_authz_")]

    @property
    def gateway_addresses(self) -> list[str]:
        """Where gateways listen."""
        running = [one for one in (self._postgresql, self._http) if one is not None]
        return [address for one in running for address in one.addresses]

    def _compiled_looks(self) -> Iterator[Look]:
        for listening in (self._edge, self._postgresql, self._http):
            if listening is not None:
                yield from looks_of(listening.renew())

    def _control_looks(self) -> Iterator[Look]:
        found = None if self._control is None else self._control.renew()
        if found is not None:
            yield Look(self.control.addresses[0], *found)

    def _endpoints(self) -> list[str]:
        if self.config.decision.public_url:
            return [self.config.decision.public_url]
        schemes = {"tcp": "http://", "tls": "https://", "unix": "unix:"}
        return [f"{schemes[kind]}{at}" for kind, at in self.bound.places if kind in schemes]


def edge_config(config: Config, built: Built) -> dict[str, Json]:
    """What the decision plane's edge is told."""
    decision = config.decision
    return {
        "issuer": config.issuer,
        "listen": places_of(decision, decision.client_ca),
        "ext_authz": {
            "listen": places_of(config.ext_authz, config.ext_authz.client_ca),
            "principal": config.ext_authz.principal,
        },
        "token_keys": built.keys.tokens.edge_keys(),
        "max_body": decision.max_body,
        "max_connections": decision.max_connections,
        "workers": decision.workers,
        "public_url": decision.public_url or None,
    }


def serve(config: Config, env: Mapping[str, str]) -> int:
    """Run until a signal; the exit code."""
    configure(config.log.level, config.log.format)
    stop, reload = threading.Event(), threading.Event()

    def on_stop(number: int, _frame: object) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        stop.set()

    def on_reload(_number: int, _frame: object) -> None:
        reload.set()

    signal.signal(signal.SIGTERM, on_stop)
    signal.signal(signal.SIGINT, on_stop)
    signal.signal(signal.SIGHUP, on_reload)
    server = Server(config, env=env)
    try:
        server.start()
        log.info(
            "flyball serves",
            control=server.control.addresses,
            **({"gateways": server.gateway_addresses} if server.gateway_addresses else {}),
            decisions=[str(one) for one in server.house.settings.check_endpoints],
            ext_authz=server.ext_authz_addresses,
            mode=config.mode,
            epoch=server.house.settings.epoch,
            restored=server.built.recovered.restored,
            bundle=server.house.active.digest[:19],
        )
        collector.started()
        while not stop.wait(0.25):
            if reload.is_set():
                reload.clear()
                _reload(server)
    finally:
        server.stop()
    return 0


def _reload(server: Server) -> None:
    server.renewal.now()
    try:
        told = bundles.activate(server.house, None, by="signal")
        log.info("the bundle was activated", digest=told["digest"])
    except FlyballError as fault:
        log.error("the new bundle was refused; the running one stays", code=fault.code, detail=fault.detail)
