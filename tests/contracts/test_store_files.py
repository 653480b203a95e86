"""The embedded store's directory: private, held by one, migrated forward only."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
from tests import stores_kit as kit

from flyball.kernel.clock import SystemClock
from flyball.kernel.errors import ConfigError, Conflict, Unavailable
from flyball.stores.sqlite.migrate import migrate, steps
from flyball.stores.sqlite.native import open_store
from flyball.stores.sqlite.store import SqliteStore


def reopen(directory: Path) -> SqliteStore:
    return open_store(directory, cell="local", node="n1", sealer=kit.XorSealer(), clock=SystemClock())


def test_everything_is_private(tmp_path: Path) -> None:
    """The directory is 0700 and every file in it 0600, SQLite's own included."""
    old = os.umask(0)
    try:
        store = kit.native_store(tmp_path / "state")
        kit.put_task(store)
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
        assert set(modes.values()) == {0o600}, modes
        assert "store.db-wal" in modes
        store.close()
    finally:
        os.umask(old)


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    """No store is opened where others could read or swap it."""
    (tmp_path / "state").mkdir(mode=0o755)
    with pytest.raises(ConfigError) as refused:
        reopen(tmp_path / "state")
    assert refused.value.code == "store_mode"
    assert "chmod 700" in refused.value.hint


def test_a_second_process_is_told_who_holds_the_store(tmp_path: Path) -> None:
    """The lock is exclusive, names the holder, and is free again when the holder has closed."""
    store = kit.native_store(tmp_path / "state")
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from tests import stores_kit as kit\n"
        "from flyball.kernel.errors import ConfigError\n"
        "try: kit.native_store(Path(sys.argv[1]))\n"
        "except ConfigError as e: print(e.code, e.detail)\n"
    )
    paths = [str(tmp_path / "state"), *[path for path in sys.path if path]]
    told = subprocess.run(
        [sys.executable, "-c", script, *paths], capture_output=True, text=True, timeout=60, check=False
    )
    assert told.stdout.startswith("store_locked"), told
    assert f"process {os.getpid()}" in told.stdout
    store.close()
    reopen(tmp_path / "state").close()


def test_a_failed_opening_lets_go_of_the_lock(tmp_path: Path) -> None:
    """After an error on the way the directory is free for the next try."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "store.db").write_bytes(b"this is no database, and it is long enough to be looked at" * 40)
    (tmp_path / "state" / "store.db").chmod(0o600)
    for _ in range(2):
        with pytest.raises(Unavailable):
            reopen(tmp_path / "state")


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """A schema number beyond ours is refused, with what to do, and the file is not touched."""
    kit.native_store(tmp_path / "state").close()
    path = tmp_path / "state" / "store.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(len(steps()) + 1),))
    before = path.read_bytes()
    with pytest.raises(ConfigError) as refused:
        reopen(tmp_path / "state")
    assert refused.value.code == "store_newer"
    assert path.read_bytes() == before


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """Somebody else's SQLite file is left alone."""
    (tmp_path / "state").mkdir(mode=0o700)
    with closing(sqlite3.connect(tmp_path / "state" / "store.db")) as db, db:
        db.execute("CREATE TABLE meta(key TEXT, value TEXT)")
        db.execute("INSERT INTO meta VALUES('schema_version', '1')")
    with pytest.raises(ConfigError) as refused:
        reopen(tmp_path / "state")
    assert refused.value.code == "store_foreign"


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    """An up-to-date store is opened as it is; its id stays."""
    path = tmp_path / "store.db"
    assert migrate(path) == len(steps())
    with closing(sqlite3.connect(path)) as db:
        first = db.execute("SELECT * FROM meta ORDER BY key").fetchall()
    assert migrate(path) == len(steps())
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT * FROM meta ORDER BY key").fetchall() == first


def test_a_store_outlives_its_process(tmp_path: Path) -> None:
    """Closed and opened again: same head, next epoch, next generation."""
    store = kit.native_store(tmp_path / "state")
    task = kit.put_task(store)
    head, generation, identity = store.records.head(), store.generation, store.store_id
    store.close()
    again = reopen(tmp_path / "state")
    assert again.records.head() == head
    assert again.tasks.get(task.id) == task
    with pytest.raises(Unavailable, match="epoch"):
        kit.put_task(again)
    assert again.open_epoch() == 2
    assert (again.generation, again.store_id) == (generation + 1, identity)
    again.close()


def test_two_openings_of_an_epoch_cannot_both_win(tmp_path: Path) -> None:
    """The epoch is taken by comparison: who read an old one loses."""
    store = kit.native_store(tmp_path / "state")
    other = SqliteStore(store.database, cell="local", node="n2", sealer=kit.XorSealer(), clock=SystemClock())

    class Racing(SqliteStore):
        def _meta(self, key: str) -> str:
            answer = super()._meta(key)
            other.open_epoch()
            return answer

    racing = Racing(store.database, cell="local", node="n3", sealer=kit.XorSealer(), clock=SystemClock())
    with pytest.raises(Conflict):
        racing.open_epoch()
    assert racing.epoch == 0
    store.close()


def test_a_store_of_the_first_schema_is_brought_up(tmp_path: Path) -> None:
    """Its tasks have no parent and no instance, nothing follows anybody, and what was in it verifies."""
    path = tmp_path / "state" / kit.STORE_NAME
    known = steps()
    kit.prepare(path.parent)
    with patch("flyball.stores.sqlite.migrate.steps", lambda: known[:1]):
        assert migrate(path) == 1
    with closing(sqlite3.connect(path)) as db, db:
        row = ["tsk_local_1", "p", "a", "o", "q", "d", "b", "closed", 1, 2, 3, "uid:1", "", "", "{}", "local", "n", 0]
        db.execute(f"INSERT INTO task({FIRST_COLUMNS}) VALUES({', '.join('?' * len(row))})", row)
    assert migrate(path) == len(steps())
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT parent, instance FROM task").fetchall() == [("", "")]
        assert db.execute("SELECT count(*) FROM instance_label").fetchone() == (0,)
    store = kit.native_store(path.parent)
    try:
        found = store.tasks.get("tsk_local_1")
        assert found is not None
        assert (found.parent, found.instance) == ("", "")
    finally:
        store.close()


FIRST_COLUMNS = (
    "id, principal, agent, owner, profile, profile_digest, bundle, state, opened_ms, hard_end_ms, heartbeat_ms,"
    " binding, cause, purpose, attributes, cell, home, epoch"
)
