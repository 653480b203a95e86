"""Two ways to spoil a copy of the store, as somebody with write access to the file could."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def flip_byte(store: Path) -> str:
    """Flip one bit in the body of a record in the middle; says where."""
    with closing(sqlite3.connect(store)) as database, database:
        (last,) = database.execute("SELECT max(seq) FROM record").fetchone()
        seq = max(1, last // 2)
        (body,) = database.execute("SELECT body FROM record WHERE seq = ?", (seq,)).fetchone()
        spoiled = bytearray(body)
        spoiled[len(spoiled) // 2] ^= 0x01
        database.execute("UPDATE record SET body = ? WHERE seq = ?", (bytes(spoiled), seq))
    return f"record {seq}, byte {len(spoiled) // 2}"


def cut_tail(store: Path) -> str:
    """Delete the last records and every checkpoint that speaks of them; says which."""
    with closing(sqlite3.connect(store)) as database, database:
        (last,) = database.execute("SELECT max(seq) FROM record").fetchone()
        keep = max(1, last - 5)
        database.execute("DELETE FROM record WHERE seq > ?", (keep,))
        database.execute("DELETE FROM checkpoint WHERE seq > ?", (keep,))
    return f"records {keep + 1} to {last} gone"
