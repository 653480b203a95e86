"""`flyball audit verify`: is this store what was written, whole and unchanged? Needs no server.

Run it as a process of its own: a process that has a store open through the compiled writer must
not open it through a second copy of SQLite (inside the server, use `chain.verify_chain` over the
record log instead).

1. the file: SQLite's own integrity check, so that damage outside the records is seen too;
2. the chain: every record, its number, its hash, its form (`chain`);
3. the checkpoints in the store: signed by a known key, and the chain passes through each of them;
4. the anchor outside the store: the store is not shorter and has no other history;
5. the tables: what they say of tasks and leases is what the records amount to (`fold`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

from flyball.audit.anchor import Anchored
from flyball.audit.chain import ChainCheck, Finding
from flyball.audit.checkpoint import NoteVerifier, verify_checkpoint
from flyball.audit.fold import Fold
from flyball.audit.ports import Stored
from flyball.audit.text import escape, json_line
from flyball.kernel.errors import ConfigError, InvalidInput
from flyball.kernel.json import Json

_MAX_FINDINGS = 1000
OK, TAMPERED, UNREADABLE = 0, 1, 2


@dataclass(slots=True)
class Report:
    """What was found. `exit_code` is 0 only if nothing was, 1 if something was, 2 if it could not be read."""

    path: str
    records: int = 0
    seq: int = 0
    hash: bytes = b""
    checkpoints: int = 0
    signed: int = 0
    anchored_seq: int | None = None
    findings: list[Finding] = field(default_factory=list)
    unreadable: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is as it was written, as far as what was given can tell."""
        return not self.findings and not self.unreadable

    @property
    def exit_code(self) -> int:
        """For the shell."""
        return UNREADABLE if self.unreadable else TAMPERED if self.findings else OK

    def add(self, finding: Finding) -> None:
        """Add a finding, up to a bound."""
        if len(self.findings) < _MAX_FINDINGS:
            self.findings.append(finding)

    def to_json(self) -> str:
        """One line of JSON."""
        return json_line(
            {
                "ok": self.ok,
                "path": self.path,
                "records": self.records,
                "seq": self.seq,
                "hash": self.hash.hex(),
                "checkpoints": self.checkpoints,
                "signed": self.signed,
                "anchored_seq": self.anchored_seq,
                "unreadable": self.unreadable,
                "findings": cast("list[Json]", [asdict(finding) for finding in self.findings]),
            }
        )

    def lines(self) -> list[str]:
        """For people, all foreign text escaped."""
        if self.unreadable:
            return [f"cannot be read: {escape(self.unreadable, 400)}"]
        head = f"{self.records} records, {self.checkpoints} checkpoints ({self.signed} signed by a known key)"
        anchor = "no anchor was given" if self.anchored_seq is None else f"anchored at record {self.anchored_seq}"
        if self.ok:
            return [f"intact: {head}; {anchor}; chain ends at record {self.seq} in {self.hash.hex()[:16]}…"]
        lines = [f"NOT as it was written: {head}; {anchor}"]
        for found in self.findings:
            where = f"record {found.seq}" if found.seq else "store"
            column = f", {found.column}" if found.column else ""
            byte = f", byte {found.offset}" if found.offset is not None else ""
            in_file = f", at byte {found.file_offset} of the file" if found.file_offset is not None else ""
            task = f" (task {escape(found.task, 60)})" if found.task else ""
            lines.append(f"  {where}{column}{byte}{in_file}: {found.what}: {escape(found.detail, 400)}{task}")
        return lines


def verify_store(path: Path, anchor: Anchored | None = None, keys: Sequence[NoteVerifier] = ()) -> Report:
    """Verify the store file at `path`, a copy or the real one. Never writes to it.

    Without `anchor` a tail cut together with its checkpoints goes unnoticed; without `keys` the
    checkpoints' signatures are not checked, and a wholly rewritten history goes unnoticed.
    """
    report = Report(str(path))
    try:
        with _opened(path) as db:
            _integrity(db, report)
            hashes = _chain(db, path, report)
            _checkpoints(db, report, hashes, keys)
    except (sqlite3.Error, OSError, ConfigError, ValueError) as fault:
        if not report.findings:
            report.unreadable = str(fault)
        else:
            report.add(Finding("unreadable", 0, f"the rest cannot be read: {fault}"))
    _anchor(report, anchor, keys)
    return report


