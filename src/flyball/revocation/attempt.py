"""One pass over a lease: deny logins, kill, remove, drop, then probe every door.

Each step is idempotent and checkpointed when done; a pass that a crash cut short goes on after the
last checkpoint. The proof is the probe's, never a step's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flyball.audit.record import Kind, Record
from flyball.credential.backend import Backend, Plan, ProbeReport
from flyball.credential.lease import LIVE, Lease, LeaseState
from flyball.credential.ports import LeaseStore
from flyball.kernel.clock import Clock
from flyball.kernel.errors import FlyballError
from flyball.kernel.faults import fault_point
from flyball.kernel.ids import receipt_id
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret
from flyball.revocation import receipts
from flyball.revocation.marker import MarkWriter
from flyball.revocation.marks import Mark, plain, plain_object
from flyball.revocation.receipts import Proof, ReceiptSigner, StepDone

REVOKING_LEASE_MS = 30_000  # a REVOKING lease is due again after this, should its process hang
BEGIN = "revoking"
PROBE = "probe"


@dataclass(slots=True)
class Job:
    """A lease on its way out, as this process knows it: the newest row, and what has been done."""

    lease: Lease
    cause: str
    fenced_ms: int
    steps: list[StepDone] = field(default_factory=list)
    held: list[tuple[StepDone, Record]] = field(default_factory=list)  # done in this pass, not yet recorded
    tries: int = 0
    fresh: bool = True  # the row is to be read again before the first pass
    orphan: Record | None = None  # found at the target with no lease: the record that says so
    loaded: bool = False
    last_seq: int = 0
    phase: str = "active"  # "active" | "quarantined" | "done"
    guard: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a pass needs beside the job."""

    leases: LeaseStore
    marker: MarkWriter
    signer: ReceiptSigner
    clock: Clock
    epoch: int
    cell: str
    unseal: Callable[[Lease, bytes], Secret]
    hash_at: Callable[[int], bytes | None]
    cooperative: Callable[[Lease], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pass did not end in proof. `final`: the target said no for good (retried all the same)."""

    reason: str
    probe: ProbeReport | None = None
    final: bool = False


def begin(job: Job, tools: Tools) -> None:
    """REVOKING, durably, before the target is touched (invariant 3)."""
    lease = job.lease
    if lease.state is LeaseState.REVOKING and job.orphan is None:
        return
    if lease.state is LeaseState.QUARANTINED:
        return  # its intent to revoke is durable; it goes back to REVOKING when a retry has worked
    fault_point("revoke.before_revoking")
    now = tools.clock.wall_ms()
    expect = None if job.orphan is not None else LIVE
    changed = _advanced(lease, tools, state=LeaseState.REVOKING, cause=job.cause, step="", attempt=lease.attempt + 1)
    changed = replace(changed, due_ms=now + REVOKING_LEASE_MS)
    observed: dict[str, Json] = {"cause": job.cause, "fenced_ms": job.fenced_ms, "from": lease.state.value}
    record = _step_record(changed, BEGIN, now, "begun", observed)
    records = (record,) if job.orphan is None else (job.orphan, record)
    _save(job, Mark("recipe", changed, expect, records), tools)
    job.orphan = None
    fault_point("revoke.after_revoking")


def run_steps(job: Job, backend: Backend, tools: Tools) -> Failure | None:
    """The revoke steps that are not done yet."""
    plan = Plan(job.lease.name, job.lease.recipe)
    try:
        steps = list(backend.steps(plan))
    except Exception as fault:  # noqa: BLE001 - a backend's failure is a fact about the target
        return _failure("steps", fault)
    done = steps.index(job.lease.step) + 1 if job.lease.step in steps else 0
    for step in steps[done:]:
        fault_point("revoke.before_step")
        at, started = tools.clock.wall_ms(), tools.clock.mono_ms()
        try:
            outcome = backend.run(step, plan, job.lease.progress)
        except Exception as fault:  # noqa: BLE001 - as above
            return _failure(step, fault)
        fault_point("revoke.after_target")
        took = tools.clock.mono_ms() - started
        observed = plain_object(outcome.observed)
        weaknesses = tuple(str(item)[:200] for item in outcome.weaknesses)
        lease = job.lease
        changed = replace(lease, progress={**lease.progress, **plain_object(outcome.progress)}, epoch=tools.epoch)
        record = _step_record(changed, step, at, "done", observed, took, weaknesses)
        done_step = StepDone(step, at, took, changed.attempt, observed, weaknesses)
        if lease.state is LeaseState.QUARANTINED:
            # A retry always begins at the first step, so it needs no checkpoints, and one that fails leaves no
            # records: a target that is down for a week must not fill the chain. What was learnt is kept.
            job.held.append((done_step, record))
            if changed.progress != lease.progress:
                _save(job, Mark("step", changed, frozenset({LeaseState.QUARANTINED})), tools)
        else:
            job.steps.append(done_step)
            mark = Mark("step", replace(changed, step=step), frozenset({LeaseState.REVOKING}), (record,))
            _save(job, mark, tools)
        fault_point("revoke.after_step")
    return None


def prove(job: Job, backend: Backend, tools: Tools) -> tuple[ProbeReport | None, Failure | None]:
    """Try every door with the revoked credential."""
    fault_point("revoke.before_probe")
    plan = Plan(job.lease.name, job.lease.recipe)
    try:
        report = backend.probe(plan, job.lease.progress, _secret(job.lease, tools))
    except Exception as fault:  # noqa: BLE001 - a backend's failure is a fact about the target
        return None, _failure(PROBE, fault)
    fault_point("revoke.after_probe")
    if report.gone:
        return report, None
    return report, Failure(_why_not_gone(report), report)


def verified(job: Job, report: ProbeReport, tools: Tools) -> Mapping[str, Json]:
    """VERIFIED, with its receipt and the receipt's record. The secret is forgotten."""
    fault_point("revoke.before_receipt")
    if job.lease.state is LeaseState.QUARANTINED:
        _back_to_revoking(job, tools)
    lease = job.lease
    changed = _advanced(lease, tools, state=LeaseState.VERIFIED, cause=lease.cause, step=PROBE, attempt=lease.attempt)
    changed = replace(changed, due_ms=0)
    document, digest, now = _document(job, changed, report, "verified", "", tools)
    members: dict[str, Json] = {
        "lease": lease.id,
        "receipt": document["receipt"],
        "digest": digest,
        "outcome": "verified",
    }
    record = Record(Kind.RECEIPT, now, lease.task or None, members)
    expect = frozenset({LeaseState.REVOKING})
    _save(job, Mark("receipt", changed, expect, (record,), document, forget_secret=True), tools)
    fault_point("revoke.after_receipt")
    return document


def _back_to_revoking(job: Job, tools: Tools) -> None:
    """A retry has succeeded: its steps enter the chain, and the lease goes the way every lease goes."""
    lease = job.lease
    back = _advanced(lease, tools, state=LeaseState.REVOKING, cause=lease.cause, step="", attempt=lease.attempt)
    observed: dict[str, Json] = {"cause": lease.cause, "from": lease.state.value}
    again = _step_record(back, BEGIN, tools.clock.wall_ms(), "again", observed)
    records = (again, *(record for _, record in job.held))
    job.steps.extend(step for step, _ in job.held)
    job.held.clear()
    _save(job, Mark("step", back, frozenset({LeaseState.QUARANTINED}), records), tools)


def quarantined(job: Job, failure: Failure, due_ms: int, tools: Tools) -> Mapping[str, Json] | None:
    """QUARANTINED: loud, lasting, due again at `due_ms`. The receipt that says so, the first time."""
    lease = job.lease
    now = tools.clock.wall_ms()
    if lease.state is LeaseState.QUARANTINED:
        # Still. Only the time of the next try is new: no record, or a dead target would fill the chain.
        changed = _advanced(lease, tools, state=lease.state, cause=lease.cause, step="", attempt=lease.attempt + 1)
        mark = Mark("step", replace(changed, due_ms=due_ms), frozenset({LeaseState.QUARANTINED}))
        _save(job, mark, tools)
        return None
    changed = _advanced(lease, tools, state=LeaseState.QUARANTINED, cause=lease.cause, step="", attempt=lease.attempt)
    changed = replace(changed, due_ms=due_ms)
    document, digest, _ = _document(job, changed, failure.probe, "quarantined", failure.reason, tools)
    members: dict[str, Json] = {
        "lease": lease.id,
        "attempt": lease.attempt,
        "reason": failure.reason,
        "receipt": document["receipt"],
        "digest": digest,
    }
    record = Record(Kind.LEASE_QUARANTINED, now, lease.task or None, members)
    _save(job, Mark("receipt", changed, frozenset({LeaseState.REVOKING}), (record,), document), tools)
    return document


def _document(
    job: Job, lease: Lease, report: ProbeReport | None, outcome: str, reason: str, tools: Tools
) -> tuple[dict[str, Json], str, int]:
    now = tools.clock.wall_ms()
    known = tools.hash_at(job.last_seq) if job.last_seq else None
    proof = Proof(
        receipt=receipt_id(tools.cell, now),
        fenced_ms=job.fenced_ms,
        completed_ms=now,
        steps=tuple(job.steps),
        probe=report,
        record=(job.last_seq, known) if known is not None else None,
        cooperative=tools.cooperative(lease),
    )
    payload = receipts.payload_of(lease, proof, outcome, reason)
    envelope = tools.signer.sign(payload)
    return {**payload, "envelope": envelope}, receipts.digest(envelope), now


def _advanced(lease: Lease, tools: Tools, *, state: LeaseState, cause: str, step: str, attempt: int) -> Lease:
    return replace(lease, state=state, cause=cause, step=step, attempt=attempt, epoch=tools.epoch)


def _step_record(
    lease: Lease,
    step: str,
    at_ms: int,
    outcome: str,
    observed: Mapping[str, Json],
    took_ms: int = 0,
    weaknesses: tuple[str, ...] = (),
) -> Record:
    members: dict[str, Json] = {
        "lease": lease.id,
        "step": step,
        "attempt": lease.attempt,
        "outcome": outcome,
        "observed": dict(observed),
        "ms": took_ms,
    }
    if weaknesses:
        members["weaknesses"] = list(weaknesses)
    return Record(Kind.LEASE_STEP, at_ms, lease.task or None, members)


def _save(job: Job, mark: Mark, tools: Tools) -> None:
    seqs = tools.marker.save(mark)
    job.lease = mark.lease
    if seqs:
        job.last_seq = seqs[-1]


def _secret(lease: Lease, tools: Tools) -> Secret | None:
    try:
        sealed = tools.leases.sealed_secret(lease.id)
        return None if sealed is None else tools.unseal(lease, sealed)
    except FlyballError:
        return None  # the probe then has less to try, and says so


def _failure(step: str, fault: Exception) -> Failure:
    # Never the text of a foreign error: it may quote what it was given.
    if isinstance(fault, FlyballError):
        detail = str(plain(fault.detail))[:300]
        return Failure(f"{step}: {fault.code}: {detail}", final=fault.status == 403)
    return Failure(f"{step}: {type(fault).__name__}")


def _why_not_gone(report: ProbeReport) -> str:
    if not report.doors:
        return "probe: no door could be probed"
    bad = []
    for door in report.doors:
        if door.verdict != "refused":
            bad.append(f"{door.door} {door.verdict}")
        elif not door.control:
            bad.append(f"{door.door} control login failed")
        elif door.sessions:
            bad.append(f"{door.door} has {door.sessions} sessions")
    return f"probe: {', '.join(bad)}"[:400]
