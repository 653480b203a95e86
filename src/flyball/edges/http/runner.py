"""Serving the control API: one event loop on a thread of its own, for TCP (or TLS) and the Unix socket.

Signals are not touched here; they are the main thread's, in `assembly/server.py`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
import uvicorn
from fastapi import FastAPI

from flyball.edges.http.app import create_app
from flyball.edges.http.peer import PeerProtocol
from flyball.flow.house import House
from flyball.kernel.certificates import ServedCertificate
from flyball.kernel.errors import ConfigError
from flyball.kernel.private_files import make_dir

START_SECONDS = 10.0
DRAIN_SECONDS = 5
KEEP_ALIVE_S = 5
"""For how long a connection may be idle; the SDK's clients let go of theirs before."""
_HEAD_BYTES = 32 << 10  # a request's head: two tokens and a proof fit several times
_log = structlog.get_logger("flyball.http")


class Listening(Protocol):
    """The part of a listener's configuration that this module reads (`assembly.config.ListenConfig`)."""

    @property
    def listen(self) -> str:
        """`host:port`, or empty."""

    @property
    def unix(self) -> Path | None:
        """The Unix socket's path."""

    @property
    def unix_mode(self) -> int:
        """Its mode."""

    @property
    def tls_cert(self) -> Path | None:
        """PEM file of the certificate chain; TLS where it is given."""

    @property
    def tls_key(self) -> Path | None:
        """PEM file of its key."""

    @property
    def public_url(self) -> str:
        """The origin that callers use, or empty."""

    @property
    def max_body(self) -> int:
        """Bytes of a body at most."""

    @property
    def max_connections(self) -> int:
        """Connections at most."""


class Configured(Protocol):
    """A configuration with a section for the control API (`assembly.config.Config`)."""

    @property
    def control(self) -> Listening:
        """Where the control API listens."""


@dataclass(frozen=True, slots=True)
class _Loop:
    server: uvicorn.Server
    thread: threading.Thread


class ControlServer:
    """A control API that serves. `addresses` are the places it is reached at: `http(s)://…`, `unix:/…`."""

    def __init__(
        self,
        app: FastAPI,
        loops: list[_Loop],
        addresses: list[str],
        unix: Path | None,
        certificate: ServedCertificate | None,
    ) -> None:
        self.addresses = addresses
        self._app = app
        self._loops = loops
        self._unix = unix
        self._certificate = certificate

    def renew(self) -> tuple[bool, str] | None:
        """See `ServedCertificate.renew`; None where it speaks no TLS."""
        return None if self._certificate is None else self._certificate.renew()

    def stop(self) -> None:
        """Stop accepting, let requests under way finish (a few seconds at most), close. Twice is once."""
        self._app.state.stopping = True
        for loop in self._loops:
            loop.server.should_exit = True
        for loop in self._loops:
            loop.thread.join(timeout=DRAIN_SECONDS + 5)
        if self._unix is not None:
            self._unix.unlink(missing_ok=True)
            self._unix = None


def run_control(house: House, config: Configured) -> ControlServer:
    """Serve the control API of a house; returns once it listens.

    Raises:
        ConfigError: `listen` where a place cannot be listened on; `tls` where its files cannot be used.
    """
    place = config.control
    app = create_app(house, public_url=place.public_url, max_body=place.max_body)
    certificate = None if place.tls_cert is None else ServedCertificate(place.tls_cert, place.tls_key)
    context = None if certificate is None else certificate.context
    groups: list[tuple[list[socket.socket], bool]] = []
    addresses: list[str] = []
    plain: list[socket.socket] = []
    if place.listen:
        bound = _tcp(place.listen)
        host, port = bound.getsockname()[:2]
        scheme = "http" if context is None else "https"
        addresses.append(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        if context is None:
            plain.append(bound)
        else:
            groups.append(([bound], True))
    if place.unix is not None:
        plain.append(_unix(place.unix, place.unix_mode))
        addresses.append(f"unix:{place.unix}")
    if plain:
        groups.append((plain, False))
    loops = [_start(app, sockets, place, context if secure else None) for sockets, secure in groups]
    return ControlServer(app, loops, addresses, place.unix, certificate)


def _start(app: object, sockets: list[socket.socket], place: Listening, context: ssl.SSLContext | None) -> _Loop:
    settings = uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI app
        http=PeerProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=place.max_connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )
    settings.load()
    settings.ssl = context
    server = uvicorn.Server(settings)
    ready = threading.Event()
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            server.run(sockets=sockets)
        except BaseException as fault:  # noqa: BLE001 - told to the starter, or to the log
            failed.append(fault)
            _log.error("the control API's loop ended", error=type(fault).__name__)
        finally:
            ready.set()

    thread = threading.Thread(target=serve, name="flyball-control", daemon=True)
    thread.start()
    waited = 0.0
    while not server.started and not ready.wait(0.01) and waited < START_SECONDS:
        waited += 0.01
    if not server.started:
        server.should_exit = True
        raise ConfigError("the control API did not start", code="listen") from (failed[0] if failed else None)
    return _Loop(server, thread)


def _tcp(text: str) -> socket.socket:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, int(port)))
        bound.listen(256)
    except OSError as fault:
        raise ConfigError(
            f"the control API cannot listen on {text}: {fault.strerror or fault}",
            code="listen",
            hint="set control.listen to a free address",
        ) from fault
    return bound


def _unix(path: Path, mode: int) -> socket.socket:
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        make_dir(path.parent)
        # Bound under a closed umask, so that there is no moment in which others could connect.
        before = os.umask(0o177)
        try:
            bound.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(mode)
        bound.listen(256)
    except OSError as fault:
        bound.close()
        raise ConfigError(
            f"the control API cannot listen on {path}: {fault.strerror or fault}", code="listen"
        ) from fault
    return bound


def _remove_stale(path: Path) -> None:
    """A socket that a killed process left; one that somebody answers on is left alone."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} is there and no socket", code="listen", hint="set control.unix to another path")
    except FileNotFoundError:
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise ConfigError(f"somebody listens on {path} already", code="listen", hint="set control.unix to another path")
