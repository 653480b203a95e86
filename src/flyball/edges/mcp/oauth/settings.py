"""How the gateway gets a token for a server: the member `oauth` of one server in the servers' file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from flyball.edges.mcp.strict import Strict
from flyball.enforcement.mcp.frames import Value

CODE: Final = "authorization_code"
CLIENT: Final = "client_credentials"
_MEMBERS: Final = {
    "grant",
    "issuer",
    "client_id",
    "client_secret_file",
    "client_key_file",
    "token_endpoint_auth_method",
    "client_metadata_url",
    "scope",
}


@dataclass(frozen=True, slots=True)
class OAuth:
    """How a token is had.

    Attributes:
        grant: `authorization_code` (a person logs in once, `flyball mcp login`) or `client_credentials` (nobody does).
        issuer: the authorization server that `client_id` belongs to; nothing of it goes to another.
        client_id: the client as registered there; empty: the server's own registration is used (RFC 7591).
        secret_file: its secret.
        key_file: its private key in PEM instead, which signs an assertion (RFC 7523, section 2.2).
        method: how the secret is shown to the token endpoint.
        metadata_url: an https URL that is the client's id, where the authorization server takes such (CIMD).
        scope: what to ask for; empty: what the server says.
    """

    grant: Literal["authorization_code", "client_credentials"] = CODE
    issuer: str = ""
    client_id: str = ""
    secret_file: Path | None = None
    key_file: Path | None = None
    method: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    metadata_url: str = ""
    scope: str = ""

    @property
    def by_person(self) -> bool:
        """Whether a person logs in."""
        return self.grant == CODE


def read(strict: Strict, name: str, found: Value) -> OAuth:
    """The member of server `name`.

    Raises:
        ConfigError: `servers`.
    """

    def wrong(why: str) -> Exception:
        return strict.wrong(f"server {name!r}: `oauth` {why}")

    if not isinstance(found, dict):
        raise wrong("is an object")
    strict.only(found, _MEMBERS)
    grant, method = strict.text(found, "grant", CODE), strict.text(found, "token_endpoint_auth_method", "")
    issuer, client = strict.text(found, "issuer", ""), strict.text(found, "client_id", "")
    secret, key = strict.path(found, "client_secret_file"), strict.path(found, "client_key_file")
    metadata = strict.text(found, "client_metadata_url", "")
    if bool(client) != bool(issuer):
        raise wrong("has `client_id` and `issuer` together: what is registered at one goes to no other")
    if metadata and (client or urlsplit(metadata).scheme != "https" or urlsplit(metadata).path in ("", "/")):
        raise wrong("has a `client_metadata_url` that is an https URL with a path, and then no `client_id`")
    if (secret or key or method) and not client:
        raise wrong("has a secret or a key of a `client_id`")
    if grant == CLIENT:
        if (secret is None) == (key is None):
            raise wrong("of client_credentials has `client_id` and one of `client_secret_file` and `client_key_file`")
    elif grant != CODE:
        raise wrong(f"knows the grants {CODE} and {CLIENT}")
    elif key is not None:
        raise wrong("uses a `client_key_file` with client_credentials alone")
    if method not in ("", "client_secret_basic", "client_secret_post") or (method and secret is None):
        raise wrong("shows a secret by client_secret_basic or client_secret_post")
    return OAuth(
        grant=CLIENT if grant == CLIENT else CODE,
        issuer=issuer,
        client_id=client,
        secret_file=secret,
        key_file=key,
        method="client_secret_post" if method == "client_secret_post" else "client_secret_basic",
        metadata_url=metadata,
        scope=strict.text(found, "scope", ""),
    )
