"""Whom this Flyball believes: the bundle's `identity`, with paths and modes from the configuration."""

from __future__ import annotations

from pathlib import Path

from flyball.assembly.config import Config
from flyball.identity.oidc import OidcProviderConfig
from flyball.identity.resolve import IdentityConfig
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle


def dev_domains(bundle: Bundle) -> frozenset[str]:
    """The trust domains that the bundle marks as development ones."""
    domains = bundle.identity.get("trust_domains")
    if not isinstance(domains, dict):
        return frozenset()
    return frozenset(name for name, said in domains.items() if isinstance(said, dict) and said.get("dev") is True)


def identity_config(config: Config, bundle: Bundle) -> IdentityConfig:
    """Trust bundles by path, OIDC providers as declared.

    Raises:
        ConfigError: a trust domain with no bundle file, or a provider that lacks a field.
    """
    dev = dev_domains(bundle)
    domains: dict[str, Path] = {}
    declared = bundle.identity.get("trust_domains")
    for name, said in declared.items() if isinstance(declared, dict) else ():
        if name in dev:
            domains[name] = config.dev.dir / "bundle.json"
            if not domains[name].exists():
                raise ConfigError(
                    f"the development trust domain {name} has no keys yet",
                    code="dev_missing",
                    hint="run `flyball dev init` first",
                )
            continue
        file = said.get("bundle") if isinstance(said, dict) else None
        if not isinstance(file, str):
            raise ConfigError(f"trust domain {name} names no bundle file", hint="identity.trust_domains.<name>.bundle")
        domains[name] = config.bundle / file
    listed = bundle.identity.get("oidc")
    providers = tuple(_provider(said) for said in listed) if isinstance(listed, list) else ()
    return IdentityConfig(
        issuer=config.issuer,
        trust_domains=domains,
        oidc=providers,
        mode="development" if config.mode == "dev" else "production",
    )


def _provider(said: Json) -> OidcProviderConfig:
    if (
        not isinstance(said, dict)
        or not isinstance(said.get("issuer"), str)
        or not isinstance(said.get("audience"), str)
    ):
        raise ConfigError("an OIDC provider needs `issuer` and `audience`", code="oidc_config")
    required = said.get("required_claims")
    claims = {str(k): str(v) for k, v in required.items()} if isinstance(required, dict) else {}
    return OidcProviderConfig(
        issuer=str(said["issuer"]),
        audience=str(said["audience"]),
        required_claims=claims,
        allow_http_loopback=said.get("allow_http_loopback") is True,
    )
