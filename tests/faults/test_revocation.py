"""The revoker when targets fail or hang, and when the store is full, hangs or lies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests import stores_kit as kit

from flyball.audit.chain import verify_chain
from flyball.audit.fold import fold
from flyball.audit.record import Kind
from flyball.credential.lease import Lease, LeaseState
from flyball.kernel.clock import SystemClock
from flyball.kernel.faults import armed
from flyball.revocation import receipts
from flyball.revocation.journal import Journal
from flyball.revocation.loop import Lane, Pace, Revoker
from flyball.revocation.ring import JournalFull
from flyball.stores.sqlite.store import SqliteStore
from flyball.task.task import Task


class House:
    """A store that fails on demand, a journal, targets and a revoker."""

    def __init__(self, directory: Path, store: SqliteStore, database: kit.FaultyDatabase, **options: object) -> None:
        self.store, self.database = store, database
        self.journal = Journal(directory / "journal", 256 << 10)
        self.targets = {"orders": kit.Target(), "other": kit.Target()}
        self.settled: list[str] = []
        self.revoker = self.make(**options)
        self.task = kit.put_task(store)

    def make(self, **options: object) -> Revoker:
        return kit.make_revoker(
            self.store,
            self.journal,
            self.targets,
            on_settled=lambda lease: self.settled.append(lease.id),
            **options,  # type: ignore[arg-type]
        )

    def lease(self, target: str = "orders", state: LeaseState = LeaseState.DELIVERED) -> Lease:
        lease = kit.make_lease(self.task, target=target)
        kit.put_lease(self.store, lease)
        if state is not LeaseState.INTENT:
            for kind, to in ((Kind.LEASE_ACTIVE, LeaseState.ACTIVE), (Kind.LEASE_DELIVERED, LeaseState.DELIVERED)):
                unit = self.store.unit()
                before, lease = lease.state, replace(lease, state=to)
                unit.save_lease(lease, expect=frozenset({before}))
                unit.record(kit.Record(kind, kit.NOW, lease.task, {"lease": lease.id}))
                unit.commit()
                if to is state:
                    break
        self.targets[target].logins[lease.name] = True
        self.targets[target].sessions[lease.name] = 1
        return lease

    def state(self, lease: Lease) -> LeaseState:
        found = self.store.leases.get(lease.id)
        assert found is not None
        return found.state

    def check(self) -> None:
        """The chain verifies and the ledger is what the records amount to; nothing stands twice."""
        stored = list(self.store.records.read(limit=10**9))
        checked, findings = verify_chain(stored)
        assert findings == []
        assert (checked.seq, checked.head) == self.store.records.head()
        assert fold(stored).leases == {lease.id: lease.state for lease in self.store.leases.select()}
        assert len({item.body for item in stored}) == len(stored), "a record was written twice"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with kit.faulty_store(tmp_path / "state") as (store, database):
        house = House(tmp_path, store, database)
        yield house
        database.mode = "ok"
        database.gate.set()
        for target in house.targets.values():
            target.release.set()
        house.revoker.stop(1)


def gone(house: House, lease: Lease) -> bool:
    target = house.targets[lease.target]
    return lease.name not in target.logins and lease.name not in target.sessions


def test_a_lease_is_taken_back_with_proof(house: House) -> None:
    """Each step once and in order, then the probe; VERIFIED, a receipt that verifies offline, the secret forgotten."""
    lease = house.lease()
    house.revoker.submit(lease, "revoked", Lane.KILL)
    assert house.revoker.wait(house.task.id, 5)
    assert [step for step, _ in house.targets["orders"].calls] == [*kit.STEPS, "probe"]
    assert house.state(lease) is LeaseState.VERIFIED
    assert house.store.leases.sealed_secret(lease.id) is None
    assert house.settled == [lease.id]
    (receipt,) = house.revoker.receipts_for(house.task.id)
    payload = receipts.verify(receipt["envelope"], [kit.KEY.public_key()])  # type: ignore[arg-type]
    assert payload["outcome"] == "verified"
    assert [step["step"] for step in payload["steps"]] == list(kit.STEPS)  # type: ignore[index,union-attr,call-overload]
    record = next(item for item in house.store.records.read() if item.kind == Kind.RECEIPT)
    assert receipts.digest(receipt["envelope"]).encode() in record.body  # type: ignore[arg-type]
    named = payload["record"]
    assert isinstance(named, dict)
    at = next(iter(house.store.records.read(after=int(str(named["seq"])) - 1, limit=1)))
    assert at.hash.hex() == named["hash"]
    house.check()


def test_the_intent_to_revoke_is_durable_before_the_target_is_touched(house: House) -> None:
    """At the first call to the target the ledger says REVOKING already."""
    lease = house.lease()
    seen: list[LeaseState] = []
    target = house.targets["orders"]
    run = target.run
    target.run = lambda step, plan, progress: (seen.append(house.state(lease)), run(step, plan, progress))[1]  # type: ignore[method-assign]
    house.revoker.submit(lease, "revoked", Lane.KILL)
    assert house.revoker.wait(house.task.id, 5)
    assert seen == [LeaseState.REVOKING] * 3


def test_submitting_many_times_is_submitting_once(house: House) -> None:
    """The watch submits what is due at every tick; the target sees one revocation."""
    lease = house.lease()
    for _ in range(50):
        house.revoker.submit(lease, "expired", Lane.EXPIRY)
        house.revoker.submit(lease, "revoked", Lane.KILL)
    assert house.revoker.wait(house.task.id, 5)
    house.revoker.submit(lease, "revoked", Lane.KILL)
    assert house.revoker.wait(house.task.id, 5)
    assert [step for step, _ in house.targets["orders"].calls] == [*kit.STEPS, "probe"]
    house.check()


def test_a_hanging_target_delays_no_other(house: House) -> None:
    """With every thread of one target stuck, a lease at another is gone at once."""
    house.targets["orders"].hang.add("kill")
    stuck = [house.lease() for _ in range(20)]
    for lease in stuck:
        house.revoker.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: sum(step == "kill" for step, _ in house.targets["orders"].calls) == kit.FAST.workers)
    free = house.lease("other")
    start = time.monotonic()
    house.revoker.submit(free, "revoked", Lane.KILL)
    assert house.revoker.wait_lease(free.id, 5)
    assert time.monotonic() - start < 1
    assert not house.revoker.wait(house.task.id, 0.05)
    house.targets["orders"].release.set()
    assert house.revoker.wait(house.task.id, 10)
    house.check()


def test_the_kill_lane_is_ahead_and_has_threads_of_its_own(house: House) -> None:
    """Hundreds of expiries that hang leave a thread for the kill lane; queued kills go before queued expiries."""
    target = house.targets["orders"]
    target.hang.add("deny_logins")
    expiring = [house.lease() for _ in range(30)]
    for lease in expiring:
        house.revoker.submit(lease, "expired", Lane.EXPIRY)
    limit = kit.FAST.workers - kit.FAST.kept_for_kill
    kit.until(lambda: len(target.calls) == limit)
    pulled = [house.lease() for _ in range(6)]
    for lease in pulled:
        house.revoker.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: len(target.calls) == kit.FAST.workers)
    names = {lease.name for lease in pulled}
    assert sum(name in names for _, name in target.calls) == kit.FAST.kept_for_kill
    target.release.set()
    assert house.revoker.wait(house.task.id, 10)
    firsts = [name for step, name in target.calls if step == "deny_logins"]
    last_kill = max(firsts.index(name) for name in names)
    # In the order of their coming they would be last, from 30 on; threads overtake each other by a few.
    assert last_kill < limit + len(pulled) + kit.FAST.workers


def test_an_expiry_that_is_pulled_moves_up(house: House) -> None:
    """Submitting a queued expiry again in the kill lane puts it ahead of the other expiries."""
    target = house.targets["orders"]
    target.hang.add("deny_logins")
    leases = [house.lease() for _ in range(20)]
    for lease in leases:
        house.revoker.submit(lease, "expired", Lane.EXPIRY)
    kit.until(lambda: len(target.calls) == kit.FAST.workers - kit.FAST.kept_for_kill)
    house.revoker.submit(leases[-1], "revoked", Lane.KILL)
    kit.until(lambda: any(name == leases[-1].name for _, name in target.calls))
    target.release.set()
    assert house.revoker.wait(house.task.id, 10)


@pytest.mark.parametrize("step", [*kit.STEPS, "probe"])
def test_a_step_that_fails_is_tried_until_it_works(house: House, step: str) -> None:
    """A target that fails a few times: QUARANTINED loudly with its receipt, then VERIFIED with another."""
    house.targets["orders"].fail[step] = 6
    lease = house.lease()
    house.revoker.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: house.revoker.wait(house.task.id, 0))
    assert house.state(lease) is LeaseState.VERIFIED
    kinds = [item.kind for item in house.store.records.of_task(house.task.id)]
    assert kinds.count(Kind.LEASE_QUARANTINED) == 1, "retries at a dead target must not fill the chain"
    outcomes = [receipt["outcome"] for receipt in house.store.receipts(house.task.id)]
    assert outcomes == ["quarantined", "verified"]
    assert [receipt["outcome"] for receipt in house.revoker.receipts_for(house.task.id)] == ["verified"]
    assert gone(house, lease)
    house.check()


def test_retries_never_stop(house: House) -> None:
    """A target that is down stays QUARANTINED and is tried for ever, with a capped pause; `wait` does not hang."""
    target = house.targets["orders"]
    target.fail["deny_logins"] = -1
    lease = house.lease()
    house.revoker.submit(lease, "revoked", Lane.KILL)
    assert not house.revoker.wait(house.task.id, 5)
    assert house.state(lease) is LeaseState.QUARANTINED
    assert [item.id for item in house.revoker.quarantined()] == [lease.id]
    before = len(target.calls)
    kit.until(lambda: len(target.calls) > before + 20)
    found = house.store.leases.get(lease.id)
    assert found is not None
    assert found.due_ms > 0
    target.fail.clear()
    kit.until(lambda: house.state(lease) is LeaseState.VERIFIED)
    house.check()


def test_a_probe_that_finds_a_session_starts_over(house: House) -> None:
    """Not proved gone: all steps again, from denying logins, until the probe says so."""
    house.targets["orders"].sticky = 2
    lease = house.lease()
    house.revoker.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: house.state(lease) is LeaseState.VERIFIED)
    assert [step for step, _ in house.targets["orders"].calls] == [*kit.STEPS, "probe"] * 3
    house.check()


def test_a_door_that_could_not_be_probed_is_no_proof(house: House) -> None:
    """An inconclusive door, or a control login that fails, keeps the lease from VERIFIED."""
    from flyball.credential.backend import DoorProbe, ProbeReport

    reports = iter(
        [
            ProbeReport(()),
            ProbeReport((DoorProbe("p", "refused", True, "", 0), DoorProbe("standby", "inconclusive", True, "", 0))),
            ProbeReport((DoorProbe("p", "refused", False, "too many connections", 0),)),
        ]
    )
    house.targets["orders"].probe = lambda *args: next(reports, ProbeReport((DoorProbe("p", "refused", True, "", 0),)))  # type: ignore[method-assign]
    lease = house.lease()
    house.revoker.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: house.state(lease) is LeaseState.VERIFIED)
    quarantined = house.store.receipts(house.task.id)[0]
    assert quarantined["outcome"] == "quarantined"
    assert "control login failed" in str(quarantined["reason"])


def test_a_target_that_left_the_configuration(house: House) -> None:
    """Its leases are QUARANTINED, and go on when it is back."""
    lease = house.lease()
    target = house.targets.pop("orders")
    house.revoker.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: house.state(lease) is LeaseState.QUARANTINED)
    house.targets["orders"] = target
    kit.until(lambda: house.state(lease) is LeaseState.VERIFIED)


def test_a_deposed_node_leaves_later_leases_alone(house: House) -> None:
    """A lease of a later epoch is not revoked by an earlier one."""
    lease = house.lease()
    old = house.make(epoch=house.store.epoch - 1)
    old.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: old.stats()["deposed_total"] == 1)
    assert house.targets["orders"].calls == []
    assert house.state(lease) is LeaseState.DELIVERED
    old.stop(1)


@pytest.mark.parametrize("mode", ["refuse", "hang", "blind"])
def test_a_store_that_cannot_delays_no_revocation(house: House, mode: str) -> None:
    """Full, hanging or unreadable: the privilege is gone at the target in time, the journal keeps the
    checkpoints, and the store has everything once it can, in order and once."""
    house.revoker = house.make(patience_s=0.05)
    leases = [house.lease() for _ in range(10)]
    house.database.mode = mode
    start = time.monotonic()
    for lease in leases:
        house.revoker.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: all(gone(house, lease) for lease in leases), 5)
    assert house.revoker.wait(house.task.id, 5)
    assert time.monotonic() - start < 2
    if mode != "blind":
        assert house.journal.marks()
        assert {house.state(lease) for lease in leases} == {LeaseState.DELIVERED}
    house.database.mode = "ok"
    house.database.gate.set()
    kit.until(lambda: {house.state(lease) for lease in leases} == {LeaseState.VERIFIED})
    kit.until(lambda: not house.journal.marks())
    assert {r["outcome"] for r in house.revoker.receipts_for(house.task.id)} == {"verified"}
    house.check()


def test_a_full_journal_beside_a_full_store_delays_nothing_either(house: House) -> None:
    """With no disk at all the steps go on: they are idempotent, and held checkpoints are written later."""
    house.revoker = house.make(patience_s=0.05)
    leases = [house.lease() for _ in range(3)]

    def fill() -> None:
        for _ in range(10_000):
            house.journal._ring.append(bytes(1000), reserve=64 << 10)

    with pytest.raises(JournalFull):
        fill()
    house.database.mode = "refuse"
    for lease in leases:
        house.revoker.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: all(gone(house, lease) for lease in leases), 5)
    assert house.journal.fence(house.task.id, cause="revoked", by="ops", at_ms=kit.NOW)
    house.database.mode = "ok"
    kit.until(lambda: {house.state(lease) for lease in leases} == {LeaseState.VERIFIED})
    house.check()


def test_an_unknown_commit_outcome_writes_nothing_twice(house: House) -> None:
    """The store commits and then says that it could not: what it has is found, not written again."""
    leases = [house.lease() for _ in range(len(kit.STEPS) + 2)]
    target = house.targets["orders"]
    run, probe = target.run, target.probe

    def lie_after(call: Callable[..., object], at: str, step: str, *args: object) -> object:
        if at == step:
            house.database.mode = "unknown"
        return call(*args)

    for at, lease in zip(["begin", *kit.STEPS, "probe"], leases, strict=True):
        target.run = lambda step, *args, at=at: lie_after(run, at, step, step, *args)  # type: ignore[method-assign,assignment]
        target.probe = lambda *args, at=at: lie_after(probe, at, "probe", *args)  # type: ignore[method-assign,assignment]
        lie_after(lambda: None, at, "begin")
        house.revoker.submit(lease, "revoked", Lane.KILL)
        assert house.revoker.wait(house.task.id, 5)
    kit.until(lambda: {house.state(lease) for lease in leases} == {LeaseState.VERIFIED})
    house.check()


def test_journalled_fences_reach_the_store_by_themselves(house: House) -> None:
    """A fence that the store could not take is in the store soon after it can."""
    house.database.mode = "refuse"
    house.journal.fence(house.task.id, cause="revoked", by="ops", at_ms=SystemClock().wall_ms() - 2000)
    house.revoker.recover()
    house.database.mode = "ok"

    def fenced() -> bool:
        task = house.store.tasks.get(house.task.id)
        return task is not None and task.state.value == "fenced"

    kit.until(fenced)
    kit.until(lambda: house.journal.fences() == [])


def test_recovery_revokes_what_nobody_acknowledged(house: House) -> None:
    """INTENT and ACTIVE are revoked, REVOKING and QUARANTINED go on, DELIVERED and VERIFIED are left."""
    intent, active, delivered = (
        house.lease(state=s) for s in (LeaseState.INTENT, LeaseState.ACTIVE, LeaseState.DELIVERED)
    )
    assert house.revoker.recover() == 2
    assert house.revoker.wait(house.task.id, 5)
    assert [house.state(x) for x in (intent, active, delivered)] == [
        LeaseState.VERIFIED,
        LeaseState.VERIFIED,
        LeaseState.DELIVERED,
    ]
    causes = {receipt["lease"]: receipt["cause"] for receipt in house.revoker.receipts_for(house.task.id)}
    assert causes == {intent.id: "recovered", active.id: "undelivered"}


def test_recovery_goes_on_after_the_last_checkpoint(house: House) -> None:
    """A revocation cut short is taken up after its last durable step, and its receipt lists all steps."""
    lease = house.lease()
    house.targets["orders"].hang.add("drop")
    house.revoker.submit(lease, "revoked", Lane.KILL, fenced_ms=kit.NOW)
    kit.until(lambda: any(step == "drop" for step, _ in house.targets["orders"].calls))
    fresh = kit.Target()
    fresh.logins = dict(house.targets["orders"].logins)
    house.targets["orders"].hang.clear()
    house.targets["orders"] = fresh
    again = house.make()
    assert again.recover() == 1
    assert again.wait(house.task.id, 5)
    assert [step for step, _ in fresh.calls] == ["drop", "probe"]
    (receipt,) = again.receipts_for(house.task.id)
    assert [step["step"] for step in receipt["steps"]] == list(kit.STEPS)  # type: ignore[index,union-attr,call-overload]
    assert receipt["fenced_ms"] == kit.NOW
    again.stop(1)


def test_our_own_failure_in_a_pass_is_not_the_end(house: House) -> None:
    """An unexpected error of ours is logged and the lease tried again."""
    lease = house.lease()
    with armed("revoke.after_step:raise:2"):
        house.revoker.submit(lease, "revoked", Lane.KILL)
        kit.until(lambda: house.state(lease) is LeaseState.VERIFIED)
    house.check()


def test_what_a_target_says_never_stops_a_revocation(house: House) -> None:
    """Floats, huge texts, bytes: what a backend observes is bounded and made fit for a record."""
    target = house.targets["orders"]
    run = target.run
    weird = {"ratio": 0.5, "text": "x" * 100_000, "raw": b"\xff", "deep": [{"a": 1.5}], "set": {1}}

    def strange(step: str, plan: kit.Target, progress: object) -> object:
        outcome = run(step, plan, progress)  # type: ignore[arg-type]
        return replace(outcome, observed=weird, progress={"p": 1.25}, weaknesses=("w" * 9000,))

    target.run = strange  # type: ignore[assignment,method-assign]
    lease = house.lease()
    house.revoker.submit(lease, "revoked", Lane.KILL)
    assert house.revoker.wait(house.task.id, 5)
    assert house.state(lease) is LeaseState.VERIFIED
    house.check()


def test_the_probe_gets_the_revoked_secret_and_nothing_shows_it(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """The secret goes to the probe alone; it stands in no record, receipt or document."""
    seen: list[str] = []
    target = house.targets["orders"]
    probe = target.probe
    target.probe = lambda plan, progress, secret: (seen.append(secret.reveal()), probe(plan, progress, secret))[1]  # type: ignore[method-assign,union-attr]
    lease = house.lease()
    unit = house.store.unit()
    unit.save_secret(lease.id, b"s3cr3t-of-the-lease")
    unit.commit()
    house.revoker.submit(lease, "revoked", Lane.KILL)
    assert house.revoker.wait(house.task.id, 5)
    assert seen == ["s3cr3t-of-the-lease"]
    everything = repr(house.revoker.receipts_for(house.task.id)) + repr(list(house.store.records.read()))
    assert "s3cr3t" not in everything + caplog.text


FULL_DISK = """
import sys, time; sys.path[:0] = sys.argv[2:]
from pathlib import Path
from tests import stores_kit as kit
from flyball.kernel.errors import Unavailable
from flyball.revocation.journal import Journal
from flyball.revocation.ring import JournalFull
from flyball.revocation.loop import Lane
from flyball.credential.lease import LeaseState
disk = Path(sys.argv[1])
store = kit.native_store(disk / "state")
journal = Journal(disk / "journal", 1 << 20)
target = kit.Target()
revoker = kit.make_revoker(store, journal, {"orders": target}, patience_s=0.25)
task = kit.put_task(store)
leases = [kit.put_lease(store, kit.make_lease(task)) for _ in range(20)]
for lease in leases: target.logins[lease.name] = True
# Fill the disk to the last byte, then see that the store itself can take no more.
with (disk / "filler").open("wb", buffering=0) as filler:
    block = bytes(1 << 16)
    try:
        while True: filler.write(block)
    except OSError: pass
    try:
        while True: filler.write(b"x")
    except OSError: pass
