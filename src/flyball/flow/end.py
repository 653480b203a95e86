"""The one way in which privilege is taken back.

Whatever the cause (the task ended, an operator pulled the lever, a heartbeat was missed, time ran
out, the work deviated, the agent's state changed), it is this path:

1. fence      in memory at once: from here on no check of the task is allowed, on any thread;
2. journal    the fence is on reserved disk before anybody is told of it;
3. store      the task's row and its record, when the store can; the journal replays them when it could not;
              what neither takes stands in memory, and whoever asked is told so once the leases are on their way;
4. leases     every live lease of the task goes to the revoker: deny logins, kill, drop, probe, receipt;
5. close      once every lease is settled, the task is closed and the plane forgets it.

None of it waits for a decision, a full queue or a full disk. A task's children end with it, on this same path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from flyball.audit.record import Kind, Record
from flyball.credential.lease import LIVE as LIVE_LEASES
from flyball.credential.lease import Lease, LeaseState
from flyball.flow import agents, labels
from flyball.flow.asks import Ended
from flyball.flow.house import House
from flyball.kernel.errors import Conflict, Denied, FlyballError, Gone, NotFound, Unavailable
from flyball.kernel.faults import fault_point
from flyball.kernel.json import Json, parse_object
from flyball.revocation.loop import Lane
from flyball.task import lifecycle
from flyball.task.task import LIVE, Cause, Task, TaskState

log = structlog.get_logger("flyball.end")
_MAY_SUSPEND = frozenset({TaskState.OPEN, TaskState.FROZEN})
_UNCLOSED = LIVE | {TaskState.FENCED}
_DECISIONS = frozenset({Kind.DECIDED.value, Kind.NOT_RELEASED.value})
_UNSETTLED = LIVE_LEASES | {LeaseState.REVOKING, LeaseState.QUARANTINED}


def finish(
    house: House,
    tasks: Sequence[Task],
    cause: Cause,
    *,
    by: str,
    detail: str = "",
    wait_ms: int = 0,
) -> Ended:
    """Fence these tasks and take back all that they hold.

    Returns once the fences are journalled; waits up to `wait_ms` for the receipts. A task that was
    fenced before keeps its first cause; its receipts are answered all the same. Children end with their
    parents.

    Raises:
        Unavailable: neither journal nor store could write a fence down. All are fenced in memory, and their
            leases are being taken back; a restart would not know of it, so ask again.
    """
    # 1 fence: all of them before anything else; the plane fences a parent's children in the same moment
    for task in tasks:
        house.core.fence(task.id, cause.value)
    named = {task.id for task in tasks}
    tasks = with_children(house, tasks)
    for task in tasks:
        if task.id not in named:
            house.core.fence(task.id, cause.value)
    now = house.clock.wall_ms()
    # 2 journal
    unwritten: dict[str, Unavailable] = {}
    for task in tasks:
        try:
            house.journal.fence(task.id, cause=cause.value, by=by, at_ms=now)
        except Unavailable as fault:
            house.faults.add("fence_unjournalled")
            unwritten[task.id] = fault
    fault_point("end.after_fence")
    # 3 store
    unmet: list[str] = []
    for task in tasks:
        left = _missing(house, task) if task.state in LIVE else ()
        told = _End(cause, by, detail if task.id in named else f"with its parent {task.parent}", left)
        if _save_fence(house, task, told, now_ms=now):
            unwritten.pop(task.id, None)
        unmet.extend(left)
    for task in tasks:
        house.core.fence(task.id, cause.value)  # one that was still being opened may have come into the plane since
    fault_point("end.after_store")
    # 4 leases
    lane = Lane.EXPIRY if cause in (Cause.EXPIRED, Cause.ENDED) else Lane.KILL
    for task in tasks:
        take_back_all(house, task.id, cause.value, lane)
    for first in unwritten.values():
        raise first
    # 5 close
    deadline = house.clock.mono_ms() + wait_ms
    receipts: list[Mapping[str, Json]] = []
    pending: list[str] = []
    for task in tasks:
        if wait_ms:
            house.revoker.wait(task.id, max(0, deadline - house.clock.mono_ms()) / 1000)
        receipts.extend(house.revoker.receipts_for(task.id))
        pending.extend(lease.id for lease in house.leases.select(task=task.id, states=_UNSETTLED))
    for task in reversed(tasks):  # a parent is closed after its children: what they did not use is its own again
        close(house, task.id)
    return Ended(tuple(task.id for task in tasks), tuple(receipts), tuple(pending), tuple(dict.fromkeys(unmet)))


def unless_ended(house: House, task: Task) -> None:
    """Let go of a task that was ended, or whose agent was stopped, while it was being opened. `finish` fences once more
    when the end is written down, so that one of the two sees the other.

    Raises:
        Gone: it was ended or suspended.
        Denied: its agent is not active any more.
    """
    row = house.tasks.get(task.id)
    if row is None or row.state is not TaskState.OPEN:
        house.core.fence(task.id, Cause.REVOKED.value)
        if row is not None and row.state in LIVE:
            finish(house, [row], Cause.REVOKED, by="flyball", detail="suspended while it was being opened")
        house.core.close(task.id)
        raise Gone("the task was ended while it was being opened", code="task_fenced", hint="open a new task")
    try:
        agents.require_active(house, task.agent)
    except Denied:
        finish(house, [task], Cause.AGENT_STATE, by="flyball", detail="its agent was stopped while it was being opened")
        raise


def with_children(house: House, tasks: Sequence[Task]) -> list[Task]:
    """These tasks and every task below them that is not closed, parents before children.

    Where the store cannot be read it is these alone: the plane has fenced the children, and the watch, told by its
    events, carries on with each.
    """
    found = {task.id: task for task in tasks}
    try:
        parents = house.tasks.parents()
        waiting = [task for task in tasks if task.id in parents]
        while waiting:
            _add_children(house, waiting, found)
    except Unavailable:
        house.faults.add("children_unread")
    return list(found.values())


def _add_children(house: House, waiting: list[Task], found: dict[str, Task]) -> None:
    for above in waiting.copy():
        waiting.remove(above)
        below = house.tasks.select(states=_UNCLOSED, parent=above.id, limit=100_000)
        new = [child for child in below if child.id not in found]
        found.update((child.id, child) for child in new)
        waiting += new


def missing(house: House, task: Task) -> tuple[str, ...]:
    """What the task's profile wants done at least once (`must`) and was not: never an error, always said."""
    profile = house.store.row("profile", task.profile_digest)
    wanted = tuple(labels.texts((profile or {}).get("must")))
    if not wanted:
        return ()
    live = house.core.memory_json(task.id)
    if live is not None:
        return tuple(labels.texts(parse_object(live).get("missing")))
    done: dict[str, str] = {}
    for stored in house.log.of_task(task.id):
        body = parse_object(stored.body) if stored.kind in _DECISIONS else {}
        if stored.kind == Kind.DECIDED and body.get("effect") == "allow":
            done[str(body.get("decision"))] = str(body.get("action"))
        elif stored.kind == Kind.NOT_RELEASED:
            done.pop(str(body.get("decision")), None)
    return tuple(action for action in wanted if action not in done.values())


