"""A person's word on one call: asked for, given by whom it concerns, for exactly that call, once."""

from __future__ import annotations

import pytest
from tests.flow.kit import DESK, ISSUER, PARCELS, Agent, Live, Place

from flyball.flow import approvals, operate, story
from flyball.flow.asks import Proof
from flyball.kernel.errors import Conflict, Denied, FlyballError, InvalidInput, NotFound, Unauthenticated
from flyball.kernel.json import Json


def pay(agent: Agent, amount: str = "40.00") -> tuple[str, str | None]:
    verdict = agent.house.core.check(agent.task, "crm", "crm.pay", "tool", "crm.pay", f'{{"amount":{amount}}}'.encode())
    return verdict.effect, verdict.approval


def wire(agent: Agent, amount: str = "40.00") -> tuple[str, str, str]:
    verdict = agent.house.core.check(
        agent.task, "crm", "crm.wire", "tool", "crm.wire", f'{{"amount":{amount}}}'.encode()
    )
    return verdict.effect, verdict.approval or "", verdict.digest


def settle(live: Live, reference: str | None, outcome: str = "approve", **more: object) -> dict[str, Json]:
    assert reference is not None
    return approvals.settle(live.house, reference, outcome, by="operator:test", **more)  # type: ignore[arg-type]


def waiting(live: Live, task: str) -> list[Json]:
    return [one["decision"] for one in approvals.listed(live.house, task=task, state="pending")]


def test_one_call_waits_for_a_person_and_is_allowed_once(live: Live) -> None:
    """Asked, listed with its agent and action, approved, allowed, and asked for anew the next time."""
    agent = live.agent().ask_for()
    effect, reference = pay(agent)
    assert (effect, pay(agent)) == ("require_approval", ("require_approval", reference))
    (asked,) = approvals.listed(live.house, task=agent.task, state="pending")
    assert (asked["decision"], asked["agent"], asked["action"]) == (reference, "refund-agent", "crm.pay")
    told = settle(live, reference, note="looked at")
    assert (told["outcome"], told["task"], told["by"]) == ("approved", agent.task, "operator:test")
    assert pay(agent) == ("allow", reference)
    effect, second = pay(agent)
    assert effect == "require_approval"
    assert second != reference
    records = [one["kind"] for one in operate.task(live.house, agent.task)["records"]]  # type: ignore[index,union-attr,call-overload]
    assert {"approval_noted", "approval_settled"} <= set(records)
    (noted, *_) = story.of_task(live.house, agent.task)["approvals"]  # type: ignore[misc]
    assert noted["note"] == "looked at"  # type: ignore[index,call-overload]
    agent.end()


def test_an_approval_is_for_that_very_call(live: Live) -> None:
    """Another amount is another call."""
    agent = live.agent().ask_for()
    _, reference = pay(agent, "40.00")
    settle(live, reference)
    assert pay(agent, "41.00")[0] == "require_approval"
    assert pay(agent, "40.00") == ("allow", reference)
    agent.end()


def test_refused_is_refused(live: Live) -> None:
    """And stays so for that call; the task goes on."""
    agent = live.agent().ask_for()
    _, reference = pay(agent)
    assert settle(live, reference, "refuse")["outcome"] == "refused"
    assert pay(agent)[0] == "deny"
    with pytest.raises(Conflict) as found:
        settle(live, reference)
    assert found.value.code == "approval_settled"
    assert agent.mail("ana@shop.example").effect == "allow"
    agent.end()


def test_what_cannot_be_settled(live: Live) -> None:
    """An unknown reference, an unknown outcome, no decision at all, an unknown state asked for."""
    agent = live.agent().ask_for()
    _, reference = pay(agent)
    parts = str(reference).split("_")
    with pytest.raises(NotFound):
        settle(live, "_".join((*parts[:-1], "999")))
    with pytest.raises(NotFound):
        settle(live, "dec_local_01k0000000000000000000000a_1_1")
    calls = [
        lambda: settle(live, reference, "maybe"),
        lambda: settle(live, "nonsense"),
        lambda: settle(live, "dec_local_none_1_1"),
        lambda: approvals.listed(live.house, state="odd"),
    ]
    for call in calls:
        with pytest.raises(InvalidInput):
            call()
    assert waiting(live, agent.task) == [reference]
    agent.end()


def test_never_over_the_agents_own_connection(live: Live) -> None:
    """With an operator's token in its hands the agent still does not answer itself: not with a proof of its key, and
    not as the very user that the task is bound to."""
    agent = live.agent().ask_for()
    _, reference = pay(agent)
    with pytest.raises(Denied) as found:
        settle(live, reference, shown=agent.shown())
    assert found.value.code == "approval_own_connection"
    by_uid = _over_unix(live)
    _, asked = pay(by_uid)
    with pytest.raises(Denied):
        settle(live, asked, shown=Proof(peer_uid=4711))
    assert settle(live, asked, shown=Proof(peer_uid=4712))["outcome"] == "approved"
    assert waiting(live, agent.task) == [reference]
    agent.end()


def _over_unix(live: Live) -> Agent:
    from flyball.flow import request
    from flyball.flow.asks import OpenAsk

    agent = live.agent("spiffe://flyball.dev/agent/host-agent")
    word = live.place.domain.issue(DESK, ISSUER, claims={"inputs": {"request": "x"}})
    proof = Proof(f"Bearer {agent.svid()}", (), "POST", "http://localhost/v1/tasks", 4711)
    agent.opened = request.open_task(live.house, proof, OpenAsk("intent", {"request": "x"}, (word,)))
    return agent


