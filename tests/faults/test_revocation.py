"""The revoker when targets fail or hang."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from tests import stores_kit as kit
from tests.faults.revocation_house import House, gone, house

from flyball.audit.record import Kind
from flyball.credential.lease import LeaseState
from flyball.revocation import receipts
from flyball.revocation.bulkhead import Bulkhead
from flyball.revocation.loop import Lane, Pace
from flyball.task.task import Task

__all__ = ["house"]


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


def test_a_free_thread_takes_a_queued_kill_before_an_older_expiry() -> None:
    """One thread of two comes free, with an expiry waiting longer than a kill: it takes the kill."""
    begun: list[str] = []
    ends = {name: threading.Event() for name in ("expiry 1", "kill 1", "expiry 2", "kill 2")}

    def work(lease: str) -> None:
        begun.append(lease)
        assert ends[lease].wait(10)

    bulkhead = Bulkhead("orders", work, workers=2, kept_for_kill=1)
    try:
        for count, (lease, lane) in enumerate((("expiry 1", Lane.EXPIRY), ("kill 1", Lane.KILL)), start=1):
            bulkhead.put(lease, lane)
            kit.until(lambda running=count: len(begun) == running)  # type: ignore[misc]
        bulkhead.put("expiry 2", Lane.EXPIRY)
        bulkhead.put("kill 2", Lane.KILL)
        ends["expiry 1"].set()
        kit.until(lambda: len(begun) == 3)
        assert begun[2] == "kill 2"
    finally:
        for end in ends.values():
            end.set()
        bulkhead.stop(10)


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
