"""DPoP proofs of possession (RFC 9449): verified by the twelve checks of §4.3, and made.

1 exactly one DPoP header          7 no private part in the jwk
2 one well-formed JWT              8 htm is the request's method
3 all claims present               9 htu is the request's URI
4 typ is dpop+jwt                 10 nonce, where one was asked for
5 alg is ES256 or EdDSA           11 iat inside the window
6 the signature is by the jwk     12 ath is the token's hash, and the jwk is the token's key
and: no jti twice inside the window (§11.1), see replay.py
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from flyball.identity import jose
from flyball.identity.replay import ReplayCache
from flyball.kernel.clock import Clock
from flyball.kernel.errors import Unauthenticated
from flyball.kernel.json import Json

ALGORITHMS = frozenset({"ES256", "EdDSA"})
MAX_PROOF = 4096
MAX_AGE_S = 60
MAX_AHEAD_S = 10

ProofKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_JTI = range(16, 129)  # 96 random bits are 16 base64url characters
_MEMBERS = frozenset({"typ", "alg", "jwk"})
_HINT = "make a fresh proof for this method, this URI and this token, by a clock that is right"


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified proof: the holder of the key with this thumbprint made this very request."""

    thumbprint: str
    jti: str
    iat_ms: int


def verify_proof(
    headers: Sequence[str],
    *,
    method: str,
    url: str,
    clock: Clock,
    replay: ReplayCache,
    access_token: str | None = None,
    thumbprint: str | None = None,
    nonce: str | None = None,
) -> Proof:
    """Verify the `DPoP` header of one request.

    Args:
        headers: every value of the request's `DPoP` header.
        method: the request's method.
        url: the request's URI as the client saw it (scheme and authority from configuration or
            the connection, not from a forwarding header).
        clock: the time.
        replay: where used proofs are remembered; one per process.
        access_token: the token sent beside the proof; then `ath` and `thumbprint` are demanded.
        thumbprint: the key that the token is bound to (its `cnf.jkt`).
        nonce: the nonce that was given to this client, if any.

    Returns:
        The proof. Without a token it says only which key the client holds (a key offer).

    Raises:
        Unauthenticated: `dpop_…`, one code for each check.
        Unavailable: `dpop_replay_full`: the memory of used proofs is full; refused, never forgotten.
    """
    if len(headers) != 1:  # 1
        raise _refused("dpop_header_count", "the request does not carry exactly one DPoP header")
    try:
        jws = jose.parse(headers[0], max_bytes=MAX_PROOF)  # 2
        claims = _claims(jws.claims)  # 3
    except jose.JoseError as error:
        raise _refused("dpop_malformed", "the DPoP proof is not a well-formed JWT with all its claims") from error
    if jws.header.get("typ") != "dpop+jwt":  # 4
        raise _refused("dpop_typ", "the DPoP proof's typ is not dpop+jwt")
    jwk = _key(jws)  # 5, 7
    if not jwk.verify(jws):  # 6
        raise _refused("dpop_signature", "the DPoP proof is not signed by the key it shows")
    if claims.htm != method:  # 8
        raise _refused("dpop_htm", "the DPoP proof is for another method")
    if normal_uri(claims.htu) != normal_uri(url):  # 9
        raise _refused("dpop_htu", "the DPoP proof is for another URI")
    if nonce is not None and not hmac.compare_digest(claims.nonce.encode(), nonce.encode()):  # 10
        raise _refused("dpop_nonce", "the DPoP proof does not carry the nonce that was given")
    _in_window(claims.iat, clock)  # 11
    if access_token is not None:  # 12
        if not hmac.compare_digest(claims.ath.encode(), token_hash(access_token).encode()):
            raise _refused("dpop_ath", "the DPoP proof is for another token")
        if thumbprint is None:
            raise _refused("dpop_token_unbound", "the token beside the DPoP proof is bound to no key")
    if thumbprint is not None and not hmac.compare_digest(thumbprint.encode(), jwk.thumbprint.encode()):
        raise _refused("dpop_key", "the DPoP proof is by another key than the token's")
    replay.use(jwk.thumbprint, f"{claims.htu}\0{claims.jti}", int(claims.iat * 1000))
    return Proof(jwk.thumbprint, claims.jti, int(claims.iat * 1000))


