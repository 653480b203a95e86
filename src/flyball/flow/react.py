"""What a deviation sets off, beside what the decision plane has done in memory at once.

Content may end its own task; it reaches no further unless a person says so (invariant 11).
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from flyball.flow import end
from flyball.flow.house import House
from flyball.kernel.json import Json, parse_object
from flyball.task.task import Cause, Task

log = structlog.get_logger("flyball.react")


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


def _ask_for_quarantine(house: House, task: Task, detail: str) -> None:
    unit = house.store.unit()
    asked: dict[str, Json] = {"agent": task.agent, "task": task.id, "detail": detail, "at_ms": house.clock.wall_ms()}
    unit.save_row("quarantine_request", task.id, asked)
    unit.commit()
    log.warning("quarantine asked for", agent=task.agent, task=task.id)
