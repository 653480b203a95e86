"""A small file of fixed size that takes frames durably while the rest of the disk is full.

Layout: two header slots of one page each, then two halves. Frames go one after the other into the
half that the newest good header names. Compaction copies the frames that still count into the
other half and then writes the other header slot, so a crash at any instruction leaves one whole
header with one whole half. All of it is written with zeros when the file is made: a later write
needs no new block.

A frame is `magic ‖ length ‖ crc ‖ generation ‖ seq ‖ base ‖ payload`. Every compaction begins a
new generation, so frames left over from before are never taken for new ones. `base` is the first
sequence number of the write that the frame belonged to: everything below it was durable by then.
That tells a torn tail (a crash in mid-write; never acknowledged; dropped) from a hole (damage to
what was acknowledged; refused loudly).
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path

from flyball.kernel.errors import FlyballError, Unavailable
from flyball.kernel.faults import fault_point
from flyball.kernel.private_files import make_dir, write_private

_SLOT = 4096
_HEADER = struct.Struct(">8sIQIQQ")  # magic, crc, generation, half, next seq, note
_HEADER_MAGIC = b"FLYJRNL1"
_FRAME = struct.Struct(">4sIIQQQ")  # magic, length, crc, generation, seq, base
_FRAME_MAGIC = b"\xf1FJ\x01"
_PLAIN, _BUMPS = b"\x00", b"\x01"  # the first byte of every payload: whether the frame counts in `note`


class JournalCorrupt(FlyballError):
    """The journal holds damage where acknowledged entries stood."""

    default_code = "journal_corrupt"


class JournalFull(Unavailable):
    """The journal's reserved space is used up by entries that the store has not taken yet."""

    default_code = "journal_full"


class RingFile:
    """The file. Safe to use from any thread.

    `note` is one number that outlives compaction (the journal keeps its count of fences in it).
    """

    def __init__(self, path: Path, size: int = 8 << 20) -> None:
        """Open, or make, the file and read what still counts.

        Raises:
            JournalCorrupt: damage that a crash cannot explain.
            Unavailable: it cannot be made or opened.
        """
        if size < 4 * _SLOT or size % _SLOT:
            raise ValueError("the size is a multiple of 4096 and at least 16384")
        self._live: dict[int, bytes] = {}
        self.note = 0
        self._generation = self._half = self._next = self._durable = self._end = 0
        self._lock = threading.Condition()
        self._pending: list[tuple[int, bytes]] = []
        self._failed: dict[int, Exception] = {}
        self._leading = False
        self._suspect = False
        try:
            self._fd, self._size = _open(path, size)
        except OSError as fault:
            raise Unavailable(
                f"the journal {path} cannot be opened: {fault.strerror}",
                code="journal_unavailable",
                hint=f"it needs {size} bytes and a writable directory",
            ) from fault
        try:
            self._load(path)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def live(self) -> dict[int, bytes]:
        """The frames that still count, by sequence number."""
        with self._lock:
            return {seq: payload[1:] for seq, payload in self._live.items()}

    @property
    def capacity(self) -> int:
        """Bytes that one half holds."""
        return (self._size - 2 * _SLOT) // 2

    @property
    def used(self) -> int:
        """Bytes of the active half that are taken."""
        return self._end

    @property
    def durable(self) -> int:
        """The last sequence number that is on disk."""
        return self._durable

    def append(self, payload: bytes, *, reserve: int = 0, bump: bool = False) -> int:
        """Write one frame durably; its sequence number. Frames of several threads share one flush.

        `reserve` bytes must stay free after it; `bump` adds one to `note`, durably with the frame.

        Raises:
            JournalFull: no room, even after compaction.
            Unavailable: the disk refused.
        """
        fault_point("journal.before_append")
        with self._lock:
            payload = (_BUMPS if bump else _PLAIN) + payload
            needed = _FRAME.size + len(payload)
            if self._suspect or self._end + self._waiting() + needed + reserve > self.capacity:
                self._wait_idle()
                self._compact()
                if self._end + needed + reserve > self.capacity:
                    raise JournalFull(
                        f"the journal is full: {len(self._live)} entries wait for the store",
                        hint="give the store disk space again; the entries then leave the journal by themselves",
                    )
            seq = self._next
            self._next += 1
            if bump:
                self.note += 1
            self._pending.append((seq, payload))
            self._flush(seq)
        fault_point("journal.after_append")
        return seq

    def settle(self, seqs: Iterable[int]) -> None:
        """These frames count no more. Their space comes back at the next compaction."""
        with self._lock:
            for seq in seqs:
                self._live.pop(seq, None)
            if not self._live and self._end > self.capacity // 4 and not self._leading and not self._pending:
                self._compact()

    def compact(self) -> None:
        """Drop what counts no more, now."""
        with self._lock:
            self._wait_idle()
            self._compact()

    def close(self) -> None:
        """Close the file. What is appended is durable already."""
        with self._lock:
            self._wait_idle()
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    # Group commit: who finds nobody flushing flushes for all who wait.

    def _waiting(self) -> int:
        return sum(_FRAME.size + len(payload) for _, payload in self._pending)

    def _wait_idle(self) -> None:
        while self._leading or self._pending:
            self._lock.wait()

    def _flush(self, seq: int) -> None:
        while self._durable < seq and seq not in self._failed:
            if self._leading:
                self._lock.wait()
                continue
            batch, self._pending = self._pending, []
            self._leading = True
            self._lock.release()
            failure: Exception | None = None
            try:
                at = self._end
                data = self._encode(batch)
                _write_all(self._fd, data, self._base() + at)
                os.fdatasync(self._fd)
            except OSError as fault:
                failure = fault
            finally:
                self._lock.acquire()
                self._leading = False
            if failure is None:
                self._end += len(data)
                self._durable = batch[-1][0]
                self._live.update(batch)
            else:
                # What stands beyond the end now is unknown: begin a new generation before the next frame.
                self._suspect = True
                self._failed.update((number, failure) for number, _ in batch)
            self._lock.notify_all()
        failed = self._failed.pop(seq, None)
        if failed is not None:
            raise Unavailable(f"the journal cannot be written: {failed}", code="journal_unavailable") from failed

    def _encode(self, batch: list[tuple[int, bytes]]) -> bytes:
        first = batch[0][0]
        return b"".join(_frame(self._generation, seq, first, payload) for seq, payload in batch)

    def _base(self) -> int:
        return 2 * _SLOT + self._half * self.capacity

    def _compact(self) -> None:
        fault_point("journal.before_compact")
        half, generation = 1 - self._half, self._generation + 1
        data = b"".join(_frame(generation, seq, seq, payload) for seq, payload in sorted(self._live.items()))
        try:
            if data:
                _write_all(self._fd, data, 2 * _SLOT + half * self.capacity)
                os.fdatasync(self._fd)
            header = _header(generation, half, self._next, self.note)
            _write_all(self._fd, header, (generation % 2) * _SLOT)
            os.fdatasync(self._fd)
        except OSError as fault:
            raise Unavailable(f"the journal cannot be written: {fault}", code="journal_unavailable") from fault
        self._half, self._generation, self._end, self._suspect = half, generation, len(data), False
        fault_point("journal.after_compact")

    def _load(self, path: Path) -> None:
        slots = [_parse_header(os.pread(self._fd, _HEADER.size, slot * _SLOT)) for slot in (0, 1)]
        good = [slot for slot in slots if slot is not None]
        if not good:
            raise JournalCorrupt(
                f"neither header of the journal {path} can be read",
                hint="fences may be lost: move the file away, and every task starts fenced",
            )
        self._generation, self._half, self._next, self.note = max(good)
        self._durable = self._next - 1
        compacted_at = self._next
        data = os.pread(self._fd, self.capacity, self._base())
        self._end = 0
        while (frame := _parse_frame(data, self._end, self._generation)) is not None:
            seq, payload, length, _ = frame
            self._live[seq] = payload
            # Frames that a compaction carried over are in the header's note already.
            self.note += seq >= compacted_at and payload[:1] == _BUMPS
            self._durable = seq
            self._next = max(self._next, seq + 1)
            self._end += length
        self._refuse_a_hole(data, path)
        # A new generation at once: nothing that stands beyond the end can ever be read as a frame again.
        self._compact()

    def _refuse_a_hole(self, data: bytes, path: Path) -> None:
        at = data.find(_FRAME_MAGIC, self._end)
        while at >= 0:
            frame = _parse_frame(data, at, self._generation)
            if frame is not None and frame[3] > self._durable + 1:
                raise JournalCorrupt(
                    f"the journal {path} is damaged at byte {self._base() + self._end}: "
                    f"entry {self._durable + 1} was durable and cannot be read, entry {frame[0]} after it can",
                    hint="a fence may be lost: move the file away, and every task starts fenced",
                )
            at = data.find(_FRAME_MAGIC, at + 1)