def make_proof(
    key: ProofKey, *, method: str, url: str, iat_s: int, access_token: str | None = None, nonce: str | None = None
) -> str:
    """Make a proof for one request (RFC 9449 §4.2): ES256 for a P-256 key, EdDSA for an Ed25519 key.

    `iat_s` is the time in seconds since the epoch. Each call makes a new `jti` of 128 random bits.
    """
    alg = "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else "ES256"
    header: dict[str, Json] = {"typ": "dpop+jwt", "alg": alg, "jwk": jose.write_jwk(key.public_key())}
    parts = urlsplit(url)
    claims: dict[str, Json] = {
        "jti": jose.b64u(secrets.token_bytes(16)),
        "htm": method,
        "htu": parts._replace(query="", fragment="").geturl(),
        "iat": iat_s,
    }
    if access_token is not None:
        claims["ath"] = token_hash(access_token)
    if nonce is not None:
        claims["nonce"] = nonce
    return jose.sign(header, claims, key)


def token_hash(token: str) -> str:
    """The `ath` of a token: base64url of the SHA-256 of its ASCII (RFC 9449 §4.2)."""
    return jose.b64u(hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest())


@dataclass(frozen=True, slots=True)
class _Claims:
    jti: str
    htm: str
    htu: str
    iat: float
    ath: str
    nonce: str


def _claims(claims: Mapping[str, Json]) -> _Claims:
    texts: dict[str, str] = {}
    for name in ("jti", "htm", "htu", "ath", "nonce"):
        value = claims.get(name, "")
        if not isinstance(value, str):
            raise jose.JoseError("claim_malformed", f"the claim `{name}` is not text")
        texts[name] = value
    iat = jose.number(claims, "iat")
    if iat is None or not texts["htm"] or not texts["htu"] or len(texts["jti"]) not in _JTI:
        raise jose.JoseError("claim_malformed", "jti (16 to 128 characters), htm, htu or iat is missing")
    return _Claims(texts["jti"], texts["htm"], texts["htu"], iat, texts["ath"], texts["nonce"])


def _key(jws: jose.Jws) -> jose.Jwk:
    member = jws.header.get("jwk")
    try:
        jose.check_header(jws, algs=ALGORITHMS, members=_MEMBERS)
        if not isinstance(member, dict):
            raise jose.JoseError("key_malformed", "no jwk in the header")
        return jose.read_jwk(member)
    except jose.JoseError as error:
        code = {"alg_not_allowed": "dpop_alg", "key_private": "dpop_private_key"}.get(error.code, "dpop_jwk")
        raise _refused(code, f"the DPoP proof's header cannot be used: {error.detail}") from error


def _in_window(iat: float, clock: Clock) -> None:
    age = clock.wall_ms() / 1000 - iat
    if not -MAX_AHEAD_S <= age <= MAX_AGE_S:
        raise _refused("dpop_iat", f"the DPoP proof is older than {MAX_AGE_S} s or from the future")


_PORTS = {"http": 80, "https": 443}
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normal_uri(uri: str) -> str:
    """A URI without query and fragment, normalised by RFC 3986 §6.2.2 and §6.2.3.

    Raises:
        Unauthenticated: `dpop_htu` where it is no http(s) URI with a host.
    """
    try:
        parts = urlsplit(uri)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError as error:
        raise _refused("dpop_htu", "the DPoP proof's htu is not a URI") from error
    # urlsplit drops tabs and line ends without a word: text that is not plain is refused before it matters
    if scheme not in _PORTS or not host or "@" in parts.netloc or not (uri.isascii() and uri.isprintable()):
        raise _refused("dpop_htu", "the DPoP proof's htu is not an http(s) URI with a host")
    authority = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[scheme]:
        authority = f"{authority}:{port}"
    return f"{scheme}://{authority}{_dotless(_ESCAPE.sub(_unescape, parts.path)) or '/'}"


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match.group(1), 16))
    return character if character in _UNRESERVED else f"%{match.group(1).upper()}"


def _dotless(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for place, segment in enumerate(segments):
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
        if segment in (".", "..") and place == len(segments) - 1:
            kept.append("")
    return "/".join(kept)


def _refused(code: str, detail: str) -> Unauthenticated:
    return Unauthenticated(detail, code=code, hint=_HINT)
