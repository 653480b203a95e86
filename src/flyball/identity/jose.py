"""One strict reader and writer of compact JWS (RFC 7515, 7517, 7518, 7638, 8037).

Every token that enters Flyball is read here, so that there is one place to be strict in:
canonical base64url only, no duplicate JSON members, bounded sizes, the algorithm from the
caller's allow-list. The cryptography is pyca/cryptography's. Why no JOSE library stands here:
docs/adr/one-strict-jose-reader.md; the tests check this file against joserfc in both directions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flyball.kernel.json import Json

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

MAX_TOKEN = 16_384
"""Bytes of one token, whatever its kind; callers may ask for less."""

_RSA_BITS = range(2048, 8193)
_B64U = re.compile(r"[A-Za-z0-9_-]*")
_HASHES: Mapping[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: Mapping[str, tuple[str, ec.EllipticCurve, int]] = {
    "P-256": ("ES256", ec.SECP256R1(), 32),
    "P-384": ("ES384", ec.SECP384R1(), 48),
    "P-521": ("ES512", ec.SECP521R1(), 66),
}
_RSA_ALGS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class JoseError(ValueError):
    """A token or key that cannot be used. `code` is stable; the text never repeats the input."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Jws:
    """A compact JWS taken apart and *not yet verified*. `claims` is its payload as a JSON object."""

    header: Mapping[str, Json]
    claims: Mapping[str, Json]
    signing_input: bytes
    signature: bytes

    @property
    def alg(self) -> str:
        """The header's `alg`, as text (empty where it is absent or no text)."""
        alg = self.header.get("alg")
        return alg if isinstance(alg, str) else ""


@dataclass(frozen=True, slots=True)
class Jwk:
    """A public key that was read from a JWK. `algs` are the algorithms it may verify."""

    key: PublicKey
    thumbprint: str
    algs: frozenset[str]
    kid: str = ""
    use: str = ""

    def verify(self, jws: Jws) -> bool:
        """Whether `jws` was signed with this key under the algorithm that its header names."""
        if jws.alg not in self.algs:
            return False
        return _verify(self.key, jws.alg, jws.signing_input, jws.signature)


