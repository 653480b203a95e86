"""Signed checkpoints: how far the chain had come, in the signer's hand.

A C2SP signed note (signed-note.md; Ed25519, type byte 0x01) whose text is

    <origin>            issuer + "/chain"
    <seq>               decimal, no leading zeros
    <base64 of the chain hash>
    generation <n>

Whoever holds an old checkpoint can tell a store that was cut or rewritten since.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from flyball.kernel.clock import Clock
from flyball.kernel.errors import Conflict, InvalidInput, Unavailable

_ED25519 = b"\x01"
_MAX_SIGNATURES = 64
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _check_name(name: str) -> str:
    if not name or "+" in name or any(char.isspace() for char in name):
        raise InvalidInput(f"{name!r} cannot name a note's key", code="note_key", hint="no spaces and no plus sign")
    return name


class NoteSigner:
    """An Ed25519 key with the name that its notes carry."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.name = _check_name(name)
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    def sign(self, text: str) -> bytes:
        """The signed note of `text`, which ends in a newline and holds no other control character."""
        if not text.endswith("\n") or any(ord(char) < 0x20 and char != "\n" for char in text):
            raise InvalidInput("a note's text ends in a newline and holds no control characters", code="note_text")
        signature = _key_id(self.name, self._public) + self._key.sign(text.encode())
        return f"{text}\n— {self.name} {base64.b64encode(signature).decode()}\n".encode()

    def verifier(self) -> NoteVerifier:
        """The public side."""
        return NoteVerifier(self.name, Ed25519PublicKey.from_public_bytes(self._public))


@dataclass(frozen=True)
class NoteVerifier:
    """A public key whose signature on a note counts."""

    name: str
    key: Ed25519PublicKey

    @classmethod
    def parse(cls, text: str) -> NoteVerifier:
        """From a verifier key string, `<name>+<hex key id>+<base64(type ‖ key)>`.

        Raises:
            InvalidInput: malformed, of another type, or its key id does not fit.
        """
        try:
            name, key_id, encoded = text.split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
            if raw[:1] != _ED25519 or len(raw) != 33 or _key_id(_check_name(name), raw[1:]).hex() != key_id:
                raise ValueError("type, length or key id")
            return cls(name, Ed25519PublicKey.from_public_bytes(raw[1:]))
        except (ValueError, binascii.Error) as fault:
            raise InvalidInput("not a verifier key of an Ed25519 note", code="note_key") from fault

    @property
    def key_id(self) -> bytes:
        """The four bytes that a signature line begins with."""
        return _key_id(self.name, self.key.public_bytes_raw())

    def __str__(self) -> str:
        encoded = base64.b64encode(_ED25519 + self.key.public_bytes_raw()).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


def verify_note(note: bytes, verifiers: Sequence[NoteVerifier]) -> str:
    """The text of a note that at least one known key signed, and no known key wrongly.

    Raises:
        InvalidInput: malformed, unsigned by any known key, or a known key's signature is wrong.
    """
    try:
        whole = note.decode()
    except UnicodeDecodeError as fault:
        raise InvalidInput("the note is not UTF-8", code="note_malformed") from fault
    head, separator, tail = whole.rpartition("\n\n")
    text = head + "\n"
    if not separator or not tail.endswith("\n") or any(ord(char) < 0x20 and char != "\n" for char in whole):
        raise InvalidInput("not a signed note", code="note_malformed")
    lines = tail[:-1].split("\n")
    if len(lines) > _MAX_SIGNATURES:
        raise InvalidInput("the note carries too many signatures", code="note_malformed")
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    good = 0
    for line in lines:
        name, signature = _signature_line(line)
        verifier = known.get((name, signature[:4]))
        if verifier is None:
            continue
        try:
            verifier.key.verify(signature[4:], text.encode())
        except InvalidSignature as fault:
            raise InvalidInput(f"the signature of {name} is wrong", code="note_signature") from fault
        good += 1
    if good == 0:
        raise InvalidInput("no known key signed the note", code="note_unsigned")
    return text


