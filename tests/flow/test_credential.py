"""A credential: decided, intended, made, handed out, and taken back whenever a step of that does not hold."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from tests.flow.kit import PARCELS, Live, Place, revoke
from tests.wait import until

from flyball.credential.backend import TargetUnavailable
from flyball.credential.lease import LeaseState
from flyball.flow import end, request
from flyball.kernel.errors import Denied, FlyballError, Gone, Unavailable
from flyball.task.task import Cause

VERIFIED = LeaseState.VERIFIED


def test_what_a_lease_leaves_behind_on_record(live: Live) -> None:
    """Decided, intended, active, delivered, fenced, each step, receipt, closed: in that order, and no secret in any."""
    agent = live.agent().open()
    held = agent.credential()
    assert live.target().world.login(str(held.connection["user"]), held.secret, live.house.clock.wall_ms())
    done = agent.end()
    assert [one["lease"] for one in done.receipts] == [held.lease]
    assert done.pending == ()
    kinds = live.kinds(agent.task)
    wanted = ["task_opened", "decided", "decided", "lease_intent", "lease_active", "lease_delivered", "fenced"]
    assert kinds[:7] == wanted
    assert kinds[-2:] == ["receipt", "task_closed"]
    secret = held.secret.reveal().encode()
    assert not any(secret in stored.body + (stored.sealed or b"") for stored in live.house.log.of_task(agent.task))
    assert live.house.leases.sealed_secret(held.lease) is None


def test_a_credential_lives_no_longer_than_its_task(place: Place) -> None:
    """A lease whose own time is longer than what is left of the task ends with the task."""
    from tests.flow.kit import profile, write_bundle

    write_bundle(place.bundle, profile("brief", ttl="61s", lease_ttl="1m"))
    with place.house() as live:
        agent = live.agent().open("brief")
        until(lambda: live.house.clock.wall_ms() > live.task(agent.task).hard_end_ms - 59_800)
        held = agent.credential()
        assert held.expires_ms == live.task(agent.task).hard_end_ms


def test_a_credential_that_the_profile_does_not_name(live: Live) -> None:
    """Denied with the decision's id, nothing intended, and it is no deviation of the work."""
    agent = live.agent().open()
    with pytest.raises(Denied) as found:
        agent.credential("payroll")
    assert found.value.hint.startswith("decision dec_")
    assert not live.house.leases.select(task=agent.task)
    agent.end()


