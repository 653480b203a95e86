"""The journal under torn writes, damage, a full disk and kill -9."""

from __future__ import annotations

import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import stores_kit as kit

from flyball.audit.fold import fold
from flyball.credential.lease import LIVE, LeaseState
from flyball.kernel.errors import Unavailable
from flyball.kernel.faults import armed
from flyball.revocation.journal import Journal
from flyball.revocation.marks import Mark, mark_from
from flyball.revocation.ring import JournalCorrupt, JournalFull, RingFile
from flyball.task.task import TaskState

SIZE = 64 << 10
HALVES = 8192


def payloads(ring: RingFile) -> list[bytes]:
    return [payload for _, payload in sorted(ring.live.items())]


def test_entries_outlive_the_process(tmp_path: Path) -> None:
    """What was appended and not settled is there after opening again, in order, numbers going on."""
    ring = RingFile(tmp_path / "j", SIZE)
    seqs = [ring.append(b"entry %d" % i) for i in range(10)]
    ring.settle(seqs[:3])
    del ring  # not closed: nothing may depend on it
    again = RingFile(tmp_path / "j", SIZE)
    assert payloads(again)[-7:] == [b"entry %d" % i for i in range(3, 10)]
    assert again.append(b"next") > seqs[-1]


def test_the_file_never_grows(tmp_path: Path) -> None:
    """All space is taken when the file is made; many times its size goes through it."""
    ring = RingFile(tmp_path / "j", SIZE)
    before = (tmp_path / "j").stat()
    for i in range(500):
        ring.settle([ring.append(bytes([i % 256]) * 1000)])
    after = (tmp_path / "j").stat()
    assert (before.st_size, before.st_blocks) == (after.st_size, after.st_blocks)
    assert after.st_blocks * 512 >= SIZE


def test_full_says_so_and_keeps_room_for_fences(tmp_path: Path) -> None:
    """When unsettled entries fill it, the next is refused; nothing that stands is lost; settling frees it."""
    ring = RingFile(tmp_path / "j", SIZE)
    seqs: list[int] = []

    def fill() -> None:
        while len(seqs) < 1000:
            seqs.append(ring.append(bytes(500), reserve=4096))

    with pytest.raises(JournalFull):
        fill()
    fences = [ring.append(bytes(500)) for _ in range(7)]  # 7 frames of 536 bytes: what 4096 bytes hold
    assert sorted(ring.live) == [*seqs, *fences]
    ring.settle(seqs)
    ring.append(bytes(500), reserve=4096)
    assert payloads(RingFile(tmp_path / "j", SIZE))[-1] == bytes(500)


@pytest.mark.parametrize("cut", [1, 8, 35, 36, 37, 50])
def test_a_torn_tail_is_dropped(tmp_path: Path, cut: int) -> None:
    """A last frame of which only the first bytes reached the disk was never acknowledged: it is not there."""
    ring = RingFile(tmp_path / "j", SIZE)
    ring.append(b"whole")
    end = HALVES + ring._half * ring.capacity + ring.used
    ring.append(b"torn by a power cut")
    with (tmp_path / "j").open("r+b") as file:
        file.seek(end + cut)
        file.write(bytes(200))
    again = RingFile(tmp_path / "j", SIZE)
    assert payloads(again) == [b"whole"]
    again.append(b"after")
    assert payloads(RingFile(tmp_path / "j", SIZE)) == [b"whole", b"after"]


def test_a_batch_torn_in_its_middle_is_dropped_whole_from_there(tmp_path: Path) -> None:
    """Frames of one unacknowledged write may reach the disk out of order; a hole among them is no damage."""
    ring = RingFile(tmp_path / "j", SIZE)
    ring.append(b"durable")
    start = HALVES + ring._half * ring.capacity + ring.used
    first = ring._next
    batch = [(first, b"\x00one"), (first + 1, b"\x00two"), (first + 2, b"\x00three")]
    data = ring._encode(batch)
    with (tmp_path / "j").open("r+b") as file:
        file.seek(start)
        file.write(bytes(10) + data[10:])  # the first frame's head never made it
    again = RingFile(tmp_path / "j", SIZE)
    assert payloads(again) == [b"durable"]
    again.append(b"xxx")  # as long as the lost frame: the old ones behind it must not be read
    assert payloads(RingFile(tmp_path / "j", SIZE)) == [b"durable", b"xxx"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 8), byte=st.integers(0, 40), bit=st.integers(0, 7))
