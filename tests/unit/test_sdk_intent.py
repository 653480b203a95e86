"""The client's plans, children, results and approvals, synchronous and not, against the same small server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from tests.unit.sdk_server import Flyball, serving

import flyball_sdk
from flyball_sdk import aio

WAITS = {"effect": "require_approval", "id": "dec_1", "approval": "dec_1", "reasons": ["approval_required"]}
ALLOWED = {"decision": True, "context": {"effect": "allow", "id": "dec_2", "approval": "dec_1"}}


@pytest.fixture
def flyball(tmp_path, monkeypatch) -> Iterator[Flyball]:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("FLYBALL_SVID_FILE", raising=False)
    with serving(tmp_path) as found:
        monkeypatch.setenv("FLYBALL_ADDR", found.base)
        monkeypatch.setenv("FLYBALL_SVID", found.svid())
        yield found


def sent(flyball: Flyball, suffix: str) -> list[dict[str, object]]:
    return [body for path, body, _ in flyball.bodies if path.endswith(suffix)]


def no(context: dict[str, object]) -> dict[str, object]:
    return {"decision": False, "context": context}


def test_what_opens_a_task_says_all_of_it_and_nothing_else(flyball: Flyball) -> None:
    """An empty plan is a plan, none is none; vouchers, a parent and less than it has are sent where they are given."""
    with flyball_sdk.task("p") as plain, flyball_sdk.task("p", plan=[]) as held:
        with plain.child(actions=["a.read"], allot={"calls": Decimal("2.5")}, inputs={"x": 1}, plan=[{"action": "a"}]):
            pass
        with flyball_sdk.task("p", vouchers=["v"], parent=held.id):
            pass
    first, second, child, other = sent(flyball, "/v1/tasks")
    assert first == {"profile": "p", "inputs": {}}
    assert second == {"profile": "p", "inputs": {}, "plan": []}
    assert child == {
        "profile": "p",
        "inputs": {"x": 1},
        "plan": [{"action": "a"}],
        "parent": plain.id,
        "actions": ["a.read"],
        "allot": {"calls": "2.5"},
    }
    assert other == {"profile": "p", "inputs": {}, "vouchers": ["v"], "parent": held.id}


def test_a_plan_a_voucher_and_a_result(flyball: Flyball) -> None:
    """Each with the task's proof; a result as it is, with what is known of it."""
    with flyball_sdk.task("p") as task:
        decision = task.check("a", "t", "i")
        task.plan([{"action": "a", "count": 2}])
        task.step_up("dec_1", "x.y.z")
        told = task.report(decision, [{"amount": Decimal("1.50")}], labels=["pii"], rows=1)
        assert (told.result, told.kept, told.self_reported, told.full) == (3, 0, True, False)
        task.report("dec_9", "text")
        assert task.token.reveal()
        assert "ey" not in repr(task.token)
    assert sent(flyball, "/plan") == [{"plan": [{"action": "a", "count": 2}]}]
    assert sent(flyball, "/step-up") == [{"decision": "dec_1", "voucher": "x.y.z"}]
    reported, plain = sent(flyball, "/result")
    assert reported == {
        "decision": "dec_1",
        "result": [{"amount": Decimal("1.50")}],
        "meta": {"rows": 1, "labels": ["pii"]},
    }
    assert plain == {"decision": "dec_9", "result": "text", "meta": {}}
    for call in (lambda: task.plan([]), lambda: task.report("d", 1), lambda: task.step_up("d", "v"), task.child):
        with pytest.raises(flyball_sdk.TaskLost):
            call()


def test_a_person_is_asked(flyball: Flyball) -> None:
    """The error carries the reference and says who answers it; it is a denial to whoever does not know it."""
    flyball.decide = lambda _: no(WAITS)
    with flyball_sdk.task("p") as task:
        with pytest.raises(flyball_sdk.ApprovalRequired) as found:
            task.check("a", "t", "i")
        assert (found.value.reference, found.value.reason) == ("dec_1", "approval_required")
        assert "dec_1" in found.value.hint
        assert isinstance(found.value, flyball_sdk.Denied)
        decision = task.check("a", "t", "i", raise_on_deny=False)
        assert not decision
        assert decision.approval == "dec_1"


def test_a_voucher_is_needed(flyball: Flyball) -> None:
    """With the digest that it must name. Waiting for it would be no use."""
    flyball.decide = lambda _: no({"effect": "step_up", "id": "d", "approval": "d", "digest": "sha256:1"})
    with flyball_sdk.task("p") as task:
        with pytest.raises(flyball_sdk.StepUpRequired) as found:
            task.check("a", "t", "i", wait_for_approval=60)
    assert (found.value.reference, found.value.digest) == ("d", "sha256:1")


def test_it_waits_for_the_person_by_asking_again(flyball: Flyball) -> None:
    """The very same question each time; allowed, refused, or over with the wait."""
    flyball.heartbeat_ms = 60_000  # a token that is renewed meanwhile is shown anew, and that asks once more
    answers = [no(WAITS), no(WAITS), ALLOWED]
    flyball.decide = lambda _: answers.pop(0) if len(answers) > 1 else answers[0]
    with flyball_sdk.task("p") as task:
        assert task.check("a", "t", "i", wait_for_approval=30, amount=Decimal("1.50")).id == "dec_2"
        asked = sent(flyball, "/evaluation")
        assert len(asked) == 3
        assert len({json.dumps(one, default=str, sort_keys=True) for one in asked}) == 1
        answers[:] = [no(WAITS), no({"effect": "deny", "id": "dec_3", "reasons": ["approval_refused"]})]
        with pytest.raises(flyball_sdk.Denied) as refused:
            task.check("a", "t", "i", wait_for_approval=30)
        assert refused.value.reason == "approval_refused"
        answers[:] = [no(WAITS)]
        with pytest.raises(flyball_sdk.ApprovalRequired):
            task.check("a", "t", "i", wait_for_approval=0.3)


def test_a_task_that_is_lost_is_waited_for_no_longer(flyball: Flyball) -> None:
    """Its heartbeat says so, and the waiting ends with it."""
    flyball.decide = lambda _: no(WAITS)
    with flyball_sdk.task("p") as task:
        flyball.tasks[task.id] = "fenced"
        with pytest.raises(flyball_sdk.TaskLost):
            task.check("a", "t", "i", wait_for_approval=60)


def test_the_same_for_asyncio(flyball: Flyball) -> None:
    """Plans, children, vouchers, results, and a wait that blocks no loop."""
    answers = [no(WAITS), ALLOWED]

    async def work() -> None:
        async with aio.task("p", plan=[{"action": "a"}]) as task:
            await task.plan([{"action": "a"}])
            await task.step_up("dec_1", "v")
            assert (await task.report("dec_1", {"x": 1}, ms=5)).self_reported
            async with task.child(actions=["a"]) as child:
                assert child.id != task.id
            flyball.decide = lambda _: answers.pop(0) if len(answers) > 1 else answers[0]
            assert await task.check("a", "t", "i", wait_for_approval=30)
            answers[:] = [no(WAITS)]
            with pytest.raises(flyball_sdk.ApprovalRequired):
                await task.check("a", "t", "i", wait_for_approval=0.3)
            assert task.token.reveal()

    asyncio.run(work())
    assert sent(flyball, "/result") == [{"decision": "dec_1", "result": {"x": 1}, "meta": {"ms": 5}}]
    assert [one.get("parent", "") != "" for one in sent(flyball, "/v1/tasks")] == [False, True]
