"""A task's life, walked at random: final means final, and authority only narrows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flyball.kernel.errors import Conflict, Denied, Gone
from flyball.task.lifecycle import hard_end, open_task, transition
from flyball.task.profile import MAX_TTL_MS, Profile
from flyball.task.task import ARROWS, LIVE, Cause, Task, TaskState

PROFILE = Profile("pay", "Pay", ("clerk",), ("clerk",), 60_000, 5_000, digest="sha256:1")


def opened(now_ms: int = 1_000, ttl_ms: int = 60_000, parent_end_ms: int | None = None) -> Task:
    profile = Profile("pay", "Pay", ("clerk",), ("clerk",), ttl_ms, 5_000, digest="sha256:1")
    return open_task(
        id="tsk_a_1",
        principal="spiffe://example.org/clerk",
        agent="clerk",
        owner="desk",
        profile=profile,
        bundle="sha256:2",
        inputs={},
        binding="jkt:abc",
        now_ms=now_ms,
        cell="a",
        home="n1",
        epoch=1,
        parent_end_ms=parent_end_ms,
    )


class Life(RuleBasedStateMachine):
    """Any arrows are tried, in any order, beside the plainest model: the set of states passed."""

    @initialize(ttl=st.integers(1, 10**12))
    def begin(self, ttl: int) -> None:
        self.task = opened(ttl_ms=ttl)
        self.first = self.task
        self.passed = [TaskState.OPEN]
        self.ended_by: str | None = None

    @rule(to=st.sampled_from(TaskState), cause=st.sampled_from(Cause))
    def move(self, to: TaskState, cause: Cause) -> None:
        before = self.task
        try:
            self.task = transition(before, to, cause)
        except Gone:
            assert before.state in (TaskState.FENCED, TaskState.CLOSED)
            assert self.task is before
        except Conflict:
            assert to not in ARROWS[before.state]
            assert before.state in LIVE
            assert self.task is before
        else:
            self.passed.append(to)
            if to is TaskState.FENCED:
                self.ended_by = cause.value

    @invariant()
    def fenced_is_final(self) -> None:
        if TaskState.FENCED in self.passed:
            after = self.passed[self.passed.index(TaskState.FENCED) + 1 :]
            assert after in ([], [TaskState.CLOSED])

    @invariant()
    def the_first_cause_stays(self) -> None:
        assert self.task.cause == (self.ended_by or "")

    @invariant()
    def nothing_but_state_and_cause_changes(self) -> None:
        for name in Task.__slots__:
            if name not in ("state", "cause"):
                assert getattr(self.task, name) == getattr(self.first, name)

    @invariant()
    def closed_was_fenced(self) -> None:
        assert (self.task.state is TaskState.CLOSED) <= (TaskState.FENCED in self.passed)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=12, deadline=None)


@given(st.integers(0, 2**45), st.integers(1, 10**12), st.none() | st.integers(0, 2**45))
def test_no_task_outlives_its_ttl_the_house_or_its_parent(now: int, ttl: int, parent: int | None) -> None:
    """The hard end is the least of the three, and a task without time left is not made."""
    try:
        end = hard_end(now, ttl, parent)
    except Denied:
        assert parent is not None
        assert parent <= now
        return
    assert now < end <= now + min(ttl, MAX_TTL_MS)
    assert parent is None or end <= parent


def test_a_fence_has_a_cause() -> None:
    """A fence without a cause would leave a receipt that says nothing."""
    with pytest.raises(ValueError, match="cause"):
        transition(opened(), TaskState.FENCED)


def test_a_pause_leaves_no_cause_behind() -> None:
    """Suspending is not ending: the cause of the end is still to come."""
    paused = transition(opened(), TaskState.SUSPENDED, Cause.REVOKED)
    assert paused.cause == ""
    assert transition(paused, TaskState.FENCED, Cause.EXPIRED).cause == "expired"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"agent": "stranger"}, Denied),
        ({"binding": ""}, ValueError),
        ({"binding": "bearer"}, ValueError),
        ({"profile": Profile("pay", "Pay", ("clerk",), (), 1, 1)}, ValueError),
        ({"inputs": {"other": object()}}, ValueError),
    ],
)
def test_a_task_that_may_not_be_is_not_made(change: dict[str, object], error: type[Exception]) -> None:
    """A stranger, an unbound token, an uncompiled profile, foreign inputs: no task."""
    fields: dict[str, object] = {
        "id": "tsk_a_1",
        "principal": "p",
        "agent": "clerk",
        "owner": "desk",
        "profile": PROFILE,
        "bundle": "b",
        "inputs": {},
        "binding": "uid:7",
        "now_ms": 1,
        "cell": "a",
        "home": "n",
        "epoch": 1,
    }
    assert open_task(**fields).state is TaskState.OPEN  # type: ignore[arg-type]
    with pytest.raises(error):
        open_task(**{**fields, **change})  # type: ignore[arg-type]
