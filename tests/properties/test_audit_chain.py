"""Any single change of any record is found, and any cut, given the anchor."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests import stores_kit as kit

from flyball.audit.anchor import Anchored
from flyball.audit.chain import GENESIS, append, verify_chain
from flyball.audit.ports import Stored
from flyball.audit.record import Kind, Record
from flyball.audit.verify import verify_store
from flyball.kernel.json import Json
from flyball.stores.sqlite.files import STORE_NAME

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.dictionaries(
    st.text(min_size=1, max_size=6).filter(lambda k: k not in {"v", "kind", "at", "task"}), JSON, max_size=4
)
RECORDS = st.lists(
    st.builds(
        Record,
        kind=st.sampled_from(list(Kind)),
        at_ms=st.integers(0, 2**45),
        task=st.none() | st.sampled_from(["tsk_a", "tsk_b"]),
        members=MEMBERS,
        sealed=st.none() | st.binary(max_size=20),
    ),
    min_size=1,
    max_size=12,
)


def chained(records: list[Record]) -> list[Stored]:
    """The records as the writer would store them, by the layout alone."""
    stored: list[Stored] = []
    head, counts = GENESIS, dict[str, int]()
    for seq, record in enumerate(records, 1):
        n = 0
        if record.task is not None:
            n = counts[record.task] = counts.get(record.task, 0) + 1
        item = append(
            head, Stored(seq, record.task, n, record.kind.value, record.at_ms, record.body(), record.sealed, b"")
        )
        stored.append(item)
        head = item.hash
    return stored


@given(RECORDS)
def test_what_was_written_verifies(records: list[Record]) -> None:
    """No finding on any chain as it was written."""
    stored = chained(records)
    check, findings = verify_chain(stored)
    assert findings == []
    assert (check.seq, check.head) == (len(stored), stored[-1].hash)


def flip(data: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[at % len(data)] ^= 1 << bit
    return bytes(changed)


@settings(max_examples=400)
@given(
    records=RECORDS,
    which=st.integers(0, 99),
    column=st.sampled_from(["body", "sealed", "hash", "kind", "task", "seq", "n", "at_ms"]),
    at=st.integers(0, 9999),
    bit=st.integers(0, 7),
)
def test_any_flipped_bit_in_any_column_is_found(
    records: list[Record], which: int, column: str, at: int, bit: int
) -> None:
    """One bit of one column of one record: found, at that record or, if its number was changed, beside it."""
    stored = chained(records)
    item = stored[which % len(stored)]
    value = getattr(item, column)
    assume(value is not None and value != b"")
    if isinstance(value, int):
        changed = replace(item, **{column: value ^ (1 << (at % 40))})
    elif isinstance(value, str):
        changed = replace(item, **{column: flip(value.encode(), at, bit % 7).decode("utf-8", "surrogateescape")})
    else:
        changed = replace(item, **{column: flip(value, at, bit)})
    tampered = [changed if other is item else other for other in stored]
    _, findings = verify_chain(tampered)
    assert findings
    # A body that no longer says which task it is of also leaves a gap in that task's numbers.
    blamed = {finding.seq for finding in findings if finding.what != "number" or column != "body"}
    assert {changed.seq, item.seq, item.seq + 1} >= blamed, findings
    assert blamed


@settings(max_examples=200)
@given(records=RECORDS, cut=st.integers(0, 99), other=st.integers(0, 99))
def test_dropping_or_swapping_records_is_found(records: list[Record], cut: int, other: int) -> None:
    """A record missing in the middle or two changed places do not verify."""
    stored = chained(records)
    assume(len(stored) > 1)
    dropped = stored[: cut % (len(stored) - 1)] + stored[cut % (len(stored) - 1) + 1 :]
    assert verify_chain(dropped)[1]
    a, b = cut % len(stored), other % len(stored)
    assume(a != b)
    swapped = stored.copy()
    swapped[a], swapped[b] = swapped[b], swapped[a]
    assert verify_chain(swapped)[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Anchored, int]:
    directory = tmp_path_factory.mktemp("whole")
    store = kit.native_store(directory / "state")
    for number in range(8):
        task = kit.put_task(store)
        unit = store.unit()
        body: dict[str, Json] = {"decision": f"dec_{number}", "resource": {"type": "table", "id": "x" * 40 * number}}
        unit.record(Record(Kind.DECIDED, kit.NOW + number, task.id, body, sealed=bytes([number]) * 33))
        unit.commit()
    seq, head = store.records.head()
    anchor = Anchored(store.generation, seq, head, b"", 0)
    store.close()
    return directory / "state" / STORE_NAME, anchor, seq


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seq=st.integers(1, 17),
    column=st.sampled_from(["body", "sealed", "hash", "kind", "task", "n", "at_ms"]),
    at=st.integers(0, 9999),
    bit=st.integers(0, 7),
)
def test_any_flipped_bit_in_a_store_is_found(
    tmp_path: Path, whole: tuple[Path, Anchored, int], seq: int, column: str, at: int, bit: int
) -> None:
    """The same on a real file: changed in the database, found by `verify_store` at that record."""
    path, anchor, last = whole
    assert last == 17
    copy = tmp_path / STORE_NAME
    shutil.copyfile(path, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        (value,) = db.execute(f"SELECT {column} FROM record WHERE seq = ?", (seq,)).fetchone()
        assume(value is not None)
        changed: object
        if isinstance(value, bytes):
            changed = flip(value, at, bit)
        elif isinstance(value, str):
            changed = flip(value.encode(), at, bit % 7).decode("latin-1")
            assume(changed != value)
        else:
            changed = value ^ (1 << (at % 40))
        db.execute(f"UPDATE record SET {column} = ? WHERE seq = ?", (changed, seq))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    report = verify_store(copy, anchor)
    assert report.exit_code == 1
    assert seq in {finding.seq for finding in report.findings}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keep=st.integers(0, 16))
def test_any_truncation_is_found_given_the_anchor(tmp_path: Path, whole: tuple[Path, Anchored, int], keep: int) -> None:
    """However much of the tail is cut, with every table made to fit: the anchor tells, and from where."""
    path, anchor, _ = whole
    copy = tmp_path / STORE_NAME
    shutil.copyfile(path, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute("DELETE FROM record WHERE seq > ?", (keep,))
        db.execute("DELETE FROM task WHERE id NOT IN (SELECT task FROM record WHERE task IS NOT NULL)")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert verify_store(copy).ok
    report = verify_store(copy, anchor)
    assert [(finding.what, finding.seq) for finding in report.findings] == [("cut", keep)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_any_flipped_bit_of_the_file_is_found_or_changes_nothing(
    tmp_path: Path, whole: tuple[Path, Anchored, int], at: int, bit: int
) -> None:
    """A bit anywhere in the file: either verification says so (or cannot read it), or no record changed by it."""
    path, anchor, _ = whole
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    copy = tmp_path / STORE_NAME
    copy.write_bytes(data)
    report = verify_store(copy, anchor)
    if report.exit_code == 0:
        query = "SELECT * FROM record ORDER BY seq"
        with closing(sqlite3.connect(copy)) as db, closing(sqlite3.connect(path)) as original:
            assert db.execute(query).fetchall() == original.execute(query).fetchall()