def test_damage_in_the_middle_is_loud(tmp_path: Path, which: int, byte: int, bit: int) -> None:
    """One flipped bit in an acknowledged entry that others follow is refused, never skipped."""
    path = tmp_path / "j"
    path.unlink(missing_ok=True)
    ring = RingFile(path, SIZE)
    starts = []
    for i in range(10):
        starts.append(HALVES + ring._half * ring.capacity + ring.used)
        ring.append(b"entry %d" % i)
    at = starts[which] + byte % (struct.calcsize(">4sIIQQQ") + 8)
    ring.close()
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(JournalCorrupt, match="damaged at byte"):
        RingFile(path, SIZE)


def test_one_broken_header_is_survived_two_are_loud(tmp_path: Path) -> None:
    """The headers are written in turns, so a crash can break one; both broken is damage."""
    ring = RingFile(tmp_path / "j", SIZE)
    ring.append(b"entry")
    newest = ring._generation % 2
    ring.close()
    whole = (tmp_path / "j").read_bytes()
    for broken, fits in (([1 - newest], True), ([0, 1], False)):
        data = bytearray(whole)
        for slot in broken:
            data[slot * 4096 + 9] ^= 1
        (tmp_path / "j").write_bytes(data)
        if fits:
            assert payloads(RingFile(tmp_path / "j", SIZE)) == [b"entry"]
        else:
            with pytest.raises(JournalCorrupt, match="header"):
                RingFile(tmp_path / "j", SIZE)


def test_a_crash_in_compaction_loses_nothing(tmp_path: Path) -> None:
    """Until the new header is whole the old half counts: the half being written may hold anything."""
    ring = RingFile(tmp_path / "j", SIZE)
    seqs = [ring.append(b"entry %d" % i) for i in range(5)]
    ring.settle(seqs[:2])
    other = HALVES + (1 - ring._half) * ring.capacity
    with (tmp_path / "j").open("r+b") as file:
        file.seek(other)
        file.write(random.Random(1).randbytes(ring.capacity))
        file.seek(((ring._generation + 1) % 2) * 4096)
        file.write(b"FLYJ")  # the header that was being written
    assert payloads(RingFile(tmp_path / "j", SIZE))[-3:] == [b"entry 2", b"entry 3", b"entry 4"]


def test_many_threads_share_flushes_and_lose_nothing(tmp_path: Path) -> None:
    """Every append that returned is on disk under the number it returned."""
    ring = RingFile(tmp_path / "j", 1 << 20)
    said: dict[int, bytes] = {}

    def work(name: int) -> None:
        for i in range(50):
            payload = b"%d/%d" % (name, i)
            said[ring.append(payload)] = payload

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 400
    assert RingFile(tmp_path / "j", 1 << 20).live == said


def test_the_count_of_fences_survives_compaction_and_crash(tmp_path: Path) -> None:
    """The anchor compares this count: it never falls behind what was acknowledged."""
    journal = Journal(tmp_path / "j", 4 * SIZE)
    for i in range(5):
        journal.settle(journal.fence(f"tsk_{i}", cause="revoked", by="ops", at_ms=i))
    journal._ring.compact()
    journal.fence("tsk_5", cause="revoked", by="ops", at_ms=5)
    for _ in range(3):
        assert Journal(tmp_path / "j", 4 * SIZE).fences_seq == 6


def test_an_entry_of_another_version_is_refused(tmp_path: Path) -> None:
    """What this version cannot read may be a fence; it does not go on without it."""
    ring = RingFile(tmp_path / "j", SIZE)
    ring.append(b'{"v":2,"kind":"fence","task":"t"}')
    ring.close()
    with pytest.raises(JournalCorrupt, match="cannot read"):
        Journal(tmp_path / "j", SIZE)


