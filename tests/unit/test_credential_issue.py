"""Composing a lease: never longer than its task, never for a dead one, facts only."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.connectors.memory.backend import MemoryBackend, World
from flyball.credential import issue
from flyball.credential.backend import Issued, TargetRefused
from flyball.credential.lease import Lease, LeaseState
from flyball.credential.transition import transition
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import Conflict, Gone
from flyball.kernel.ids import lease_id, task_id
from flyball.kernel.secret import Secret
from flyball.task.task import LIVE, Task, TaskState

NOW = 1_800_000_000_000
TASK = Task(
    id=task_id("local", NOW),
    principal="p",
    agent="a",
    owner="o",
    profile="p",
    profile_digest="d",
    bundle="b",
    state=TaskState.OPEN,
    opened_ms=NOW,
    hard_end_ms=NOW + 60_000,
    heartbeat_ms=5000,
    binding="uid:1",
    cell="local",
    home="n",
    epoch=1,
)


def memory() -> MemoryBackend:
    return MemoryBackend("m", frozenset({"w"}), FakeClock(NOW), World())


def plan(task: Task = TASK, *, ttl_ms: int = 30_000, now_ms: int = NOW, access: str = "w") -> tuple[Lease, Secret]:
    return issue.plan_lease(
        memory(),
        id=lease_id("local", now_ms),
        task=task,
        credential="orders",
        target="m",
        access=access,
        ttl_ms=ttl_ms,
        issuer="i",
        store="",
        now_ms=now_ms,
        epoch=1,
    )


@given(st.integers(1, 10**9), st.integers(0, 59_999))
def test_a_lease_never_outlives_its_task(ttl_ms: int, late_ms: int) -> None:
    """Whatever the profile's TTL and whenever it is asked for (invariant 5)."""
    lease, _ = plan(ttl_ms=ttl_ms, now_ms=NOW + late_ms)
    assert NOW + late_ms < lease.expires_ms <= TASK.hard_end_ms
    assert lease.state is LeaseState.INTENT


@pytest.mark.parametrize("state", sorted(set(TaskState) - LIVE))
def test_no_lease_for_a_task_that_has_ended(state: TaskState) -> None:
    """Invariant 1."""
    with pytest.raises(Gone):
        plan(replace(TASK, state=state))


def test_no_lease_at_the_hard_end() -> None:
    """Not even for no time at all."""
    with pytest.raises(Gone):
        plan(now_ms=TASK.hard_end_ms)
    with pytest.raises(Gone):
        plan(ttl_ms=0)


def test_planning_touches_no_target() -> None:
    """The intent is made before the target is called (invariant 3)."""
    backend = memory()
    backend.world.faults.arm("issue", "fail", 100)
    issue.plan_lease(
        backend,
        id=lease_id("local", NOW),
        task=TASK,
        credential="c",
        target="m",
        access="w",
        ttl_ms=1,
        issuer="i",
        store="",
        now_ms=NOW,
        epoch=1,
    )
    assert backend.world.faults.calls == []


def test_an_unknown_access_is_refused() -> None:
    """By the backend, before anything is written."""
    with pytest.raises(TargetRefused):
        plan(access="other")


def test_secrets_differ_and_are_long() -> None:
    """192 bits, in characters that need no quoting in a connection string."""
    secrets = {issue.make_secret().reveal() for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(secret) == 32 and secret.replace("-", "").replace("_", "").isalnum() for secret in secrets)


def test_a_lease_on_its_way_out_is_not_made() -> None:
    """The target is not called for a lease that is no longer an intent."""
    backend = memory()
    lease, secret = plan()
    with pytest.raises(Conflict):
        issue.at_target(backend, transition(lease, LeaseState.REVOKING), secret)
    assert backend.world.faults.calls == []


def test_the_target_can_only_bring_the_end_forward() -> None:
    """Its own expiry counts where it is earlier, and is kept in mind where it is later."""
    lease, _ = plan(ttl_ms=30_000)
    active = issue.activated(lease, Issued({}, {"oid": 7}, NOW + 10_000))
    assert (active.state, active.expires_ms) == (LeaseState.ACTIVE, NOW + 10_000)
    assert active.progress == {"oid": 7, "native_expiry_ms": NOW + 10_000}
    assert issue.activated(lease, Issued({}, {}, NOW + 90_000)).expires_ms == lease.expires_ms
    assert issue.activated(lease, Issued({}, {}, 0)).expires_ms == lease.expires_ms
