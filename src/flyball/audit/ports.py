"""What is written, and how: one unit of work is one transaction, with its records in the chain.

Only `flow` and `revocation` open a unit of work. Nothing is held open across a call to a target:
a unit is a list until `commit`, which returns once it is durable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from flyball.audit.record import Record
from flyball.credential.lease import Lease, LeaseState
from flyball.kernel.json import Json
from flyball.task.task import Task, TaskState


class UnitOfWork(Protocol):
    """Writes that become durable together, or not at all."""

    def record(self, record: Record) -> None:
        """Append a record to the chain."""
        ...

    def save_task(self, task: Task, expect: frozenset[TaskState] | None = None) -> None:
        """Insert (`expect` None) or update a task that must stand in one of `expect`."""
        ...

    def save_lease(self, lease: Lease, expect: frozenset[LeaseState] | None = None) -> None:
        """Insert (`expect` None) or update a lease that must stand in one of `expect`, and be of an
        epoch no later than this node's."""
        ...

    def save_secret(self, lease: str, sealed: bytes | None) -> None:
        """Keep a lease's sealed secret, or forget it."""
        ...

    def save_data_key(self, task: str, wrapped: bytes | None) -> None:
        """Keep a task's wrapped data key, or erase it."""
        ...

    def save_row(self, table: str, key: str, value: Mapping[str, Json]) -> None:
        """Upsert a small document: `agent` (state), `receipt`, `bundle`, `exception`."""
        ...

    def save_labels(self, task: Task, labels: Iterable[str], now_ms: int) -> None:
        """Let labels follow the task's instance into its later tasks. Those that do already stay."""
        ...

    def forget_labels(self, agent: str) -> None:
        """Let no label follow any instance of this agent any more."""
        ...

    def commit(self) -> list[int]:
        """Make it durable; the sequence numbers of the records.

        Raises:
            Conflict: an expectation did not hold; nothing was written.
            Unavailable: the store cannot make it durable; nothing may be assumed written.
        """
        ...


class Store(Protocol):
    """Where units of work come from, and the small documents are read."""

    def unit(self) -> UnitOfWork:
        """A new, empty unit of work."""
        ...

    def row(self, table: str, key: str) -> Mapping[str, Json] | None:
        """One small document."""
        ...

    def rows(self, table: str) -> Sequence[tuple[str, Mapping[str, Json]]]:
        """All small documents of a table, by key."""
        ...

    def labels(self, principal: str, instance: str) -> Sequence[str]:
        """The labels that follow this instance of a principal."""
        ...

    def labels_of_agent(self, agent: str) -> Sequence[tuple[str, str, str]]:
        """The labels that follow an agent's instances: (principal, instance, label)."""
        ...

    def receipts(self, task: str) -> Sequence[Mapping[str, Json]]:
        """The `receipt` documents of one task, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it stands in the chain. `hash` covers the previous hash, `seq`, `n`, the body and the ciphertext."""

    seq: int
    task: str | None
    n: int
    kind: str
    at_ms: int
    body: bytes
    sealed: bytes | None
    hash: bytes


class RecordLog(Protocol):
    """Reading the chain."""

    def head(self) -> tuple[int, bytes]:
        """Last durable sequence number and hash; (0, genesis) when empty."""
        ...

    def read(self, after: int = 0, limit: int = 10_000) -> Iterator[Stored]:
        """Records in order, from after a sequence number."""
        ...

    def of_task(self, task: str) -> Iterator[Stored]:
        """One task's records, in order."""
        ...

    def select(
        self, *, kinds: frozenset[str] | None = None, task: str | None = None, since_ms: int = 0, limit: int = 100
    ) -> Sequence[Stored]:
        """The newest records that match, in order."""
        ...

    def counters(self) -> Sequence[tuple[str, str, int]]:
        """Counters across tasks, by their last committed record: (key, unit, used in 1/10000ths)."""
        ...