def read_records(path: Path) -> Iterator[Stored]:
    """The records of a store file, in order, unverified. Rows whose columns are of a wrong type are left out.

    Raises:
        ConfigError: it cannot be read as a store.
    """
    try:
        with _opened(path) as db:
            yield from _records(db, Report(str(path)))
    except (sqlite3.Error, OSError) as fault:
        hint = "name the store's file, or the state directory it lies in"
        raise ConfigError(f"{path} cannot be read as a store: {fault}", code="store_unreadable", hint=hint) from fault


def _integrity(db: sqlite3.Connection, report: Report) -> None:
    try:
        for (text,) in db.execute("PRAGMA integrity_check(20)"):
            if text != "ok":
                report.add(Finding("damaged", 0, str(text)))
    except sqlite3.DatabaseError as fault:
        report.add(Finding("damaged", 0, f"SQLite cannot read the file whole: {fault}"))


def _chain(db: sqlite3.Connection, path: Path, report: Report) -> dict[int, bytes]:
    """Check all records; the hashes by sequence number where a checkpoint stands."""
    wanted = {int(seq) for (seq,) in db.execute("SELECT seq FROM checkpoint WHERE typeof(seq) = 'integer'")}
    check, state = ChainCheck(), Fold()
    hashes: dict[int, bytes] = {}
    suspects: list[Finding] = []
    for stored in _records(db, report):
        suspects.extend(check.feed(stored))
        state.apply(stored)
        if stored.seq in wanted:
            hashes[stored.seq] = stored.hash
        if len(suspects) > _MAX_FINDINGS:
            break
    suspects.extend(check.finish())
    located: dict[int, int | None] = {}
    for finding in suspects:
        if finding.seq not in located:
            located[finding.seq] = _in_file(db, path, finding.seq)
        report.add(replace(finding, file_offset=located[finding.seq]))
    report.records, report.seq, report.hash = check.count, check.seq, check.head
    if not suspects:
        _tables(db, state, report)
    return hashes


def _records(db: sqlite3.Connection, report: Report) -> Iterator[Stored]:
    rows = db.execute("SELECT seq, task, n, kind, at_ms, body, sealed, hash FROM record NOT INDEXED ORDER BY seq")
    for row in rows:
        seq, task, n, kind, at_ms, body, sealed, digest = row
        typed = (
            isinstance(seq, int)
            and (task is None or isinstance(task, str))
            and (n is None or isinstance(n, int))
            and isinstance(kind, str)
            and isinstance(at_ms, int)
            and isinstance(body, bytes)
            and (sealed is None or isinstance(sealed, bytes))
            and isinstance(digest, bytes)
        )
        if not typed:
            report.add(Finding("malformed", seq if isinstance(seq, int) else 0, "a column holds another type"))
            continue
        yield Stored(seq, task, n or 0, kind, at_ms, body, sealed, digest)


def _checkpoints(
    db: sqlite3.Connection, report: Report, hashes: dict[int, bytes], keys: Sequence[NoteVerifier]
) -> None:
    for seq, note in db.execute("SELECT seq, note FROM checkpoint ORDER BY seq"):
        report.checkpoints += 1
        if not isinstance(seq, int) or not isinstance(note, bytes):
            report.add(Finding("checkpoint", 0, "a checkpoint holds a column of the wrong type"))
            continue
        if seq > report.seq:
            report.add(Finding("cut", report.seq, f"the chain ends here; a checkpoint says it reached record {seq}"))
            continue
        if not keys:
            continue
        try:
            signed = verify_checkpoint(note, keys)
        except InvalidInput as fault:
            report.add(Finding("checkpoint", seq, f"the checkpoint at this record does not hold: {fault.detail}"))
            continue
        report.signed += 1
        if signed.seq != seq or signed.hash != hashes.get(seq):
            report.add(Finding("rewritten", seq, "the chain does not pass through what was signed at this record"))


