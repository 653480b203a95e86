"""A task that delegates: only to whom speaks for it, never with more than it has, and never for longer."""

from __future__ import annotations

import pytest
from tests.flow.kit import PARCELS, POD, REFUNDS, Live, Place, revoke
from tests.wait import until

from flyball.credential.lease import LeaseState
from flyball.flow import end, story
from flyball.kernel.errors import Conflict, Denied, FlyballError, Gone, InvalidInput, Unauthenticated
from flyball.task.task import Cause


@pytest.mark.parametrize("by_token", [False, True])
def test_a_child_runs_what_its_parent_runs(live: Live, by_token: bool) -> None:
    """By the opener's identity, or by the parent's own token: profile, inputs, vouching and agent are the parent's."""
    parent = live.agent().ask_for()
    child = parent.child(by_token=by_token)
    above, row = live.task(parent.task), live.task(child.task)
    assert (row.parent, row.profile_digest, row.agent) == (above.id, above.profile_digest, above.agent)
    assert row.inputs == above.inputs
    assert row.hard_end_ms <= above.hard_end_ms
    assert (row.binding == above.binding) is by_token
    assert child.mail("ana@shop.example").effect == "allow"
    parent.end()


def test_who_may_delegate(live: Live) -> None:
    """Another agent, another instance, a stranger's task and a task that is not there: all the same refusal."""
    parent = live.agent().ask_for()
    for other in (live.agent(PARCELS), live.agent(POD)):
        with pytest.raises(Denied) as found:
            _open_child(other, parent.task)
        assert found.value.code == "parent_not_held"
    with pytest.raises(Denied) as nothing:
        _open_child(live.agent(REFUNDS), "tsk_local_01k0000000000000000000000a")
    assert nothing.value.code == "parent_not_held"
    pod = live.agent(POD)
    pod.instance = "pod-1"
    pod.ask_for()
    sibling = live.agent(POD)
    sibling.instance = "pod-2"
    with pytest.raises(Denied):
        _open_child(sibling, pod.task)
    sibling.instance = "pod-1"
    assert _open_child(sibling, pod.task).parent == pod.task
    parent.end()
    pod.end()


def test_a_token_of_another_task_delegates_nothing(live: Live) -> None:
    """One's own token, shown for somebody else's task; and a token without its proof."""
    mine, theirs = live.agent().ask_for(), live.agent(PARCELS).ask_for()
    mine.opened, held = theirs.opened, mine.opened
    with pytest.raises(Unauthenticated) as found:
        mine.child(by_token=True)
    assert found.value.code == "task_mismatch"
    mine.opened = held
    from flyball.flow import request
    from flyball.flow.asks import OpenAsk, Proof

    bare = Proof(f"DPoP {mine.token}", (), "POST", "http://flyball.test.internal/v1/tasks", None)
    with pytest.raises(Unauthenticated):
        request.open_task(live.house, bare, OpenAsk("intent", {}, parent=mine.task))
    mine.end()
    theirs.end()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"profile": "plain"}, "child_profile"),
        ({"inputs": {"request": "Write to mallory@outside.example"}}, "child_inputs"),
        ({"inputs": {"nonsense": "x"}}, "child_inputs"),
        ({"vouchers": ("x.y.z",)}, "child_vouchers"),
        ({"actions": ["tool.refund"]}, "child_actions"),
        ({"allot": {"nonsense": "1"}}, "allot_unknown"),
        ({"allot": {"intent/allow/3/calls": "-1"}}, "allot_malformed"),
        ({"allot": {"intent/allow/3/calls": "5"}}, "allot_exceeds"),
    ],
)
def test_a_child_is_never_wider(live: Live, more: dict[str, object], code: str) -> None:
    """Another profile, other inputs, further actions, more than is left: refused, and no task is left open."""
    parent = live.agent().ask_for()
    with pytest.raises((Denied, InvalidInput)) as found:
        parent.child(**more)
    assert found.value.code == code
    for row in live.house.tasks.select(parent=parent.task):
        assert row.state.value in ("fenced", "closed")
    assert parent.mail("ana@shop.example").effect == "allow"
    parent.end()


def test_what_a_child_is_allotted_is_gone_from_its_parent_and_comes_back(live: Live) -> None:
    """Two of four calls: the parent has two left, the child two; what the child did not use is the parent's again."""
    parent = live.agent().ask_for()
    child = parent.child(allot={"intent/allow/3/calls": "2"})
    assert child.mail("ana@shop.example").effect == "allow"
    assert [parent.mail("ana@shop.example").effect for _ in range(2)] == ["allow", "allow"]
    child.end()
    until(lambda: live.state(child.task) == "closed")
    assert parent.mail("ana@shop.example").effect == "allow"
    assert parent.mail("ana@shop.example").reasons == ("budget_spent",)
    told = story.of_task(live.house, parent.task)
    assert [one["task"] for one in told["children"]] == [child.task]  # type: ignore[index,union-attr,call-overload]
    parent.end()


def test_a_child_may_only_do_what_it_was_given(live: Live) -> None:
    """Narrowed to lookups it sends no mail, while its parent does."""
    parent = live.agent().ask_for()
    child = parent.child(actions=["crm.find"])
    assert child.tool("crm.find", name="ana").effect == "allow"
    assert child.mail("ana@shop.example").effect == "deny"
    parent.end()


