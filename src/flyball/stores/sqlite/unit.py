"""A unit of work: a list of guarded statements and records, handed to the writer whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from flyball.audit.record import Record
from flyball.credential.lease import ARROWS as LEASE_ARROWS
from flyball.credential.lease import Lease, LeaseState
from flyball.kernel.errors import Conflict, Unavailable
from flyball.kernel.json import Json
from flyball.stores.sqlite.ports import Database, InputSealer, NewRecord, Statement, Value
from flyball.stores.sqlite.rows import (
    LEASE_COLUMNS,
    TASK_COLUMNS,
    inputs_bytes,
    lease_values,
    task_values,
    text,
)
from flyball.task.task import ARROWS as TASK_ARROWS
from flyball.task.task import Task, TaskState

S = TypeVar("S", bound=StrEnum)

_TASK_MARKS = ", ".join("?" * (TASK_COLUMNS.count(",") + 2))
_LEASE_MARKS = ", ".join("?" * (LEASE_COLUMNS.count(",") + 3))
# Conflicts are told by the count of rows, never by an error of SQLite's, so that every writer answers alike.
_INSERT_TASK = f"INSERT INTO task({TASK_COLUMNS}, inputs) VALUES({_TASK_MARKS}) ON CONFLICT DO NOTHING"
_INSERT_LEASE = f"INSERT INTO lease({LEASE_COLUMNS}, cell, home) VALUES({_LEASE_MARKS}) ON CONFLICT DO NOTHING"
_PUT_SEALED = "INSERT INTO secret(lease, sealed) VALUES(?, ?) ON CONFLICT(lease) DO UPDATE SET sealed = excluded.sealed"
_PUT_DOCUMENT = (
    "INSERT INTO document(kind, key, value) VALUES(?, ?, ?) ON CONFLICT(kind, key) DO UPDATE SET value = excluded.value"
)
_PUT_LABEL = (
    "INSERT INTO instance_label(principal, instance, label, agent, task, since_ms, cell, home, epoch)"
    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
# Changes a row, and so fails the unit, exactly when another node has opened a later epoch. While
# the epoch is ours it touches no page.
_STILL_OURS = "UPDATE meta SET value = value WHERE key = 'epoch' AND value <> ?"


class SqliteUnit:
    """One unit of work. Made by `SqliteStore.unit`, committed once."""

    def __init__(
        self, database: Database, sealer: InputSealer, key_of: Callable[[str], bytes | None], epoch: int, home: str
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._key_of = key_of
        self._epoch = epoch
        self._home = home
        self._statements: list[Statement] = [(_STILL_OURS, (str(epoch),), 0)]
        self._records: list[NewRecord] = []
        self._inserted: list[Task] = []
        self._keys: dict[str, bytes | None] = {}
        self._refused: str | None = None
        self._done = False

    def record(self, record: Record) -> None:
        """Append a record to the chain."""
        self._records.append((record.task, record.kind.value, record.at_ms, record.body(), record.sealed))

    def save_task(self, task: Task, expect: frozenset[TaskState] | None = None) -> None:
        """Insert, or update a task that stands in one of `expect` and may go to its new state from there.

        An update writes state, cause, home, epoch and attributes, and may bring the hard end
        nearer; who the task is, what it declared and which profile it pinned never change.
        """
        if task.epoch > self._epoch:
            self._refuse(f"task {task.id} is of epoch {task.epoch}, this node's is {self._epoch}")
        if expect is None:
            self._inserted.append(task)
            return
        allowed = _may_come_from(task.state, expect, TASK_ARROWS)
        if not allowed:
            self._refuse(f"no arrow leads from {_names(expect)} to {task.state.value}")
        parameters: list[Value] = [task.state.value, task.cause, task.home, task.epoch, text(task.attributes)]
        parameters += [task.hard_end_ms, task.id, task.hard_end_ms, self._epoch, *allowed]
        sql = (
            "UPDATE task SET state = ?, cause = ?, home = ?, epoch = ?, attributes = ?, hard_end_ms = ?"  # noqa: S608
            f" WHERE id = ? AND hard_end_ms >= ? AND epoch <= ? AND state IN ({_marks(allowed)})"
        )
        self._statements.append((sql, parameters, 1))

    def save_lease(self, lease: Lease, expect: frozenset[LeaseState] | None = None) -> None:
        """Insert, or update a lease that stands in one of `expect`, of an epoch no later than this node's."""
        if lease.epoch > self._epoch:
            self._refuse(f"lease {lease.id} is of epoch {lease.epoch}, this node's is {self._epoch}")
        if expect is None:
            values = [*lease_values(lease), _cell_of(lease.id), self._home]
            self._statements.append((_INSERT_LEASE, values, 1))
            return
        allowed = _may_come_from(lease.state, expect, LEASE_ARROWS)
        if not allowed:
            self._refuse(f"no arrow leads from {_names(expect)} to {lease.state.value}")
        parameters: list[Value] = [lease.state.value, lease.delivery.value, lease.expires_ms, lease.cause, lease.step]
        parameters += [text(lease.progress), lease.attempt, lease.due_ms, self._home, lease.epoch]
        parameters += [lease.id, self._epoch, *allowed]
        sql = (
            "UPDATE lease SET state = ?, delivery = ?, expires_ms = ?, cause = ?, step = ?, progress = ?,"  # noqa: S608
            " attempt = ?, due_ms = ?, home = ?, epoch = ?"
            f" WHERE id = ? AND epoch <= ? AND state IN ({_marks(allowed)})"
        )
        self._statements.append((sql, parameters, 1))

    def save_secret(self, lease: str, sealed: bytes | None) -> None:
        """Keep a lease's sealed secret, or forget it."""
        if sealed is None:
            self._erase("secret", "sealed", "lease", lease)
            self._statements.append(("DELETE FROM secret WHERE lease = ?", (lease,), None))
        else:
            self._statements.append((_PUT_SEALED, (lease, sealed), 1))

    def save_data_key(self, task: str, wrapped: bytes | None) -> None:
        """Keep a task's wrapped data key, or erase it, and the inputs it sealed with it."""
        self._keys[task] = wrapped
        if wrapped is None:
            self._erase("data_key", "wrapped", "task", task)
            self._erase("task", "inputs", "id", task)
            self._statements.append(("DELETE FROM data_key WHERE task = ?", (task,), None))
            self._statements.append(("UPDATE task SET inputs = NULL WHERE id = ?", (task,), None))
        else:
            # Never replaced: what was sealed under the first would be lost without a word.
            self._statements.append(
                ("INSERT INTO data_key(task, wrapped) VALUES(?, ?) ON CONFLICT DO NOTHING", (task, wrapped), 1)
            )

    def save_labels(self, task: Task, labels: Iterable[str], now_ms: int) -> None:
        """Let these labels follow the task's instance from now on; those that it has already stay as they are."""
        for label in sorted(labels):
            values: list[Value] = [task.principal, task.instance, label, task.agent, task.id, now_ms]
            self._statements.append((_PUT_LABEL, [*values, task.cell, self._home, self._epoch], None))

    def forget_labels(self, agent: str) -> None:
        """No label follows any instance of this agent any more."""
        self._statements.append(("DELETE FROM instance_label WHERE agent = ?", (agent,), None))

    def save_row(self, table: str, key: str, value: Mapping[str, Json]) -> None:
        """Upsert a small document."""
        self._statements.append((_PUT_DOCUMENT, (table, key, text(value)), 1))

    def commit(self) -> list[int]:
        """Make it durable; the sequence numbers of the records.

        Raises:
            Conflict: an expectation did not hold; nothing was written.
            Unavailable: the store cannot make it durable; nothing may be assumed written.
        """
        if self._done:
            raise ValueError("a unit of work is committed once")
        self._done = True
        if self._refused is not None:
            raise Conflict(self._refused, code="store_conflict")
        if self._epoch == 0:
            raise Unavailable("no epoch has been opened on this store", code="store_unavailable")
        inserts = [self._insert(task) for task in self._inserted]
        statements = [self._statements[0], *inserts, *self._statements[1:]]
        if len(statements) == 1 and not self._records:
            return []
        return self._database.commit(statements, self._records)

    def _insert(self, task: Task) -> Statement:
        sealed: bytes | None = None
        if task.inputs:
            wrapped = self._keys[task.id] if task.id in self._keys else self._key_of(task.id)
            if wrapped is None:
                raise ValueError(f"task {task.id} declares inputs and has no data key to seal them under")
            sealed = self._sealer.seal_inputs(task.id, wrapped, inputs_bytes(task.inputs))
        return (_INSERT_TASK, [*task_values(task), sealed], 1)

    def _erase(self, table: str, column: str, key: str, value: str) -> None:
        """Overwrite in place first: deleting alone leaves the bytes in the page's free space."""
        sql = f"UPDATE {table} SET {column} = zeroblob(length({column})) WHERE {key} = ?"  # noqa: S608 - our own names
        self._statements.append((sql, (value,), None))

    def _refuse(self, why: str) -> None:
        self._refused = self._refused or why


def _may_come_from(to: S, expect: frozenset[S], arrows: Mapping[S, frozenset[S]]) -> list[str]:
    """The states among `expect` from which `to` is reached, or which it already is."""
    return sorted(state.value for state in expect if state == to or to in arrows[state])


def _names(states: frozenset[S]) -> str:
    return " or ".join(sorted(state.value for state in states)) or "nothing"


def _marks(values: list[str]) -> str:
    return ", ".join("?" * len(values))


def _cell_of(lease: str) -> str:
    parts = lease.split("_")
    return parts[1] if len(parts) == 3 else ""
