"""The development trust domain: an issuer of JWT-SVIDs for demo and tests, in one folder.

Its bundle is marked and its key ids start with `flyball-dev-`; a production configuration refuses
either (trust_bundle.py), and `refuse_production` keeps the issuer itself from running there.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from flyball.identity import jose
from flyball.identity.spiffe_id import SpiffeId, trust_domain_name
from flyball.identity.trust_bundle import DEV_KID, DEV_MARK
from flyball.kernel.clock import Clock
from flyball.kernel.errors import ConfigError, InvalidInput
from flyball.kernel.json import Json, canonical
from flyball.kernel.private_files import private_dir, read_pem, write_pem, write_private

DEFAULT_TRUST_DOMAIN = "flyball.dev"
MAX_TTL_S = 24 * 3600


def refuse_production(mode: str) -> None:
    """Refuse to act as an issuer under anything but a development configuration.

    Raises:
        ConfigError: `dev_in_production`.
    """
    if mode != "development":
        raise ConfigError(
            "the development trust domain does not run under a production configuration",
            code="dev_in_production",
            hint="use a real SPIFFE issuer (SPIRE), or set the mode to development",
        )


class DevDomain:
    """A trust domain whose key lies in a folder (0700; the key 0600; `bundle.json` may be read by all)."""

    def __init__(self, trust_domain: str, key: ec.EllipticCurvePrivateKey, directory: Path, clock: Clock) -> None:
        self._trust_domain = trust_domain
        self._key = key
        self._directory = directory
        self._clock = clock
        self._kid = DEV_KID + jose.thumbprint(key.public_key())[:16]

    @classmethod
    def open(cls, directory: Path, *, mode: str, clock: Clock, trust_domain: str = DEFAULT_TRUST_DOMAIN) -> DevDomain:
        """The domain kept in `directory`, made with a fresh ES256 key where there is none.

        Raises:
            ConfigError: `dev_in_production`, `key_file`.
            InvalidInput: `spiffe_id` for a bad trust domain name.
        """
        refuse_production(mode)
        name = trust_domain_name(trust_domain)
        private_dir(directory)
        path = directory / "key.pem"
        if not path.exists():
            write_pem(path, ec.generate_private_key(ec.SECP256R1()))
        key = read_pem(path)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ConfigError(f"{path} is not a P-256 key", code="key_file", hint="delete it to make a new one")
        domain = cls(name, key, directory, clock)
        domain._write_bundle()
        return domain

    @property
    def trust_domain(self) -> str:
        """The trust domain's name."""
        return self._trust_domain

    @property
    def bundle_path(self) -> Path:
        """The trust bundle's file, to be named in the configuration."""
        return self._directory / "bundle.json"

    def issue(
        self,
        spiffe_id: str,
        audience: str | Sequence[str],
        *,
        ttl_s: int = 300,
        instance: str = "",
        claims: Mapping[str, Json] | None = None,
    ) -> str:
        """A JWT-SVID (ES256) for a workload of this domain.

        Args:
            spiffe_id: the workload, `spiffe://<this domain>/…`.
            audience: whom it is for: normally Flyball's issuer.
            ttl_s: seconds of life, at most a day.
            instance: which running instance it is (claim `instance`); a new one each time where none is given.
            claims: further ones, such as a voucher's `inputs` or `call`. None may stand for one of the token's own.

        Raises:
            InvalidInput: `spiffe_id`, `ttl`, `audience`, `claims`.
        """
        subject = SpiffeId.parse_workload(spiffe_id)
        if not subject.member_of(self._trust_domain):
            raise InvalidInput(f"{subject} is not in trust domain {self._trust_domain}", code="spiffe_id")
        if not 0 < ttl_s <= MAX_TTL_S:
            raise InvalidInput(f"a lifetime is 1 to {MAX_TTL_S} seconds", code="ttl")
        aud: list[Json] = [audience] if isinstance(audience, str) else list(audience)
        if not aud or not all(aud):
            raise InvalidInput("an SVID needs an audience", code="audience")
        now = self._clock.wall_ms() // 1000
        header: dict[str, Json] = {"alg": "ES256", "kid": self._kid, "typ": "JWT"}
        own: dict[str, Json] = {
            "sub": str(subject),
            "aud": aud,
            "iat": now,
            "exp": now + ttl_s,
            "jti": secrets.token_hex(16),
            "instance": instance or secrets.token_hex(8),
        }
        clash = sorted(own.keys() & (claims or {}).keys())
        if clash:
            raise InvalidInput(f"the claim {clash[0]!r} is the token's own", code="claims")
        return jose.sign(header, {**own, **(claims or {})}, self._key)

    def _write_bundle(self) -> None:
        member: dict[str, Json] = {**jose.write_jwk(self._key.public_key()), "kid": self._kid, "use": "jwt-svid"}
        bundle: dict[str, Json] = {DEV_MARK: True, "spiffe_sequence": 1, "spiffe_refresh_hint": 300, "keys": [member]}
        data = canonical(bundle)
        # Untouched where it already says so: a second `open` must look like no change to those who watch it.
        if not self.bundle_path.exists() or self.bundle_path.read_bytes() != data:
            write_private(self.bundle_path, data, mode=0o644)