refused = 0
for i in range(4000):
    try:
        unit = store.unit(); unit.save_row("agent", f"a{i}", {"state": "x" * 900}); unit.commit()
    except Unavailable:
        refused += 1
        if refused >= 3: break
assert refused >= 3, "the disk is not full"
start = time.monotonic()
seq = journal.fence(task.id, cause="revoked", by="ops", at_ms=int(time.time() * 1000))
for lease in leases: revoker.submit(lease, "revoked", Lane.KILL)
assert revoker.wait(task.id, 20)
took = time.monotonic() - start
assert not target.logins and not target.sessions
assert {r["outcome"] for r in revoker.receipts_for(task.id)} == {"verified"}
assert journal.marks(), "nothing went to the journal"
print("took", took, len(journal.marks()), flush=True)
(disk / "filler").unlink()
kit.until(lambda: not journal.marks(), 20)
assert {lease.state for lease in store.leases.select()} == {LeaseState.VERIFIED}
assert store.tasks.get(task.id).state.value in ("fenced", "open")
kit.until(lambda: store.tasks.get(task.id).state.value == "fenced", 10)
revoker.stop(); store.close()
"""


def in_full_disk(directory: Path) -> subprocess.CompletedProcess[str]:
    paths = [path for path in sys.path if path]
    command = [sys.executable, "-c", FULL_DISK, str(directory), *paths]
    if os.geteuid() == 0:
        # A disk of its own, small enough to fill, in a mount namespace of its own.
        mount = f'mount -t tmpfs -o size=12m,mode=700 tmpfs {directory} && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mount, "sh", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(
    os.geteuid() != 0, reason="mounting a small disk needs root; the refusing store above needs nothing"
)
def test_a_really_full_disk_delays_no_revocation(tmp_path: Path) -> None:
    """Every byte of the disk taken, the store refusing: twenty leases are taken back at once, with
    receipts; with room again the store catches up and the journal empties."""
    done = in_full_disk(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    took = float(done.stdout.partition("took ")[2].split()[0])
    assert took < 3, done.stdout


def test_stopping_leaves_the_rest_for_the_next_start(house: House) -> None:
    """`stop` returns in time though a target is down; what is left is due at the next start."""
    house.targets["orders"].fail["kill"] = -1
    lease = house.lease()
    house.revoker.submit(lease, "revoked", Lane.KILL)
    kit.until(lambda: house.state(lease) is LeaseState.QUARANTINED)
    start = time.monotonic()
    house.revoker.stop(2)
    assert time.monotonic() - start < 2
    house.targets["orders"].fail.clear()
    house.revoker = house.make()
    assert house.revoker.recover() == 1
    assert house.revoker.wait(house.task.id, 5)
    house.check()


def test_pace_refuses_to_keep_no_thread_for_kill() -> None:
    """A bulkhead without threads of the kill lane's own is a mistake."""
    from flyball.revocation.bulkhead import Bulkhead

    for kept in (0, 8):
        with pytest.raises(ValueError, match="kept"):
            Bulkhead("t", lambda lease: None, workers=8, kept_for_kill=kept)
    assert Pace().backoff_cap_ms == 30_000


def test_waiting_counts_only_the_task_asked_for(house: House) -> None:
    """Another task's hanging lease does not hold up `wait`."""
    other: Task = kit.put_task(house.store)
    house.targets["orders"].hang.add("deny_logins")
    stuck = house.lease()
    house.revoker.submit(stuck, "revoked", Lane.KILL)
    mine, house.task = house.task, other
    free = house.lease("other")
    house.revoker.submit(free, "revoked", Lane.KILL)
    assert house.revoker.wait(other.id, 5)
    assert not house.revoker.wait(mine.id, 0.02)
    assert threading.active_count() < 60