def _missing(house: House, task: Task) -> tuple[str, ...]:
    try:
        return missing(house, task)
    except FlyballError:  # an end does not wait for what can only be said of it
        house.faults.add("must_unread")
        return ()


@dataclass(frozen=True, slots=True)
class _End:
    """Why a task ends, by whom, and what it leaves undone."""

    cause: Cause
    by: str
    detail: str
    unmet: tuple[str, ...] = ()


def close(house: House, task_id: str) -> None:
    """Close a fenced task with nothing left at any target, its children before it. Not yet possible is no error:
    the watch comes back. What follows its instance is durable once it is closed."""
    task = house.tasks.get(task_id)
    if task is None or task.state is not TaskState.FENCED:
        return
    if house.leases.select(task=task_id, states=_UNSETTLED, limit=1):
        return
    if house.tasks.select(states=_UNCLOSED, parent=task_id, limit=1):
        return
    count = len(house.leases.select(task=task_id))
    unit = house.store.unit()
    unit.save_task(replace(task, state=TaskState.CLOSED), expect=frozenset({TaskState.FENCED}))
    labels.carry(house, unit, task)
    unit.record(Record(Kind.TASK_CLOSED, house.clock.wall_ms(), task_id, {"cause": task.cause, "leases": count}))
    try:
        unit.commit()
    except (Conflict, Unavailable):
        return
    house.core.close(task_id)


