"""Reading the chain, and the tables that stand beside it: counters and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flyball.audit.chain import GENESIS
from flyball.audit.ports import Stored
from flyball.kernel.errors import FlyballError
from flyball.stores.sqlite.ports import Database, Row, Value

_COLUMNS = "seq, task, n, kind, at_ms, body, sealed, hash"
_PAGE = 1000
# One task's sequence numbers: from the catalogue, and from the chain where the catalogue is behind.
_OF_TASK = (
    "SELECT seq FROM task_record WHERE task = ?1 AND n > ?2 UNION SELECT seq FROM record"
    " WHERE seq > (SELECT seq FROM task_record_floor) AND task = ?1 AND n > ?2"
)


class SqliteRecords:
    """`audit.ports.RecordLog` and `audit.checkpoint.CheckpointStore` on SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def head(self) -> tuple[int, bytes]:
        """Last durable sequence number and hash; (0, genesis) when empty."""
        seq, head = self._database.head()
        return (seq, head) if seq else (0, GENESIS)

    def read(self, after: int = 0, limit: int = 10_000) -> Iterator[Stored]:
        """Records in order, from after a sequence number."""
        left = limit
        while left > 0:
            page = self._database.query(
                f"SELECT {_COLUMNS} FROM record WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
                (after, min(left, _PAGE)),
            )
            for row in page:
                stored = stored_from(row)
                after = stored.seq
                yield stored
            if len(page) < min(left, _PAGE):
                return
            left -= len(page)

    def of_task(self, task: str) -> Iterator[Stored]:
        """One task's records, in order."""
        after = 0
        while True:
            page = self._database.query(
                f"SELECT {_COLUMNS} FROM record WHERE seq IN ({_OF_TASK}) ORDER BY seq LIMIT ?3",  # noqa: S608
                (task, after, _PAGE),
            )
            for row in page:
                stored = stored_from(row)
                after = stored.n
                yield stored
            if len(page) < _PAGE:
                return

    def select(
        self, *, kinds: frozenset[str] | None = None, task: str | None = None, since_ms: int = 0, limit: int = 100
    ) -> Sequence[Stored]:
        """The newest records that match, in order."""
        parts: list[str] = []
        parameters: list[Value] = []
        if task is not None:
            # First, because its numbered parameters count from one.
            parts.append(f"seq IN ({_OF_TASK})")
            parameters.extend((task, 0))
        parts.append("at_ms >= ?")
        parameters.append(since_ms)
        if kinds is not None:
            parts.append(f"kind IN ({', '.join('?' * len(kinds))})")
            parameters.extend(sorted(kinds))
        sql = f"SELECT {_COLUMNS} FROM record WHERE {' AND '.join(parts)} ORDER BY seq DESC LIMIT ?"  # noqa: S608
        rows = self._database.query(sql, (*parameters, limit))
        return [stored_from(row) for row in reversed(rows)]

    def counters(self) -> Sequence[tuple[str, str, int]]:
        """Counters across tasks: (key, unit, used in 1/10000ths)."""
        rows = self._database.query("SELECT key, unit, used FROM counter ORDER BY key, unit", ())
        return [(str(key), str(unit), int(used or 0)) for key, unit, used in rows]

    def save_checkpoint(self, seq: int, at_ms: int, note: bytes) -> None:
        """Keep a signed checkpoint."""
        self._database.commit(
            [
                (
                    "INSERT INTO checkpoint(seq, at_ms, note) VALUES(?, ?, ?) ON CONFLICT DO NOTHING",
                    (seq, at_ms, note),
                    None,
                )
            ],
            [],
        )

    def last_checkpoint(self) -> tuple[int, int, bytes] | None:
        """The newest checkpoint: (seq, at_ms, note)."""
        rows = self._database.query("SELECT seq, at_ms, note FROM checkpoint ORDER BY seq DESC LIMIT 1", ())
        if not rows:
            return None
        seq, at_ms, note = rows[0]
        if not (isinstance(seq, int) and isinstance(at_ms, int) and isinstance(note, bytes)):
            raise FlyballError("the newest checkpoint is malformed", code="store_corrupt")
        return seq, at_ms, note

    def generation(self) -> int:
        """How often this store has been opened for writing, restores from backup included."""
        rows = self._database.query("SELECT value FROM meta WHERE key = 'generation'", ())
        return int(str(rows[0][0])) if rows else 0


def stored_from(row: Row) -> Stored:
    """A record of a row of the table, its types checked.

    Raises:
        FlyballError: a column holds another type than the schema says.
    """
    seq, task, n, kind, at_ms, body, sealed, digest = row
    if (
        isinstance(seq, int)
        and (task is None or isinstance(task, str))
        and (n is None or isinstance(n, int))
        and isinstance(kind, str)
        and isinstance(at_ms, int)
        and isinstance(body, bytes)
        and (sealed is None or isinstance(sealed, bytes))
        and isinstance(digest, bytes)
    ):
        return Stored(seq, task, n or 0, kind, at_ms, body, sealed, digest)
    raise FlyballError(f"record {seq!r} holds a column of the wrong type", code="store_corrupt")
