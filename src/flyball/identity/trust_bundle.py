"""Trust bundles: whom we believe for a SPIFFE trust domain (SPIFFE Trust Domain and Bundle, §4).

A bundle is a JWK Set. It names no trust domain, so the pairing is the configuration's; a bundle
map (`{"trust_domains": {name: bundle}}`) brings it along. The file is looked at on every use and
read again when it changed; one that cannot be used leaves the one before in force, and says so.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from flyball.identity import jose
from flyball.identity.spiffe_id import trust_domain_name
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json

MAX_BYTES = 1 << 20
MAX_KEYS = 256
DEV_MARK = "flyball_dev"
DEV_KID = "flyball-dev-"
"""How a development bundle is known: by its mark, and by its keys should the mark be lost."""


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The usable keys of one trust domain.

    Attributes:
        trust_domain: its name.
        jwt_keys: keys for JWT-SVIDs by `kid`. Empty: every JWT-SVID of the domain is untrusted.
        x509_authorities: CA certificates for X.509-SVIDs, DER.
        sequence: `spiffe_sequence`, None where it is absent.
        dev: whether it is a development bundle, which production refuses.
    """

    trust_domain: str
    jwt_keys: Mapping[str, jose.Jwk]
    x509_authorities: tuple[bytes, ...]
    sequence: int | None
    dev: bool


def parse_bundle(trust_domain: str, data: bytes) -> TrustBundle:
    """Read a bundle, or this trust domain's entry of a bundle map.

    Keys of an unknown `kty` or `use`, or without `use`, are left out, as the standard asks.
    Anything else that is wrong refuses the whole bundle: half a bundle is not what was signed off.

    Raises:
        ConfigError: `trust_bundle`.
    """
    name = trust_domain_name(trust_domain)
    if len(data) > MAX_BYTES:
        raise _refused(name, f"it is larger than {MAX_BYTES} bytes")
    try:
        document = jose.json_object(data)
    except jose.JoseError as error:
        raise _refused(name, error.detail) from error
    if "trust_domains" in document:
        domains = document["trust_domains"]
        entry = domains.get(name) if isinstance(domains, dict) else None
        if not isinstance(entry, dict):
            raise _refused(name, "the bundle map has no entry for it")
        document = {**entry, DEV_MARK: entry.get(DEV_MARK, False) or document.get(DEV_MARK, False)}
    return _read(name, document)


def _read(name: str, document: Mapping[str, Json]) -> TrustBundle:
    keys, sequence = document.get("keys"), document.get("spiffe_sequence")
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise _refused(name, f"`keys` is not a list of at most {MAX_KEYS}")
    if sequence is not None and (isinstance(sequence, bool) or not isinstance(sequence, int) or sequence < 0):
        raise _refused(name, "`spiffe_sequence` is not a natural number")
    jwt_keys: dict[str, jose.Jwk] = {}
    authorities: list[bytes] = []
    for member in keys:
        if not isinstance(member, dict):
            raise _refused(name, "a key is not an object")
        if member.get("use") == "jwt-svid":
            jwk = _jwt_key(name, member)
            if jwk is not None and jwk.kid in jwt_keys:
                raise _refused(name, "two keys share a `kid`")
            if jwk is not None:
                jwt_keys[jwk.kid] = jwk
        elif member.get("use") == "x509-svid":
            authorities.append(_authority(name, member))
    dev = document.get(DEV_MARK, False) is not False or any(kid.startswith(DEV_KID) for kid in jwt_keys)
    return TrustBundle(name, MappingProxyType(jwt_keys), tuple(authorities), sequence, dev)


def _jwt_key(name: str, member: Mapping[str, Json]) -> jose.Jwk | None:
    try:
        jwk = jose.read_jwk(member)
    except jose.JoseError as error:
        if error.code == "key_unsupported":
            return None
        raise _refused(name, error.detail) from error
    if not jwk.kid:
        raise _refused(name, "a jwt-svid key has no `kid`")
    return jwk


def _authority(name: str, member: Mapping[str, Json]) -> bytes:
    chain = member.get("x5c")
    first = chain[0] if isinstance(chain, list) and len(chain) == 1 else None
    if not isinstance(first, str):
        raise _refused(name, "an x509-svid key has not exactly one certificate in `x5c`")
    try:
        return base64.b64decode(first, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(name, "an x509-svid key's certificate is not base64") from error


class BundleFile:
    """A trust domain's bundle in a file, read again whenever the file changed. Safe for many threads.

    A changed file that cannot be used (malformed, a lower sequence, a development bundle under
    production, gone) leaves the last good bundle in force; `problem` then says what is wrong.
    """

    def __init__(self, trust_domain: str, path: Path, *, allow_dev: bool) -> None:
        """Read the file for the first time.

        Raises:
            ConfigError: `trust_bundle`, `dev_in_production`.
        """
        self._trust_domain = trust_domain_name(trust_domain)
        self._path = path
        self._allow_dev = allow_dev
        self._lock = threading.Lock()
        self._problem = ""
        self._stamp, self._bundle = self._load(None)

    @property
    def trust_domain(self) -> str:
        """The trust domain's name."""
        return self._trust_domain

    @property
    def problem(self) -> str:
        """What is wrong with the file as it stands, or empty. For `status`."""
        return self._problem

    def current(self) -> TrustBundle:
        """The bundle in force. Never raises: see the class's text."""
        stamp = self._look()
        if stamp != self._stamp:
            with self._lock:
                if stamp != self._stamp:
                    self._reload(stamp)
        return self._bundle

    def _look(self) -> tuple[int, ...]:
        try:
            return _stamp(self._path.stat())
        except OSError:
            return ()

    def _reload(self, seen: tuple[int, ...]) -> None:
        try:
            self._stamp, self._bundle = self._load(self._bundle)
            self._problem = ""
        except ConfigError as error:
            self._stamp = seen  # the next change is looked at again, this one is settled
            self._problem = error.detail

    def _load(self, before: TrustBundle | None) -> tuple[tuple[int, ...], TrustBundle]:
        name = self._trust_domain
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise _refused(name, f"{self._path} cannot be read") from error
        if stat.S_IMODE(found.st_mode) & stat.S_IWOTH:
            raise _refused(name, f"{self._path} may be written by anybody")
        bundle = parse_bundle(name, data)
        if bundle.dev and not self._allow_dev:
            raise ConfigError(
                f"trust domain {name} is a development domain and cannot be used in production",
                code="dev_in_production",
                hint="name the trust bundle of a real SPIFFE issuer, or set the mode to development",
            )
        if before is not None and (bundle.sequence or 0) < (before.sequence or 0):
            raise _refused(name, "its sequence went back: an older bundle does not replace a newer one")
        return _stamp(found), bundle


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev, found.st_size)


def _refused(name: str, why: str) -> ConfigError:
    return ConfigError(f"the trust bundle of {name} cannot be used: {why}", code="trust_bundle")
