"""What the shared gateway serves: one strict JSON file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flyball.edges.mcp.leased import Wanted
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Object, Value
from flyball.kernel.errors import ConfigError

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Server:
    """One server: a command, or a URL with perhaps a file that holds the gateway's own token for it. `wanted` is a
    credential of the task's profile that it is given."""

    command: tuple[str, ...] = ()
    url: str = ""
    bearer_file: Path | None = None
    wanted: Wanted | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """The file. `url` is the origin that clients use, without a path; `audiences` are what tokens must be for;
    `approvals_url` is where a person may be sent who is asked about a call (empty: a page of ours that says how)."""

    listen: str
    url: str
    audiences: frozenset[str]
    authorization_servers: tuple[str, ...]
    origins: tuple[str, ...]
    servers: Mapping[str, Server]
    tls_cert: Path | None = None
    tls_key: Path | None = None
    approvals_url: str = ""

    @property
    def hosts(self) -> frozenset[str]:
        """What `Host` may say: the public name, and where we listen."""
        _, port = self.place
        return frozenset({urlsplit(self.url).netloc, self.listen, f"127.0.0.1:{port}", f"localhost:{port}"})

    @property
    def own_origins(self) -> frozenset[str]:
        """What `Origin` may say of pages of our own."""
        scheme = "http" if self.tls_cert is None else "https"
        return frozenset({self.url, *(f"{scheme}://{host}" for host in self.hosts)})

    @property
    def place(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def read(file: Path) -> Served:
    """Read the file.

    Raises:
        ConfigError: `servers`: it cannot be used; the sentence says why.
    """
    try:
        document = frames.loads(file.read_bytes())
    except (OSError, ValueError) as fault:
        raise _wrong(file, "it is not there, or no JSON") from fault
    if not isinstance(document, dict):
        raise _wrong(file, "it is no object")
    known = {"listen", "url", "audience", "authorization_servers", "origins", "servers", "tls_cert", "tls_key"}
    known.add("approvals_url")
    _only(file, document, known)
    listen = _text(file, document, "listen", "127.0.0.1:7613")
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise _wrong(file, "`listen` is not host:port")
    cert, key = _path(file, document, "tls_cert"), _path(file, document, "tls_key")
    if (cert is None) != (key is None):
        raise _wrong(file, "`tls_cert` and `tls_key` go together")
    if cert is None and not _loopback(host):
        raise _wrong(file, "beyond loopback the gateway speaks TLS: give `tls_cert` and `tls_key`")
    url = _text(file, document, "url", f"http://{listen}").rstrip("/")
    approvals = _text(file, document, "approvals_url", "")
    if approvals and ("{reference}" not in approvals or not approvals.startswith("https://")):
        raise _wrong(file, "`approvals_url` is an https URL with {reference} in it")
    servers = _servers(file, document)
    named = {url, *(f"{url}/mcp/{name}" for name in servers)}
    audience = document.get("audience")
    return Served(
        listen,
        url,
        frozenset({str(audience)} if isinstance(audience, str) else named),
        tuple(_texts(file, document, "authorization_servers")),
        tuple(_texts(file, document, "origins")),
        servers,
        cert,
        key,
        approvals,
    )


def _servers(file: Path, document: Object) -> dict[str, Server]:
    listed = document.get("servers")
    if not isinstance(listed, dict) or not listed:
        raise _wrong(file, "`servers` names none")
    found: dict[str, Server] = {}
    for name, one in listed.items():
        if not _NAME.fullmatch(name) or not isinstance(one, dict):
            raise _wrong(file, f"{name!r} is no server: its name is lower case letters, digits and `-`")
        _only(file, one, {"command", "url", "bearer_file", "credential", "env", "headers"})
        command, url = _texts(file, one, "command"), _text(file, one, "url", "")
        if bool(command) == bool(url):
            raise _wrong(file, f"server {name!r} has a `command` or a `url`")
        parts = urlsplit(url)
        if url and (parts.scheme != "https" and not (parts.scheme == "http" and _loopback(parts.hostname or ""))):
            raise _wrong(file, f"server {name!r}: https, or http on loopback")
        found[name] = Server(tuple(command), url, _path(file, one, "bearer_file"), _wanted(file, name, one))
    return found


def _wanted(file: Path, name: str, one: Object) -> Wanted | None:
    """`credential`, with `env` for a command and `headers` for a URL."""
    member, other, handover = ("env", "headers", "environment") if "command" in one else ("headers", "env", "memory")
    credential, places = _text(file, one, "credential", ""), one.get(member, {})
    if other in one or bool(credential) != bool(places):
        raise _wrong(file, f"server {name!r}: `credential` goes with `env` (a command) or `headers` (a URL)")
    if not isinstance(places, dict) or not all(isinstance(text, str) and text for text in places.values()):
        raise _wrong(file, f"server {name!r}: `{member}` is an object of texts")
    return Wanted(credential, {place: str(text) for place, text in places.items()}, handover) if credential else None


def _only(file: Path, one: Object, known: set[str]) -> None:
    unknown = sorted(set(one) - known)
    if unknown:
        raise _wrong(file, f"{unknown[0]!r} is no member of it; there are {', '.join(sorted(known))}")


def _text(file: Path, one: Object, member: str, default: str) -> str:
    found = one.get(member, default)
    if not isinstance(found, str):
        raise _wrong(file, f"`{member}` is a text")
    return found


def _texts(file: Path, one: Object, member: str) -> list[str]:
    found: Value = one.get(member, [])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise _wrong(file, f"`{member}` is a list of texts")
    return [str(text) for text in found]


def _path(file: Path, one: Object, member: str) -> Path | None:
    found = _text(file, one, member, "")
    return file.parent / found if found else None


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _wrong(file: Path, why: str) -> ConfigError:
    return ConfigError(f"{file}: {why}", code="servers", hint="see docs/guides/mcp.md, *A shared gateway*")