def take_back_all(house: House, task: str, cause: str, lane: Lane) -> None:
    """Every live lease of a task that was fenced or suspended, but those at their target this very moment:
    their maker sees the fence once the target has answered, and takes them back itself."""
    for lease in house.leases.select(task=task, states=LIVE_LEASES):
        if not house.issuing.holds(lease.id):
            house.revoker.submit(lease, cause, lane)


def take_back(house: House, leases: Sequence[Lease], cause: Cause) -> None:
    """Take back single leases of a task that may go on."""
    for lease in leases:
        house.revoker.submit(lease, cause.value, Lane.KILL)


def revoke_task(house: House, task: str, *, by: str, reason: str, wait_ms: int = 5000) -> Ended:
    """An operator revokes one task.

    Raises:
        NotFound: no such task.
    """
    row = house.tasks.get(task)
    if row is None:
        raise NotFound(f"no task {task!r}", code="task_unknown", hint="see `flyball tasks`")
    return finish(house, [row], Cause.REVOKED, by=by, detail=reason, wait_ms=wait_ms)


def revoke_lease(house: House, lease: str, *, by: str, reason: str, wait_ms: int = 5000) -> Ended:
    """An operator revokes one lease; its task goes on without it.

    Raises:
        NotFound: no such lease.
    """
    row = house.leases.get(lease)
    if row is None:
        raise NotFound(f"no lease {lease!r}", code="lease_unknown", hint="see `flyball status`")
    if row.state in LIVE_LEASES:
        house.issuing.wait(lease, 30)  # a lease at its target is taken back once the target has answered
        house.revoker.submit(house.leases.get(lease) or row, Cause.REVOKED.value, Lane.KILL)
        unit = house.store.unit()
        told: dict[str, Json] = {"lease": lease, "by": by, "reason": reason}
        unit.record(Record(Kind.LEASE_REVOKED, house.clock.wall_ms(), row.task, told))
        try:
            unit.commit()
        except Unavailable:
            house.faults.add("lease_revoked_unstored")  # taking back never waits for the record
    if wait_ms:
        house.revoker.wait_lease(lease, wait_ms / 1000)
    after = house.leases.get(lease)
    settled = after is not None and after.state is LeaseState.VERIFIED
    receipts = [item for item in house.revoker.receipts_for(row.task) if item.get("lease") == lease]
    return Ended((row.task,), tuple(receipts), () if settled else (lease,))


def revoke_agent(house: House, agent: str, *, by: str, reason: str, wait_ms: int = 5000) -> Ended:
    """Every live task of one agent. The agent may open new ones; suspend it to stop that too.

    Raises:
        NotFound: no such agent.
    """
    if agent not in house.active.bundle.agents and house.store.row("agent", agent) is None:
        raise NotFound(f"no agent {agent!r} is declared", code="agent_unknown", hint="see `agents:` in the bundle")
    rows = house.tasks.select(states=LIVE, agent=agent, limit=100_000)
    return finish(house, rows, Cause.REVOKED, by=by, detail=reason, wait_ms=wait_ms)


def revoke_owner(house: House, owner: str, *, by: str, reason: str, wait_ms: int = 5000) -> Ended:
    """Every live task of one owner's agents."""
    rows = house.tasks.select(states=LIVE, owner=owner, limit=100_000)
    return finish(house, rows, Cause.REVOKED, by=by, detail=reason, wait_ms=wait_ms)


def set_agent_state(house: House, agent: str, state: str, *, by: str, reason: str, wait_ms: int = 5000) -> Ended:
    """Suspend, quarantine, offboard or resume an agent. Anything but `active` ends its tasks: privilege
    that waits for a person is privilege that stands."""
    agents.change(house, agent, state, by=by, reason=reason)
    if state == "active":
        return Ended(())
    rows = house.tasks.select(states=LIVE, agent=agent, limit=100_000)
    return finish(house, rows, Cause.AGENT_STATE, by=by, detail=f"{state}: {reason}", wait_ms=wait_ms)


