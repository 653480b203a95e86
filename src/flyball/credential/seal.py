"""Sealing: what makes a stored secret, data key or argument unreadable without the deployment's key.

AES-256-GCM throughout. What is sealed is bound (as associated data) to what it belongs to, so a row
cannot be moved to another lease, task or record and still open.

The formats, which may never change (a new one takes a new first byte):

    by the deployment's key   0x01 ‖ key id[8] ‖ nonce[12] ‖ ciphertext and tag
    by a task's data key      0x01 ‖ nonce[12] ‖ ciphertext and tag

The second is shared with the decision plane, which takes nonces `be32(epoch) ‖ be64(counter)`; here
the first bit of the nonce is set and the other 95 are random, so the two never meet.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flyball.kernel.errors import ConfigError, FlyballError
from flyball.kernel.private_files import read_private, write_private

_VERSION = b"\x01"
_NONCE = 12
_TAG = 16
_KEY = 32
_KEY_ID = 8


class SealError(FlyballError):
    """What was sealed does not open: another key, another owner, or it was changed."""

    default_code = "cannot_open"


class KeyHolder(Protocol):
    """Who holds the deployment's key: this process (`FileKey`), or a service that is called for `seal` and `open`."""

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """Seal `plain` so that it opens only with the same `bound_to`."""
        ...

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """What `seal` sealed.

        Raises:
            SealError: another key, another `bound_to`, or it was changed.
        """
        ...


class FileKey:
    """The deployment's key, held in this process: one base64 line of 32 bytes for each key, newest first.

    It comes from a private file, or from a command that asks a key management service. The first
    line seals; every line opens. To rotate, put a new line on top; to retire an old key, remove its
    line once nothing is sealed under it any more.
    """

    def __init__(self, keys: list[bytes]) -> None:
        if not keys or any(len(key) != _KEY for key in keys):
            raise ConfigError("a sealing key is 32 bytes", code="sealing_key")
        self._current = self._id(keys[0])
        self._keys = {self._id(key): AESGCM(key) for key in keys}

    @staticmethod
    def _id(key: bytes) -> bytes:
        return hashlib.sha256(b"flyball-sealing-key-id\x00" + key).digest()[:_KEY_ID]

    def __repr__(self) -> str:
        return f"FileKey({self._current.hex()})"

    @classmethod
    def read(cls, path: Path) -> FileKey:
        """The key in a file that only its owner can read.

        Raises:
            ConfigError: it is missing, open to others, or holds something else.
        """
        return cls.parse(read_private(path), f"{path} holds no sealing key")

    @classmethod
    def parse(cls, data: bytes, otherwise: str) -> FileKey:
        """The keys in `data`.

        Raises:
            ConfigError: it holds something else; `otherwise` says so, and nothing quotes the data.
        """
        lines = [line.strip() for line in data.splitlines()]
        try:
            keys = [base64.b64decode(line, validate=True) for line in lines if line]
        except binascii.Error:
            keys = []
        if not keys or any(len(key) != _KEY for key in keys):
            raise ConfigError(otherwise, code="sealing_key", hint="32 bytes in base64, one key a line")
        return cls(keys)

    @classmethod
    def read_or_make(cls, path: Path) -> FileKey:
        """The key in `path`, made anew (0600) where there is none.

        Raises:
            ConfigError: the file is there and cannot be used.
        """
        if not path.exists():
            write_private(path, base64.b64encode(secrets.token_bytes(_KEY)) + b"\n")
        return cls.read(path)

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """Seal under the newest key."""
        nonce = os.urandom(_NONCE)
        head = _VERSION + self._current
        return head + nonce + self._keys[self._current].encrypt(nonce, plain, head + bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Open with whichever key sealed it.

        Raises:
            SealError: see the class.
        """
        head, rest = sealed[: 1 + _KEY_ID], sealed[1 + _KEY_ID :]
        if head[:1] != _VERSION or len(rest) < _NONCE + _TAG:
            raise SealError("this was not sealed by Flyball, or by a newer one")
        key = self._keys.get(head[1:])
        if key is None:
            raise SealError("it is sealed under a key that is not here", hint="put the old key back as a further line")
        try:
            return key.decrypt(rest[:_NONCE], rest[_NONCE:], head + bound_to)
        except InvalidTag:
            raise SealError("it was changed, or belongs to something else") from None


class Sealer:
    """Seals a lease's secret, wraps a task's data key, and seals what stands beside a task's records."""

    def __init__(self, holder: KeyHolder) -> None:
        self._holder = holder

    def seal(self, lease: str, plain: bytes) -> bytes:
        """Seal a lease's secret."""
        return self._holder.seal(plain, _bound("lease-secret", lease))

    def unseal(self, lease: str, sealed: bytes) -> bytes:
        """What `seal` sealed for this very lease.

        Raises:
            SealError: it is another's, or was changed.
        """
        return self._holder.open(sealed, _bound("lease-secret", lease))

    def wrap(self, task: str, data_key: bytes) -> bytes:
        """Wrap a task's data key (32 bytes). Erase the wrapped key, and what it sealed is gone."""
        if len(data_key) != _KEY:
            raise ValueError("a data key is 32 bytes")
        return self._holder.seal(data_key, _bound("data-key", task))

    def unwrap(self, task: str, wrapped: bytes) -> bytes:
        """The data key of this very task.

        Raises:
            SealError: it is another's, or was changed.
        """
        return self._holder.open(wrapped, _bound("data-key", task))

    def seal_inputs(self, task: str, wrapped: bytes, plain: bytes) -> bytes:
        """Seal a task's inputs under its wrapped data key."""
        return self.seal_record(self.unwrap(task, wrapped), task, "inputs", plain)

    def open_inputs(self, task: str, wrapped: bytes, sealed: bytes) -> bytes:
        """What `seal_inputs` sealed.

        Raises:
            SealError: the key does not open it.
        """
        return self.open_record(self.unwrap(task, wrapped), task, "inputs", sealed)

    @staticmethod
    def seal_record(data_key: bytes, task: str, label: str, plain: bytes) -> bytes:
        """Seal what stands beside a record; `label` is the decision's id, or the record's kind."""
        nonce = bytearray(os.urandom(_NONCE))
        nonce[0] |= 0x80
        return _VERSION + nonce + AESGCM(data_key).encrypt(bytes(nonce), plain, f"{task}\x00{label}".encode())

    @staticmethod
    def open_record(data_key: bytes, task: str, label: str, sealed: bytes) -> bytes:
        """What `seal_record`, or the decision plane, sealed.

        Raises:
            SealError: another key, task or label, or it was changed.
        """
        if sealed[:1] != _VERSION or len(sealed) < 1 + _NONCE + _TAG:
            raise SealError("this is no sealed record, or a newer one")
        try:
            return AESGCM(data_key).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], f"{task}\x00{label}".encode())
        except InvalidTag:
            raise SealError("the record's data was changed, or belongs to another") from None


def _bound(what: str, owner: str) -> bytes:
    return f"flyball\x00{what}\x00{owner}".encode()
