"""JWT-SVIDs, verified by the whole of JWT-SVID.md.

1 compact JWS within 8 KiB             5 the bundle of that trust domain, else untrusted
2 header holds alg, kid, typ only      6 a key of it with use=jwt-svid, by kid where one is given
3 alg is one of nine, typ JWT or JOSE  7 the signature
4 sub is a SPIFFE ID with a path       8 aud holds our identifier; exp, nbf, iat
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from flyball.identity import jose
from flyball.identity.principal import Principal, spiffe_principal
from flyball.identity.spiffe_id import SpiffeId
from flyball.identity.token_checks import bound_key, check_audience, check_times, malformed
from flyball.identity.trust_bundle import TrustBundle
from flyball.kernel.clock import Clock
from flyball.kernel.errors import InvalidInput, Unauthenticated

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"})
MAX_BYTES = 8192
_HEADER = frozenset({"alg", "kid", "typ"})
_TYPES = frozenset({"JWT", "JOSE"})
_TRIED = 8
"""Keys that are tried for a token without `kid`; a bundle seldom holds more than two."""


class JwtSvidVerifier:
    """Verifies JWT-SVIDs of every trust domain that `bundle_of` knows."""

    def __init__(
        self, bundle_of: Callable[[str], TrustBundle | None], *, audiences: Collection[str], clock: Clock
    ) -> None:
        """`audiences` are our own identifiers; `bundle_of` gives the bundle in force for a trust domain's name.

        Raises:
            ValueError: no audience is given; every token would be refused, or worse, one day accepted.
        """
        if not audiences or not all(audiences):
            raise ValueError("a JWT-SVID verifier needs its own identifier as audience")
        self._bundle_of = bundle_of
        self._audiences = frozenset(audiences)
        self._clock = clock

    def verify(self, jws: jose.Jws) -> Principal:
        """The principal of a JWT-SVID (`Principal.key_thumbprint` still to be shown, where it is set).

        Raises:
            Unauthenticated: `token_…`, `svid_…`.
        """
        try:
            return self._verify(jws)
        except jose.JoseError as error:
            raise malformed(error) from error

    def _verify(self, jws: jose.Jws) -> Principal:
        if len(jws.signing_input) + len(jws.signature) * 4 // 3 + 1 > MAX_BYTES:
            raise jose.JoseError("too_large", f"a JWT-SVID is longer than {MAX_BYTES} bytes")
        jose.check_header(jws, algs=ALGORITHMS, members=_HEADER)
        if "typ" in jws.header and jws.header["typ"] not in _TYPES:
            raise jose.JoseError("header_not_allowed", "a JWT-SVID's typ is neither JWT nor JOSE")
        subject = _subject(jws)
        bundle = self._bundle_of(subject.trust_domain)
        if bundle is None or not bundle.jwt_keys:
            raise Unauthenticated(
                "the SVID's trust domain is not trusted here, or has no key left",
                code="svid_untrusted",
                hint="add the trust domain's bundle to the configuration",
            )
        if not any(jwk.verify(jws) for jwk in _keys(jws, bundle)):
            raise Unauthenticated("the SVID's signature is wrong", code="svid_signature")
        check_audience(jws.claims, self._audiences)
        expires_ms = check_times(jws.claims, now_s=self._clock.wall_ms() / 1000)
        return spiffe_principal(subject, claims=jws.claims, expires_ms=expires_ms, key_thumbprint=bound_key(jws.claims))


def _subject(jws: jose.Jws) -> SpiffeId:
    sub = jws.claims.get("sub")
    try:
        return SpiffeId.parse_workload(sub if isinstance(sub, str) else "")
    except InvalidInput as error:
        raise Unauthenticated(f"the SVID's subject: {error.detail}", code="svid_subject") from error


def _keys(jws: jose.Jws, bundle: TrustBundle) -> tuple[jose.Jwk, ...]:
    """The keys that may have signed: the one named by `kid`, or those of the algorithm where none is named."""
    if "kid" in jws.header:
        kid = jws.header["kid"]
        jwk = bundle.jwt_keys.get(kid) if isinstance(kid, str) else None
        if jwk is None:
            raise Unauthenticated(
                "the SVID names a key that its trust domain's bundle does not hold",
                code="svid_key_unknown",
                hint="refresh the trust bundle",
            )
        return (jwk,)
    fitting = tuple(jwk for jwk in bundle.jwt_keys.values() if jws.alg in jwk.algs)
    if len(fitting) > _TRIED:
        raise Unauthenticated("the SVID names no key, and there are many", code="svid_key_unknown")
    return fitting
