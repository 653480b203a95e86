"""What the identity tests share: keys, a trust bundle, and hands that forge tokens at will."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from flyball.identity import jose
from flyball.kernel.json import Json

NOW_S = 1_800_000_000  # FakeClock's own start
ISSUER = "https://flyball.test"
WORKLOAD = "spiffe://td.example/agent/refund"

EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
RSA_KEY = rsa.generate_private_key(65537, 2048)


def jwk(key: jose.PrivateKey, **members: Json) -> dict[str, Json]:
    """The key's public JWK with further members."""
    return {**jose.write_jwk(key.public_key()), **members}


def write_bundle(path: Path, *keys: Mapping[str, Json], **members: Json) -> Path:
    """Write a trust bundle."""
    path.write_text(json.dumps({"keys": [dict(key) for key in keys], **members}))
    return path


def svid_claims(**changes: Json) -> dict[str, Json]:
    """Good claims of a JWT-SVID, changed; a change to None takes the claim away."""
    claims: dict[str, Json] = {"sub": WORKLOAD, "aud": [ISSUER], "exp": NOW_S + 300, "iat": NOW_S}
    claims.update(changes)
    return {name: value for name, value in claims.items() if value is not None}


def svid_header(**changes: Json) -> dict[str, Json]:
    """A good header of a JWT-SVID, changed."""
    header: dict[str, Json] = {"alg": "ES256", "kid": "k1", "typ": "JWT"}
    header.update(changes)
    return {name: value for name, value in header.items() if value is not None}


def raw_token(header: str, claims: str, key: ec.EllipticCurvePrivateKey = EC_KEY) -> str:
    """A token over these very texts, signed with ES256: for JSON that no encoder would write."""
    message = f"{jose.b64u(header.encode())}.{jose.b64u(claims.encode())}"
    r, s = decode_dss_signature(key.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{message}.{jose.b64u(r.to_bytes(32) + s.to_bytes(32))}"
