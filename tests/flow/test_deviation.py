"""What a deviation sets off: the profile's reaction, within a moment, and on that one task only."""

from __future__ import annotations

import pytest
from tests.flow.kit import REACTIONS, Live, Place
from tests.wait import until

from flyball.credential.lease import LeaseState
from flyball.flow import agents, end
from flyball.kernel.errors import Unavailable

AFTER = {"deny": "open", "freeze": "frozen", "suspend": "suspended", "revoke": "closed", "quarantine": "closed"}
LOSES = {"suspend", "revoke", "quarantine"}


@pytest.mark.parametrize("reaction", REACTIONS)
def test_only_that_task_is_touched(place: Place, reaction: str) -> None:
    """The call is refused, the reaction follows, the agent's other task and its state are as they were."""
    with place.house() as live:
        live.watch()
        bad, good = live.agent().open(f"on-{reaction}"), live.agent().open(f"on-{reaction}")
        held, kept = bad.credential(), good.credential()
        verdict = bad.deviate()
        assert verdict.effect == "deny"
        assert verdict.reasons == ("action_not_in_profile",)
        assert verdict.reaction == reaction
        until(lambda: live.state(bad.task) == AFTER[reaction])
        if reaction in LOSES:
            until(lambda: live.lease_states(bad.task) == [LeaseState.VERIFIED])
        names = {live.house.leases.get(one.lease).name for one in (held, kept)}  # type: ignore[union-attr]
        lost = {live.house.leases.get(held.lease).name} if reaction in LOSES else set()  # type: ignore[union-attr]
        assert live.roles() == names - lost
        # invariant 11: content reaches no further than its own task
        assert live.state(good.task) == "open"
        assert good.read().effect == good.refund().effect == "allow"
        assert agents.state_of(live.house, "refund-agent") == "active"
        assert live.agent().open().read().effect == "allow"


def test_what_each_reaction_still_lets_the_task_do(place: Place) -> None:
    """deny: all but that call. freeze: reads. suspend and beyond: nothing, from the very next call on."""
    with place.house() as live:  # nobody watches: the plane alone has reacted
        answers = {}
        for reaction in REACTIONS:
            agent = live.agent().open(f"on-{reaction}")
            agent.deviate()
            answers[reaction] = (agent.read().effect, agent.refund().effect)
        assert answers == {
            "deny": ("allow", "allow"),
            "freeze": ("allow", "deny"),
            "suspend": ("deny", "deny"),
            "revoke": ("deny", "deny"),
            "quarantine": ("deny", "deny"),
        }


def test_a_frozen_task_is_resumed_by_a_person(live: Live) -> None:
    """Its effects come back with the resumption, not by themselves and not by a heartbeat."""
    agent = live.agent().open("on-freeze")
    agent.deviate()
    until(lambda: live.state(agent.task) == "frozen")
    assert agent.beat().state == "frozen"
    assert agent.refund().reasons == ("task_frozen",)
    end.resume_task(live.house, agent.task, by="ops", reason="looked at")
    assert agent.refund().effect == "allow"
    agent.end()


def test_quarantine_of_the_agent_is_only_asked_for(place: Place) -> None:
    """The request stands for a person to see; the agent stays active until one answers it."""
    with place.house() as live:
        live.watch()
        agent = live.agent().open("on-quarantine")
        decision = agent.deviate().decision
        until(lambda: live.house.store.row("quarantine_request", agent.task))
        asked = live.house.store.row("quarantine_request", agent.task)
        assert asked is not None
        assert asked["agent"] == "refund-agent"
        assert decision in str(asked["detail"])
        assert agents.state_of(live.house, "refund-agent") == "active"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda agent: agent.refund("120.01"), "argument_out_of_bounds"),
        (lambda agent: [agent.refund(), agent.refund(), agent.refund()][-1], "budget_spent"),
        (lambda agent: agent.check("sql.select", "table", "orders.public.customers"), "resource_not_in_profile"),
    ],
)
def test_what_counts_as_a_deviation(live: Live, call: object, reason: str) -> None:
    """Past an argument's bound, past a budget, at another resource."""
    assert callable(call)
    agent = live.agent().open("on-revoke")
    verdict = call(agent)
    assert verdict.reasons == (reason,)
    assert verdict.reaction == "revoke"
    until(lambda: live.state(agent.task) == "closed")
    assert live.task(agent.task).cause == "deviation"


def test_our_own_fault_is_no_deviation(place: Place) -> None:
    """The store cannot take the record: refused as our fault, and the task is as it was."""
    with place.house() as live:
        agent = live.agent().open("on-revoke")
        live.house.writer.close()
        verdict = agent.read()
        assert (verdict.effect, verdict.reasons, verdict.reaction) == ("deny", ("record_failed",), None)
        state = live.house.core.state_json(agent.task)
        assert state is not None
        assert b'"state":"open"' in state


def test_what_is_malformed_is_no_deviation(live: Live) -> None:
    """An unknown action, argument or type: refused, and nobody loses a task over a typing error."""
    agent = live.agent().open("on-revoke")
    assert agent.check("tool.nothing", "tool", "x").reaction is None
    assert agent.check("tool.send_mail", "tool", "mail", nonsense="x").reaction is None
    assert agent.check("tool.refund", "tool", "refund", order_id=7).reaction is None
    assert agent.read().effect == "allow"
    agent.end()


def test_no_tasks_trouble_costs_another_its_reaction(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deviate at once and the first cannot be written down: the second is acted on, the first a moment later."""
    with place.house() as live:
        first, second = live.agent().open("on-suspend"), live.agent().open("on-revoke")
        first.credential()
        second.credential()
        real, refusals = end.move, []

        def move(*args: object, **words: object) -> None:
            if len(refusals) < 2:
                refusals.append(1)
                raise Unavailable("the disk is full", code="store_unavailable")
            real(*args, **words)  # type: ignore[arg-type]

        monkeypatch.setattr(end, "move", move)
        first.deviate()
        second.deviate()
        live.watch()
        until(lambda: live.state(second.task) == "closed")
        until(lambda: live.state(first.task) == "suspended")
        assert len(refusals) == 2
        until(lambda: not live.roles())


def test_a_reaction_survives_a_restart(place: Place) -> None:
    """Killed before anybody acted on it: the record says so, and the next start goes on from there."""
    with place.house() as live:
        tasks = {reaction: live.agent().open(f"on-{reaction}") for reaction in REACTIONS}
        for agent in tasks.values():
            agent.credential()
            agent.deviate()
    with place.house() as live:
        for reaction, agent in tasks.items():
            agent.live = live
            answers = (agent.read().effect, agent.refund().effect)
            wanted = {"deny": ("allow", "allow"), "freeze": ("allow", "deny")}.get(reaction, ("deny", "deny"))
            assert answers == wanted, reaction
        live.watch()
        for reaction, agent in tasks.items():
            until(lambda r=reaction, a=agent: live.state(a.task) == AFTER[r], what=reaction)  # type: ignore[misc]
        for reaction in LOSES:
            lost = tasks[reaction].task
            until(lambda task=lost: live.lease_states(task) == [LeaseState.VERIFIED], what=reaction)  # type: ignore[misc]
        assert len(live.roles()) == len(REACTIONS) - len(LOSES)
        assert live.house.store.row("quarantine_request", tasks["quarantine"].task)
