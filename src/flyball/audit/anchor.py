"""The anchor: the store's generation and last head, remembered outside the store.

A store restored from a backup, or cut, is shorter than what was acknowledged from it; only
something outside can know (invariant 14). The anchor is one small file, replaced whole (write
aside, fsync, rename, fsync of the directory), that follows the commits within a second. Put it on
another disk or host directory than the store: who can write both can still lie, so it also carries
the last signed checkpoint, which such a one cannot make.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

from flyball.audit.ports import RecordLog
from flyball.kernel.errors import ConfigError, Unavailable
from flyball.kernel.json import canonical
from flyball.kernel.private_files import make_dir, write_private

_VERSION = 1


class Standing(StrEnum):
    """How a store stands to its anchor."""

    OK = "ok"
    BEHIND = "behind"  # the store lacks what it once acknowledged: cut, or restored from a backup
    DIVERGED = "diverged"  # the store has another history than the one that was anchored
    MISSING = "missing"  # the store has records and no anchor: nobody can tell


@dataclass(frozen=True, slots=True)
class Anchored:
    """What the anchor remembers. `fences_seq` is the journal's count of fences (0: not followed)."""

    generation: int
    seq: int
    hash: bytes
    note: bytes
    fences_seq: int


class Anchor:
    """The anchor file. Safe to use from any thread."""

    def __init__(self, path: Path, fences: Callable[[], int] | None = None) -> None:
        self.path = path
        self._fences = fences
        self._lock = threading.Lock()

    def read(self) -> Anchored | None:
        """What is remembered, or None where there is no anchor yet.

        Raises:
            ConfigError: the file is there and cannot be understood.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise ConfigError(f"the anchor {self.path} cannot be read: {fault.strerror}", code="anchor") from fault
        try:
            loaded = cast("dict[str, object]", json.loads(raw))
            numbers = (loaded["generation"], loaded["seq"], loaded["fences_seq"])
            generation, seq, fences = (value for value in numbers if isinstance(value, int) and value >= 0)
            digest, note = bytes.fromhex(str(loaded["hash"])), str(loaded["note"]).encode()
            if loaded["v"] != _VERSION or len(digest) != 32:
                raise ValueError("version or hash")
        except (ValueError, KeyError, TypeError) as fault:
            raise ConfigError(
                f"the anchor {self.path} is malformed",
                code="anchor",
                hint="compare the store by hand (`flyball audit verify`), then remove the anchor to accept it",
            ) from fault
        return Anchored(generation, seq, digest, note, fences)

    def follow(self, *, generation: int, seq: int, head: bytes, note: bytes) -> None:
        """Remember a durable head.

        Raises:
            Unavailable: the file cannot be written.
        """
        body = canonical(
            {
                "v": _VERSION,
                "generation": generation,
                "seq": seq,
                "hash": head.hex(),
                "note": note.decode(),
                "fences_seq": self._fences() if self._fences is not None else 0,
            }
        )
        with self._lock:
            try:
                make_dir(self.path.parent)
                write_private(self.path, body)
            except OSError as fault:
                raise Unavailable(
                    f"the anchor {self.path} cannot be written: {fault.strerror}",
                    code="anchor_unavailable",
                    hint="the store goes on; until this is mended, a restore from backup goes unnoticed",
                ) from fault


def compare(log: RecordLog, generation: int, anchored: Anchored | None, fences_seq: int | None = None) -> Standing:
    """How a store with this log and generation stands to its anchor. Call it before `open_epoch`.

    `fences_seq` is the journal's count of fences, where the journal is to be held to the anchor too.
    """
    seq, head = log.head()
    if anchored is None:
        return Standing.OK if seq == 0 else Standing.MISSING
    if seq < anchored.seq or generation < anchored.generation:
        return Standing.BEHIND
    if fences_seq is not None and fences_seq < anchored.fences_seq:
        return Standing.BEHIND
    if anchored.seq == 0:
        return Standing.OK
    at = head if seq == anchored.seq else next((stored.hash for stored in log.read(anchored.seq - 1, 1)), b"")
    return Standing.OK if at == anchored.hash else Standing.DIVERGED