def suspend_task(house: House, task: str, *, by: str, reason: str) -> Ended:
    """Refuse everything of one task until it is resumed, and take its leases back: a suspended task holds nothing.
    The same for its children, whose authority is the task's own; each is resumed by itself.

    Raises:
        NotFound: no such task.
        Conflict: it is suspended or parked. Nothing has changed then, neither of it nor of its children.
        Gone: it has ended.
        Unavailable: the store could not be told; it is suspended in memory, and its leases are being taken back.
    """
    row = house.tasks.get(task)
    if row is None:
        raise NotFound(f"no task {task!r}", code="task_unknown", hint="see `flyball tasks`")
    lifecycle.transition(row, TaskState.SUSPENDED)  # what is refused changes nothing
    house.core.suspend(task)
    below = [child for child in with_children(house, [row])[1:] if child.state in _MAY_SUSPEND]
    for child in below:
        house.core.suspend(child.id)
    for one in (row, *below):
        take_back_all(house, one.id, Cause.REVOKED.value, Lane.KILL)  # ahead of the row: it waits for no store
    move(house, row, TaskState.SUSPENDED, cause=reason, by=by)
    house.core.suspend(task)  # see `finish`: it may have come into the plane since
    for child in below:
        move(house, child, TaskState.SUSPENDED, cause=f"with its parent {child.parent}", by=by)
        house.core.suspend(child.id)
    return Ended((task, *(child.id for child in below)))


def resume_task(house: House, task: str, *, by: str, reason: str) -> Ended:
    """Let a suspended or frozen task go on. Its credentials are not given back; it asks anew.

    Raises:
        NotFound: no such task.
        Denied: its agent is not active.
        Conflict: it is open, or its parent is not. A parked one goes on by its holder's word alone, looked at anew.
        Gone: it has ended.
        Unavailable: the store could not be told; the task stays as it was.
    """
    row = house.tasks.get(task)
    if row is None:
        raise NotFound(f"no task {task!r}", code="task_unknown", hint="see `flyball tasks`")
    if row.state is TaskState.PARKED:
        raise Conflict("the task is parked", code="task_state", hint="its holder lets it go on, or revoke it")
    agents.require_active(house, row.agent)
    above = house.tasks.get(row.parent) if row.parent else None
    if above is not None and above.state is not TaskState.OPEN:
        raise Conflict(
            f"its parent {above.id} is {above.state.value}", code="parent_not_open", hint="resume the parent first"
        )
    move(house, row, TaskState.OPEN, cause=reason, by=by)
    house.core.resume(task)
    return Ended((task,))


def freeze_task(house: House, task: str, *, by: str, reason: str) -> None:
    """Write down that the plane froze a task's effects; the plane has done so already. Its children's effects are
    the task's own: they are frozen with it."""
    row = house.tasks.get(task)
    if row is None:
        return
    for child in with_children(house, [row])[1:]:
        if child.state is TaskState.OPEN:
            house.core.freeze(child.id)
            move(house, child, TaskState.FROZEN, cause=f"with its parent {child.parent}", by=by)
    if row.state is TaskState.OPEN:
        move(house, row, TaskState.FROZEN, cause=reason, by=by)


def move(house: House, task: Task, to: TaskState, *, cause: str, by: str) -> None:
    """Write down that a live task is in another state.

    Raises:
        Conflict: there is no such arrow, or the task has moved meanwhile.
        Unavailable: the store could not.
    """
    moved = replace(lifecycle.transition(task, to), cause=cause)
    unit = house.store.unit()
    unit.save_task(moved, expect=frozenset({task.state}))
    members: dict[str, Json] = {"from": task.state.value, "to": to.value, "cause": cause, "by": by}
    unit.record(Record(Kind.TASK_STATE, house.clock.wall_ms(), task.id, members))
    unit.commit()


def _save_fence(house: House, task: Task, end: _End, *, now_ms: int) -> bool:
    """Whether the store has the fence now."""
    if task.state not in LIVE:
        return True
    unit = house.store.unit()
    unit.save_task(replace(task, state=TaskState.FENCED, cause=end.cause.value), expect=LIVE)
    with suppress(FlyballError):  # what cannot be read now is carried when the task is closed
        labels.carry(house, unit, task)
    members: dict[str, Json] = {"cause": end.cause.value, "by": end.by, "detail": end.detail}
    if end.unmet:
        members["unmet"] = [*end.unmet]
        log.warning("a task ended without what its profile asks for", task=task.id, unmet=list(end.unmet))
    unit.record(Record(Kind.FENCED, now_ms, task.id, members))
    try:
        unit.commit()
    except Conflict:
        return True  # fenced by another cause a moment ago: the first one stands
    except Unavailable:
        house.faults.add("fence_unstored")  # the journal holds it, and is replayed
        return False
    return True
