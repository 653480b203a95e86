"""The revoker when the store is full, hangs, cannot be read or lies; and after a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import stores_kit as kit
from tests.faults.revocation_house import House, gone, house

from flyball.credential.lease import LeaseState
from flyball.kernel.clock import SystemClock
from flyball.kernel.faults import armed
from flyball.revocation.loop import Lane
from flyball.revocation.ring import JournalFull

__all__ = ["house"]


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
