"""A process to be killed: it issues and revokes leases at a target made of files, passing every fault point.

`python -m tests.faults.workload DIRECTORY SEED COUNT` with FLYBALL_FAULTS set; a COUNT of 0 only
recovers. `recover` is what the next process does, and `check` what must hold after it.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests import stores_kit as kit

from flyball.audit.chain import verify_chain
from flyball.audit.fold import fold
from flyball.audit.record import Kind, Record
from flyball.credential.backend import DoorProbe, Found, Plan, ProbeReport, StepOutcome
from flyball.credential.lease import LIVE as LIVE_LEASES
from flyball.credential.lease import Lease, LeaseState
from flyball.kernel import faults
from flyball.kernel.faults import fault_point
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret
from flyball.revocation.journal import Journal
from flyball.revocation.loop import Lane, Revoker
from flyball.stores.sqlite.store import SqliteStore
from flyball.task.task import LIVE as LIVE_TASKS
from flyball.task.task import TaskState


class FileTarget(kit.Target):
    """A target that outlives the process: one file a login."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        directory.mkdir(exist_ok=True)

    def create(self, plan: Plan) -> None:
        (self.directory / plan.name).write_text("on")

    def run(self, step: str, plan: Plan, progress: Mapping[str, Json]) -> StepOutcome:
        path = self.directory / plan.name
        if step == "deny_logins" and path.exists():
            path.write_text("off")
        if step == "drop":
            path.unlink(missing_ok=True)
        return StepOutcome({"seen": path.exists()}, {step: True})

    def probe(self, plan: Plan, progress: Mapping[str, Json], secret: Secret | None) -> ProbeReport:
        there = (self.directory / plan.name).exists()
        return ProbeReport((DoorProbe("primary", "accepted" if there else "refused", True, "", 0),))

    def inventory(self, issuer: str) -> Sequence[Found]:
        return [Found(p.name, p.name.removeprefix("flyball_"), 3_600_000, 0) for p in self.directory.iterdir()]


def issue(store: SqliteStore, target: FileTarget, lease: Lease) -> Lease:
    """As the flow issues: intent, target, active, delivered, each durable before the next."""
    fault_point("issue.before_intent")
    kit.put_lease(store, lease)
    fault_point("issue.after_intent")
    target.create(Plan(lease.name, lease.recipe))
    fault_point("issue.after_target")
    for before, state, kind in (
        (LeaseState.INTENT, LeaseState.ACTIVE, Kind.LEASE_ACTIVE),
        (LeaseState.ACTIVE, LeaseState.DELIVERED, Kind.LEASE_DELIVERED),
    ):
        unit = store.unit()
        lease = replace(lease, state=state)
        unit.save_lease(lease, expect=frozenset({before}))
        unit.record(Record(kind, kit.NOW, lease.task, {"lease": lease.id}))
        unit.commit()
        fault_point("issue.after_active" if state is LeaseState.ACTIVE else "issue.after_delivered")
    return lease


def parts(directory: Path) -> tuple[SqliteStore, Journal, FileTarget, Revoker]:
    store = kit.native_store(directory / "state")
    journal = Journal(directory / "journal", 256 << 10)
    target = FileTarget(directory / "target")
    return store, journal, target, kit.make_revoker(store, journal, {"orders": target})


def work(directory: Path, seed: int, count: int) -> None:
    """Issue and revoke `count` leases, some at once, in an order that the seed gives."""
    dice = random.Random(seed)
    store, journal, target, revoker = parts(directory)
    faults.arm_from_env(production=False)
    tasks = [kit.put_task(store) for _ in range(2)]
    threads = []
    for _ in range(count):
        lease = issue(store, target, kit.make_lease(dice.choice(tasks)))
        if dice.random() < 0.8:
            lane = dice.choice(list(Lane))
            threads.append(threading.Thread(target=revoker.submit, args=(lease, "revoked", lane)))
            threads[-1].start()
    journal.fence(tasks[0].id, cause="revoked", by="ops", at_ms=kit.NOW)
    for task in tasks:
        revoker.wait(task.id, 20)
    revoker.stop()


def recover(directory: Path) -> tuple[SqliteStore, FileTarget, Journal]:
    """What the next process does before it serves."""
    store, journal, target, revoker = parts(directory)
    journal.replay(store, store.tasks, store.leases)
    revoker.recover()
    for task in store.tasks.select():
        assert revoker.wait(task.id, 20)
    revoker.stop()
    return store, target, journal


def check(directory: Path) -> dict[str, LeaseState]:
    """Recover; afterwards: nothing at the target without a live lease, and the tables are the fold of the records."""
    store, target, journal = recover(directory)
    leases = {lease.id: lease for lease in store.leases.select()}
    stand = {name.removeprefix("flyball_") for name in (path.name for path in target.directory.iterdir())}
    settled = {LeaseState.DELIVERED, LeaseState.VERIFIED}
    assert {lease.state for lease in leases.values()} <= settled, leases
    assert stand == {key for key, lease in leases.items() if lease.state in LIVE_LEASES}
    assert not journal.marks()
    checked, findings = verify_chain(store.records.read(limit=10**9))
    assert findings == []
    assert (checked.seq, checked.head) == store.records.head()
    state = fold(store.records.read(limit=10**9))
    assert state.leases == {key: lease.state for key, lease in leases.items()}
    assert state.tasks == {task.id: task.state for task in store.tasks.select()}
    for lease in leases.values():
        receipts = [r for r in store.receipts(lease.task) if r["lease"] == lease.id and r["outcome"] == "verified"]
        assert len(receipts) == (lease.state is LeaseState.VERIFIED)
        assert (state.receipts.get(lease.id) == receipts[0]["receipt"]) if receipts else lease.id not in state.receipts
        steps = [stored.body for stored in store.records.of_task(lease.task) if lease.id.encode() in stored.body]
        assert len(steps) == len(set(steps)), "a record was written twice"
    fenced = {task for _, task in journal.fences()}
    assert all(store.tasks.get(task).state not in LIVE_TASKS for task in fenced)  # type: ignore[union-attr]
    assert {task.state for task in store.tasks.select()} <= {TaskState.OPEN, TaskState.FENCED}
    store.close()
    return {key: lease.state for key, lease in leases.items()}


if __name__ == "__main__":
    if int(sys.argv[3]):
        work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    else:
        faults.arm_from_env(production=False)
        recover(Path(sys.argv[1]))
