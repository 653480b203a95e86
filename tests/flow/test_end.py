"""Ending and revoking: the same path whatever the cause, the same answer however often."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.flow.kit import PARCELS, Live, Place, revoke
from tests.wait import until

from flyball.credential.lease import LeaseState
from flyball.flow import end, request
from flyball.flow.asks import Ended
from flyball.kernel.errors import Conflict, Denied, Gone, NotFound, Unavailable
from flyball.revocation.ring import JournalFull
from flyball.task.task import TaskState

VERIFIED = LeaseState.VERIFIED


def test_ending_twice_answers_the_same(live: Live) -> None:
    """The same receipts, no second record, no second receipt; also after an operator was faster."""
    agent = live.agent().open()
    agent.credential()
    first, again = agent.end(), agent.end()
    assert first == again
    kinds = live.kinds(agent.task)
    assert (kinds.count("fenced"), kinds.count("receipt"), kinds.count("task_closed")) == (1, 1, 1)
    assert revoke(live, agent.task).receipts == first.receipts
    assert live.task(agent.task).cause == "ended"
    assert live.kinds(agent.task) == kinds


def test_the_first_cause_stands(live: Live) -> None:
    """Ended by its holder after it was revoked, it stays revoked."""
    agent = live.agent().open()
    revoke(live, agent.task)
    assert agent.end().tasks == (agent.task,)
    assert live.task(agent.task).cause == "revoked"


def test_ending_at_once_from_many_threads(live: Live) -> None:
    """One fence, one receipt a lease, whoever came first; everybody is told of the same."""
    agent = live.agent().open()
    agent.credential()
    agent.credential("parcels")
    told: list[Ended] = []
    proofs = [agent.shown() for _ in range(6)]
    ending = [
        threading.Thread(target=lambda p=proof: told.append(request.end_task(live.house, p, agent.task)))  # type: ignore[misc]
        for proof in proofs
    ]
    for thread in ending:
        thread.start()
    for thread in ending:
        thread.join(20)
    assert len(told) == 6
    assert {tuple(sorted(str(one["receipt"]) for one in done.receipts)) for done in told} == {
        tuple(sorted(str(one["receipt"]) for one in told[0].receipts))
    }
    assert len(told[0].receipts) == 2
    assert live.kinds(agent.task).count("fenced") == 1
    until(lambda: live.state(agent.task) == "closed")
    assert live.kinds(agent.task).count("task_closed") == 1


def test_after_the_fence_nothing_is_allowed(live: Live) -> None:
    """Not a read, not a heartbeat, not a credential, not a resumption: fenced is final."""
    agent = live.agent().open()
    revoke(live, agent.task)
    assert agent.read().effect == "deny"
    for use in (agent.beat, agent.credential):
        with pytest.raises(Gone):
            use()
    with pytest.raises(Gone):
        end.resume_task(live.house, agent.task, by="ops", reason="by mistake")
    with pytest.raises(Gone):
        end.suspend_task(live.house, agent.task, by="ops", reason="by mistake")
    assert agent.read().effect == "deny"
    assert live.state(agent.task) == "closed"


def test_revoking_one_lease_leaves_its_task_and_its_other_leases(live: Live) -> None:
    """The lease is gone with a receipt; the task goes on and may ask anew."""
    agent = live.agent().open()
    gone, kept = agent.credential(), agent.credential("parcels")
    done = end.revoke_lease(live.house, gone.lease, by="ops", reason="asked")
    assert [one["lease"] for one in done.receipts] == [gone.lease]
    assert done.pending == ()
    assert live.house.leases.get(kept.lease).state is LeaseState.DELIVERED  # type: ignore[union-attr]
    assert agent.read().effect == "allow"
    assert agent.credential().lease != gone.lease
    assert "lease_revoked" in live.kinds(agent.task)
    again = end.revoke_lease(live.house, gone.lease, by="ops", reason="asked")
    assert again.receipts == done.receipts
    agent.end()


def test_revoking_an_agent_ends_its_tasks_and_nobody_elses(place: Place) -> None:
    """Every live task of the agent, with its leases; it may open new ones."""
    with place.house() as live:
        mine = [live.agent().open() for _ in range(3)]
        other = live.agent(PARCELS).open()
        held = {agent.credential().lease for agent in mine}
        kept = other.credential()
        done = end.revoke_agent(live.house, "refund-agent", by="ops", reason="asked")
        assert set(done.tasks) == {agent.task for agent in mine}
        assert {one["lease"] for one in done.receipts} == held
        assert live.roles() == {live.house.leases.get(kept.lease).name}  # type: ignore[union-attr]
        assert other.read().effect == "allow"
        assert live.agent().open().read().effect == "allow"


def test_revoking_an_owner_ends_what_its_agents_hold(place: Place) -> None:
    """Every live task of every agent of the owner's."""
    with place.house() as live:
        mine, other = live.agent(PARCELS).open(), live.agent().open()
        mine.credential()
        kept = other.credential()
        assert end.revoke_owner(live.house, "shipping", by="ops", reason="asked").tasks == (mine.task,)
        assert live.roles() == {live.house.leases.get(kept.lease).name}  # type: ignore[union-attr]
        assert end.revoke_owner(live.house, "nobody", by="ops", reason="asked").tasks == ()