def _open(path: Path, size: int) -> tuple[int, int]:
    make_dir(path.parent)
    if not path.exists():
        header = _header(0, 0, 1, 0)
        write_private(path, header + bytes(size - len(header)))
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    found = os.fstat(fd).st_size
    return fd, found - found % _SLOT


def _write_all(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


def _frame(generation: int, seq: int, base: int, payload: bytes) -> bytes:
    crc = zlib.crc32(struct.pack(">IQQQ", len(payload), generation, seq, base) + payload)
    return _FRAME.pack(_FRAME_MAGIC, len(payload), crc, generation, seq, base) + payload


def _parse_frame(data: bytes, at: int, generation: int) -> tuple[int, bytes, int, int] | None:
    """(seq, payload, whole length, base) of the good frame of this generation at `at`, or None."""
    if at + _FRAME.size > len(data):
        return None
    magic, length, crc, of, seq, base = _FRAME.unpack_from(data, at)
    end = at + _FRAME.size + length
    if magic != _FRAME_MAGIC or of != generation or end > len(data):
        return None
    payload = data[at + _FRAME.size : end]
    if zlib.crc32(struct.pack(">IQQQ", length, of, seq, base) + payload) != crc:
        return None
    return seq, payload, end - at, base


def _header(generation: int, half: int, next_seq: int, note: int) -> bytes:
    crc = zlib.crc32(struct.pack(">QIQQ", generation, half, next_seq, note))
    return _HEADER.pack(_HEADER_MAGIC, crc, generation, half, next_seq, note)


def _parse_header(raw: bytes) -> tuple[int, int, int, int] | None:
    if len(raw) != _HEADER.size:
        return None
    magic, crc, generation, half, next_seq, note = _HEADER.unpack(raw)
    if magic != _HEADER_MAGIC or half not in (0, 1):
        return None
    if zlib.crc32(struct.pack(">QIQQ", generation, half, next_seq, note)) != crc:
        return None
    return generation, half, next_seq, note
