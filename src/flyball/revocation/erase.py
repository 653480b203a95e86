"""Forgetting what a closed task's records hold sealed: its data key goes, the chain stays valid."""

from __future__ import annotations

from flyball.audit.ports import Store
from flyball.audit.record import Kind, Record
from flyball.kernel.clock import Clock
from flyball.kernel.errors import Conflict, NotFound
from flyball.task.ports import TaskStore
from flyball.task.task import TaskState


def erase_key(store: Store, tasks: TaskStore, clock: Clock, task: str, *, by: str, reason: str) -> int:
    """Erase a closed task's data key; the sequence number of the record that says so.

    What was sealed under it (arguments, results, inputs) cannot be read by anybody from then on.

    Raises:
        NotFound: no such task, or its key is erased already.
        Conflict: the task is not closed yet; its records are still needed.
        Unavailable: the store cannot write it.
    """
    row = tasks.get(task)
    if row is None or tasks.data_key(task) is None:
        raise NotFound(f"task {task!r} has no data key", code="key_unknown")
    if row.state is not TaskState.CLOSED:
        raise Conflict(
            f"task {task} is {row.state.value}", code="task_not_closed", hint="a data key is erased after its task"
        )
    unit = store.unit()
    unit.save_task(row, expect=frozenset({TaskState.CLOSED}))
    unit.save_data_key(task, None)
    unit.record(Record(Kind.KEY_ERASED, clock.wall_ms(), task, {"by": by, "reason": reason}))
    return unit.commit()[0]
