"""What the task room needs of a store: reading. Writing goes through the unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flyball.task.task import Task, TaskState


class TaskStore(Protocol):
    """Durable tasks, by the last committed record. `inputs` are only filled while the task's data key lives."""

    def get(self, task: str) -> Task | None:
        """The task with this id, or None."""
        ...

    def select(
        self,
        *,
        states: frozenset[TaskState] | None = None,
        agent: str | None = None,
        owner: str | None = None,
        parent: str | None = None,
        limit: int = 1000,
    ) -> Sequence[Task]:
        """Tasks that match, newest first. `parent` names a task whose children are meant."""
        ...

    def parents(self) -> frozenset[str]:
        """The tasks that have children which are not closed."""
        ...

    def data_key(self, task: str) -> bytes | None:
        """The task's wrapped data key, or None where it is erased."""
        ...
