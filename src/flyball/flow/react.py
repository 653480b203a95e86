"""What a deviation sets off, beside what the decision plane has done in memory at once.

Content may end its own task, with the children whose authority is that task's; it reaches no further unless a
person says so (invariant 11). Where too many reactions come at once the plane freezes instead, and somebody is
called: whoever can write a document must not be able to switch off a fleet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from flyball.audit.record import Kind, Record
from flyball.flow import end
from flyball.flow.house import House
from flyball.kernel.json import Json, parse_object
from flyball.task.task import LIVE, Cause, Task

log = structlog.get_logger("flyball.react")


PATIENCE_MS = 1000
PAGE_MS = 3_600_000
"""How long a degraded reaction keeps `flyball status` from saying that all is well."""


def on_event(house: House, event: Mapping[str, Json], *, waited_ms: int = 0) -> bool:
    """Act on one event of the decision plane. False where it is to be looked at again: what it follows from is
    still being written down.

    Raises:
        Conflict, Gone: the task has moved on; what came first stands.
        Unavailable: the store could not be told; to be tried again.
    """
    kind, task_id = event.get("event"), str(event.get("task", ""))
    if kind == "deviation":
        reasons = event.get("reasons")
        told = ",".join(str(one) for one in reasons) if isinstance(reasons, list) else ""
        react(house, task_id, str(event["reaction"]), str(event["decision"]), told)
    elif kind == "reactions_degraded":
        _page(house, str(event.get("profile", "")), task_id, str(event.get("decision", "")))
    elif kind == "child_fenced":
        return _with_its_parent(house, task_id, waited_ms)
    elif kind == "approval_asked":
        log.warning("a person is asked", task=task_id, decision=str(event.get("decision", "")), what=event.get("kind"))
    return True


def _with_its_parent(house: House, task_id: str, waited_ms: int) -> bool:
    """Carry on with a child that the plane has fenced, should its parent's end not have come as far."""
    child = house.tasks.get(task_id)
    if child is None or child.state not in LIVE:
        return True
    above = house.tasks.get(child.parent)
    if above is not None and above.state in LIVE and waited_ms < PATIENCE_MS:
        return False  # the end of its parent is on its way, and takes the child along
    cause = Cause(above.cause) if above is not None and above.cause in set(Cause) else Cause.REVOKED
    end.finish(house, [child], cause, by="flyball", detail=f"with its parent {child.parent}")
    return True


def react(house: House, task_id: str, reaction: str, decision: str, reasons: str) -> None:
    """Carry out a reaction on the one task that deviated.

    Raises:
        Conflict, Gone: the task has moved on; what came first stands.
        Unavailable: the store could not be told; leases are being taken back all the same.
    """
    task = house.tasks.get(task_id)
    if task is None:
        return
    detail = f"{reasons} ({decision})"
    if reaction == "freeze":
        end.freeze_task(house, task_id, by="flyball", reason=detail)
    elif reaction == "suspend":
        end.suspend_task(house, task_id, by="flyball", reason=detail)
    elif reaction in ("revoke", "quarantine"):
        end.finish(house, [task], Cause.DEVIATION, by="flyball", detail=detail)
        if reaction == "quarantine":
            _ask_for_quarantine(house, task, detail)


def catch_up(house: House, task: Task, bodies: Sequence[bytes]) -> bool:
    """Carry out, after a restart, a reaction that stands in the task's records and that nobody had acted upon.

    Says whether there was one: the plane, rebuilt from the records, then stands elsewhere than the task's row.
    """
    live = house.core.state_json(task.id)
    if live is None or parse_object(live).get("state") == task.state.value:
        return False
    for body in map(parse_object, reversed(bodies)):
        reasons = body.get("reasons")
        if body.get("kind") == "decided" and "reaction" in body and isinstance(reasons, list):
            told = ",".join(str(one) for one in reasons)
            react(house, task.id, str(body["reaction"]), str(body.get("decision", "")), told)
            return True
    return False


def degraded(house: House) -> list[dict[str, Json]]:
    """The profiles whose reactions were degraded within the last hour, for `status` and its exit code."""
    since = house.clock.wall_ms() - PAGE_MS
    found = [{"profile": name, **row} for name, row in house.store.rows("degraded")]
    return [one for one in found if isinstance(at := one.get("at_ms"), int) and at >= since]


def _page(house: House, profile: str, task: str, decision: str) -> None:
    before = house.store.row("degraded", profile) or {}
    count = before.get("count")
    now = house.clock.wall_ms()
    told: dict[str, Json] = {"at_ms": now, "task": task, "decision": decision}
    unit = house.store.unit()
    unit.save_row("degraded", profile, {**told, "count": (count if isinstance(count, int) else 0) + 1})
    members: dict[str, Json] = {"profile": profile, "decision": decision}
    unit.record(Record(Kind.REACTIONS_DEGRADED, now, task or None, members))
    unit.commit()
    log.error("PAGE: reactions are degraded to freezing", profile=profile, task=task, decision=decision)


def _ask_for_quarantine(house: House, task: Task, detail: str) -> None:
    unit = house.store.unit()
    asked: dict[str, Json] = {"agent": task.agent, "task": task.id, "detail": detail, "at_ms": house.clock.wall_ms()}
    unit.save_row("quarantine_request", task.id, asked)
    unit.commit()
    log.warning("quarantine asked for", agent=task.agent, task=task.id)