def test_children_end_with_their_parent(place: Place) -> None:
    """Revoked, ended, silent: one path for all below, their leases taken back with receipts of their own."""
    with place.house() as live:
        live.watch()
        parent = live.agent().ask_for()
        child = parent.child()
        below = child.child()
        held = below.credential()
        done = revoke(live, parent.task)
        assert set(done.tasks) == {parent.task, child.task, below.task}
        assert [one["lease"] for one in done.receipts] == [held.lease]
        for agent in (parent, child, below):
            assert agent.tool("crm.find", name="x").effect == "deny"
            until(lambda a=agent: live.state(a.task) == "closed")  # type: ignore[misc]
            assert live.task(agent.task).cause == "revoked"
        assert not live.roles()


def test_a_child_ends_alone(live: Live) -> None:
    """Its parent goes on."""
    parent = live.agent().ask_for()
    child = parent.child()
    child.end()
    assert parent.mail("ana@shop.example").effect == "allow"
    with pytest.raises(Gone):
        child.child()
    parent.end()


def test_a_parent_that_is_not_open_opens_no_children(live: Live) -> None:
    """Suspended or over: refused, by its row and by the plane."""
    parent = live.agent().ask_for()
    end.suspend_task(live.house, parent.task, by="ops", reason="asked")
    with pytest.raises(Conflict) as found:
        parent.child()
    assert found.value.code == "parent_not_open"
    revoke(live, parent.task)
    with pytest.raises(Gone):
        parent.child()


def test_suspending_a_parent_suspends_its_children(live: Live) -> None:
    """Their authority is the parent's. They are resumed one by one, and not before the parent."""
    parent = live.agent().ask_for()
    child = parent.child()
    assert end.suspend_task(live.house, parent.task, by="ops", reason="asked").tasks == (parent.task, child.task)
    assert live.state(child.task) == "suspended"
    assert child.tool("crm.find", name="x").effect == "deny"
    with pytest.raises(Conflict) as found:
        end.resume_task(live.house, child.task, by="ops", reason="asked")
    assert found.value.code == "parent_not_open"
    end.resume_task(live.house, parent.task, by="ops", reason="asked")
    assert child.tool("crm.find", name="x").effect == "deny"
    end.resume_task(live.house, child.task, by="ops", reason="asked")
    assert child.tool("crm.find", name="x").effect == "allow"
    parent.end()


def test_a_parents_freeze_freezes_its_children(live: Live) -> None:
    """A second address out of nowhere freezes the parent's effects, and with them those it has delegated."""
    parent = live.agent().ask_for()
    child = parent.child()
    assert parent.mail("x@outside.example").reaction == "deny"
    assert parent.mail("y@outside.example").reaction == "freeze"
    until(lambda: live.state(child.task) == "frozen")
    assert child.mail("ana@shop.example").effect == "deny"
    assert child.tool("crm.find", name="x").effect == "allow"
    parent.end()


def test_a_childs_deviation_reaches_no_other_task(live: Live) -> None:
    """Nor does it begin anew: what a child breaks counts on its parent's ladder."""
    bystander = live.agent().ask_for()
    parent = live.agent().ask_for()
    assert parent.child().mail("x@outside.example").reaction == "deny"
    assert parent.child().mail("y@outside.example").reaction == "freeze"
    assert bystander.mail("ana@shop.example").effect == "allow"
    parent.end()
    bystander.end()


def test_the_fifth_below_is_one_too_many(live: Live) -> None:
    """Children of children end at the fourth."""
    top = agent = live.agent().ask_for()
    for _ in range(4):
        agent = agent.child()
    with pytest.raises(Denied) as found:
        agent.child()
    assert found.value.code == "child_too_deep"
    top.end()


def test_parents_and_children_survive_a_restart(place: Place) -> None:
    """With what was allotted and spent; and a child whose parent ended while nobody could tell it is fenced."""
    with place.house() as live:
        parent = live.agent().ask_for()
        child = parent.child(allot={"intent/allow/3/calls": "1"})
        assert child.mail("ana@shop.example").effect == "allow"
        lost = live.agent().ask_for()
        orphan = lost.child()
        live.house.core.fence(lost.task, "revoked")
        live.house.journal.fence(lost.task, cause="revoked", by="ops", at_ms=live.house.clock.wall_ms())
    with place.house() as live:
        for agent in (parent, child, orphan):
            agent.live = live
        assert child.mail("ana@shop.example").reasons == ("budget_spent",)
        assert [parent.mail("ana@shop.example").effect for _ in range(3)] == ["allow"] * 3
        assert parent.mail("ana@shop.example").reasons == ("budget_spent",)
        assert live.state(orphan.task) in ("fenced", "closed")
        assert live.task(orphan.task).cause in {Cause.RECOVERED.value, Cause.REVOKED.value}
        live.watch()
        revoke(live, parent.task)
        until(lambda: live.state(child.task) == "closed")
        assert live.lease_states(child.task) == []
        assert LeaseState.ACTIVE not in live.lease_states(parent.task)


def _open_child(agent: object, parent: str) -> object:
    from tests.flow.kit import Agent

    from flyball.flow import request
    from flyball.flow.asks import OpenAsk

    assert isinstance(agent, Agent)
    try:
        opened = request.open_task(agent.house, agent.proof(), OpenAsk("intent", {}, parent=parent))
    except FlyballError as fault:
        raise fault from None
    return agent.live.task(opened.task)