def test_a_mark_comes_back_as_it_was(tmp_path: Path) -> None:
    """A checkpoint holds everything needed to apply it in another process."""
    mark = a_mark(kit.make_lease(kit.make_task()))
    assert mark_from(mark.to_json()) == mark
    journal = Journal(tmp_path / "j", 4 * SIZE)
    seq = journal.mark(mark)
    assert Journal(tmp_path / "j", 4 * SIZE).marks() == [(seq, mark)]


def a_mark(lease: kit.Lease, state: LeaseState = LeaseState.REVOKING) -> Mark:
    changed = replace(lease, state=state, cause="revoked", attempt=1)
    record = kit.Record(
        kit.Kind.LEASE_STEP,
        kit.NOW,
        lease.task,
        {"lease": lease.id, "step": "revoking", "attempt": 1, "outcome": "begun", "observed": {"fenced_ms": 5}},
    )
    return Mark("recipe", changed, LIVE, (record,), {"receipt": "r", "task": lease.task, "lease": lease.id})


def test_checkpoints_leave_room_for_fences(tmp_path: Path) -> None:
    """When the journal takes no checkpoint any more, it takes a fence for each of hundreds of tasks."""
    journal = Journal(tmp_path / "j", 4 * SIZE)
    mark = a_mark(kit.make_lease(kit.make_task()))

    def fill() -> None:
        for _ in range(10_000):
            journal.mark(mark)

    with pytest.raises(JournalFull):
        fill()
    for number in range(300):
        journal.fence(f"tsk_{number}", cause="revoked", by="ops", at_ms=kit.NOW)
    assert len(journal.fences()) == 300


def test_replaying_twice_is_replaying_once(tmp_path: Path) -> None:
    """Fences and checkpoints are applied where they are missing and skipped where they are not."""
    store = kit.native_store(tmp_path / "state")
    task = kit.put_task(store)
    leases = [kit.put_lease(store, kit.make_lease(task)) for _ in range(3)]
    journal = Journal(tmp_path / "j", 4 * SIZE)
    journal.fence(task.id, cause="revoked", by="ops", at_ms=kit.NOW)
    for lease in leases:
        journal.mark(a_mark(lease))
    again = a_mark(leases[0])
    step = kit.Record(kit.Kind.LEASE_STEP, kit.NOW, task.id, {"lease": leases[0].id, "step": "kill", "attempt": 1})
    journal.mark(replace(again, label="step", expect=frozenset({LeaseState.REVOKING}), records=(step,)))
    shutil.copy(tmp_path / "j", tmp_path / "j2")
    assert journal.replay(store, store.tasks, store.leases) == 5
    head = store.records.head()
    for _ in range(2):
        shutil.copy(tmp_path / "j2", tmp_path / "j3")
        assert Journal(tmp_path / "j3", 4 * SIZE).replay(store, store.tasks, store.leases) == 0
        assert store.records.head() == head
    state = fold(store.records.read())
    assert state.tasks == {task.id: TaskState.FENCED}
    assert set(state.leases.values()) == {LeaseState.REVOKING}
    found = store.tasks.get(task.id)
    assert found is not None
    assert (found.state, found.cause) == (TaskState.FENCED, "revoked")
    assert journal.stats()["entries"] == 0
    store.close()


def test_a_store_that_lost_the_lease_gets_it_back_from_the_journal(tmp_path: Path) -> None:
    """A checkpoint carries the whole row: after a restore from backup the revocation still goes on."""
    store = kit.native_store(tmp_path / "state")
    lease = kit.make_lease(kit.put_task(store))
    journal = Journal(tmp_path / "j", 4 * SIZE)
    journal.mark(a_mark(lease))
    journal.replay(store, store.tasks, store.leases)
    found = store.leases.get(lease.id)
    assert found is not None
    assert (found.state, found.recipe) == (LeaseState.REVOKING, lease.recipe)
    store.close()


def test_what_the_store_cannot_take_stays(tmp_path: Path) -> None:
    """Replaying into a store that refuses leaves the entries for later."""
    with kit.faulty_store(tmp_path / "state") as (store, database):
        task = kit.put_task(store)
        journal = Journal(tmp_path / "j", 4 * SIZE)
        journal.fence(task.id, cause="revoked", by="ops", at_ms=kit.NOW)
        database.mode = "refuse"
        assert journal.replay(store, store.tasks, store.leases) == 0
        assert journal.fences()[0][1] == task.id
        database.mode = "ok"
        assert journal.replay(store, store.tasks, store.leases) == 1


