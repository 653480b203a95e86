"""What an agent's instance has touched follows it into its later tasks.

The decision plane holds the labels of a live task. Here they are written down when a task is fenced and
again when it is closed, and handed to the instance's next task when that is opened. Only an operator who
knows that the instance is a fresh one takes them away.
"""

from __future__ import annotations

from collections.abc import Iterable

from flyball.audit.ports import UnitOfWork
from flyball.audit.record import Kind, Record
from flyball.flow.house import House
from flyball.kernel.errors import Conflict, NotFound
from flyball.kernel.json import Json, parse_object
from flyball.task.task import LIVE, Task, TaskState

_CARRY = frozenset({"task_opened", "decided", "result_reported", "child_closed"})
"""The kinds of record that say what a task has touched."""
_TOGETHER = 500


def of_task(house: House, task: str) -> frozenset[str]:
    """The labels of a task: as the plane has them, or by its records where the plane has forgotten it."""
    live = house.core.memory_json(task)
    if live is not None:
        return frozenset(texts(parse_object(live).get("labels")))
    found: set[str] = set()
    for stored in house.log.of_task(task):
        if stored.kind in _CARRY:
            found.update(texts(parse_object(stored.body).get("labels")))
    return frozenset(found)


def starting(house: House, principal: str, instance: str) -> list[str]:
    """What a new task of this instance starts with. What its tasks that are not closed have, the plane adds itself."""
    return [*house.store.labels(principal, instance)]


def carry(house: House, unit: UnitOfWork, task: Task) -> None:
    """Let the task's labels follow its instance, in the unit of work that ends it."""
    unit.save_labels(task, of_task(house, task.id), house.clock.wall_ms())


def catch_up(house: House) -> None:
    """After a restart: what was fenced while the store could not be told has its labels written down now.

    The plane no longer knows these tasks, so that it could add nothing of theirs.
    """
    fenced = house.tasks.select(states=frozenset({TaskState.FENCED}), limit=1_000_000)
    for first in range(0, len(fenced), _TOGETHER):
        unit = house.store.unit()
        for task in fenced[first : first + _TOGETHER]:
            carry(house, unit, task)
        unit.commit()


def fresh(house: House, agent: str, *, by: str, reason: str) -> dict[str, Json]:
    """An operator says that whatever runs as this agent from now on has touched nothing.

    Raises:
        NotFound: no such agent in the bundle, and nothing follows one.
        Conflict: it has tasks; what runs now has touched what it has touched.
    """
    held = house.store.labels_of_agent(agent)
    if agent not in house.active.bundle.agents and not held:
        raise NotFound(f"no agent {agent!r} is declared", code="agent_unknown", hint="see `agents:` in the bundle")
    unclosed = LIVE | {TaskState.FENCED}
    if house.tasks.select(states=unclosed, agent=agent, limit=1):
        raise Conflict(
            f"agent {agent!r} has tasks that are not closed",
            code="agent_busy",
            hint="end them (`flyball revoke --agent`), start a fresh instance, and say so then",
        )
    instances: list[Json] = [*sorted({instance for _, instance, _ in held})]
    labels: list[Json] = [*sorted({label for _, _, label in held})]
    told: dict[str, Json] = {"agent": agent, "instances": instances, "labels": labels, "by": by, "reason": reason}
    unit = house.store.unit()
    unit.forget_labels(agent)
    unit.record(Record(Kind.INSTANCE_FRESH, house.clock.wall_ms(), None, told))
    unit.commit()
    return {"agent": agent, "instances": instances, "labels": labels}


def texts(value: Json) -> Iterable[str]:
    """The texts in a list; none where it is none."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
