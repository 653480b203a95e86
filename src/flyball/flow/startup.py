"""Coming up: nothing that was fenced is revived, nothing that was made is forgotten.

1. the anchor is compared: a store that is older than what was acknowledged starts fenced;
2. the journal is replayed: fences, revocation checkpoints and receipts that the store had not taken;
3. the live tasks are rebuilt as a fold of their records (with what is sealed beside them), parents first,
   each with one heartbeat interval to show itself and never past its hard end, which a clock that stepped
   back meanwhile does not move; a fenced or unreadable task is not, nor a child whose parent is over; a
   deviation that is on record and had no consequence yet has it now; labels of what was fenced follow its
   instance;
4. leases that nobody acknowledged, or that were being revoked, are revoked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from flyball.audit.anchor import Standing
from flyball.flow import end, highwater, labels, react
from flyball.flow.house import House
from flyball.kernel.errors import FlyballError
from flyball.policy.engine import CoreError
from flyball.task.spec import task_spec
from flyball.task.task import LIVE, Cause, Task

log = structlog.get_logger("flyball.startup")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What coming up found: tasks that go on, tasks that were fenced, leases that are being taken back."""

    restored: int
    fenced: int
    leases: int
    standing: str


def recover(house: House, standing: Standing) -> Recovered:
    """Rebuild the live state. Nothing is served before this returns."""
    house.journal.replay(house.store, house.tasks, house.leases)
    labels.catch_up(house)
    restored = fenced = 0
    # Parents before their children, who are charged to them.
    tasks = sorted(house.tasks.select(states=LIVE, limit=1_000_000), key=lambda task: (task.opened_ms, task.id))
    if standing is not Standing.OK:
        log.error("the store is older than its anchor: every task starts fenced", standing=standing.value)
        end.finish(house, tasks, Cause.RECOVERED, by="flyball", detail=f"store {standing.value}")
        house.sweeper.observe_only()
        leases = house.revoker.recover()
        return Recovered(0, len(tasks), leases, standing.value)
    house.core.set_counters(house.log.counters())
    behind = highwater.behind_ms(house)
    if behind:
        house.faults.add("clock_stepped_back")
        log.error("the wall clock stands before the highest time seen; no end is moved by it", by_ms=behind)
    for task in tasks:
        wrapped = house.tasks.data_key(task.id)
        try:
            if wrapped is None:
                raise FlyballError("the task's data key is gone")
            records = [(stored.body, stored.sealed) for stored in house.log.of_task(task.id)]
            meant = replace(task, hard_end_ms=task.hard_end_ms - behind)
            house.core.restore(task_spec(meant, house.sealer.unwrap(task.id, wrapped)), records)
            if _orphaned(house, task):
                end.finish(house, [task], Cause.RECOVERED, by="flyball", detail="its parent is over")
                fenced += 1
                continue
            if react.catch_up(house, task, [body for body, _ in records]):
                log.warning("a deviation is acted upon late", task=task.id)
            restored += 1
        except (CoreError, FlyballError) as fault:
            log.error("a task could not be rebuilt and is fenced", task=task.id, error=str(fault))
            end.finish(house, [task], Cause.RECOVERED, by="flyball", detail="could not be rebuilt")
            fenced += 1
    leases = house.revoker.recover()
    return Recovered(restored, fenced, leases, standing.value)


def _orphaned(house: House, task: Task) -> bool:
    """A child whose parent ended while nobody could carry it on to the child."""
    above = house.tasks.get(task.parent) if task.parent else None
    return bool(task.parent) and (above is None or above.state not in LIVE)
