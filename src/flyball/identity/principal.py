"""Who was proved to be asking.

A `Principal` is made only by this room, by the functions below, after every check has passed.
The guard stops mistakes, not hostile code: whoever runs in this process can do as they like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from types import MappingProxyType
from typing import Literal

from flyball.identity.spiffe_id import SpiffeId
from flyball.kernel.errors import Unauthenticated
from flyball.kernel.json import Json

Kind = Literal["spiffe", "oidc", "peer"]

NO_EXPIRY_MS = (1 << 53) - 1
"""What `expires_ms` says of a proof that does not run out (a peer of a Unix socket)."""

_MAX_CLAIMS = 64
_MAX_SUBJECT = 255
_ROOM = object()


@dataclass(frozen=True, slots=True)
class Principal:
    """A proven identity.

    Attributes:
        id: a SPIFFE ID, `oidc:<issuer>#<subject>`, or `peer:uid:<n>`; unique over all kinds.
        kind: how it was proved.
        subject: the SPIFFE ID, the OIDC `sub`, or the user id as text.
        issuer: the trust domain, the OIDC issuer, or `peer`.
        claims: the token's verified claims (at most 64; empty for a peer).
        expires_ms: wall time in milliseconds when the proof runs out; `NO_EXPIRY_MS` for a peer.
        key_thumbprint: RFC 7638 thumbprint of the key that the token is bound to, and which was
            shown with it; None where the token is not bound.
    """

    id: str
    kind: Kind
    subject: str
    issuer: str
    claims: Mapping[str, Json] = field(repr=False)
    expires_ms: int
    key_thumbprint: str | None
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _ROOM:
            raise TypeError("a Principal is made only by flyball.identity, from a proof")

    @property
    def uid(self) -> int | None:
        """The user id of a peer, None for the other kinds."""
        return int(self.subject) if self.kind == "peer" else None


def spiffe_principal(
    spiffe_id: SpiffeId, *, claims: Mapping[str, Json], expires_ms: int, key_thumbprint: str | None = None
) -> Principal:
    """The principal of a verified JWT-SVID. For this room's verifiers only."""
    name = str(spiffe_id)
    return Principal(
        name, "spiffe", name, spiffe_id.trust_domain, _bounded(claims), expires_ms, key_thumbprint, seal=_ROOM
    )


def oidc_principal(
    issuer: str, subject: str, *, claims: Mapping[str, Json], expires_ms: int, key_thumbprint: str | None = None
) -> Principal:
    """The principal of a verified OIDC token. For this room's verifiers only.

    Raises:
        Unauthenticated: `subject_malformed` where the subject is empty, over 255 characters or not
            printable ASCII (OIDC Core §2 asks for ASCII; the rest keeps foreign text out of ids).
    """
    if not 0 < len(subject) <= _MAX_SUBJECT or not subject.isascii() or not subject.isprintable():
        raise Unauthenticated("the token's subject is not 1 to 255 printable ASCII", code="subject_malformed")
    return Principal(
        f"oidc:{issuer}#{subject}",
        "oidc",
        subject,
        issuer,
        _bounded(claims),
        expires_ms,
        key_thumbprint,
        seal=_ROOM,
    )


def peer_principal(uid: int) -> Principal:
    """The principal of a Unix socket's peer, whose `uid` the kernel gave (SO_PEERCRED)."""
    if uid < 0:
        raise Unauthenticated("the peer's user id is unknown", code="peer_unknown")
    return Principal(f"peer:uid:{uid}", "peer", str(uid), "peer", MappingProxyType({}), NO_EXPIRY_MS, None, seal=_ROOM)


def _bounded(claims: Mapping[str, Json]) -> Mapping[str, Json]:
    if len(claims) > _MAX_CLAIMS:
        raise Unauthenticated(f"the token has more than {_MAX_CLAIMS} claims", code="token_malformed")
    return MappingProxyType(dict(claims))
