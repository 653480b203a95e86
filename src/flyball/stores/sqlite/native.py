"""The embedded store on the compiled writer, which alone has the file open in this process."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from flyball.kernel.clock import Clock
from flyball.kernel.errors import Conflict, Unavailable
from flyball.policy.engine import CoreError, StoreConflict, StoreUnavailable, Writer
from flyball.stores.sqlite.files import STORE_NAME, DirectoryLock, prepare, touch_private
from flyball.stores.sqlite.migrate import migrate
from flyball.stores.sqlite.ports import InputSealer, NewRecord, Row, Statement, Value
from flyball.stores.sqlite.store import SqliteStore

# Every statement here carries its own LIMIT; this one only stops a mistake.
_MOST_ROWS = 2_000_000


class NativeDatabase:
    """The compiled writer as the store's `Database`: its errors become the kernel's."""

    def __init__(self, writer: Writer, path: Path) -> None:
        self.writer = writer
        self._path = path

    def commit(self, statements: Sequence[Statement], records: Sequence[NewRecord]) -> list[int]:
        """See `ports.Database.commit`."""
        try:
            return self.writer.commit(statements, records)
        except StoreConflict as fault:
            raise Conflict(_detail(fault), code="store_conflict") from fault
        except CoreError as fault:
            raise _unavailable(fault) from fault

    def query(self, sql: str, parameters: Sequence[Value]) -> list[Row]:
        """See `ports.Database.query`."""
        try:
            return self.writer.query(sql, parameters, limit=_MOST_ROWS)
        except CoreError as fault:
            raise _unavailable(fault) from fault

    def head(self) -> tuple[int, bytes]:
        """See `ports.Database.head`."""
        return self.writer.head()

    def close(self) -> None:
        """See `ports.Database.close`. Afterwards the file alone is the store: its log is folded in."""
        self.writer.close()
        # Nothing of the writer's has the file open any more, so Python's SQLite may.
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._path, timeout=1)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def open_store(directory: Path, *, cell: str, node: str, sealer: InputSealer, clock: Clock) -> SqliteStore:
    """Open (or make) the store in a state directory: lock, migrate, then hand the file to the writer.

    Raises:
        ConfigError: the directory is in use, not private, or holds a newer or foreign store.
        Unavailable: the file cannot be opened.
    """
    prepare(directory)
    lock = DirectoryLock(directory)
    try:
        path = directory / STORE_NAME
        touch_private(path)
        migrate(path)
        try:
            writer = Writer(str(path))
        except CoreError as fault:
            raise _unavailable(fault) from fault
        return SqliteStore(NativeDatabase(writer, path), cell=cell, node=node, sealer=sealer, clock=clock, lock=lock)
    except BaseException:
        lock.release()
        raise


def _detail(fault: CoreError) -> str:
    return str(fault.args[1]) if len(fault.args) > 1 else str(fault)


def _unavailable(fault: CoreError) -> Unavailable:
    code = str(fault.args[0]) if len(fault.args) > 1 else "store_unavailable"
    hint = "" if isinstance(fault, StoreUnavailable) else "restart Flyball"
    return Unavailable(_detail(fault), code=code, hint=hint)
