"""The compiled writer, from Python: guards, durability under kill, a failing disk, forks."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from flyball._core._native import ForkedError, StoreConflict, StoreUnavailable, Writer
from flyball.stores.sqlite.migrate import migrate

PUT = "INSERT INTO meta(key, value) VALUES(?, ?)"


def make(path: Path) -> str:
    """An empty store."""
    migrate(path)
    return str(path)


def verify(path: str) -> list[bytes]:
    """The bodies in order, the chain computed anew from the rows alone."""
    db = sqlite3.connect(path)
    rows = db.execute("SELECT seq, task, n, body, sealed, hash FROM record ORDER BY seq").fetchall()
    # Each task's records are in the catalogue, as far as its floor says.
    floor = db.execute("SELECT seq FROM task_record_floor").fetchone()[0]
    entries = set(db.execute("SELECT task, n, seq FROM task_record"))
    assert {(task, n, seq) for seq, task, n, *_ in rows if task is not None and seq <= floor} <= entries
    assert entries <= {(task, n, seq) for seq, task, n, *_ in rows}
    db.close()
    previous = hashlib.sha256(b"flyball-chain-v1").digest()
    numbers: dict[str, int] = {}
    for expected, (seq, task, n, body, sealed, digest) in enumerate(rows, start=1):
        assert seq == expected
        if task is None:
            assert n is None
        else:
            numbers[task] = numbers.get(task, 0) + 1
            assert n == numbers[task]
        name = (task or "").encode()
        tail = b"\x00" if sealed is None else b"\x01" + hashlib.sha256(sealed).digest()
        covered = previous + seq.to_bytes(8, "big") + (n or 0).to_bytes(8, "big") + len(name).to_bytes(4, "big") + name
        previous = hashlib.sha256(covered + len(body).to_bytes(8, "big") + body + tail).digest()
        assert digest == previous, f"the hash of record {seq} is wrong"
    return [row[3] for row in rows]


def python(script: str, *args: str) -> subprocess.Popen[str]:
    """A Python of its own, which runs `script` with `args`."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", textwrap.dedent(script), *args]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_a_unit_is_durable_whole_or_not_at_all(tmp_path: Path) -> None:
    """Statements and records of a unit stand or fall together, and the numbers of a failed one are given again."""
    path = make(tmp_path / "s.db")
    writer = Writer(path)
    records = [("t", "x", 1, b"one", b"sealed"), (None, "y", 2, b"two", None)]
    assert writer.commit([(PUT, ("a", "1"), 1)], records) == [1, 2]
    with pytest.raises(StoreConflict) as caught:
        writer.commit([(PUT, ("b", "1"), 1), (PUT, ("a", "2"), 1)], [("t", "x", 1, b"never", None)])
    assert caught.value.args[0] == "conflict"
    with pytest.raises(StoreConflict):
        writer.commit([("UPDATE meta SET value = ? WHERE key = ?", ("2", "none"), 1)], [])
    assert writer.commit([], [("t", "x", 1, b"three", None)]) == [3]
    assert writer.head()[0] == 3
    assert writer.query("SELECT key, value FROM meta WHERE key IN ('a', 'b')", ()) == [("a", "1")]
    writer.close()
    assert verify(path) == [b"one", b"two", b"three"]


def test_every_kind_of_value_comes_back_as_it_went_in(tmp_path: Path) -> None:
    """None, int, float, str and bytes are SQL's values; anything else is refused before the store is touched."""
    writer = Writer(make(tmp_path / "s.db"))
    values = (None, -(2**63), 1.5, "é\x00", b"\x00\xff")
    assert writer.query("SELECT ?1, ?2, ?3, ?4, ?5", values) == [values]
    for bad in (2**63, [1], "\ud800"):
        with pytest.raises((TypeError, OverflowError, UnicodeEncodeError)):
            writer.query("SELECT ?1", (bad,))  # type: ignore[arg-type]
    writer.close()