def b64u(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64u_decode(text: str) -> bytes:
    """Strict base64url: no padding, no white space, no stray bits in the last character.

    Raises:
        JoseError: `malformed`.
    """
    if _B64U.fullmatch(text) is None or len(text) % 4 == 1:
        raise JoseError("malformed", "a part is not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:  # pragma: no cover - the pattern above excludes it
        raise JoseError("malformed", "a part is not base64url") from error
    if b64u(data) != text:  # two spellings of one value would let a mangled token verify
        raise JoseError("malformed", "a part is not canonical base64url")
    return data


def json_object(data: bytes) -> dict[str, Json]:
    """A JSON object, read strictly: UTF-8, no duplicate members, finite numbers, bounded nesting.

    Raises:
        JoseError: `malformed`.
    """
    try:
        value: Json = json.loads(
            data.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise JoseError("malformed", "not a JSON object, or one with duplicate members") from error
    if not isinstance(value, dict):
        raise JoseError("malformed", "not a JSON object")
    return value


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate member")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def parse(token: str, *, max_bytes: int = MAX_TOKEN) -> Jws:
    """Take a compact JWS apart. Nothing in the result is trusted until a key has verified it.

    Raises:
        JoseError: `too_large`, `malformed`.
    """
    if len(token) > max_bytes:
        raise JoseError("too_large", f"the token is longer than {max_bytes} bytes")
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise JoseError("malformed", "not a compact JWS of three parts")
    header = json_object(b64u_decode(parts[0]))
    claims = json_object(b64u_decode(parts[1]))
    return Jws(header, claims, f"{parts[0]}.{parts[1]}".encode("ascii"), b64u_decode(parts[2]))


def check_header(jws: Jws, *, algs: Collection[str], members: Collection[str] | None = None) -> None:
    """Refuse a header before any cryptography is done.

    `crit` is always refused: Flyball knows no extension, and RFC 7515 §4.1.11 says that who does
    not understand one must not accept. `members` is the list of members that may stand, None for any.

    Raises:
        JoseError: `alg_not_allowed`, `header_not_allowed`.
    """
    if jws.alg not in algs:
        raise JoseError("alg_not_allowed", "the token's algorithm is not allowed here")
    if "crit" in jws.header or (members is not None and not set(jws.header) <= set(members)):
        raise JoseError("header_not_allowed", "the token's header holds a member that is not allowed")


def read_jwk(member: Mapping[str, Json]) -> Jwk:
    """Read a public JWK: RSA (2048 to 8192 bits), EC on P-256, P-384 or P-521, or Ed25519.

    A key that names its `alg` verifies only that one.

    Raises:
        JoseError: `key_unsupported` for a `kty` or `crv` that we do not know, `key_private` where
            a private part stands in it, `key_malformed` for the rest.
    """
    if _PRIVATE_MEMBERS & set(member) and member.get("kty") != "oct":
        raise JoseError("key_private", "a private key stands where a public one belongs")
    kty, crv = member.get("kty"), member.get("crv")
    if kty == "RSA":
        jwk = _read_rsa(member)
    elif kty == "EC" and isinstance(crv, str) and crv in _CURVES:
        jwk = _read_ec(member, crv)
    elif kty == "OKP" and crv == "Ed25519":
        jwk = _read_okp(member)
    else:
        raise JoseError("key_unsupported", "a key of a type that is not supported")
    algs = jwk.algs
    if "alg" in member:
        algs = algs & {member["alg"]} if isinstance(member["alg"], str) else frozenset()
    return Jwk(jwk.key, jwk.thumbprint, algs, kid=_text(member, "kid"), use=_text(member, "use"))


def _text(member: Mapping[str, Json], name: str) -> str:
    value = member.get(name, "")
    if not isinstance(value, str):
        raise JoseError("key_malformed", f"a key's `{name}` is not text")
    return value


def _part(member: Mapping[str, Json], name: str) -> bytes:
    text = _text(member, name)
    if not text:
        raise JoseError("key_malformed", f"a key has no `{name}`")
    return b64u_decode(text)


def _read_rsa(member: Mapping[str, Json]) -> Jwk:
    n, e = _part(member, "n"), _part(member, "e")
    number = int.from_bytes(n)
    if number.bit_length() not in _RSA_BITS or len(e) > 4:
        raise JoseError("key_malformed", "an RSA key outside 2048 to 8192 bits, or with an exponent over 32 bits")
    try:
        key = rsa.RSAPublicNumbers(int.from_bytes(e), number).public_key()
    except ValueError as error:
        raise JoseError("key_malformed", "not a valid RSA key") from error
    return Jwk(key, thumbprint(key), _RSA_ALGS)


def _read_ec(member: Mapping[str, Json], crv: str) -> Jwk:
    alg, curve, size = _CURVES[crv]
    x, y = _part(member, "x"), _part(member, "y")
    if len(x) != size or len(y) != size:
        raise JoseError("key_malformed", "an EC coordinate of the wrong length")
    try:
        key = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve).public_key()
    except ValueError as error:
        raise JoseError("key_malformed", "not a point on its curve") from error
    return Jwk(key, thumbprint(key), frozenset({alg}))


def _read_okp(member: Mapping[str, Json]) -> Jwk:
    x = _part(member, "x")
    if len(x) != 32:
        raise JoseError("key_malformed", "an Ed25519 key of the wrong length")
    key = ed25519.Ed25519PublicKey.from_public_bytes(x)
    return Jwk(key, thumbprint(key), frozenset({"EdDSA"}))


def write_jwk(key: PublicKey) -> dict[str, Json]:
    """The key as a public JWK with its required members only (those that a thumbprint covers)."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": b64u(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    if isinstance(key, rsa.RSAPublicKey):
        pair = key.public_numbers()
        return {"kty": "RSA", "n": b64u(_minimal(pair.n)), "e": b64u(_minimal(pair.e))}
    point = key.public_numbers()
    name, size = next((crv, width) for crv, (_, curve, width) in _CURVES.items() if curve.name == key.curve.name)
    return {"kty": "EC", "crv": name, "x": b64u(point.x.to_bytes(size)), "y": b64u(point.y.to_bytes(size))}


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def thumbprint(key: PublicKey) -> str:
    """The RFC 7638 SHA-256 thumbprint, base64url (43 characters)."""
    members = json.dumps(write_jwk(key), sort_keys=True, separators=(",", ":"))
    return b64u(hashlib.sha256(members.encode("ascii")).digest())


def sign(header: Mapping[str, Json], claims: Mapping[str, Json], key: PrivateKey) -> str:
    """A compact JWS. `header["alg"]` must be what the key can do (ES256/384/512, EdDSA, RS*/PS*).

    Raises:
        JoseError: `alg_not_allowed` where it is not.
    """
    alg = header.get("alg")
    head = b64u(json.dumps(dict(header), separators=(",", ":")).encode())
    body = b64u(json.dumps(dict(claims), separators=(",", ":"), allow_nan=False).encode())
    message = f"{head}.{body}".encode("ascii")
    if isinstance(key, ed25519.Ed25519PrivateKey) and alg == "EdDSA":
        signature = key.sign(message)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        name, size = next((name, width) for name, curve, width in _CURVES.values() if curve.name == key.curve.name)
        if alg != name:
            raise JoseError("alg_not_allowed", "the key cannot sign with that algorithm")
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(_HASHES[name[2:]])))
        signature = r.to_bytes(size) + s.to_bytes(size)
    elif isinstance(key, rsa.RSAPrivateKey) and isinstance(alg, str) and alg in _RSA_ALGS:
        signature = key.sign(message, _rsa_padding(alg), _HASHES[alg[2:]])
    else:
        raise JoseError("alg_not_allowed", "the key cannot sign with that algorithm")
    return f"{head}.{body}.{b64u(signature)}"


def _rsa_padding(alg: str) -> padding.PKCS1v15 | padding.PSS:
    if alg.startswith("RS"):
        return padding.PKCS1v15()
    digest = _HASHES[alg[2:]]
    return padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)


def _verify(key: PublicKey, alg: str, message: bytes, signature: bytes) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, _rsa_padding(alg), _HASHES[alg[2:]])
        else:
            size = (key.curve.key_size + 7) // 8
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(_HASHES[alg[2:]]))
    except InvalidSignature:
        return False
    return True


def number(claims: Mapping[str, Json], name: str) -> float | None:
    """A NumericDate claim in seconds, None where it is absent (RFC 7519 §2).

    Raises:
        JoseError: `claim_malformed` where it is no number (a bool is none) or out of range.
    """
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 43:
        raise JoseError("claim_malformed", f"the claim `{name}` is not a date")
    return value


def audiences(claims: Mapping[str, Json]) -> tuple[str, ...]:
    """The claim `aud` as a tuple; empty where it is absent or empty.

    Raises:
        JoseError: `claim_malformed` where it is neither text nor a list of at most 16 texts.
    """
    value = claims.get("aud")
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > 16:
        raise JoseError("claim_malformed", "the claim `aud` is neither text nor a short list of texts")
    found = tuple(one for one in listed if isinstance(one, str))
    if len(found) != len(listed):
        raise JoseError("claim_malformed", "the claim `aud` holds something that is not text")
    return found
