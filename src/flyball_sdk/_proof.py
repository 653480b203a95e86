"""The client's key and its DPoP proofs (RFC 9449 §4.2, ES256).

The key is made anew for every task and never leaves this process, so a task token that is
stolen is of no use without it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from flyball_sdk import _json


def b64u(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


class ProofKey:
    """A fresh P-256 key that signs one proof for each request."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        point = self._key.public_key().public_numbers()
        jwk = {"crv": "P-256", "kty": "EC", "x": b64u(point.x.to_bytes(32)), "y": b64u(point.y.to_bytes(32))}
        self.thumbprint = b64u(hashlib.sha256(_json.dumps(jwk)).digest())  # members are in RFC 7638 order
        self._header = b64u(_json.dumps({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}))

    def __repr__(self) -> str:
        return f"ProofKey({self.thumbprint})"

    def proof(self, method: str, url: str, *, iat_s: int, token: str | None) -> str:
        """A proof for one request to `url` (no query, no fragment), with `token`'s hash where one is sent."""
        claims: dict[str, str | int] = {"jti": b64u(secrets.token_bytes(16)), "htm": method, "htu": url, "iat": iat_s}
        if token is not None:
            claims["ath"] = b64u(hashlib.sha256(token.encode("ascii")).digest())
        message = f"{self._header}.{b64u(_json.dumps(claims))}".encode("ascii")
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256())))
        return f"{message.decode('ascii')}.{b64u(r.to_bytes(32) + s.to_bytes(32))}"
