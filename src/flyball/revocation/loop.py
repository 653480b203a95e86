"""The revoker: takes leases in, sees each to its proof, never gives up.

A lease that was submitted is in `_jobs` until it is VERIFIED. Its target's bulkhead runs it; a pass
that fails is tried again, first within milliseconds, then, loudly QUARANTINED, with a jittered
back-off that is capped and never ends.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from flyball.audit.ports import RecordLog, Store
from flyball.audit.record import Record
from flyball.credential.backend import Backend, ProbeReport
from flyball.credential.lease import Lease, LeaseState
from flyball.credential.ports import LeaseStore
from flyball.kernel.clock import Clock
from flyball.kernel.errors import Conflict, FlyballError
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret
from flyball.revocation import attempt
from flyball.revocation.attempt import Failure, Job, Tools
from flyball.revocation.bulkhead import Bulkhead, Lane
from flyball.revocation.history import done_before
from flyball.revocation.journal import Journal
from flyball.revocation.marker import MarkWriter
from flyball.revocation.receipts import ReceiptSigner
from flyball.task.ports import TaskStore
from flyball.task.task import Cause

log = structlog.get_logger("flyball.revocation")
__all__ = ["Lane", "Pace", "Revoker"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard it tries. Times in milliseconds."""

    quick_tries: int = 3  # passes before a lease counts as QUARANTINED
    quick_ms: int = 40
    backoff_ms: int = 500
    backoff_cap_ms: int = 30_000
    workers: int = 8  # threads a target
    kept_for_kill: int = 3  # of which these take the kill lane only


