"""The keys that sign task tokens: one current, and the previous ones until their tokens have run out.

Kept in a directory (0700, files 0600) so that a restart ends no healthy task.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flyball.identity import jose
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json
from flyball.kernel.private_files import private_dir, read_pem, write_pem

_NAME = re.compile(r"token-(\d{15})\.pem")


class TokenKeys:
    """Signing keys for task tokens. Safe for many threads.

    After `rotate` the new key signs; the one before verifies until `retire` (or the next rotation
    but one: at most `KEEP` previous keys are held). Rotate no faster than tokens run out.
    """

    KEEP = 2

    def __init__(self, current: Ed25519PrivateKey, previous: tuple[Ed25519PrivateKey, ...] = ()) -> None:
        """Keys in memory. `previous` is newest first."""
        self._lock = threading.Lock()
        self._directory: Path | None = None
        self._files: list[Path] = []
        self._set(current, previous)

    @classmethod
    def generate(cls) -> TokenKeys:
        """A fresh key, in memory only (tests; a node without state)."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def open(cls, directory: Path) -> TokenKeys:
        """The keys kept in `directory`, which is made with a first key where it is missing.

        Raises:
            ConfigError: `key_file` where the directory or a file is open to others, or no Ed25519 key.
        """
        private_dir(directory)
        files = sorted((path for path in directory.iterdir() if _NAME.fullmatch(path.name)), reverse=True)
        if not files:
            files = [directory / "token-000000000000001.pem"]
            write_pem(files[0], Ed25519PrivateKey.generate())
        held = [_ed25519(path) for path in files[: cls.KEEP + 1]]
        keys = cls(held[0], tuple(held[1:]))
        keys._directory, keys._files = directory, files
        return keys

    def rotate(self) -> str:
        """Sign with a new key from now on; return its id. The key file is durable before the switch."""
        fresh = Ed25519PrivateKey.generate()
        with self._lock:
            if self._directory is not None:
                match = _NAME.fullmatch(self._files[0].name)
                path = self._directory / f"token-{int(match.group(1) if match else 0) + 1:015d}.pem"
                write_pem(path, fresh)
                self._files.insert(0, path)
                while len(self._files) > self.KEEP + 1:
                    self._files.pop().unlink(missing_ok=True)
            self._set(fresh, (self._current, *self._previous)[: self.KEEP])
            return self._kid

    def retire(self) -> None:
        """Forget all previous keys: tokens that they signed are refused from now on."""
        with self._lock:
            for path in self._files[1:]:
                path.unlink(missing_ok=True)
            del self._files[1:]
            self._set(self._current, ())

    def signer(self) -> tuple[str, Ed25519PrivateKey]:
        """The current key's id (its RFC 7638 thumbprint) and the key."""
        with self._lock:
            return self._kid, self._current

    def find(self, kid: object) -> jose.Jwk | None:
        """The public key with this id, or None."""
        return self._public.get(kid) if isinstance(kid, str) else None

    def jwks(self) -> dict[str, Json]:
        """The public keys as a JWK Set (RFC 7517 §5), current first."""
        return {
            "keys": [
                {**jose.write_jwk(jwk.key), "kid": kid, "use": "sig", "alg": "EdDSA"}
                for kid, jwk in self._public.items()
            ]
        }

    def edge_keys(self) -> list[Json]:
        """The public keys as the decision plane's edge takes them: `[{"kid","x"}]`, current first."""
        return [{"kid": kid, "x": jose.write_jwk(jwk.key)["x"]} for kid, jwk in self._public.items()]

    def _set(self, current: Ed25519PrivateKey, previous: tuple[Ed25519PrivateKey, ...]) -> None:
        self._current, self._previous = current, previous
        found: dict[str, jose.Jwk] = {}
        for key in (current, *previous):
            public = key.public_key()
            kid = jose.thumbprint(public)
            found[kid] = jose.Jwk(public, kid, frozenset({"EdDSA"}), kid=kid)
        self._kid = jose.thumbprint(current.public_key())
        self._public: Mapping[str, jose.Jwk] = found  # replaced whole, so that `find` needs no lock


def _ed25519(path: Path) -> Ed25519PrivateKey:
    key = read_pem(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("a task-token key is not an Ed25519 key", code="key_file", hint=f"look at {path}")
    return key
