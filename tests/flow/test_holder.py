"""What a holder asks of its own task beside work: a pause without privilege, what it may do, how it stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.flow.kit import Agent, Live, Place, profile
from tests.wait import until

from flyball.flow import bundles, end, holder
from flyball.kernel.errors import Conflict, Denied, Gone, Unauthenticated


def park(agent: Agent) -> str:
    return holder.park(agent.house, agent.shown(), agent.task)


def unpark(agent: Agent) -> str:
    return holder.unpark(agent.house, agent.shown(), agent.task)


def test_a_parked_task_holds_nothing_and_goes_on_as_it_was(live: Live) -> None:
    """No call is allowed, its credentials are gone at the target, none is given; twice is once. Unparked, it goes on
    with what it had spent."""
    agent = live.agent().open()
    assert agent.refund("110.00").effect == "allow"
    lease = agent.credential().lease
    row = live.house.leases.get(lease)
    assert row is not None
    assert row.name in live.roles()
    assert park(agent) == park(agent) == "parked"
    assert live.state(agent.task) == "parked"
    assert holder.state(live.house, agent.task) == "parked"
    assert agent.read().effect == "deny"
    until(lambda: all(one.value == "verified" for one in live.lease_states(agent.task)), 10, "its leases are gone")
    assert row.name not in live.roles()
    with pytest.raises((Conflict, Denied, Gone)):
        agent.credential()
    assert unpark(agent) == unpark(agent) == "open"
    assert agent.read().effect == "allow"
    assert agent.credential().lease != lease
    assert agent.refund("20.00").reasons == ("budget_spent",)
    agent.end()


def test_only_its_holder_parks_it(live: Live) -> None:
    """Another's token, or another key, is no proof."""
    agent, other = live.agent().open(), live.agent().open()
    with pytest.raises(Unauthenticated):
        holder.park(live.house, other.proof(f"/v1/tasks/{agent.task}", token=agent.token), agent.task)
    with pytest.raises((Unauthenticated, Denied)):
        holder.park(live.house, other.shown(), agent.task)
    assert live.state(agent.task) == "open"
    for one in (agent, other):
        one.end()


def _suspended_agent(live: Live, _agent: Agent) -> None:
    end.set_agent_state(live.house, "refund-agent", "suspended", by="ops", reason="test")


def _changed_profile(live: Live, _agent: Agent) -> None:
    changed = profile("plain").replace("on: [refund]", "on: [something-else]")
    (live.place.bundle / "profiles" / "plain.yaml").write_text(changed)
    bundles.activate(live.house, None, by="ops")


@pytest.mark.parametrize(
    ("change", "fault"),
    [(_suspended_agent, "task_fenced"), (_changed_profile, "profile_changed")],
)
def test_everything_is_looked_at_again(place: Place, change: Callable[[Live, Agent], None], fault: str) -> None:
    """A task that could not be opened now does not go on now: its agent was suspended, which ended it, or its profile
    has changed. It stays without privilege."""
    with place.house() as live:
        agent = live.agent().open()
        park(agent)
        change(live, agent)
        with pytest.raises((Denied, Gone)) as found:
            unpark(agent)
        assert found.value.code == fault
        assert agent.read().effect == "deny"


@pytest.mark.parametrize("reaction", ["freeze", "suspend"])
def test_no_pause_lifts_a_reaction(place: Place, reaction: str) -> None:
    """A deviation has frozen or suspended the task in the plane, and its row does not say so yet: it cannot be parked,
    so that it cannot come back open."""
    with place.house() as live:  # nobody watches: the row stays behind
        agent = live.agent().open(f"on-{reaction}")
        agent.deviate()
        assert live.state(agent.task) == "open"
        with pytest.raises(Conflict) as found:
            park(agent)
        assert found.value.code == "task_not_open"
        assert agent.refund().effect == "deny"
        live.watch()
        until(lambda: live.state(agent.task) == ("frozen" if reaction == "freeze" else "suspended"))


def test_what_its_holder_parked_its_holder_lets_go_on(live: Live) -> None:
    """An operator's resumption looks at less than the holder's, and is refused."""
    agent = live.agent().open()
    park(agent)
    with pytest.raises(Conflict):
        end.resume_task(live.house, agent.task, by="ops", reason="by mistake")
    assert (live.state(agent.task), agent.read().effect) == ("parked", "deny")
    assert unpark(agent) == "open"
    agent.end()


def test_a_task_with_children_is_not_parked(live: Live) -> None:
    """They would go on under a parent that holds nothing."""
    agent = live.agent().ask_for()
    child = agent.child()
    with pytest.raises(Conflict) as found:
        park(agent)
    assert found.value.code == "task_has_children"
    child.end()
    assert park(agent) == "parked"
    agent.end()


def test_a_parked_task_stays_parked_over_a_restart_and_ends_as_any_other(place: Place) -> None:
    """Its heartbeat may be missing for as long; its end, asked for by whoever may, is its end."""
    with place.house() as live:
        agent = live.agent().open()
        park(agent)
    with place.house() as live:
        agent.live = live
        assert live.state(agent.task) == "parked"
        assert agent.read().effect == "deny"
        assert unpark(agent) == "open"
        assert agent.read().effect == "allow"
        park(agent)
        end.revoke_task(live.house, agent.task, by="ops", reason="test", wait_ms=5000)
        with pytest.raises(Gone):
            unpark(agent)


def test_what_it_may_do_is_a_list_and_no_permission(live: Live) -> None:
    """The profile's actions, with kind and effect; a child that was given less has less; an ended task has none."""
    agent = live.agent().ask_for()
    told = {str(one["action"]): one for one in holder.actions(live.house, agent.shown(), agent.task)}
    assert set(told) == {"crm.find", "crm.mail", "crm.pay", "crm.wire", "sql.select"}
    assert told["crm.mail"] == {"action": "crm.mail", "resource_type": "tool", "effect": "write"}
    child = agent.child(actions=("crm.find",))
    assert [one["action"] for one in holder.actions(live.house, child.shown(), child.task)] == ["crm.find"]
    child.end()
    agent.end()
    with pytest.raises(Gone):
        holder.actions(live.house, agent.shown(), agent.task)
