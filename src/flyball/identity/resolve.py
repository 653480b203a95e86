"""From a token, or a Unix socket's peer, to a `Principal`: the right verifier for each token.

The token's own words choose only *which* source of trust it is held against; a token that chooses
wrongly fails there.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flyball.identity import jose
from flyball.identity.jwks import IssuerKeys
from flyball.identity.jwt_svid import JwtSvidVerifier
from flyball.identity.oidc import OidcProviderConfig, OidcVerifier
from flyball.identity.principal import Principal, peer_principal
from flyball.identity.spiffe_id import SpiffeId
from flyball.identity.token_checks import malformed
from flyball.identity.trust_bundle import BundleFile, TrustBundle
from flyball.identity.verifier import TokenVerifier
from flyball.kernel.clock import Clock
from flyball.kernel.errors import ConfigError, InvalidInput, Unauthenticated

Mode = Literal["development", "production"]


@dataclass(frozen=True, slots=True)
class IdentityConfig:
    """Whom this Flyball believes.

    Attributes:
        issuer: our own identifier, and the audience that JWT-SVIDs must name.
        trust_domains: SPIFFE trust domain → its trust bundle's file.
        oidc: OIDC providers, at most one for each issuer.
        mode: `production` refuses development trust domains.
        audiences: further names of ours that a JWT-SVID may be meant for.
    """

    issuer: str
    trust_domains: Mapping[str, Path] = field(default_factory=dict)
    oidc: tuple[OidcProviderConfig, ...] = ()
    mode: Mode = "production"
    audiences: tuple[str, ...] = ()


class Resolver:
    """Authenticates callers. Safe for many threads."""

    def __init__(self, config: IdentityConfig, *, clock: Clock) -> None:
        """Read every trust bundle; OIDC issuers are asked only when a token of theirs comes.

        Raises:
            ConfigError: a bundle or provider that cannot be used; `dev_in_production`.
        """
        if not config.issuer:
            raise ConfigError("identity needs an issuer: our own name, which tokens must be meant for")
        allow_dev = config.mode == "development"
        bundles = [BundleFile(name, path, allow_dev=allow_dev) for name, path in config.trust_domains.items()]
        self._bundles = {bundle.trust_domain: bundle for bundle in bundles}
        if len(self._bundles) != len(bundles):
            raise ConfigError("a trust domain is configured twice")
        self._svid = JwtSvidVerifier(self._bundle, audiences=(config.issuer, *config.audiences), clock=clock)
        self._keys: dict[str, IssuerKeys] = {}
        self._oidc: dict[str, OidcVerifier] = {}
        for provider in config.oidc:
            if provider.issuer in self._oidc:
                raise ConfigError("an OIDC issuer is configured twice", code="oidc_config")
            if provider.allow_http_loopback and not allow_dev:
                raise ConfigError("an OIDC issuer over http cannot be used in production", code="dev_in_production")
            keys = IssuerKeys(provider.issuer, clock=clock, allow_http_loopback=provider.allow_http_loopback)
            self._keys[provider.issuer] = keys
            self._oidc[provider.issuer] = OidcVerifier(provider, keys=keys, clock=clock)

    def authenticate(self, token: str, *, proof: str | None = None) -> Principal:
        """Whom a token proves.

        Args:
            token: a JWT-SVID or OIDC token, without its `Authorization` scheme.
            proof: thumbprint of the key of the request's verified DPoP proof, if it came with one.
                Demanded where the token is bound to a key.

        Raises:
            Unauthenticated: `token_…`, `svid_…`, `oidc_…`.
            Unavailable: `oidc_keys_stale`.
        """
        try:
            jws = jose.parse(token)
        except jose.JoseError as error:
            raise malformed(error) from error
        principal = self._choose(jws).verify(jws)
        bound = principal.key_thumbprint
        if bound is not None and (proof is None or not hmac.compare_digest(proof.encode(), bound.encode())):
            raise Unauthenticated(
                "the token is bound to a key that was not shown",
                code="token_unproved",
                hint="send a DPoP proof by the key that the token is bound to",
            )
        return principal

    def authenticate_peer(self, uid: int) -> Principal:
        """Whom a Unix socket's peer proves: the user that the kernel says it is (SO_PEERCRED)."""
        return peer_principal(uid)

    def problems(self) -> dict[str, str]:
        """Sources of trust that are in trouble: trust domain or issuer → what is wrong. For `status`."""
        found = {f"spiffe://{name}": bundle.problem for name, bundle in self._bundles.items()}
        found.update((issuer, keys.problem) for issuer, keys in self._keys.items())
        return {name: problem for name, problem in found.items() if problem}

    def _bundle(self, trust_domain: str) -> TrustBundle | None:
        file = self._bundles.get(trust_domain)
        return file.current() if file is not None else None

    def _choose(self, jws: jose.Jws) -> TokenVerifier:
        sub, iss = jws.claims.get("sub"), jws.claims.get("iss")
        if isinstance(sub, str) and sub.startswith("spiffe://"):
            try:
                if SpiffeId.parse(sub).trust_domain in self._bundles:
                    return self._svid
            except InvalidInput as error:
                raise Unauthenticated(f"the SVID's subject: {error.detail}", code="svid_subject") from error
        verifier = self._oidc.get(iss) if isinstance(iss, str) else None
        if verifier is None:
            raise Unauthenticated(
                "the token is by nobody whom this Flyball believes",
                code="token_issuer_unknown",
                hint="configure its trust domain's bundle, or its OIDC issuer",
            )
        return verifier