def test_an_approval_survives_a_restart(place: Place) -> None:
    """Asked before, answered after; answered before, used after; used before, not used again."""
    with place.house() as live:
        agent = live.agent().ask_for()
        _, asked = pay(agent, "10.00")
        _, approved = pay(agent, "20.00")
        settle(live, approved)
        _, used = pay(agent, "30.00")
        settle(live, used)
        assert pay(agent, "30.00") == ("allow", used)
    with place.house() as live:
        agent.live = live
        assert waiting(live, agent.task) == [asked]
        assert pay(agent, "20.00") == ("allow", approved)
        assert pay(agent, "30.00")[0] == "require_approval"
        settle(live, asked)
        assert pay(agent, "10.00") == ("allow", asked)


def test_an_ended_task_asks_for_nothing(live: Live) -> None:
    """What it asked for is gone with it."""
    agent = live.agent().ask_for()
    _, reference = pay(agent)
    agent.end()
    assert waiting(live, agent.task) == []
    with pytest.raises(FlyballError) as found:
        settle(live, reference)
    assert found.value.status in (404, 410)


def test_a_step_up_is_settled_by_a_voucher_for_that_call(live: Live) -> None:
    """Somebody's signed word that names the call's digest; carried by the agent, good once."""
    agent = live.agent().ask_for()
    effect, reference, digest = wire(agent)
    assert effect == "step_up"
    word = live.place.domain.issue(DESK, ISSUER, claims={"call": digest})
    told = approvals.step_up(live.house, agent.shown(), agent.task, reference, word)
    assert (told["outcome"], told["by"], told["call"]) == ("approved", DESK, digest)
    assert wire(agent)[0] == "allow"
    effect, again, _ = wire(agent)
    assert effect == "step_up"
    with pytest.raises(Conflict) as found:
        approvals.step_up(live.house, agent.shown(), agent.task, again, word)
    assert found.value.code == "voucher_used"
    agent.end()


@pytest.mark.parametrize(
    ("by", "claims", "code"),
    [
        (DESK, {"call": "sha256:" + "0" * 64}, "voucher_mismatch"),
        (DESK, {}, "voucher_mismatch"),
        (DESK, {"call": 7}, "voucher_mismatch"),
        ("spiffe://flyball.dev/agent/refund-agent", None, "voucher_self"),
        (PARCELS, None, "voucher_self"),
    ],
)
def test_a_voucher_that_does_not_settle(live: Live, by: str, claims: dict[str, Json] | None, code: str) -> None:
    """For another call, for none, the agent's own, another agent's: refused, and the call goes on waiting."""
    agent = live.agent().ask_for()
    _, reference, digest = wire(agent)
    word = live.place.domain.issue(by, ISSUER, claims={"call": digest} if claims is None else claims)
    with pytest.raises(FlyballError) as found:
        approvals.step_up(live.house, agent.shown(), agent.task, reference, word)
    assert found.value.code == code
    assert waiting(live, agent.task) == [reference]
    assert wire(agent)[0] == "step_up"
    agent.end()


def test_a_voucher_must_hold(live: Live) -> None:
    """Too old, for somebody else, or no token at all; and the task's own proof is needed beside it."""
    agent, other = live.agent().ask_for(), live.agent().ask_for()
    _, reference, digest = wire(agent)
    word = live.place.domain.issue(DESK, ISSUER, claims={"call": digest})
    for bad in ("x.y.z", live.place.domain.issue(DESK, "https://other.example", claims={"call": digest})):
        with pytest.raises(Unauthenticated):
            approvals.step_up(live.house, agent.shown(), agent.task, reference, bad)
    with pytest.raises(Unauthenticated):
        approvals.step_up(live.house, other.shown(), agent.task, reference, word)
    with pytest.raises(NotFound):
        approvals.step_up(live.house, other.shown(), other.task, reference, word)
    agent.end()
    other.end()


def test_the_two_ways_are_never_mixed(live: Live) -> None:
    """What waits for an operator takes no voucher; a step-up takes no operator's yes, but a no."""
    agent = live.agent().ask_for()
    verdict = live.house.core.check(agent.task, "crm", "crm.pay", "tool", "crm.pay", b'{"amount":40.00}')
    word = live.place.domain.issue(DESK, ISSUER, claims={"call": verdict.digest})
    with pytest.raises(Denied) as found:
        approvals.step_up(live.house, agent.shown(), agent.task, str(verdict.approval), word)
    assert found.value.code == "approval_by_operator"
    _, stepping, _ = wire(agent)
    with pytest.raises(Denied) as other:
        settle(live, stepping)
    assert other.value.code == "approval_by_voucher"
    assert settle(live, stepping, "refuse")["outcome"] == "refused"
    agent.end()


def test_status_counts_what_waits(live: Live) -> None:
    """For operators who are not looking at the list; metrics too."""
    agent = live.agent().ask_for()
    before = operate.status(live.house)["approvals_waiting"]
    pay(agent)
    assert operate.status(live.house)["approvals_waiting"] == int(str(before)) + 1
    assert "flyball_approvals_waiting " in operate.metrics(live.house)
    agent.end()
