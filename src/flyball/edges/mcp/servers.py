"""What the shared gateway serves: one strict JSON file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flyball.edges.mcp.leased import Wanted
from flyball.edges.mcp.oauth.settings import OAuth
from flyball.edges.mcp.oauth.settings import read as read_oauth
from flyball.edges.mcp.strict import Strict, is_safe
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Object
from flyball.kernel.hosts import is_loopback

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Server:
    """One server: a command, or a URL with perhaps a file that holds the gateway's own token for it, or how such a
    token is had. `wanted` is a credential of the task's profile that it is given."""

    command: tuple[str, ...] = ()
    url: str = ""
    bearer_file: Path | None = None
    wanted: Wanted | None = None
    oauth: OAuth | None = None


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
    strict = Strict(file)
    try:
        document = frames.loads(file.read_bytes())
    except (OSError, ValueError) as fault:
        raise strict.wrong("it is not there, or no JSON") from fault
    if not isinstance(document, dict):
        raise strict.wrong("it is no object")
    known = {"listen", "url", "audience", "authorization_servers", "origins", "servers", "tls_cert", "tls_key"}
    known.add("approvals_url")
    strict.only(document, known)
    listen = strict.text(document, "listen", "127.0.0.1:7613")
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise strict.wrong("`listen` is not host:port")
    cert, key = strict.path(document, "tls_cert"), strict.path(document, "tls_key")
    if (cert is None) != (key is None):
        raise strict.wrong("`tls_cert` and `tls_key` go together")
    if cert is None and not is_loopback(host):
        raise strict.wrong("beyond loopback the gateway speaks TLS: give `tls_cert` and `tls_key`")
    url = strict.text(document, "url", f"http://{listen}").rstrip("/")
    approvals = strict.text(document, "approvals_url", "")
    if approvals and ("{reference}" not in approvals or not approvals.startswith("https://")):
        raise strict.wrong("`approvals_url` is an https URL with {reference} in it")
    servers = _servers(strict, document)
    named = {url, *(f"{url}/mcp/{name}" for name in servers)}
    audience = document.get("audience")
    return Served(
        listen,
        url,
        frozenset({str(audience)} if isinstance(audience, str) else named),
        tuple(strict.texts(document, "authorization_servers")),
        tuple(strict.texts(document, "origins")),
        servers,
        cert,
        key,
        approvals,
    )


def _servers(strict: Strict, document: Object) -> dict[str, Server]:
    listed = document.get("servers")
    if not isinstance(listed, dict) or not listed:
        raise strict.wrong("`servers` names none")
    found: dict[str, Server] = {}
    for name, one in listed.items():
        if not _NAME.fullmatch(name) or not isinstance(one, dict):
            raise strict.wrong(f"{name!r} is no server: its name is lower case letters, digits and `-`")
        strict.only(one, {"command", "url", "bearer_file", "oauth", "credential", "env", "headers"})
        command, url = strict.texts(one, "command"), strict.text(one, "url", "")
        if bool(command) == bool(url):
            raise strict.wrong(f"server {name!r} has a `command` or a `url`")
        if url and not is_safe(url):
            raise strict.wrong(f"server {name!r}: https, or http on loopback")
        bearer = strict.path(one, "bearer_file")
        oauth = read_oauth(strict, name, one["oauth"]) if "oauth" in one else None
        if oauth is not None and (not url or bearer is not None):
            raise strict.wrong(f"server {name!r}: `oauth` goes with a `url`, and without `bearer_file`")
        found[name] = Server(tuple(command), url, bearer, _wanted(strict, name, one), oauth)
    return found


def _wanted(strict: Strict, name: str, one: Object) -> Wanted | None:
    """`credential`, with `env` for a command and `headers` for a URL."""
    member, other, handover = ("env", "headers", "environment") if "command" in one else ("headers", "env", "memory")
    credential, places = strict.text(one, "credential", ""), one.get(member, {})
    if other in one or bool(credential) != bool(places):
        raise strict.wrong(f"server {name!r}: `credential` goes with `env` (a command) or `headers` (a URL)")
    if not isinstance(places, dict) or not all(isinstance(text, str) and text for text in places.values()):
        raise strict.wrong(f"server {name!r}: `{member}` is an object of texts")
    return Wanted(credential, {place: str(text) for place, text in places.items()}, handover) if credential else None
