"""OIDC tokens: ID tokens and JWT access tokens of a configured issuer (OIDC Core §3.1.3.7, RFC 9068 §4).

1 alg from the provider's allow-list; typ JWT, at+jwt or none     4 iss is the provider, exactly
2 key by kid from the issuer's JWKS (jwks.py); no other source    5 aud holds the configured audience
3 the signature                                                  6 exp; iat; nbf where present
                                                                 7 every required claim
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flyball.identity import jose
from flyball.identity.jwks import IssuerKeys, check_url
from flyball.identity.principal import Principal, oidc_principal
from flyball.identity.token_checks import bound_key, check_audience, check_times, malformed
from flyball.kernel.clock import Clock
from flyball.kernel.errors import ConfigError, Unauthenticated
from flyball.kernel.json import Json

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class OidcProviderConfig:
    """One OIDC issuer that may vouch for agents.

    Attributes:
        issuer: its identifier, exactly as it stands in `iss`; https (http only on loopback, see below).
        audience: what must stand in `aud`; normally this Flyball's issuer.
        required_claims: claim → the value, or one of the values, that it must have. A claim that is
            a list must hold one of them.
        algorithms: the allow-list for `alg`.
        allow_http_loopback: permit http to a loopback address: tests and development only.

    Raises:
        ConfigError: `oidc_config`.
    """

    issuer: str
    audience: str
    required_claims: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    algorithms: frozenset[str] = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
    allow_http_loopback: bool = False

    def __post_init__(self) -> None:
        check_url(self.issuer, allow_http_loopback=self.allow_http_loopback)
        if "?" in self.issuer or "#" in self.issuer or not self.issuer.isascii() or not self.issuer.isprintable():
            raise ConfigError("an OIDC issuer has no query and no fragment", code="oidc_config")
        if not self.audience:
            raise ConfigError("an OIDC provider needs an audience", code="oidc_config")
        if not self.algorithms or not self.algorithms <= ALGORITHMS:
            raise ConfigError(
                "an OIDC provider's algorithms are outside the asymmetric ones",
                code="oidc_config",
                hint="choose from " + ", ".join(sorted(ALGORITHMS)),
            )


class OidcVerifier:
    """Verifies tokens of one issuer."""

    def __init__(self, config: OidcProviderConfig, *, keys: IssuerKeys, clock: Clock) -> None:
        self._config = config
        self._keys = keys
        self._clock = clock

    def verify(self, jws: jose.Jws) -> Principal:
        """The principal of an OIDC token (`Principal.key_thumbprint` still to be shown, where it is set).

        Raises:
            Unauthenticated: `token_…`, `oidc_…`.
            Unavailable: `oidc_keys_stale` where the issuer's keys could not be had for too long.
        """
        try:
            return self._verify(jws)
        except jose.JoseError as error:
            raise malformed(error) from error

    def _verify(self, jws: jose.Jws) -> Principal:
        config = self._config
        jose.check_header(jws, algs=config.algorithms)  # 1; other members are ignored, jku and x5u above all
        typ = jws.header.get("typ", "JWT")
        if not isinstance(typ, str) or typ.lower() not in TYPES:
            raise jose.JoseError("header_not_allowed", "the token's typ says that it is for another use")
        if jws.claims.get("iss") != config.issuer:  # 4, first for it costs nothing
            raise Unauthenticated("the token is by another issuer", code="oidc_issuer")
        check_audience(jws.claims, {config.audience})  # 5
        expires_ms = check_times(jws.claims, now_s=self._clock.wall_ms() / 1000)  # 6
        if "iat" not in jws.claims:
            raise jose.JoseError("claim_malformed", "the claim `iat` is missing")
        kid = jws.header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise jose.JoseError("header_not_allowed", "the token's kid is not text")
        if not self._keys.find(kid, jws.alg).verify(jws):  # 2, 3
            raise Unauthenticated("the token's signature is wrong", code="oidc_signature")
        for name, wanted in config.required_claims.items():  # 7
            if not _has(jws.claims.get(name), (wanted,) if isinstance(wanted, str) else wanted):
                raise Unauthenticated(
                    f"the token lacks what its provider's configuration requires of the claim `{name}`",
                    code="oidc_claim",
                )
        subject = jws.claims.get("sub")
        return oidc_principal(
            config.issuer,
            subject if isinstance(subject, str) else "",
            claims=jws.claims,
            expires_ms=expires_ms,
            key_thumbprint=bound_key(jws.claims),
        )


def _has(value: Json, wanted: tuple[str, ...]) -> bool:
    """Text by equality; a bool or whole number by its JSON text; a list by any of its members."""
    if isinstance(value, list):
        return any(_has(one, wanted) for one in value if not isinstance(one, list))
    if isinstance(value, bool):
        return ("true" if value else "false") in wanted
    if isinstance(value, int):
        return str(value) in wanted
    return isinstance(value, str) and value in wanted
