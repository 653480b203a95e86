"""Bringing a store to this version's schema: numbered steps, forward only, each one whole.

Runs before the writer opens the file, on a connection of Python's own that is closed again: two
copies of SQLite must never have one file open in one process (see docs/adr).
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path

from flyball.kernel.errors import ConfigError, Unavailable

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
# "FlyB": says whose file it is; `file` and SQLite's own tools show it.
APPLICATION_ID = 0x466C7942


def steps() -> list[tuple[int, str]]:
    """The migrations that this version knows: (number, SQL), in order."""
    found = []
    for entry in resources.files("flyball.stores.sqlite.migrations").iterdir():
        match = _NAME.fullmatch(entry.name)
        if match:
            found.append((int(match.group(1)), entry.read_text(encoding="utf-8")))
    found.sort()
    if [number for number, _ in found] != list(range(1, len(found) + 1)):
        raise ConfigError(f"the migrations are not numbered without gaps: {[n for n, _ in found]}", code="store_schema")
    return found


def migrate(path: Path) -> int:
    """Bring the store at `path` (made if absent) to the newest schema; its version.

    Raises:
        ConfigError: a newer Flyball wrote it, or it is no store of Flyball's.
        Unavailable: SQLite cannot open or write it.
    """
    known = steps()
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            version = _version(db, path)
            if version > len(known):
                raise ConfigError(
                    f"the store {path} has schema {version}; this Flyball knows {len(known)}",
                    code="store_newer",
                    hint="run the newer Flyball that wrote it, or restore a backup made before the upgrade",
                )
            for number, sql in known[version:]:
                _apply(db, number, sql)
            return len(known)
    except sqlite3.Error as fault:
        raise Unavailable(f"the store {path} cannot be opened: {fault}", code="store_unavailable") from fault


def _version(db: sqlite3.Connection, path: Path) -> int:
    tables = {str(name) for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables:
        return 0
    owner = db.execute("PRAGMA application_id").fetchone()
    row = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone() if "meta" in tables else None
    if owner != (APPLICATION_ID,) or row is None:
        raise ConfigError(
            f"{path} is a SQLite file, but no store of Flyball's",
            code="store_foreign",
            hint="choose another state directory",
        )
    return int(row[0])


def _apply(db: sqlite3.Connection, number: int, sql: str) -> None:
    first = ""
    if number == 1:
        first = (
            f"PRAGMA application_id={APPLICATION_ID};\n"
            f"INSERT INTO meta(key, value) VALUES('store_id', '{secrets.token_hex(16)}'),"
            "('generation', '0'), ('epoch', '0'), ('schema_version', '0');\n"
        )
    # executescript commits what came before it, so the transaction is in the script itself.
    version = f"UPDATE meta SET value = '{number}' WHERE key = 'schema_version'"  # noqa: S608 - our own number
    try:
        db.executescript(f"BEGIN IMMEDIATE;\n{sql}\n{first}{version};\nCOMMIT;")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
