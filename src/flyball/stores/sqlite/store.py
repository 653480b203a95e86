"""The embedded store, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.audit.record import Kind, Record
from flyball.kernel.clock import Clock
from flyball.kernel.errors import FlyballError
from flyball.kernel.json import Json
from flyball.stores.sqlite.files import DirectoryLock
from flyball.stores.sqlite.log import SqliteRecords
from flyball.stores.sqlite.ports import Database, InputSealer, Statement
from flyball.stores.sqlite.read import SqliteLeases, SqliteTasks
from flyball.stores.sqlite.rows import mapping
from flyball.stores.sqlite.unit import SqliteUnit


class SqliteStore:
    """`audit.ports.Store`, with `tasks`, `leases` and `records` as the other rooms' ports.

    Nothing can be written before `open_epoch`, and nothing after another node has opened a later
    one. Safe to use from any thread.
    """

    def __init__(
        self,
        database: Database,
        *,
        cell: str,
        node: str,
        sealer: InputSealer,
        clock: Clock,
        lock: DirectoryLock | None = None,
    ) -> None:
        self._database = database
        self._cell = cell
        self._node = node
        self._clock = clock
        self._sealer = sealer
        self._lock = lock
        self._epoch = 0
        self.tasks = SqliteTasks(database, sealer)
        self.leases = SqliteLeases(database)
        self.records = SqliteRecords(database)

    @property
    def database(self) -> Database:
        """The file as this process has it open (the decision plane writes its records through the same)."""
        return self._database

    @property
    def epoch(self) -> int:
        """This node's fencing epoch; 0 before `open_epoch`."""
        return self._epoch

    @property
    def store_id(self) -> str:
        """The store's own random id, given when it was made."""
        return self._meta("store_id")

    @property
    def generation(self) -> int:
        """How often the store has been opened for writing; the anchor outside keeps it too."""
        return self.records.generation()

    def open_epoch(self, *, version: str = "", cause: str = "start", at_least: int = 0) -> int:
        """Take the store for this node: the next epoch and generation, and their record. Returns the epoch.

        `at_least` is the generation that an anchor outside remembers: after a restore from backup
        the new generation is past that one, so that the two can never be taken for each other.

        Raises:
            Conflict: another node did so at the same moment.
            Unavailable: the store cannot be written.
        """
        before = int(self._meta("epoch"))
        generation = max(self.generation, at_least) + 1
        epoch = before + 1
        record = Record(
            Kind.EPOCH_OPENED,
            self._clock.wall_ms(),
            None,
            {
                "node": self._node,
                "epoch": epoch,
                "cell": self._cell,
                "generation": generation,
                "version": version,
                "cause": cause,
            },
        )
        statements: list[Statement] = [
            ("UPDATE meta SET value = ? WHERE key = 'epoch' AND value = ?", (str(epoch), str(before)), 1),
            ("UPDATE meta SET value = ? WHERE key = 'generation'", (str(generation),), 1),
        ]
        self._database.commit(statements, [(None, record.kind.value, record.at_ms, record.body(), None)])
        self._epoch = epoch
        return epoch

    def unit(self) -> SqliteUnit:
        """A new, empty unit of work."""
        return SqliteUnit(self._database, self._sealer, self.tasks.data_key, self._epoch, self._node)

    def row(self, table: str, key: str) -> Mapping[str, Json] | None:
        """One small document."""
        rows = self._database.query("SELECT value FROM document WHERE kind = ? AND key = ?", (table, key))
        return mapping(rows[0][0]) if rows else None

    def rows(self, table: str) -> Sequence[tuple[str, Mapping[str, Json]]]:
        """All small documents of a table, by key."""
        rows = self._database.query("SELECT key, value FROM document WHERE kind = ? ORDER BY key", (table,))
        return [(str(key), mapping(value)) for key, value in rows]

    def labels(self, principal: str, instance: str) -> Sequence[str]:
        """What follows this instance of a principal, in order."""
        sql = "SELECT label FROM instance_label WHERE principal = ? AND instance = ? ORDER BY label"
        return [str(label) for (label,) in self._database.query(sql, (principal, instance))]

    def labels_of_agent(self, agent: str) -> Sequence[tuple[str, str, str]]:
        """What follows the instances of an agent: (principal, instance, label), in order."""
        sql = (
            "SELECT principal, instance, label FROM instance_label WHERE agent = ? ORDER BY principal, instance, label"
        )
        return [(str(who), str(which), str(label)) for who, which, label in self._database.query(sql, (agent,))]

    def receipts(self, task: str) -> Sequence[Mapping[str, Json]]:
        """The receipts of one task, oldest first."""
        rows = self._database.query(
            "SELECT value FROM document WHERE kind = 'receipt' AND json_extract(value, '$.task') = ? ORDER BY key",
            (task,),
        )
        return [mapping(value) for (value,) in rows]

    def close(self) -> None:
        """Write what is queued, close the file, let go of the directory."""
        try:
            self._database.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _meta(self, key: str) -> str:
        rows = self._database.query("SELECT value FROM meta WHERE key = ?", (key,))
        if not rows:
            raise FlyballError(f"the store has no {key}", code="store_corrupt")
        return str(rows[0][0])
