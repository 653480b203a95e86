"""`audit verify` on real store files: whole, flipped, cut, rewritten, live, in the write-ahead log."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests import stores_kit as kit

from flyball.audit.anchor import Anchor, Anchored
from flyball.audit.chain import GENESIS, link
from flyball.audit.checkpoint import CheckpointSigner, NoteSigner
from flyball.audit.record import Kind, Record
from flyball.audit.verify import OK, TAMPERED, UNREADABLE, Report, verify_store
from flyball.kernel.clock import FakeClock
from flyball.kernel.json import canonical
from flyball.revocation.erase import erase_key
from flyball.stores.sqlite.files import STORE_NAME
from flyball.stores.sqlite.store import SqliteStore
from flyball.task.task import LIVE, TaskState

SIGNER = NoteSigner("flyball.example", kit.KEY)
KEYS = [SIGNER.verifier()]


def filled(directory: Path) -> tuple[Path, Anchored]:
    """A closed store with sealed records and two checkpoints, and its anchor."""
    store = kit.native_store(directory)
    anchor = Anchor(directory.parent / "anchor.json")
    keeper = CheckpointSigner(
        store.records, SIGNER, issuer="flyball.example", clock=FakeClock(), anchor=anchor, every_records=3
    )
    for number in range(4):
        task = kit.put_task(store)
        unit = store.unit()
        members = {"decision": f"dec_{number}", "effect": "deny", "resource": {"type": "table", "id": "ünïcode"}}
        unit.record(Record(Kind.DECIDED, kit.NOW, task.id, members, sealed=bytes(range(64))))  # type: ignore[arg-type]
        unit.commit()
        keeper.maintain()
    keeper.close()
    store.close()
    found = anchor.read()
    assert found is not None
    return directory / STORE_NAME, found


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, Anchored]:
    return filled(tmp_path / "state")


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def whats(report: Report) -> set[str]:
    return {finding.what for finding in report.findings}


def test_a_whole_store_is_intact(whole: tuple[Path, Anchored]) -> None:
    """Nothing found, exit code 0, figures told; nothing beside the copy is made or changed."""
    path, anchor = whole
    before = {entry.name: entry.stat().st_mtime_ns for entry in path.parent.iterdir()}
    report = verify_store(path, anchor, KEYS)
    assert (report.exit_code, report.findings) == (OK, [])
    assert (report.records, report.checkpoints, report.signed) == (9, 3, 3)
    assert report.lines()[0].startswith("intact: 9 records")
    assert json.loads(report.to_json())["ok"] is True
    assert {entry.name: entry.stat().st_mtime_ns for entry in path.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("statement", "what", "seq", "column"),
    [
        ("UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'dec_1', 'dec_9') AS BLOB) WHERE seq = 5", "altered", 5, "body"),  # noqa: E501
        ("UPDATE record SET sealed = zeroblob(64) WHERE seq = 5", "altered", 5, "body"),
        ("UPDATE record SET sealed = NULL WHERE seq = 5", "altered", 5, "body"),
        ("UPDATE record SET hash = zeroblob(32) WHERE seq = 5", "altered", 5, "hash"),
        ("UPDATE record SET kind = 'receipt' WHERE seq = 5", "column_differs", 5, "kind"),
        ("UPDATE record SET at_ms = at_ms + 1 WHERE seq = 5", "column_differs", 5, "at_ms"),
        ("UPDATE record SET n = 7 WHERE seq = 5", "number", 5, "n"),
        ("UPDATE record SET task = NULL, n = NULL WHERE seq = 5", "altered", 5, "body"),
        ("DELETE FROM record WHERE seq = 5", "gap", 6, "seq"),
        ("UPDATE record SET body = CAST('{\"v\":1}' AS BLOB) WHERE seq = 9", "altered", 9, ""),
        ("UPDATE record SET body = zeroblob(9) WHERE seq = 5", "malformed", 5, "body"),
    ],
)  # fmt: skip
def test_what_was_changed_and_where(
    whole: tuple[Path, Anchored], statement: str, what: str, seq: int, column: str
) -> None:
    """Each change is found at its record and, where that can be told, in its column; the rest is not blamed."""
    path, anchor = whole
    change(path, statement)
    report = verify_store(path, anchor, KEYS)
    assert report.exit_code == TAMPERED
    assert [f for f in report.findings if (f.what, f.seq, f.column) == (what, seq, column)], report.lines()
    assert {finding.seq for finding in report.findings if finding.what != "rewritten"} == {seq}, report.lines()
    assert report.lines()[0].startswith("NOT as it was written")


def test_a_flipped_byte_in_the_file_is_placed(whole: tuple[Path, Anchored]) -> None:
    """A byte flipped in the file itself, as with a hex editor: the record and the place in the file are told."""
    path, anchor = whole
    data = bytearray(path.read_bytes())
    # Pages keep old copies of cells in their free space: take the place that a query shows to be the record's.
    places = [found.start() for found in re.finditer(b'"decision":"dec_2"', bytes(data))]
    for at in places:
        flipped = data.copy()
        flipped[at + 15] ^= 1
        path.write_bytes(flipped)
        report = verify_store(path, anchor, KEYS)
        if not report.ok:
            break
    (finding,) = [f for f in report.findings if f.what == "altered"]
    assert finding.seq == 7
    assert finding.file_offset is not None
    assert 0 <= at - finding.file_offset < 300


def test_a_cut_tail_is_seen_by_a_checkpoint_or_by_the_anchor(whole: tuple[Path, Anchored]) -> None:
    """Without its last records: a checkpoint in the store tells; with those cut too, only the anchor does."""
    path, anchor = whole
    change(path, "DELETE FROM record WHERE seq > 7")
    assert "cut" in whats(verify_store(path, None, KEYS))
    change(
        path,
        "DELETE FROM checkpoint WHERE seq > 7",
        "DELETE FROM task WHERE id NOT IN (SELECT task FROM record WHERE task IS NOT NULL)",
    )
    assert verify_store(path, None, KEYS).ok
    report = verify_store(path, anchor, KEYS)
    assert whats(report) == {"cut"}
    assert "records 8 to 9" in report.findings[0].detail
    assert report.findings[0].seq == 7


def test_a_rewritten_history_is_seen_by_what_was_signed(whole: tuple[Path, Anchored]) -> None:
    """A chain made anew from a changed record on is whole in itself, and not what was signed or anchored."""
    path, anchor = whole
    with closing(sqlite3.connect(path)) as db, db:
        head = GENESIS
        for seq, n, task, body, sealed in db.execute(
            "SELECT seq, n, task, body, sealed FROM record ORDER BY seq"
        ).fetchall():
            if seq == 3:
                body = body.replace(b"dec_0", b"dec_X")
            head = link(head, seq, n or 0, task, body, sealed)
            db.execute("UPDATE record SET body = ?, hash = ? WHERE seq = ?", (body, head, seq))
    assert verify_store(path).ok
    assert whats(verify_store(path, None, KEYS)) == {"rewritten"}
    assert whats(verify_store(path, anchor)) == {"rewritten"}


def test_a_checkpoint_of_another_key_is_not_believed(whole: tuple[Path, Anchored]) -> None:
    """Checkpoints signed by somebody else are a finding, not a proof."""
    path, _ = whole
    stranger = NoteSigner("flyball.example", kit.Ed25519PrivateKey.generate())
    report = verify_store(path, None, [stranger.verifier()])
    assert whats(report) == {"checkpoint"}
    assert report.signed == 0


def test_an_unknown_kind_or_version_is_said(whole: tuple[Path, Anchored]) -> None:
    """A record that this version cannot mean anything by is a finding, though its hash is right."""
    path, _ = whole
    for member, what in (({"kind": "mystery", "v": 1}, "unknown_kind"), ({"kind": "gap", "v": 2}, "unknown_version")):
        with closing(sqlite3.connect(path)) as db, db:
            seq, head = db.execute("SELECT seq, hash FROM record ORDER BY seq DESC LIMIT 1").fetchone()
            body = canonical({**member, "at": 1})
            row = (seq + 1, member["kind"], body, link(head, seq + 1, 0, None, body, None))
            db.execute("INSERT INTO record(seq, kind, at_ms, body, hash) VALUES(?, ?, 1, ?, ?)", row)
        assert what in whats(verify_store(path))


def test_tables_that_say_otherwise_are_seen(whole: tuple[Path, Anchored]) -> None:
    """A task opened again in its table, against its records, is a finding."""
    path, anchor = whole
    change(path, "UPDATE task SET state = 'closed' WHERE id = (SELECT min(id) FROM task)")
    report = verify_store(path, anchor, KEYS)
    assert whats(report) == {"table_differs"}
    assert "stands as closed; its records say open" in report.findings[0].detail


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """No file, no database, no store: exit code 2 and a sentence."""
    assert verify_store(tmp_path / "none").exit_code == UNREADABLE
    (tmp_path / "x").write_bytes(b"not a database at all" * 100)
    report = verify_store(tmp_path / "x")
    assert report.exit_code != OK
    sqlite3.connect(tmp_path / "empty.db").close()
    assert verify_store(tmp_path / "empty.db").exit_code == UNREADABLE


def test_records_in_the_write_ahead_log_are_read(tmp_path: Path) -> None:
    """A store left by a crash is verified with its log, on a copy, changing neither."""
    store = kit.native_store(tmp_path / "state")
    kit.put_task(store)
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    store.close()
    copy = tmp_path / "copy"
    (copy / "store.db-shm").unlink(missing_ok=True)
    before = {entry.name: entry.read_bytes() for entry in copy.iterdir()}
    report = verify_store(copy / STORE_NAME)
    assert report.ok, report.lines()
    assert report.records == 2
    assert {entry.name: entry.read_bytes() for entry in copy.iterdir()} == before


def test_a_live_store_is_verified_from_another_process(tmp_path: Path) -> None:
    """While a server holds and writes the store, a second process verifies it and disturbs nothing."""
    store = kit.native_store(tmp_path / "state")
    kit.put_task(store)
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from flyball.audit.verify import verify_store\n"
        "report = verify_store(Path(sys.argv[1])); print(report.to_json()); sys.exit(report.exit_code)\n"
    )
    paths = [path for path in sys.path if path]
    for _ in range(3):
        kit.put_task(store)
        command = [sys.executable, "-c", script, str(tmp_path / "state" / STORE_NAME), *paths]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == OK, done.stdout + done.stderr
    kit.put_task(store)
    assert json.loads(done.stdout)["records"] == 5
    store.close()


def closed_task(store: SqliteStore) -> kit.Task:
    from dataclasses import replace

    task = kit.put_task(store)
    unit = store.unit()
    unit.record(Record(Kind.DECIDED, kit.NOW, task.id, {"decision": "d"}, sealed=b"the sealed arguments"))
    unit.commit()
    for state, kind, expect in (
        (TaskState.FENCED, Kind.FENCED, LIVE),
        (TaskState.CLOSED, Kind.TASK_CLOSED, frozenset({TaskState.FENCED})),
    ):
        unit = store.unit()
        unit.save_task(replace(task, state=state), expect=expect)
        unit.record(Record(kind, kit.NOW, task.id, {}))
        unit.commit()
    return task


def test_an_erased_key_leaves_the_chain_valid(tmp_path: Path) -> None:
    """After erasing: no key, no inputs; the chain, which covers the ciphertext, still verifies and says so."""
    store = kit.native_store(tmp_path / "state")
    task = closed_task(store)
    seq = erase_key(store, store.tasks, FakeClock(), task.id, by="ops", reason="retention")
    found = store.tasks.get(task.id)
    assert found is not None
    assert (found.inputs, store.tasks.data_key(task.id)) == ({}, None)
    assert [stored.kind for stored in store.records.of_task(task.id)][-1] == Kind.KEY_ERASED
    store.close()
    report = verify_store(tmp_path / "state" / STORE_NAME)
    assert (report.ok, report.seq) == (True, seq), report.lines()
    everything = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"wrapped-key-of-" not in everything, "the wrapped key is still in the file"


def test_a_key_is_erased_only_after_its_task(tmp_path: Path) -> None:
    """An open task's key stays; an erased one cannot be erased again."""
    store = kit.native_store(tmp_path / "state")
    task = kit.put_task(store)
    erase: Callable[[str], int] = lambda t: erase_key(store, store.tasks, FakeClock(), t, by="ops", reason="r")  # noqa: E731
    with pytest.raises(kit.Conflict) as refused:
        erase(task.id)
    assert (refused.value.code, store.tasks.data_key(task.id) is None) == ("task_not_closed", False)
    closed = closed_task(store)
    erase(closed.id)
    for unknown in (closed.id, "tsk_none"):
        with pytest.raises(kit.NotFound):
            erase(unknown)
    store.close()


def test_foreign_text_cannot_reach_the_terminal(tmp_path: Path) -> None:
    """Escape sequences that somebody put into the store do not come out in a report."""
    path, _ = filled(tmp_path / "state")
    change(path, "UPDATE record SET kind = char(27) || '[2J' || char(8238) WHERE seq = 5")
    report = verify_store(path)
    for line in [*report.lines(), report.to_json()]:
        assert line.isprintable(), repr(line)
    assert os.linesep not in "".join(report.lines())
