"""SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it.

The verifier is computed here, so that a password is in no statement and no server log. The client's
half is here too, because a probe must know exactly how it was refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from flyball.plugin.v1 import Secret

ITERATIONS = 4096
_LEAST_ITERATIONS = 4096
_MOST_ITERATIONS = 1_000_000


class ScramError(Exception):
    """The server's half does not hold: it is malformed, or it does not know the verifier."""


def verifier(secret: Secret, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL stores for a password: `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = _salted(secret, salt, iterations)
    stored = hashlib.sha256(_mac(salted, b"Client Key")).digest()
    server = _mac(salted, b"Server Key")
    return f"SCRAM-SHA-256${iterations}:{_b64(salt)}${_b64(stored)}:{_b64(server)}"


class Exchange:
    """The client's side of one login. PostgreSQL ignores SCRAM's own user name; the startup message has it."""

    mechanism = "SCRAM-SHA-256"

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._nonce = secrets.token_urlsafe(18)
        self._bare = f"n=,r={self._nonce}"
        self._expected = b""

    def first(self) -> bytes:
        """The client's first message."""
        return f"n,,{self._bare}".encode()

    def final(self, server_first: bytes) -> bytes:
        """The client's proof, in answer to the server's first message.

        Raises:
            ScramError: the server's message is malformed, or its nonce is not ours continued.
        """
        try:
            text = server_first.decode("ascii")
            parts = dict(part.split("=", 1) for part in text.split(","))
            nonce, salt = parts["r"], base64.b64decode(parts["s"], validate=True)
            iterations = int(parts["i"])
        except (ValueError, KeyError) as error:
            raise ScramError("malformed") from error
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ScramError("another nonce")
        # Fewer iterations would let a false server brute-force what we send; more would keep us busy.
        if not _LEAST_ITERATIONS <= iterations <= _MOST_ITERATIONS:
            raise ScramError("iterations out of bounds")
        salted = _salted(self._secret, salt, iterations)
        client = _mac(salted, b"Client Key")
        without_proof = f"c=biws,r={nonce}"
        message = f"{self._bare},{text},{without_proof}".encode()
        signature = _mac(hashlib.sha256(client).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client, signature, strict=True))
        self._expected = _mac(_mac(salted, b"Server Key"), message)
        return f"{without_proof},p={_b64(proof)}".encode()

    def check(self, server_final: bytes) -> None:
        """See that the server knows the verifier too.

        Raises:
            ScramError: it does not.
        """
        given = server_final.removeprefix(b"v=").split(b",")[0]
        if not self._expected or not hmac.compare_digest(given, _b64(self._expected).encode()):
            raise ScramError("the server does not know the verifier")


def _salted(secret: Secret, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", secret.reveal().encode(), salt, iterations)


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