def test_a_disk_that_refuses_is_said_and_the_next_write_works(tmp_path: Path) -> None:
    """A failed write raises for those who waited on it, and leaves no phantom behind."""
    ring = RingFile(tmp_path / "j", SIZE)
    ring.append(b"before")
    good = ring._fd
    ring._fd = os.open(tmp_path / "j", os.O_RDONLY)
    with pytest.raises(Unavailable):
        ring.append(b"lost")
    os.close(ring._fd)
    ring._fd = good
    ring.append(b"after")
    assert payloads(RingFile(tmp_path / "j", SIZE)) == [b"before", b"after"]


def test_a_failed_flush_leaves_no_phantom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that were written but not flushed were refused; a later one of the same length brings none back."""
    ring = RingFile(tmp_path / "j", SIZE)
    ring.append(b"before")

    def broken(fd: int) -> None:
        raise OSError(5, "input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        first = ring._next
        ring._next += 2
        ring._pending = [(first, b"\x00one"), (first + 1, b"\x00two")]
        with ring._lock, pytest.raises(Unavailable):
            ring._flush(first)
    ring.append(b"new")
    assert payloads(RingFile(tmp_path / "j", SIZE)) == [b"before", b"new"]


def test_it_works_while_no_file_may_grow(tmp_path: Path) -> None:
    """Preallocated: with a file size limit of nothing, fences go on being durable, through compactions."""
    pid = os.fork()
    if pid == 0:
        try:
            import signal

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            # A write within a file's size is no growth, but the limit is on the offset: it must still be refused
            # by the kernel for a new file, and it is lifted to the journal's own size for the journal.
            Journal(tmp_path / "j", 4 * SIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4 * SIZE, 4 * SIZE))
            journal = Journal(tmp_path / "j", 4 * SIZE)
            for i in range(3000):
                journal.settle(journal.fence(f"tsk_{i}", cause="revoked", by="ops", at_ms=i))
            try:
                (tmp_path / "other").write_bytes(bytes(8 * SIZE))
            except OSError:
                os._exit(0)
            os._exit(3)
        except BaseException:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert Journal(tmp_path / "j", 4 * SIZE).fences_seq == 3000


@pytest.mark.parametrize("point", ["journal.before_compact", "journal.after_compact", "journal.after_append"])
def test_kill_at_each_point_keeps_what_was_acknowledged(tmp_path: Path, point: str) -> None:
    """kill -9 in the journal: every fence that was said to be durable is there afterwards."""
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from flyball.kernel import faults; from flyball.revocation.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), 65536)\n"
        "faults.arm_from_env(production=False)\n"
        "for i in range(2000):\n"
        "    seq = journal.fence(f'tsk_{i}', cause='revoked', by='ops', at_ms=i)\n"
        "    print(i, flush=True)\n"
        "    if i >= 50: journal.settle(seq)\n"
    )
    env = {**os.environ, "FLYBALL_FAULTS": f"{point}:kill:{2 if 'compact' in point else 700}"}
    command = [sys.executable, "-c", script, str(tmp_path / "j"), *[path for path in sys.path if path]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)
    assert done.returncode == -9, done.stderr
    last = int(done.stdout.split()[-1])
    journal = Journal(tmp_path / "j", 65536)
    assert journal.fences_seq in (last + 1, last + 2)
    assert [task for _, task in journal.fences()][:50] == [f"tsk_{i}" for i in range(50)]


def test_points_are_counted_only_when_armed(tmp_path: Path) -> None:
    """The fault points are where the journal says they are."""
    ring = RingFile(tmp_path / "j", SIZE)
    with armed("journal.nowhere:raise") as passed:
        ring.append(b"x")
        ring.compact()
        assert {name: passed[name] for name in sorted(passed)} == {
            "journal.after_append": 1,
            "journal.after_compact": 1,
            "journal.before_append": 1,
            "journal.before_compact": 1,
        }