def test_a_waiting_commit_lets_other_threads_run(tmp_path: Path) -> None:
    """While a commit waits for the store's lock Python goes on, and then the store is named busy."""
    path = make(tmp_path / "s.db")
    writer = Writer(path)
    # The lock is another process's: two copies of SQLite in one process do not see each other's.
    holder = python(
        """
        import sqlite3, sys
        db = sqlite3.connect(sys.argv[1], isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        print("held", flush=True)
        sys.stdin.read()
        """,
        path,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    caught: list[BaseException] = []

    def commit() -> None:
        try:
            writer.commit([], [(None, "x", 1, b"{}", None)])
        except StoreUnavailable as error:
            caught.append(error)

    thread = threading.Thread(target=commit)
    ticks = 0
    thread.start()
    while thread.is_alive():
        ticks += 1
        time.sleep(0.001)
    holder.kill()
    holder.communicate()
    assert ticks > 50
    assert caught
    assert caught[0].args[0] == "busy"
    assert writer.commit([], [(None, "x", 1, b"after", None)]) == [1]
    writer.close()
    assert verify(path) == [b"after"]


@pytest.mark.parametrize("after_ms", [40, 150, 300])
def test_what_was_acknowledged_before_a_kill_is_there(tmp_path: Path, after_ms: int) -> None:
    """`kill -9` in the middle of commits: the chain is contiguous and holds everything that was acknowledged."""
    path = make(tmp_path / "s.db")
    child = python(
        """
        import sys, threading
        from flyball._core._native import Writer
        writer = Writer(sys.argv[1])
        lock = threading.Lock()
        def run(lane):
            for i in range(100000):
                body = b"%d.%d" % (lane, i)
                writer.commit([], [("t%d" % lane, "x", i, body, None)])
                with lock:
                    sys.stdout.write(body.decode() + "\\n")
                    sys.stdout.flush()
        for lane in range(4):
            threading.Thread(target=run, args=(lane,)).start()
        """,
        path,
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(after_ms / 1000)
    child.send_signal(signal.SIGKILL)
    output = first + child.stdout.read()  # communicate() would lose what readline() has buffered
    child.wait()
    acknowledged = {line.encode() for line in output.split("\n")[:-1]}
    bodies = verify(path)
    assert acknowledged
    assert acknowledged <= set(bodies)
    # What was written and not acknowledged is at most what was in flight.
    assert len(bodies) - len(acknowledged) <= 4
    writer = Writer(path)
    assert writer.commit([], [("t0", "x", 1, b"again", None)]) == [len(bodies) + 1]
    writer.close()
    verify(path)


def test_a_disk_that_is_full_refuses_and_recovers(tmp_path: Path) -> None:
    """The file can get no longer (a file size limit): once its room is used up every commit is refused, none is called
    durable that is not, and once there is room the chain goes on without a gap."""
    path = make(tmp_path / "s.db")
    child = python(
        """
        import json, os, resource, sys
        from flyball._core._native import StoreUnavailable, Writer
        writer = Writer(sys.argv[1])
        done, faults = [], []
        def commit(name):
            try:
                writer.commit([], [("t", "x", 1, name.encode() + b"x" * 3000, None)])
                done.append(name)
            except StoreUnavailable as error:
                faults.append(error.args[0])
        for i in range(5):
            commit(f"before{i}")
        size = os.path.getsize(sys.argv[1] + "-wal")
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 6000, hard))
        tried = 0
        while len(faults) < 5 and tried < 2000:  # the log has room for some hundreds, made before
            commit(f"full{tried}")
            tried += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        for i in range(5):
            commit(f"after{i}")
        stats = json.loads(writer.stats_json())
        writer.close()
        print(json.dumps([done, faults, stats]))
        """,
        path,
    )
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    done, faults, stats = json.loads(output)
    bodies = [body.rstrip(b"x").decode() for body in verify(path)]
    assert bodies == done
    assert len(faults) == 5
    assert set(faults) <= {"full", "io"}
    assert stats["failed_batches"] == len(faults)
    assert [name for name in done if name.startswith("after")] == [f"after{i}" for i in range(5)]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become a user without rights")
def test_a_read_only_store_is_refused_as_read_only(tmp_path: Path) -> None:
    """A store whose files may not be written is refused; nothing pretends to be durable."""
    path = make(tmp_path / "s.db")
    os.chmod(path, 0o444)
    for folder in [tmp_path, *tmp_path.parents][:4]:
        folder.chmod(folder.stat().st_mode | 0o055)
    child = python(
        """
        import os, sys
        from flyball._core._native import StoreUnavailable, Writer
        os.setgid(65534); os.setuid(65534)
        try:
            Writer(sys.argv[1])
        except StoreUnavailable as error:
            print(error.args[0])
        """,
        path,
    )
    output, errors = child.communicate(timeout=30)
    assert output.strip() in {"read_only", "io"}, errors


def test_use_after_a_fork_raises(tmp_path: Path) -> None:
    """A forked child has no writer's thread: every call raises there, and the child can end; the parent goes on."""
    writer = Writer(make(tmp_path / "s.db"))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = b""
        for call in (
            lambda: writer.commit([], []),
            writer.head,
            writer.stats_json,
            writer.close,
            lambda: writer.query("SELECT 1", ()),
        ):
            try:
                call()
            except ForkedError:
                outcome += b"f"
        os.write(write, outcome)
        del writer
        os._exit(0)
    os.close(write)
    assert os.read(read, 16) == b"fffff"
    assert os.waitpid(child, 0)[1] == 0
    os.close(read)
    assert writer.commit([], [(None, "x", 1, b"{}", None)]) == [1]
    writer.close()


def test_stats_name_the_disks_own_sync_time(tmp_path: Path) -> None:
    """A durable figure can be read beside what the disk itself costs."""
    writer = Writer(make(tmp_path / "s.db"))
    writer.commit([], [(None, "x", 1, b"{}", None)])
    stats = json.loads(writer.stats_json())
    assert stats["disk_sync_us"] > 0
    assert stats["batches"] == stats["units"] == 1
    assert stats["last_fault"] is None
    writer.close()
    with pytest.raises(StoreUnavailable) as caught:
        writer.commit([], [])
    assert caught.value.args[0] == "closed"