class Revoker:
    """Revokes leases. Threads start with the first lease; `stop` ends them."""

    def __init__(
        self,
        *,
        store: Store,
        leases: LeaseStore,
        tasks: TaskStore,
        records: RecordLog,
        journal: Journal,
        backends: Mapping[str, Backend],
        signer: ReceiptSigner,
        clock: Clock,
        epoch: int,
        cell: str,
        unseal: Callable[[Lease, bytes], Secret],
        cooperative: Callable[[Lease], Sequence[str]] = lambda _: (),
        on_settled: Callable[[Lease], None] = lambda _: None,
        let_go: Callable[[Lease], None] = lambda _: None,
        pace: Pace | None = None,
        patience_s: float = 0.25,
    ) -> None:
        self._store = store
        self._leases = leases
        self._records = records
        self._backends = backends
        self._clock = clock
        self._epoch = epoch
        self._on_settled = on_settled
        self._let_go = let_go
        self._pace = pace or Pace()
        self._marker = MarkWriter(store, leases, records, tasks, journal, clock, patience_s=patience_s)
        self._journal = journal
        self._tools = Tools(leases, self._marker, signer, clock, epoch, cell, unseal, self._hash_at, cooperative)
        self._lock = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._lanes: dict[str, Lane] = {}
        self._bulkheads: dict[str, Bulkhead] = {}
        self._receipts: dict[str, Mapping[str, Json]] = {}  # by lease, until the store has them
        self._retries: list[tuple[int, str]] = []
        self._timer: threading.Thread | None = None
        self._stopping = False
        self._counts = {"verified": 0, "quarantined": 0, "passes": 0, "failed_passes": 0, "deposed": 0}

    def submit(
        self, lease: Lease, cause: str, lane: Lane, *, fenced_ms: int | None = None, orphan: Record | None = None
    ) -> None:
        """Take a lease back. Submitting one that is under way changes nothing but its lane, if `lane` is ahead.

        Never waits and never fails: what cannot be done now is done later.
        """
        if lease.state is LeaseState.VERIFIED:
            return
        self._let_go(lease)  # a gateway's sessions end before the target is asked for anything
        with self._lock:
            if self._stopping:
                return  # it stands in the store, and the next start goes on with it
            job = self._jobs.get(lease.id)
            if job is None:
                fenced = self._clock.wall_ms() if fenced_ms is None else fenced_ms
                job = self._jobs[lease.id] = Job(lease, cause, fenced, orphan=orphan)
                self._lanes[lease.id] = lane
            elif lane >= self._lanes[lease.id] or job.guard.locked():
                self._lanes[lease.id] = min(lane, self._lanes[lease.id])
                return  # queued, running, or waiting for its retry already
            self._lanes[lease.id] = min(lane, self._lanes[lease.id])
            self._put(lease.id, lease.target)

    def recover(self) -> int:
        """After a start: revoke what was never acknowledged, go on with what was under way. How many leases that is.

        INTENT may exist at its target without anybody knowing, so it is revoked like the rest.
        """
        for mark in self._marker.load():
            if mark.receipt is not None and mark.lease.state is LeaseState.VERIFIED:
                with self._lock:
                    self._receipts[mark.lease.id] = mark.receipt
        unknown = frozenset({LeaseState.INTENT, LeaseState.ACTIVE, LeaseState.REVOKING, LeaseState.QUARANTINED})
        found = self._leases.select(states=unknown, limit=1_000_000)
        for lease in found:
            cause = lease.cause or (Cause.UNDELIVERED if lease.state is LeaseState.ACTIVE else Cause.RECOVERED).value
            self.submit(lease, cause, Lane.KILL)
        return len(found)

    def wait(self, task: str, timeout_s: float) -> bool:
        """Wait until every submitted lease of a task is VERIFIED (True), or stands in QUARANTINED, or time is up."""
        return self._wait(lambda: [job for job in self._jobs.values() if job.lease.task == task], timeout_s)

    def wait_lease(self, lease: str, timeout_s: float) -> bool:
        """The same for one lease."""
        return self._wait(lambda: [self._jobs[lease]] if lease in self._jobs else [], timeout_s)

    def receipts_for(self, task: str) -> list[Mapping[str, Json]]:
        """The newest receipt of each lease of a task: the payload's members, with the signed `envelope` beside them."""
        newest: dict[str, Mapping[str, Json]] = {}
        for receipt in self._store.receipts(task):
            newest[str(receipt["lease"])] = receipt
        with self._lock:
            for lease, receipt in self._receipts.items():
                if receipt["task"] == task:
                    newest[lease] = receipt
        return list(newest.values())

    def quarantined(self) -> list[Lease]:
        """The leases that stand loudly unproved, as this process knows them."""
        with self._lock:
            return [job.lease for job in self._jobs.values() if job.phase == "quarantined"]

    def stats(self) -> dict[str, Json]:
        """Figures for `status` and metrics."""
        with self._lock:
            phases = [job.phase for job in self._jobs.values()]
            depths: dict[str, Json] = {}
            for target, bulkhead in self._bulkheads.items():
                kill, expiry = bulkhead.depth()
                depths[target] = {"kill": kill, "expiry": expiry}
            counts: dict[str, Json] = {f"{name}_total": count for name, count in self._counts.items()}
        return {
            **counts,
            "active": phases.count("active"),
            "quarantined": phases.count("quarantined"),
            "queued": depths,
            "checkpoints": self._marker.stats(),
            "journal": self._journal.stats(),
        }

    def stop(self, timeout_s: float = 5.0) -> None:
        """Finish the steps that are running, write what can be written. What is left goes on at the next start."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
            bulkheads = list(self._bulkheads.values())
        for bulkhead in bulkheads:
            bulkhead.stop(timeout_s)
        if self._timer is not None:
            self._timer.join(timeout_s)
        self._marker.stop(timeout_s)

    def _put(self, lease: str, target: str) -> None:
        bulkhead = self._bulkheads.get(target)
        if bulkhead is None:
            pace = self._pace
            bulkhead = Bulkhead(target, self._work, workers=pace.workers, kept_for_kill=pace.kept_for_kill)
            self._bulkheads[target] = bulkhead
        bulkhead.put(lease, self._lanes[lease])

    def _work(self, lease: str) -> None:
        with self._lock:
            job = self._jobs.get(lease)
        if job is None or not job.guard.acquire(blocking=False):
            return
        try:
            self._pass(job)
        except Conflict as moved:
            self._moved_on(job, moved)
        except Exception as fault:  # noqa: BLE001 - a lease outlives any failure of ours; retries never stop
            log.critical("a revocation pass failed by our own fault", lease=lease, error=type(fault).__name__)
            job.fresh = True
            job.held.clear()
            self._later(job, self._backoff(job))
        finally:
            job.guard.release()

    def _pass(self, job: Job) -> None:
        self._count("passes")
        if job.fresh and not self._refresh(job):
            return
        backend = self._backends.get(job.lease.target)
        report: ProbeReport | None = None
        attempt.begin(job, self._tools)
        failure: Failure | None
        if backend is None:
            failure = Failure(f"target {job.lease.target!r} is not configured any more")
        else:
            failure = attempt.run_steps(job, backend, self._tools)
            if failure is None:
                report, failure = attempt.prove(job, backend, self._tools)
        if failure is None and report is not None:
            self._settle(job, attempt.verified(job, report, self._tools))
            return
        self._failed(job, failure or Failure("no probe"))

    def _refresh(self, job: Job) -> bool:
        """Read the row as it stands now; False if there is nothing to do, or not by us."""
        try:
            row = self._leases.get(job.lease.id)
            if not job.loaded:
                job.steps, fenced = done_before(self._records, self._marker_history(), job.lease)
                job.fenced_ms = fenced or job.fenced_ms
                job.loaded = True
        except FlyballError:
            row = None  # the store cannot be read: what was handed in is enough to revoke by
        if row is not None:
            job.lease, job.orphan = row, None
        job.fresh = False
        if job.lease.state is LeaseState.VERIFIED:
            self._forget(job)
            return False
        if job.lease.epoch > self._epoch:
            self._count("deposed")
            log.error("a later epoch holds this lease; this node leaves it alone", lease=job.lease.id)
            self._forget(job)
            return False
        return True

    def _failed(self, job: Job, failure: Failure) -> None:
        self._count("failed_passes")
        job.tries += 1
        # Doubt about one step is doubt about all: the next pass begins with denying logins again.
        job.lease = replace(job.lease, step="")
        job.held.clear()
        if job.tries < self._pace.quick_tries and not failure.final and job.phase == "active":
            self._later(job, self._jitter(self._pace.quick_ms << job.tries))
            return
        wait_ms = self._backoff(job)
        document = attempt.quarantined(job, failure, self._clock.wall_ms() + wait_ms, self._tools)
        lease = job.lease
        # Loud when it begins, and at every try after; the log is what an operator watches.
        log.error(
            "QUARANTINED: a lease is not proved gone; it is tried again until it is",
            lease=lease.id,
            task=lease.task,
            target=lease.target,
            name=lease.name,
            reason=failure.reason,
            tries=job.tries,
            again_in_ms=wait_ms,
        )
        with self._lock:
            if job.phase != "quarantined":
                job.phase = "quarantined"
                self._counts["quarantined"] += 1
            if document is not None:
                self._receipts[lease.id] = document
            self._lock.notify_all()
        self._later(job, wait_ms)

    def _settle(self, job: Job, document: Mapping[str, Json]) -> None:
        with self._lock:
            self._receipts[job.lease.id] = document
            self._counts["verified"] += 1
        if job.phase == "quarantined":
            log.warning("out of quarantine: the lease is proved gone", lease=job.lease.id, tries=job.tries)
        self._forget(job)
        self._on_settled(job.lease)

    def _forget(self, job: Job) -> None:
        with self._lock:
            job.phase = "done"
            self._jobs.pop(job.lease.id, None)
            self._lanes.pop(job.lease.id, None)
            if self._marker.waiting() == 0:
                self._receipts.clear()  # the store has them all
            self._lock.notify_all()

    def _moved_on(self, job: Job, moved: Conflict) -> None:
        # Somebody else wrote the row: another pass, or a later epoch. Look again, and leave it if it is theirs.
        log.warning("a lease moved on while it was being revoked", lease=job.lease.id, why=moved.detail)
        job.fresh = True
        job.tries += 1
        self._later(job, self._backoff(job))

    def _later(self, job: Job, wait_ms: int) -> None:
        with self._lock:
            if self._stopping:
                return
            heapq.heappush(self._retries, (self._clock.mono_ms() + wait_ms, job.lease.id))
            if self._timer is None:
                self._timer = threading.Thread(target=self._tick, name="flyball-revoke-retries", daemon=True)
                self._timer.start()
            self._lock.notify_all()

    def _tick(self) -> None:
        with self._lock:
            while not self._stopping:
                now = self._clock.mono_ms()
                while self._retries and self._retries[0][0] <= now:
                    _, lease = heapq.heappop(self._retries)
                    if lease in self._jobs:
                        self._put(lease, self._jobs[lease].lease.target)
                self._lock.wait(min(1.0, (self._retries[0][0] - now) / 1000) if self._retries else 1.0)

    def _wait(self, jobs: Callable[[], list[Job]], timeout_s: float) -> bool:
        with self._lock:
            self._lock.wait_for(lambda: all(job.phase != "active" for job in jobs()), max(0.0, timeout_s))
            return not jobs()

    def _backoff(self, job: Job) -> int:
        doublings = min(16, max(0, job.tries - self._pace.quick_tries))
        return self._jitter(min(self._pace.backoff_cap_ms, self._pace.backoff_ms << doublings))

    @staticmethod
    def _jitter(ms: int) -> int:
        return int(ms * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, keeps no secret

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def _marker_history(self) -> Sequence[Record]:
        return [record for _, mark in self._journal.marks() for record in mark.records]

    def _hash_at(self, seq: int) -> bytes | None:
        try:
            return next((stored.hash for stored in self._records.read(seq - 1, 1)), None)
        except FlyballError:
            return None
