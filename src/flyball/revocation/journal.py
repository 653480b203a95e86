"""The journal: fences and revocation checkpoints on reserved disk, for when the store cannot take them.

A fence enters it before anybody is told of the fence (invariant 14). A revocation's checkpoints
enter it when the store refuses or does not answer in time (invariant 12). It is replayed first at
start, and emptied as the store takes what it holds. Replaying twice changes nothing: every entry
is checked against the store before it is applied.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import structlog

from flyball.audit.ports import RecordLog, Store
from flyball.audit.record import Kind, Record
from flyball.credential.ports import LeaseStore
from flyball.kernel.errors import Conflict, Unavailable
from flyball.kernel.json import Json, canonical
from flyball.revocation.marks import VERSION, Mark, mark_from
from flyball.revocation.ring import JournalCorrupt, RingFile
from flyball.task.ports import TaskStore
from flyball.task.task import LIVE, TaskState

log = structlog.get_logger("flyball.journal")

# Revocation marks leave this much to fences: a fence is the last thing that may be refused.
_FENCE_RESERVE = 64 << 10


class Journal:
    """The journal of one node. Safe to use from any thread."""

    def __init__(self, path: Path, size: int = 8 << 20) -> None:
        """Open, or make and preallocate, the journal.

        Raises:
            JournalCorrupt: damage that a crash cannot explain; fences may be lost.
            Unavailable: it cannot be opened or made.
        """
        self._ring = RingFile(path, size)
        try:
            self._entries = {seq: _parse(payload) for seq, payload in self._ring.live.items()}
        except JournalCorrupt:
            self._ring.close()
            raise

    @property
    def fences_seq(self) -> int:
        """How many fences this journal ever took; the anchor remembers it."""
        return self._ring.note

    def fence(self, task: str, *, cause: str, by: str, at_ms: int) -> int:
        """Write down durably that a task is fenced; the entry's number.

        Raises:
            Unavailable: the journal is full or its disk refuses. The fence in memory stands.
        """
        entry: dict[str, Json] = {"v": VERSION, "kind": "fence", "task": task, "cause": cause, "by": by, "at": at_ms}
        seq = self._ring.append(canonical(entry), bump=True)
        self._entries[seq] = entry
        return seq

    def mark(self, mark: Mark) -> int:
        """Write a revocation's checkpoint durably; the entry's number.

        Raises:
            Unavailable: as `fence`; some space is kept back for fences.
        """
        entry = mark.to_json()
        seq = self._ring.append(canonical(entry), reserve=_FENCE_RESERVE)
        self._entries[seq] = entry
        return seq

    def settle(self, *seqs: int) -> None:
        """The store has taken these entries."""
        for seq in seqs:
            self._entries.pop(seq, None)
        self._ring.settle(seqs)

    def marks(self) -> list[tuple[int, Mark]]:
        """The revocation checkpoints that the store has not taken, oldest first."""
        return [(seq, mark_from(entry)) for seq, entry in self._sorted() if entry["kind"] != "fence"]

    def fences(self) -> list[tuple[int, str]]:
        """The fences that are not known to be in the store: (entry's number, task), oldest first."""
        return [(seq, str(entry["task"])) for seq, entry in self._sorted() if entry["kind"] == "fence"]

    def replay(self, store: Store, tasks: TaskStore, leases: LeaseStore, records: RecordLog | None = None) -> int:
        """Bring the store up to the journal; how many entries it took. First thing at start.

        What the store still cannot take stays in the journal, and the revoker keeps trying.
        """
        if records is None:
            found = getattr(store, "records", None)
            records = cast("RecordLog | None", found)
        taken = 0
        try:
            taken += self.apply_fences(store, tasks)
            for seq, mark in self.marks():
                taken += apply_mark(mark, store, leases, records, doubtful=True)
                self.settle(seq)
        except Unavailable as fault:
            log.error("the store cannot take the journal yet", code=fault.code, waiting=len(self._entries))
        return taken

    def apply_fences(self, store: Store, tasks: TaskStore, *, older_than_ms: int | None = None) -> int:
        """Put journalled fences into the store where they are not there yet; how many were missing.

        Raises:
            Unavailable: the store cannot take them now; they stay.
        """
        taken = 0
        for seq, entry in self._sorted():
            if entry["kind"] != "fence":
                continue
            at = entry["at"]
            at_ms = at if isinstance(at, int) else 0
            if older_than_ms is not None and at_ms > older_than_ms:
                continue
            taken += _apply_fence(entry, at_ms, store, tasks)
            self.settle(seq)
        return taken

    def stats(self) -> dict[str, Json]:
        """Figures for `status`."""
        return {
            "entries": len(self._entries),
            "used": self._ring.used,
            "capacity": self._ring.capacity,
            "fences": self.fences_seq,
        }

    def close(self) -> None:
        """Close the file; everything in it is durable already."""
        self._ring.close()

    def _sorted(self) -> list[tuple[int, dict[str, Json]]]:
        return sorted(self._entries.copy().items())


def apply_mark(mark: Mark, store: Store, leases: LeaseStore, records: RecordLog | None, *, doubtful: bool) -> int:
    """Put one mark into the store; 1 if it was not there yet.

    `doubtful` where it may be there already (after a crash, or an unknown commit): then its records
    are looked for first, which are unique by lease, step, attempt and time.

    Raises:
        Unavailable: the store cannot take it now.
    """
    current = leases.get(mark.lease.id)
    if doubtful and current is not None and _is_there(mark, records):
        return 0
    unit = store.unit()
    mark.add_to(unit, insert=current is None)
    try:
        unit.commit()
    except Conflict as moved:
        log.warning("the ledger has moved past a checkpoint", lease=mark.lease.id, label=mark.label, why=moved.detail)
        return 0
    return 1


def _is_there(mark: Mark, records: RecordLog | None) -> bool:
    if not mark.records or records is None:
        return False
    wanted = mark.records[0]
    if wanted.task is None:
        found = records.select(kinds=frozenset({wanted.kind.value}), since_ms=wanted.at_ms, limit=10_000)
    else:
        found = tuple(records.of_task(wanted.task))
    body = wanted.body()
    return any(stored.body == body for stored in found)


def _apply_fence(entry: Mapping[str, Json], at_ms: int, store: Store, tasks: TaskStore) -> int:
    task = tasks.get(str(entry["task"]))
    if task is None or task.state not in LIVE:
        return 0
    cause = str(entry["cause"])
    unit = store.unit()
    unit.save_task(replace(task, state=TaskState.FENCED, cause=cause), expect=LIVE)
    unit.record(Record(Kind.FENCED, at_ms, task.id, {"cause": cause, "by": str(entry["by"]), "detail": "journalled"}))
    try:
        unit.commit()
    except Conflict:
        return 0  # fenced in the store a moment ago
    return 1


def _parse(payload: bytes) -> dict[str, Json]:
    try:
        entry = cast("dict[str, Json]", json.loads(payload))
        if entry["v"] != VERSION:
            raise ValueError("version")
        if entry["kind"] == "fence":
            str(entry["task"]), str(entry["cause"]), str(entry["by"])
        else:
            mark_from(entry)
    except (ValueError, KeyError, TypeError) as fault:
        raise JournalCorrupt(
            "the journal holds an entry that this Flyball cannot read",
            hint="run the Flyball that wrote it; if none did, move the file away and every task starts fenced",
        ) from fault
    return entry
