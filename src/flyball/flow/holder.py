"""What a task's holder may ask of its own task beside work: what it may do, whether it still stands, a pause.

A parked task waits, for hours or days if its profile gives it that long, and holds nothing meanwhile: no call is
allowed and its leases are taken back. When it goes on, everything is looked at again, as if it were opened now.
"""

from __future__ import annotations

from flyball.flow import agents, end, refusals
from flyball.flow.asks import Proof
from flyball.flow.gate import caller, task_holder
from flyball.flow.house import House
from flyball.kernel.errors import Conflict, Denied, Gone, NotFound
from flyball.kernel.json import Json, parse_object
from flyball.revocation.loop import Lane
from flyball.task.spec import ACTIONS
from flyball.task.task import LIVE, Cause, Task, TaskState

OVER = frozenset({"fenced", "closed"})


def whoami(house: House, proof: Proof) -> dict[str, Json]:
    """Whom a proof shows: principal, agent and instance, as they would open a task. For a gateway that takes tokens.

    Raises:
        Unauthenticated: the proof does not hold, or is bound to nothing.
        Denied: the principal is no declared agent.
    """
    who = caller(house, proof)
    return {"principal": who.principal, "agent": who.agent.name, "instance": who.instance}


def actions(house: House, proof: Proof, task: str) -> list[dict[str, Json]]:
    """The actions that the task's profile allows at all, with resource type and effect: what a list of tools may show.

    It is no permission: each call is decided by its arguments, budgets and origins.

    Raises:
        Unauthenticated: the token or its binding does not hold.
        Gone: the task has ended.
    """
    row = _live(house, proof, task)
    bundle = house.active.bundle
    profile = bundle.profiles.get(row.profile)
    if profile is None:
        return []
    named = row.attributes.get(ACTIONS)
    narrowed = None if not isinstance(named, (list, tuple)) else {str(one) for one in named}
    told: list[dict[str, Json]] = []
    for name in sorted({rule.action for rule in profile.allow}):
        known = bundle.actions.get(name)
        if known is not None and (narrowed is None or name in narrowed):
            told.append({"action": name, "resource_type": known.resource_type, "effect": known.effect})
    return told


def authenticate(house: House, proof: Proof, task: str) -> None:
    """Whether the caller holds the task.

    Raises:
        Unauthenticated: the token or its binding does not hold.
    """
    task_holder(house, proof, task)


def state(house: House, task: str) -> str:
    """How the decision plane sees a task this moment; `closed` where it knows it no more. Cheap: it asks no store."""
    live = house.core.state_json(task)
    return "closed" if live is None else str(parse_object(live).get("state"))


def park(house: House, proof: Proof, task: str) -> str:
    """Let the task wait without privilege; its new state.

    Raises:
        Unauthenticated: the token or its binding does not hold.
        Conflict: it is not open now; its children, if it has any, must have ended.
        Gone: it has ended.
    """
    row = _live(house, proof, task)
    if row.state is TaskState.PARKED:
        return row.state.value
    if row.state is not TaskState.OPEN:
        raise Conflict(f"the task is {row.state.value}", code="task_not_open", hint="an open task can be parked")
    if len(end.with_children(house, [row])) > 1:
        raise Conflict("the task has children", code="task_has_children", hint="end them first")
    if not house.core.park(task):  # the plane froze or suspended it, and the row is not that far yet
        raise Conflict("the task is not open", code="task_not_open", hint="an open task can be parked")
    end.take_back_all(house, task, Cause.REVOKED.value, Lane.KILL)
    end.move(house, row, TaskState.PARKED, cause="parked by its holder", by=row.agent)
    return TaskState.PARKED.value


def unpark(house: House, proof: Proof, task: str) -> str:
    """Let a parked task go on, if it could be opened now; its new state.

    Raises:
        Unauthenticated: the token or its binding does not hold.
        Denied: the agent, the profile or the policy says no now.
        Conflict: it is not parked. What an operator suspended is resumed by an operator alone.
        Gone: it has ended.
    """
    row = _live(house, proof, task)
    if row.state is TaskState.OPEN:
        return row.state.value
    if row.state is not TaskState.PARKED:
        raise Conflict(f"the task is {row.state.value}", code="task_not_parked", hint="an operator resumes it")
    agents.require_active(house, row.agent)
    profile = house.active.bundle.profiles.get(row.profile)
    if profile is None or profile.digest != row.profile_digest or not profile.may_open(row.agent, row.agent):
        raise Denied(
            f"profile {row.profile!r} has changed since this task was opened",
            code="profile_changed",
            hint="end this task and open a new one",
        )
    house.core.resume(task)
    verdict = house.core.check(task, "flyball", "task.open", "profile", profile.name, b"{}")
    if verdict.effect != "allow":
        house.core.park(task)
        raise refusals.of_verdict(verdict, f"the policy does not let {row.agent!r} go on with {profile.name!r} now")
    try:
        end.move(house, row, TaskState.OPEN, cause="resumed by its holder", by=row.agent)
    except Exception:
        house.core.park(task)
        raise
    return TaskState.OPEN.value


def _live(house: House, proof: Proof, task: str) -> Task:
    holder = task_holder(house, proof, task)
    row = house.tasks.get(holder.task)
    if row is None:
        raise NotFound("no such task", code="task_unknown")
    if row.state not in LIVE:
        raise Gone("the task has ended", code="task_fenced", hint="open a new task")
    return row