def test_a_credential_that_a_policy_forbids(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Denied by a hand-written policy: no lease was ever intended, and nothing stands at the target."""
    rule = """
        @id("no-orders")
        forbid (principal, action == Flyball::Action::"credential.issue", resource)
        when { context.task.owner == "payments" };
    """
    place = Place(tmp_path_factory.mktemp("p"), policies=rule)
    with place.house() as live:
        agent, other = live.agent().open(), live.agent(PARCELS).open()
        with pytest.raises(Denied) as found:
            agent.credential()
        assert found.value.code == "policy_forbids"
        assert "lease_intent" not in live.kinds(agent.task)
        held = other.credential()
        assert live.roles() == {live.house.leases.get(held.lease).name}  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["fail", "lost", "odd"])
def test_a_target_that_fails_while_issuing(place: Place, kind: str) -> None:
    """Down, or its answer lost: refused for now, and what may have been made is taken back and proved gone."""
    with place.house() as live:
        agent = live.agent().open()
        live.target().faults.arm("issue", kind)
        with pytest.raises(TargetUnavailable):
            agent.credential()
        assert live.house.revoker.wait(agent.task, 10)
        assert live.lease_states(agent.task) == [VERIFIED]
        assert not live.roles()
        # the task itself goes on, and may ask again
        assert agent.credential().target == "orders"


def test_a_hanging_target_holds_up_no_other(place: Place) -> None:
    """While one target hangs at issue, another's leases are issued and taken back as ever."""
    with place.house() as live:
        agent, other = live.agent().open(), live.agent(PARCELS).open()
        faults = live.target().faults
        faults.arm("issue", "hang")
        asking = threading.Thread(target=quietly(agent.credential))
        asking.start()
        assert faults.hanging.acquire(timeout=10)
        other.credential("parcels")
        done = other.end()
        assert [one["outcome"] for one in done.receipts] == ["verified"]
        faults.release()
        asking.join(10)


def test_a_fence_overtakes_the_making(place: Place) -> None:
    """Revoked while the target makes the role: the asker gets nothing but `gone`, and nothing is left."""
    with place.house() as live:
        agent = live.agent().open()
        faults = live.target().faults
        faults.arm("issue", "hang")
        errors: list[FlyballError] = []
        asking = threading.Thread(target=quietly(agent.credential, errors))
        asking.start()
        assert faults.hanging.acquire(timeout=10)
        done = revoke(live, agent.task, wait_ms=0)
        assert len(done.pending) == 1
        assert agent.read().effect == "deny"
        faults.release()
        asking.join(10)
        assert [type(error) for error in errors] == [Gone]
        until(lambda: live.lease_states(agent.task) == [VERIFIED])
        assert not live.roles()
        until(lambda: live.state(agent.task) == "closed")


def test_a_fence_between_intent_and_target(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fenced once the intent is durable: the target is not touched at all."""
    with place.house() as live:
        agent = live.agent().open()

        def fence(name: str) -> None:
            if name == "issue.after_intent":
                live.house.core.fence(agent.task, Cause.REVOKED.value)

        monkeypatch.setattr(request, "fault_point", fence)
        with pytest.raises(Gone):
            agent.credential()
        assert "issue" not in live.target().faults.calls
        assert live.house.revoker.wait(agent.task, 10)
        assert not live.roles()


def test_a_fence_after_active(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fenced at the last moment before the answer: the secret does not leave, and what was made is taken back."""
    with place.house() as live:
        agent = live.agent().open()

        def fence(name: str) -> None:
            if name == "issue.after_active":
                live.house.core.fence(agent.task, Cause.REVOKED.value)

        monkeypatch.setattr(request, "fault_point", fence)
        with pytest.raises(Gone):
            agent.credential()
        assert live.house.revoker.wait(agent.task, 10)
        assert live.lease_states(agent.task) == [VERIFIED]
        assert not live.roles()


def test_issuing_races_with_revoking(place: Place) -> None:
    """Whoever wins, many times over: afterwards no role stands, and no credential was handed out that lived on."""
    with place.house() as live:
        for round_ in range(12):
            agent = live.agent().open()
            errors: list[FlyballError] = []
            asking = threading.Thread(target=quietly(lambda a=agent: a.credential(deliver=False), errors))  # type: ignore[misc]
            asking.start()
            if round_ % 3:
                until(lambda a=agent: live.kinds(a.task).count("decided") >= 2)  # type: ignore[misc]
            revoke(live, agent.task)
            asking.join(10)
            until(lambda a=agent: set(live.lease_states(a.task)) <= {VERIFIED})  # type: ignore[misc]
        assert not live.roles()


def test_a_store_that_cannot_say_active(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made at the target and then not recordable: not handed out, and taken back."""
    with place.house() as live:
        agent = live.agent().open()
        real = live.house.store.unit

        def broken(name: str) -> None:
            if name == "issue.after_target":
                unit = real()
                monkeypatch.setattr(unit.__class__, "commit", refuse)

        def refuse(_unit: object) -> None:
            monkeypatch.undo()
            raise Unavailable("the disk is full", code="store_unavailable")

        monkeypatch.setattr(request, "fault_point", broken)
        with pytest.raises(Unavailable):
            agent.credential()
        assert live.house.revoker.wait(agent.task, 10)
        assert live.lease_states(agent.task) == [VERIFIED]
        assert not live.roles()


def test_what_nobody_acknowledged_is_taken_back(place: Place) -> None:
    """A credential whose answer was lost on its way: after a while it is gone, and the task goes on."""
    from dataclasses import replace

    with place.house() as live:
        live.house.settings = replace(live.house.settings, undelivered_ms=300)
        agent = live.agent().open()
        kept, lost = agent.credential("parcels"), agent.credential(deliver=False)
        live.watch()
        until(lambda: live.house.leases.get(lost.lease).state is VERIFIED)  # type: ignore[union-attr]
        assert live.house.leases.get(lost.lease).cause == "undelivered"  # type: ignore[union-attr]
        assert live.house.leases.get(kept.lease).state is LeaseState.DELIVERED  # type: ignore[union-attr]
        with pytest.raises(Gone):
            request.delivered(live.house, agent.shown(), lost.lease)
        assert agent.read().effect == "allow"


def test_a_lease_that_runs_out_is_taken_back(place: Place) -> None:
    """At the end of its own time, ahead of its task's; the task goes on and may ask for another."""
    from tests.flow.kit import profile, write_bundle

    write_bundle(place.bundle, profile("brief", lease_ttl="1s"))
    with place.house() as live:
        live.watch()
        agent = live.agent().open("brief")
        held = agent.credential()
        until(lambda: live.house.leases.get(held.lease).state is VERIFIED)  # type: ignore[union-attr]
        assert live.house.leases.get(held.lease).cause == "expired"  # type: ignore[union-attr]
        assert agent.credential().lease != held.lease


def test_how_it_was_handed_on_stands_in_the_receipt(live: Live) -> None:
    """A holder that put the secret into an environment says so, and the receipt repeats it."""
    agent = live.agent().open()
    held = agent.credential(deliver=False)
    request.delivered(live.house, agent.shown(), held.lease, "environment")
    (receipt,) = agent.end().receipts
    assert receipt["handover"] == "environment"
    assert receipt["delivery"] == "released"


def test_a_suspended_agent_gets_no_credential(place: Place) -> None:
    """Its state is looked at once more when it asks."""
    with place.house() as live:
        agent = live.agent().open()
        live.house.store.unit()
        unit = live.house.store.unit()
        unit.save_row("agent", "refund-agent", {"state": "suspended", "since_ms": 0, "by": "ops", "reason": ""})
        unit.commit()
        with pytest.raises(Denied) as found:
            agent.credential()
        assert found.value.code == "agent_suspended"


def test_a_suspended_task_gets_no_credential_and_holds_none(live: Live) -> None:
    """Suspended: everything is refused, leases are taken back; resumed it asks anew."""
    agent = live.agent().open()
    held = agent.credential()
    end.suspend_task(live.house, agent.task, by="ops", reason="asked")
    with pytest.raises(Denied) as found:
        agent.credential()
    assert found.value.code == "task_suspended"
    assert agent.read().reasons == ("task_suspended",)
    until(lambda: live.house.leases.get(held.lease).state is VERIFIED)  # type: ignore[union-attr]
    assert agent.beat().state == "suspended"
    end.resume_task(live.house, agent.task, by="ops", reason="settled")
    assert agent.read().effect == "allow"
    assert agent.credential().lease != held.lease
    agent.end()


def quietly(ask: Callable[[], object], errors: list[FlyballError] | None = None) -> Callable[[], None]:
    """Call it, and keep what it raises."""

    def run() -> None:
        try:
            ask()
        except FlyballError as error:
            if errors is not None:
                errors.append(error)

    return run