def test_what_is_not_there_cannot_be_revoked(live: Live) -> None:
    """An unknown task, lease or agent is named as unknown."""
    for ask in (
        lambda: end.revoke_task(live.house, "tsk_local_no", by="ops", reason=""),
        lambda: end.revoke_lease(live.house, "lea_local_no", by="ops", reason=""),
        lambda: end.revoke_agent(live.house, "no-agent", by="ops", reason=""),
        lambda: end.set_agent_state(live.house, "no-agent", "suspended", by="ops", reason=""),
        lambda: end.suspend_task(live.house, "tsk_local_no", by="ops", reason=""),
        lambda: end.resume_task(live.house, "tsk_local_no", by="ops", reason=""),
    ):
        with pytest.raises(NotFound):
            ask()


def test_a_task_of_a_suspended_agent_is_not_resumed(place: Place) -> None:
    """Resuming the task alone would give the agent back what was taken from it."""
    with place.house() as live:
        agent = live.agent().open()
        end.suspend_task(live.house, agent.task, by="ops", reason="asked")
        unit = live.house.store.unit()
        unit.save_row("agent", "refund-agent", {"state": "quarantined", "since_ms": 0, "by": "ops", "reason": ""})
        unit.commit()
        with pytest.raises(Denied):
            end.resume_task(live.house, agent.task, by="ops", reason="settled")
        assert agent.read().reasons == ("task_suspended",)


def test_a_target_that_is_down_is_tried_until_it_is_not(place: Place) -> None:
    """The end is answered with what is pending; loudly quarantined, retried, and proved gone in the end."""
    with place.house() as live:
        live.watch()
        agent = live.agent().open()
        held = agent.credential()
        live.target().faults.arm("kill", "fail", 5)
        done = agent.end(wait_ms=300)
        assert done.pending == (held.lease,)
        assert {one["outcome"] for one in done.receipts} <= {"quarantined"}
        until(lambda: live.lease_states(agent.task) == [LeaseState.QUARANTINED])
        until(lambda: live.lease_states(agent.task) == [VERIFIED], 20)
        until(lambda: live.state(agent.task) == "closed")
        assert not live.roles()


