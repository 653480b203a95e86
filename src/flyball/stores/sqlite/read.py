"""Reading tasks, leases and small documents, by the last commit."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.credential.lease import LIVE, Lease, LeaseState
from flyball.kernel.errors import FlyballError
from flyball.stores.sqlite.ports import Database, InputSealer, Row, Value
from flyball.stores.sqlite.rows import LEASE_COLUMNS, TASK_COLUMNS, inputs_from, lease_from, task_from
from flyball.task.task import Input, Task, TaskState

_TASKS = ", ".join(f"task.{name.strip()}" for name in TASK_COLUMNS.split(","))
_SELECT_TASK = f"SELECT {_TASKS}, task.inputs, data_key.wrapped FROM task LEFT JOIN data_key ON data_key.task = task.id"  # noqa: S608
_SELECT_LEASE = f"SELECT {LEASE_COLUMNS} FROM lease"  # noqa: S608


class _Where:
    """Conditions and their parameters, joined by AND."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.values: list[Value] = []

    def equal(self, column: str, value: str | None) -> None:
        if value is not None:
            self.parts.append(f"{column} = ?")
            self.values.append(value)

    def among(self, column: str, values: Sequence[str] | None, closed: str) -> None:
        """Column in values. Says so when `closed` is not among them: the partial indexes leave it out."""
        if values is None:
            return
        self.parts.append(f"{column} IN ({', '.join('?' * len(values))})")
        self.values.extend(values)
        if closed not in values:
            self.parts.append(f"{column} <> '{closed}'")

    def sql(self) -> str:
        return f" WHERE {' AND '.join(self.parts)}" if self.parts else ""


class SqliteTasks:
    """`task.ports.TaskStore` on SQLite."""

    def __init__(self, database: Database, sealer: InputSealer) -> None:
        self._database = database
        self._sealer = sealer

    def get(self, task: str) -> Task | None:
        """The task with this id, or None."""
        rows = self._database.query(f"{_SELECT_TASK} WHERE task.id = ?", (task,))
        return self._task(rows[0]) if rows else None

    def select(
        self,
        *,
        states: frozenset[TaskState] | None = None,
        agent: str | None = None,
        owner: str | None = None,
        parent: str | None = None,
        limit: int = 1000,
    ) -> Sequence[Task]:
        """Tasks that match, newest first."""
        where = _Where()
        where.among("task.state", None if states is None else sorted(state.value for state in states), "closed")
        where.equal("task.agent", agent)
        where.equal("task.owner", owner)
        if parent is not None:
            where.equal("task.parent", parent)
            where.parts.append("task.parent <> ''")  # or the partial index is left aside
        sql = f"{_SELECT_TASK}{where.sql()} ORDER BY task.opened_ms DESC, task.id DESC LIMIT ?"
        return [self._task(row) for row in self._database.query(sql, (*where.values, limit))]

    def parents(self) -> frozenset[str]:
        """The tasks that have children which are not closed."""
        sql = "SELECT DISTINCT parent FROM task WHERE parent <> '' AND state <> 'closed'"
        return frozenset(str(parent) for (parent,) in self._database.query(sql, ()))

    def data_key(self, task: str) -> bytes | None:
        """The task's wrapped data key, or None where it is erased."""
        return _blob(self._database.query("SELECT wrapped FROM data_key WHERE task = ?", (task,)))

    def _task(self, row: Row) -> Task:
        *columns, sealed, wrapped = row
        inputs: dict[str, Input] = {}
        task = str(columns[0])
        if isinstance(sealed, bytes) and isinstance(wrapped, bytes):
            try:
                inputs = inputs_from(self._sealer.open_inputs(task, wrapped, sealed))
            except FlyballError:
                raise
            except (ValueError, TypeError, KeyError) as fault:
                raise FlyballError(f"the sealed inputs of task {task} cannot be read", code="store_corrupt") from fault
        return task_from(tuple(columns), inputs)


class SqliteLeases:
    """`credential.ports.LeaseStore` on SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, lease: str) -> Lease | None:
        """The lease with this id, or None."""
        rows = self._database.query(f"{_SELECT_LEASE} WHERE id = ?", (lease,))
        return lease_from(rows[0]) if rows else None

    def select(
        self,
        *,
        states: frozenset[LeaseState] | None = None,
        task: str | None = None,
        agent: str | None = None,
        owner: str | None = None,
        target: str | None = None,
        limit: int = 1000,
    ) -> Sequence[Lease]:
        """Leases that match, oldest first."""
        where = _Where()
        where.among("state", None if states is None else sorted(state.value for state in states), "verified")
        where.equal("task", task)
        where.equal("agent", agent)
        where.equal("owner", owner)
        where.equal("target", target)
        sql = f"{_SELECT_LEASE}{where.sql()} ORDER BY created_ms, id LIMIT ?"
        return [lease_from(row) for row in self._database.query(sql, (*where.values, limit))]

    def due(self, now_ms: int, limit: int = 100) -> Sequence[Lease]:
        """Expired live leases, and REVOKING or QUARANTINED ones whose `due_ms` has come."""
        live = sorted(state.value for state in LIVE)
        marks = ", ".join("?" * len(live))
        sql = (
            f"{_SELECT_LEASE} WHERE state <> 'verified' AND ((state IN ({marks}) AND expires_ms <= ?)"
            " OR (state IN ('revoking', 'quarantined') AND due_ms <= ?))"
            # Those nobody has begun with come first, so that retries at a dead target never crowd them out.
            " ORDER BY state IN ('revoking', 'quarantined'), due_ms, created_ms, id LIMIT ?"
        )
        return [lease_from(row) for row in self._database.query(sql, (*live, now_ms, now_ms, limit))]

    def sealed_secret(self, lease: str) -> bytes | None:
        """The sealed secret, kept until the lease is VERIFIED."""
        return _blob(self._database.query("SELECT sealed FROM secret WHERE lease = ?", (lease,)))


def _blob(rows: Sequence[Row]) -> bytes | None:
    value = rows[0][0] if rows else None
    return value if isinstance(value, bytes) else None
