"""Where Flyball is, and who we are."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from flyball_sdk.errors import ConfigError

DEFAULT_ADDR = "http://127.0.0.1:7611"
EVALUATION = "/access/v1/evaluation"

Identity = str | Callable[[], str]
"""A JWT-SVID or OIDC token, or a function that fetches a fresh one each time a task is opened.

To take it from the SPIFFE Workload API, pass a function; with the PyPI package `spiffe`::

    def svid() -> str:
        with spiffe.WorkloadApiClient() as client:
            return client.fetch_jwt_svid(audience={"https://flyball.example"}).token

    with flyball_sdk.task("settle-refund", identity=svid) as task: ...
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to send requests to. `uds` is a Unix socket's path, empty for TCP."""

    base: str
    uds: str = ""

    def url(self, path: str) -> str:
        """The URL of `path`, which is also what a proof is made for."""
        return self.base + path

    @property
    def address(self) -> str:
        """The place as `endpoint` reads it."""
        return f"unix:{self.uds}" if self.uds else self.base


def endpoint(address: str) -> Endpoint:
    """Read `http://host:port`, `https://host:port` or `unix:/path`.

    Raises:
        ConfigError: `address` where it is none of these, or plain http to another machine:
            identity tokens do not travel in clear.
    """
    if address.startswith("unix:"):
        path = address.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise ConfigError("a Unix socket's path is absolute: unix:/path", code="address")
        return Endpoint("http://localhost", path)
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"not an address: {address!r}", code="address") from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(f"not an address: {address!r}", code="address", hint="http(s)://host:port or unix:/path")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigError(
            "plain http to another machine would send the identity in clear", code="address", hint="use https"
        )
    return Endpoint(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def control_endpoint(addr: str | None) -> Endpoint:
    """The control API: `addr`, else the environment's FLYBALL_ADDR, else http://127.0.0.1:7611."""
    return endpoint(addr or os.environ.get("FLYBALL_ADDR") or DEFAULT_ADDR)


def identity_token(identity: Identity | None, *, over_unix: bool) -> str | None:
    """The identity to open a task with: `identity`, else FLYBALL_SVID_FILE, else FLYBALL_SVID.

    The file is read each time, since its issuer renews it. None over a Unix socket without any of
    these: there the kernel says who we are.

    Raises:
        ConfigError: `identity`.
    """
    file = os.environ.get("FLYBALL_SVID_FILE")
    if identity is not None:
        token = identity() if callable(identity) else identity
    elif file:
        try:
            token = Path(file).read_text("ascii")
        except (OSError, ValueError) as error:
            raise ConfigError("the file that FLYBALL_SVID_FILE names cannot be read", code="identity") from error
    else:
        token = os.environ.get("FLYBALL_SVID", "")
    token = token.strip()
    if not token and over_unix:
        return None
    if not token or not token.isascii() or not token.isprintable():
        raise ConfigError(
            "there is no identity to open a task with",
            code="identity",
            hint="set FLYBALL_SVID_FILE or FLYBALL_SVID, pass identity=, or use a Unix socket",
        )
    return token


def tls(place: Endpoint) -> ssl.SSLContext:
    """TLS by the system's authorities, and by those in the file that FLYBALL_CA_FILE names.

    For a place without TLS a context that trusts nobody: should it ever be used, it refuses.

    Raises:
        ConfigError: `tls`.
    """
    if not place.base.startswith("https://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file = os.environ.get("FLYBALL_CA_FILE", "")
    try:
        found = Path(file).stat() if file else None
        stamp = None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)
        return _trusting(file, stamp, ssl.get_default_verify_paths())
    except (OSError, ssl.SSLError) as error:
        raise ConfigError("the file that FLYBALL_CA_FILE names holds no certificates", code="tls") from error


@lru_cache(maxsize=4)
def _trusting(file: str, _found: tuple[int, int, int] | None, _paths: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """One for all tasks while the file is the same: to read the system's authorities takes tens of milliseconds."""
    context = ssl.create_default_context()
    if file:
        context.load_verify_locations(cafile=file)
    return context