def test_a_hanging_target_delays_no_other_targets_revocation(place: Place) -> None:
    """One target hangs in the middle of a revocation; what stands at another is gone and proved within a moment."""
    with place.house() as live:
        agent = live.agent().open()
        agent.credential()
        other = agent.credential("parcels")
        faults = live.target().faults
        faults.arm("kill", "hang")
        done = agent.end(wait_ms=1000)
        assert [one["lease"] for one in done.receipts] == [other.lease]
        assert not live.roles("parcels")
        assert live.roles()
        faults.release()
        assert live.house.revoker.wait(agent.task, 10)
        assert not live.roles()


def test_a_full_store_delays_no_revocation(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No unit of work commits: fence and steps are in the journal, the role is gone, the next start catches up."""
    with place.house() as live:
        agent = live.agent().open()
        held = agent.credential()
        unit = type(live.house.store.unit())

        def refuse(_unit: object) -> None:
            raise Unavailable("the disk is full", code="store_unavailable")

        with monkeypatch.context() as full:
            full.setattr(unit, "commit", refuse)
            revoke(live, agent.task, wait_ms=3000)
            until(lambda: not live.roles())
            assert agent.read().effect == "deny"
            assert live.state(agent.task) == "open", "the store could not be told"
    with place.house() as live:
        assert live.house.core.tasks() == []
        live.watch()
        until(lambda: live.state(agent.task) == "closed")
        assert live.house.leases.get(held.lease).state is VERIFIED  # type: ignore[union-attr]


def test_no_state_is_skipped(live: Live) -> None:
    """A task is resumed from suspended; resuming an open one, or suspending a suspended one, is refused."""
    agent = live.agent().open()
    with pytest.raises(Conflict):
        end.resume_task(live.house, agent.task, by="ops", reason="")
    end.suspend_task(live.house, agent.task, by="ops", reason="")
    with pytest.raises(Conflict):
        end.suspend_task(live.house, agent.task, by="ops", reason="")
    agent.end()


def test_a_suspension_that_is_refused_changes_nothing(live: Live) -> None:
    """A parked task is not suspended, and to be told so costs it nothing: neither its children nor what they may do."""
    parent = live.agent().ask_for()
    child = parent.child()
    end.move(live.house, live.task(parent.task), TaskState.PARKED, cause="beside its children", by="test")
    with pytest.raises(Conflict):
        end.suspend_task(live.house, parent.task, by="ops", reason="asked")
    assert (live.state(parent.task), live.state(child.task)) == ("parked", "open")
    assert child.tool("crm.find", name="x").effect == "allow"
    revoke(live, parent.task)


@pytest.fixture(name="no_journal")
def _no_journal(place: Place) -> Iterator[Live]:
    """A house whose journal is full: real frames up to its last byte."""
    with place.house() as live:
        ring = live.house.journal._ring
        with suppress(JournalFull):
            while True:
                ring.append(bytes(64))
        yield live


def test_a_full_journal_keeps_no_privilege_alive(no_journal: Live) -> None:
    """The store takes the fence alone: it is durable, so the end is answered with its receipts as ever."""
    agent = no_journal.agent().open()
    agent.credential()
    done = agent.end()
    assert [one["outcome"] for one in done.receipts] == ["verified"]
    assert not no_journal.roles()
    assert no_journal.state(agent.task) == "closed"
    assert no_journal.house.faults.take()["fence_unjournalled"] == 1


def test_a_fence_that_nothing_can_hold_is_told_and_privilege_goes_all_the_same(
    no_journal: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither journal nor store: whoever asked hears that a restart would not know it; the role is gone."""
    agent = no_journal.agent().open()
    agent.credential()

    def refuse(_unit: object) -> None:
        raise Unavailable("no space left", code="store_full")

    unit = type(no_journal.house.store.unit())
    with monkeypatch.context() as patch:
        patch.setattr(unit, "commit", refuse)
        with pytest.raises(JournalFull):
            agent.end()
        assert agent.read().effect == "deny"
        until(lambda: not no_journal.roles())
    assert agent.end().tasks == (agent.task,)
    no_journal.watch()
    until(lambda: no_journal.state(agent.task) == "closed")
