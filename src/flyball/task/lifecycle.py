"""How a task begins, and the only arrows it may take.

Kept here, by number where it is kept:
1. a task is made only by `open_task` (a store rebuilds one from its row);
2. it ends no later than its profile's TTL, and never later than its parent;
3. it moves only along `ARROWS`; nothing leaves CLOSED, and only CLOSED follows FENCED;
4. what ends it has a cause, and the first cause stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from flyball.kernel.errors import Conflict, Denied, Gone
from flyball.task.profile import MAX_TTL_MS, Profile
from flyball.task.task import ARROWS, LIVE, Cause, Input, Task, TaskState


def hard_end(now_ms: int, ttl_ms: int, parent_end_ms: int | None = None) -> int:
    """When a task opened now must end, in wall milliseconds: the least of TTL, house limit and parent's end.

    Raises:
        Denied: the parent has ended, so nothing is left to give.
    """
    end = now_ms + min(ttl_ms, MAX_TTL_MS)
    if parent_end_ms is not None:
        end = min(end, parent_end_ms)
    if end <= now_ms:
        raise Denied("no time is left for this task", code="task_expired", hint="open it while its parent lives")
    return end


def open_task(
    *,
    id: str,  # noqa: A002 - the field's name
    principal: str,
    agent: str,
    owner: str,
    profile: Profile,
    bundle: str,
    inputs: Mapping[str, Input],
    binding: str,
    now_ms: int,
    cell: str,
    home: str,
    epoch: int,
    parent_end_ms: int | None = None,
) -> Task:
    """A new task of `profile`, OPEN from now on.

    Args:
        id: minted by the server; never taken from a caller, so an agent cannot shed its history.
        principal: the proven identity that opened it.
        agent, owner: as the bundle declares them.
        bundle: digest of the bundle in force.
        inputs: from `validate_inputs`.
        binding: `jkt:<thumbprint>` or `uid:<n>`; what the task token is bound to.
        now_ms: wall milliseconds.
        parent_end_ms: hard end of the task that delegates to this one, if any.

    Raises:
        Denied: the profile does not name this agent, or no time is left.
        ValueError: a caller's mistake: an unbound token, an uncompiled profile, inputs of another profile.
    """
    if agent not in profile.agents:
        raise Denied(f"agent {agent!r} may not run profile {profile.name!r}", code="profile_not_for_agent")
    if not binding.startswith(("jkt:", "uid:")):
        raise ValueError("a task's token must be bound: jkt:<thumbprint> or uid:<n>")
    if not profile.digest:
        raise ValueError("the profile has no digest: it was not compiled")
    if not inputs.keys() <= profile.inputs.keys():
        raise ValueError("these inputs were not validated against this profile")
    return Task(
        id=id,
        principal=principal,
        agent=agent,
        owner=owner,
        profile=profile.name,
        profile_digest=profile.digest,
        bundle=bundle,
        state=TaskState.OPEN,
        opened_ms=now_ms,
        hard_end_ms=hard_end(now_ms, profile.ttl_ms, parent_end_ms),
        heartbeat_ms=profile.heartbeat_ms,
        binding=binding,
        cell=cell,
        home=home,
        epoch=epoch,
        purpose=profile.purpose,
        inputs=dict(inputs),
    )


def transition(task: Task, to: TaskState, cause: Cause | None = None) -> Task:
    """The task after it moved to `to`.

    Args:
        cause: why; needed for FENCED. It stays on the task from then on: a later cause does not replace it.

    Raises:
        Gone: the task is fenced or closed and would have become live again.
        Conflict: there is no such arrow.
        ValueError: FENCED without a cause.
    """
    if to not in ARROWS[task.state]:
        if task.state not in LIVE:
            raise Gone(f"the task is {task.state.value}; that is final", code=f"task_{task.state.value}")
        raise Conflict(
            f"a task does not go from {task.state.value} to {to.value}",
            code="task_state",
            hint=f"from here it may go to {', '.join(sorted(ARROWS[task.state]))}",
        )
    if to is TaskState.FENCED and cause is None:
        raise ValueError("a fence has a cause")
    return dataclasses.replace(task, state=to, cause=task.cause or (cause.value if cause and to not in LIVE else ""))
