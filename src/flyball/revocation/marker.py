"""Writes a revocation's checkpoints: into the store if it answers in time, else into the journal.

One thread hands marks to the store, many in one unit of work, in the order they came. A lane waits
for its mark `patience_s` at most; once the store has refused or kept one waiting, marks go to the
journal at once until the store has caught up. If the journal, too, is full or broken, the mark is held in
memory and said so loudly: the steps are idempotent, so a crash then costs a repetition, while
waiting would cost the revocation (invariant 12).
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import structlog

from flyball.audit.ports import RecordLog, Store
from flyball.credential.ports import LeaseStore
from flyball.kernel.clock import Clock
from flyball.kernel.errors import Conflict, FlyballError, Unavailable
from flyball.kernel.json import Json
from flyball.revocation.journal import Journal, apply_mark
from flyball.revocation.marks import Mark
from flyball.task.ports import TaskStore

log = structlog.get_logger("flyball.revocation")
_BATCH = 64
_FENCE_AGE_MS = 1000  # younger journalled fences are being written by the one who fenced


@dataclass(slots=True, eq=False)
class _Ticket:
    mark: Mark
    done: threading.Event = field(default_factory=threading.Event)
    outcome: str = ""  # "stored" | "conflict", once done
    seqs: list[int] = field(default_factory=list)
    entry: int | None = None  # its number in the journal
    doubtful: bool = False


class MarkWriter:
    """Takes marks from the lanes and sees each into the store, however long that takes."""

    def __init__(
        self,
        store: Store,
        leases: LeaseStore,
        records: RecordLog,
        tasks: TaskStore,
        journal: Journal,
        clock: Clock,
        *,
        patience_s: float = 0.25,
    ) -> None:
        self._store = store
        self._leases = leases
        self._records = records
        self._tasks = tasks
        self._journal = journal
        self._clock = clock
        self._patience_s = patience_s
        self._lock = threading.Condition()
        self._queue: deque[_Ticket] = deque()
        self._slow = False
        self._stopping = False
        self._journalled = 0
        self._held = 0
        self._thread = threading.Thread(target=self._run, name="flyball-revocation-writer", daemon=True)
        self._started = False

    def save(self, mark: Mark) -> list[int]:
        """See a mark to disk: the sequence numbers of its records, or nothing if the journal took it.

        Raises:
            Conflict: the ledger has moved on; the mark is void.
        """
        ticket = _Ticket(mark)
        with self._lock:
            self._start()
            self._queue.append(ticket)
            patience = 0.0 if self._slow else self._patience_s
            self._lock.notify_all()
        if not ticket.done.wait(patience):
            self._into_journal(ticket)
        if ticket.outcome == "conflict":
            raise Conflict(f"lease {mark.lease.id} has moved on in the ledger", code="lease_moved")
        return ticket.seqs

    def load(self) -> list[Mark]:
        """Take over what a former process left in the journal; the marks, oldest first."""
        left = self._journal.marks()
        with self._lock:
            self._start()
            for seq, mark in left:
                self._queue.append(_Ticket(mark, entry=seq, doubtful=True))
            self._lock.notify_all()
        return [mark for _, mark in left]

    def waiting(self) -> int:
        """How many marks the store has not taken yet."""
        with self._lock:
            return len(self._queue)

    def stats(self) -> dict[str, Json]:
        """Figures for `status`."""
        with self._lock:
            return {
                "waiting": len(self._queue),
                "store_slow": self._slow,
                "journalled": self._journalled,
                "held_in_memory": self._held,
            }

    def stop(self, timeout_s: float) -> None:
        """Write what the store takes within the timeout; the rest is in the journal."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._thread.start()

    def _into_journal(self, ticket: _Ticket) -> None:
        try:
            entry = self._journal.mark(ticket.mark)
        except Unavailable as fault:
            with self._lock:
                self._held += 1
            log.critical(
                "neither store nor journal takes a checkpoint; the revocation goes on without",
                lease=ticket.mark.lease.id,
                code=fault.code,
            )
            return
        with self._lock:
            self._journalled += 1
            self._slow = True
            if not ticket.done.is_set():
                ticket.entry = entry
                return
        self._journal.settle(entry)  # the store took it meanwhile

    def _run(self) -> None:
        pause = 0.0
        while True:
            with self._lock:
                if pause and not self._stopping:
                    self._lock.wait(pause)
                elif not self._queue and not self._stopping:
                    self._lock.wait(1.0)
                if self._stopping and (not self._queue or pause):
                    return
                batch = [self._queue[i] for i in range(min(_BATCH, len(self._queue)))]
            try:
                self._write(batch)
                self._journal.apply_fences(
                    self._store, self._tasks, older_than_ms=self._clock.wall_ms() - _FENCE_AGE_MS
                )
                pause = 0.0
            except FlyballError as fault:
                with self._lock:
                    if not self._slow:
                        log.error("the store takes no revocation checkpoints; the journal does", code=fault.code)
                    self._slow = True
                pause = min(1.0, (pause or 0.025) * 2)
            except Exception as fault:  # noqa: BLE001 - this thread outlives any one failure, and says so
                log.critical("a revocation checkpoint could not be written", error=type(fault).__name__)
                pause = min(1.0, (pause or 0.025) * 2)

    def _write(self, batch: list[_Ticket]) -> None:
        if not batch:
            return
        for ticket in batch if any(ticket.doubtful for ticket in batch) else []:
            apply_mark(ticket.mark, self._store, self._leases, self._records, doubtful=True)
            self._finish([ticket], "stored")
        if batch[0].done.is_set():
            return
        unit = self._store.unit()
        for ticket in batch:
            ticket.mark.add_to(unit, insert=ticket.mark.expect is None)
        try:
            seqs = unit.commit()
        except Conflict:
            self._one_by_one(batch)
            return
        except FlyballError:
            # Whether it was written is unknown; from now on each of these is looked for first.
            for ticket in batch:
                ticket.doubtful = True
            raise
        for ticket in batch:
            count = len(ticket.mark.records)
            ticket.seqs, seqs = seqs[:count], seqs[count:]
        self._finish(batch, "stored")

    def _one_by_one(self, batch: list[_Ticket]) -> None:
        for ticket in batch:
            unit = self._store.unit()
            ticket.mark.add_to(unit, insert=ticket.mark.expect is None)
            try:
                ticket.seqs = unit.commit()
            except Conflict as moved:
                log.warning("a revocation checkpoint was void", lease=ticket.mark.lease.id, why=moved.detail)
                self._finish([ticket], "conflict")
                continue
            except FlyballError:
                ticket.doubtful = True
                raise
            self._finish([ticket], "stored")

    def _finish(self, tickets: list[_Ticket], outcome: str) -> None:
        entries = []
        with self._lock:
            for ticket in tickets:
                ticket.outcome = outcome
                ticket.done.set()
                if ticket.entry is not None:
                    entries.append(ticket.entry)
                self._queue.remove(ticket)
            if self._slow and not self._queue:
                self._slow = False
                log.info("the store has taken all revocation checkpoints")
        if entries:
            self._journal.settle(*entries)