def _anchor(report: Report, anchor: Anchored | None, keys: Sequence[NoteVerifier]) -> None:
    if anchor is None or report.unreadable:
        return
    report.anchored_seq = anchor.seq
    if report.seq < anchor.seq:
        lost = f"record {anchor.seq}" if anchor.seq == report.seq + 1 else f"records {report.seq + 1} to {anchor.seq}"
        report.add(Finding("cut", report.seq, f"the chain ends here; by the anchor {lost} stood after it"))
    elif anchor.seq:
        at = _hash_at(Path(report.path), anchor.seq)
        if at != anchor.hash:
            report.add(Finding("rewritten", anchor.seq, "the chain does not pass through what was anchored here"))
    if anchor.note and keys:
        try:
            verify_checkpoint(anchor.note, keys)
        except InvalidInput as fault:
            report.add(Finding("anchor", anchor.seq, f"the anchor's checkpoint does not hold: {fault.detail}"))


def _hash_at(path: Path, seq: int) -> bytes | None:
    try:
        with _opened(path) as db:
            row = db.execute("SELECT hash FROM record WHERE seq = ?", (seq,)).fetchone()
            return row[0] if row is not None and isinstance(row[0], bytes) else None
    except (sqlite3.Error, OSError):
        return None


def _tables(db: sqlite3.Connection, state: Fold, report: Report) -> None:
    for table, known in (("task", state.tasks), ("lease", state.leases)):
        rows = {str(key): str(value) for key, value in db.execute(f"SELECT id, state FROM {table}")}  # noqa: S608
        for key in sorted(rows.keys() | known.keys()):
            recorded = known[key].value if key in known else "unknown"
            if rows.get(key, "missing") != recorded:
                detail = f"{table} {key} stands as {rows.get(key, 'missing')}; its records say {recorded}"
                report.add(Finding("table_differs", 0, detail))
    _labels(db, state, report)


def _labels(db: sqlite3.Connection, state: Fold, report: Report) -> None:
    """What follows an instance by the records must stand in the table; that it stands there early is no harm."""
    tables = {str(name) for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "instance_label" not in tables:
        return  # a store from before labels: none of its records speaks of any
    rows = {tuple(map(str, row)) for row in db.execute("SELECT principal, instance, label FROM instance_label")}
    for (principal, instance), labels in sorted(state.labels.items()):
        for label in sorted(labels):
            if (principal, instance, label) not in rows:
                detail = f"label {label!r} follows instance {instance!r} of {principal} by its records, and is not kept"
                report.add(Finding("table_differs", 0, detail))


def _in_file(db: sqlite3.Connection, path: Path, seq: int) -> int | None:
    """Where in the file a record's contents begin, if they can be found there (best effort)."""
    row = db.execute("SELECT body FROM record WHERE seq = ?", (seq,)).fetchone()
    if row is None or not isinstance(row[0], bytes) or not row[0]:
        return None
    wanted, at, kept, size = row[0][:256], 0, b"", 1 << 20
    with path.open("rb") as file:
        while chunk := file.read(size):
            window = kept + chunk
            found = window.find(wanted)
            if found >= 0:
                return at - len(kept) + found
            at, kept = at + len(chunk), window[-len(wanted) :]
    return None


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The store, read-only, and without leaving or changing a byte beside a copy."""
    if not path.is_file():
        raise ConfigError(f"there is no store at {path}", code="store_missing")
    wal = path.with_name(path.name + "-wal")
    if _in_use(path.parent):
        with closing(_connect(f"{path.absolute().as_uri()}?mode=ro")) as db:
            db.execute("BEGIN")
            yield db
    elif wal.is_file() and wal.stat().st_size:
        # Records may still stand in the write-ahead log, and SQLite would write beside a copy to read it.
        with tempfile.TemporaryDirectory(prefix="flyball-verify-") as scratch:
            aside = Path(scratch) / path.name
            shutil.copyfile(path, aside)
            shutil.copyfile(wal, aside.with_name(wal.name))
            with closing(_connect(f"{aside.as_uri()}?mode=ro")) as db:
                yield db
    else:
        with closing(_connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1")) as db:
            yield db


def _connect(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True)
    # Damaged text must be read, to be told of: what is not UTF-8 comes as lone surrogates, and matches nothing.
    db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return db


def _in_use(directory: Path) -> bool:
    """Whether a running Flyball holds this state directory."""
    try:
        fd = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