def _signature_line(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not parts[1] or "+" in parts[1]:
        raise InvalidInput("a signature line is malformed", code="note_malformed")
    try:
        raw = base64.b64decode(parts[2], validate=True)
    except (ValueError, binascii.Error) as fault:
        raise InvalidInput("a signature line is malformed", code="note_malformed") from fault
    if len(raw) < 5:
        raise InvalidInput("a signature line is malformed", code="note_malformed")
    return parts[1], raw


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a chain had come: `seq` records, ending in `hash`, in the store's `generation`."""

    origin: str
    seq: int
    hash: bytes
    generation: int

    def text(self) -> str:
        """The note's text."""
        encoded = base64.b64encode(self.hash).decode()
        return f"{self.origin}\n{self.seq}\n{encoded}\ngeneration {self.generation}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """From a note's text.

        Raises:
            InvalidInput: malformed.
        """
        lines = text.split("\n")
        if len(lines) != 5 or lines[4] or not lines[0]:
            raise InvalidInput("a checkpoint has four lines", code="checkpoint_malformed")
        label, _, generation = lines[3].partition(" ")
        try:
            digest = base64.b64decode(lines[2], validate=True)
        except (ValueError, binascii.Error) as fault:
            raise InvalidInput("the checkpoint's hash is not base64", code="checkpoint_malformed") from fault
        numbers = _SIZE.fullmatch(lines[1]) and label == "generation" and _SIZE.fullmatch(generation)
        if not numbers or len(digest) != 32:
            raise InvalidInput("the checkpoint's size, hash or generation is malformed", code="checkpoint_malformed")
        return cls(lines[0], int(lines[1]), digest, int(generation))


def verify_checkpoint(note: bytes, verifiers: Sequence[NoteVerifier]) -> Checkpoint:
    """A checkpoint whose signature holds.

    Raises:
        InvalidInput: see `verify_note` and `Checkpoint.parse`.
    """
    return Checkpoint.parse(verify_note(note, verifiers))


class CheckpointStore(Protocol):
    """Where the chain's head is read and its checkpoints are kept."""

    def head(self) -> tuple[int, bytes]:
        """Last durable sequence number and hash."""
        ...

    def generation(self) -> int:
        """The store's generation."""
        ...

    def save_checkpoint(self, seq: int, at_ms: int, note: bytes) -> None:
        """Keep a signed checkpoint."""
        ...

    def last_checkpoint(self) -> tuple[int, int, bytes] | None:
        """The newest checkpoint: (seq, at_ms, note)."""
        ...


class AnchorSink(Protocol):
    """What remembers the head outside the store."""

    def follow(self, *, generation: int, seq: int, head: bytes, note: bytes) -> None:
        """Remember this head."""
        ...


class CheckpointSigner:
    """Signs the head every `every_records` records or `every_ms`, and when it closes; the anchor follows each call.

    Somebody calls `maintain` about once a second: that, and nothing else, is the anchor's bound.
    """

    def __init__(
        self,
        store: CheckpointStore,
        signer: NoteSigner,
        *,
        issuer: str,
        clock: Clock,
        anchor: AnchorSink | None = None,
        every_records: int = 1000,
        every_ms: int = 10_000,
    ) -> None:
        self._store = store
        self._signer = signer
        self._origin = f"{issuer}/chain"
        self._clock = clock
        self._anchor = anchor
        self._every_records = every_records
        self._every_ms = every_ms
        self._lock = threading.Lock()
        self._generation = store.generation()
        last = store.last_checkpoint()
        self._signed_seq, self._note = (last[0], last[2]) if last else (0, b"")
        self._signed_mono = clock.mono_ms()
        self._anchored = -1

    def maintain(self) -> None:
        """Sign if it is time to, and let the anchor follow.

        A store that takes no checkpoint now takes one later; the anchor follows what is durable
        either way. An anchor that cannot be written raises: the caller says so loudly.
        """
        with self._lock:
            seq, head = self._store.head()
            grown = seq - self._signed_seq
            waited = self._clock.mono_ms() - self._signed_mono
            if grown >= self._every_records or (grown > 0 and waited >= self._every_ms):
                self._sign(seq, head)
            self._follow(seq, head)

    def close(self) -> None:
        """Sign the last head."""
        with self._lock:
            seq, head = self._store.head()
            if seq > self._signed_seq:
                self._sign(seq, head)
            self._follow(seq, head)

    @property
    def last(self) -> tuple[int, bytes]:
        """The last signed sequence number and note."""
        with self._lock:
            return self._signed_seq, self._note

    def _sign(self, seq: int, head: bytes) -> None:
        note = self._signer.sign(Checkpoint(self._origin, seq, head, self._generation).text())
        try:
            self._store.save_checkpoint(seq, self._clock.wall_ms(), note)
        except (Unavailable, Conflict):
            return
        self._signed_seq, self._note = seq, note
        self._signed_mono = self._clock.mono_ms()

    def _follow(self, seq: int, head: bytes) -> None:
        if self._anchor is not None and seq != self._anchored:
            self._anchor.follow(generation=self._generation, seq=seq, head=head, note=self._note)
            self._anchored = seq
