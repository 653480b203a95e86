"""Our own keys: made at the first start, private, and their public halves written where offline checks find them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flyball.assembly import seal_command
from flyball.assembly.config import Config
from flyball.audit.checkpoint import NoteSigner
from flyball.credential.seal import FileKey, Sealer
from flyball.identity import jose
from flyball.identity.token_keys import TokenKeys
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json, canonical
from flyball.kernel.private_files import make_dir, private_dir, read_pem, read_private, write_pem, write_private
from flyball.revocation.receipts import ReceiptSigner


@dataclass(frozen=True, slots=True)
class Keys:
    """What this Flyball signs and seals with."""

    tokens: TokenKeys
    receipts: ReceiptSigner
    notes: NoteSigner
    sealer: Sealer
    deployment: bytes

    def public(self, issuer: str) -> dict[str, Json]:
        """All that a verifier needs: receipts by JWK Set, checkpoints by note verifier key."""
        jwk = {**jose.write_jwk(self.receipts.public), "kid": self.receipts.keyid, "use": "sig", "alg": "EdDSA"}
        return {
            "issuer": issuer,
            "receipt_keys": {"keys": [jwk]},
            "checkpoint_keys": [str(self.notes.verifier())],
        }


def open_keys(config: Config) -> Keys:
    """The keys in the configured folder, made where they are missing.

    Raises:
        ConfigError: a key file that is open to others, or is not what it should be; or the command that is to give
            the sealing key gives none.
    """
    folder = config.keys_dir
    private_dir(folder)
    keys = Keys(
        tokens=TokenKeys.open(folder / "tokens"),
        receipts=ReceiptSigner(_ed25519(folder / "receipts.pem")),
        notes=NoteSigner(f"{config.issuer}/chain", _ed25519(folder / "checkpoints.pem")),
        sealer=Sealer(_sealing_key(config)),
        deployment=_raw(folder / "deployment.key"),
    )
    _publish(config.public_keys, keys.public(config.issuer))
    return keys


def _sealing_key(config: Config) -> FileKey:
    if config.seal.command:
        return seal_command.run(config.seal)
    make_dir(config.seal_key.parent)
    return FileKey.read_or_make(config.seal_key)


def _ed25519(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        write_pem(path, Ed25519PrivateKey.generate())
    key = read_pem(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is not an Ed25519 key", code="key_file")
    return key


def _raw(path: Path) -> bytes:
    if not path.exists():
        write_private(path, secrets.token_bytes(32))
    key = read_private(path)
    if len(key) != 32:
        raise ConfigError(f"{path} does not hold 32 bytes", code="key_file")
    return key


def _publish(path: Path, document: dict[str, Json]) -> None:
    data = canonical(document) + b"\n"
    if not path.exists() or path.read_bytes() != data:
        make_dir(path.parent)
        write_private(path, data, mode=0o644)
