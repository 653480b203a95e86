"""What every store promises. A new store joins by adding its opener to OPENERS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests import stores_kit as kit

from flyball.audit.chain import verify_chain
from flyball.audit.record import Kind, Record
from flyball.credential.lease import LeaseState
from flyball.kernel.errors import Conflict
from flyball.stores.sqlite.store import SqliteStore
from flyball.task.task import LIVE, TaskState

OPENERS: dict[str, Callable[[Path], SqliteStore]] = {"sqlite": kit.native_store}


@pytest.fixture(params=sorted(OPENERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteStore]:
    opened = OPENERS[request.param](tmp_path / "state")
    yield opened
    opened.close()


def step(lease_id: str, task: str | None, at: int = kit.NOW) -> Record:
    return Record(Kind.LEASE_STEP, at, task, {"lease": lease_id, "step": "kill", "attempt": 1, "outcome": "done"})


def test_a_task_comes_back_as_it_was_saved(store: SqliteStore) -> None:
    """Every column and the declared inputs survive the way through the store."""
    task = kit.put_task(store)
    assert store.tasks.get(task.id) == task
    assert store.tasks.get("tsk_local_none") is None


def test_a_lease_comes_back_as_it_was_saved(store: SqliteStore) -> None:
    """Every column of the ledger survives, recipe and progress included."""
    lease = kit.put_lease(store, kit.make_lease(kit.put_task(store)))
    assert store.leases.get(lease.id) == lease
    assert store.leases.sealed_secret(lease.id) == b"sealed"


def test_inputs_do_not_stand_in_the_clear(store: SqliteStore, tmp_path: Path) -> None:
    """Declared inputs are in the store only sealed."""
    kit.put_task(store)
    store.close()
    everything = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir() if path.is_file())
    assert b"T-1042" not in everything
    assert b"refund-agent" in everything


def test_inputs_are_gone_with_their_key(store: SqliteStore) -> None:
    """An erased data key leaves the task without inputs, and the store without the key."""
    task = kit.put_task(store)
    unit = store.unit()
    unit.save_data_key(task.id, None)
    unit.commit()
    found = store.tasks.get(task.id)
    assert found is not None
    assert found.inputs == {}
    assert store.tasks.data_key(task.id) is None


def test_a_data_key_is_never_replaced(store: SqliteStore) -> None:
    """Saving a second key over the first is refused: what the first sealed would be lost silently."""
    task = kit.put_task(store)
    unit = store.unit()
    unit.save_data_key(task.id, b"another")
    with pytest.raises(Conflict):
        unit.commit()
    assert store.tasks.data_key(task.id) == b"wrapped-key-of-" + task.id.encode()


def test_a_unit_is_all_or_nothing(store: SqliteStore) -> None:
    """One guard that does not hold keeps everything of its unit out, records too."""
    task = kit.put_task(store)
    lease = kit.put_lease(store, kit.make_lease(task))
    head = store.records.head()
    unit = store.unit()
    unit.save_row("agent", "refund-agent", {"state": "suspended"})
    unit.save_secret(lease.id, b"other")
    unit.record(step(lease.id, task.id))
    unit.save_lease(replace(lease, state=LeaseState.DELIVERED), expect=frozenset({LeaseState.ACTIVE}))
    with pytest.raises(Conflict):
        unit.commit()
    assert store.records.head() == head
    assert store.row("agent", "refund-agent") is None
    assert store.leases.sealed_secret(lease.id) == b"sealed"


def test_inserting_twice_is_a_conflict(store: SqliteStore) -> None:
    """A task or lease id that is taken is refused."""
    task = kit.put_task(store)
    lease = kit.put_lease(store, kit.make_lease(task))
    for save in (lambda unit: unit.save_task(task), lambda unit: unit.save_lease(lease)):
        unit = store.unit()
        save(unit)
        with pytest.raises(Conflict):
            unit.commit()


@pytest.mark.parametrize("live", [LeaseState.INTENT, LeaseState.ACTIVE, LeaseState.DELIVERED])
def test_a_renewal_cannot_revive_a_lease_in_revoking(store: SqliteStore, live: LeaseState) -> None:
    """Nothing leads from REVOKING back to a live state, whatever the caller says it expects."""
    lease = kit.put_lease(store, kit.make_lease(kit.put_task(store), state=LeaseState.REVOKING))
    for expect in ({LeaseState.REVOKING}, {LeaseState.ACTIVE, LeaseState.REVOKING}, set(LeaseState)):
        unit = store.unit()
        unit.save_lease(replace(lease, state=live, expires_ms=lease.expires_ms + 1), expect=frozenset(expect))
        with pytest.raises(Conflict):
            unit.commit()
    assert store.leases.get(lease.id) == lease


def test_a_fenced_task_never_opens_again(store: SqliteStore) -> None:
    """FENCED leads to CLOSED only."""
    task = kit.put_task(store)
    fenced = replace(task, state=TaskState.FENCED, cause="revoked")
    unit = store.unit()
    unit.save_task(fenced, expect=LIVE)
    unit.commit()
    for state in LIVE:
        unit = store.unit()
        unit.save_task(replace(task, state=state), expect=frozenset(TaskState))
        with pytest.raises(Conflict):
            unit.commit()
    assert store.tasks.get(task.id) == fenced


def test_a_hard_end_only_comes_nearer(store: SqliteStore) -> None:
    """Authority only narrows: an update that moves the hard end out is refused."""
    task = kit.put_task(store)
    for moved, fits in ((1, False), (-1, True)):
        unit = store.unit()
        unit.save_task(replace(task, hard_end_ms=task.hard_end_ms + moved), expect=LIVE)
        if fits:
            unit.commit()
        else:
            with pytest.raises(Conflict):
                unit.commit()


def test_a_lease_of_a_later_epoch_is_left_alone(store: SqliteStore) -> None:
    """A node does not write what a later epoch holds."""
    task = kit.put_task(store)
    with pytest.raises(Conflict):
        kit.put_lease(store, replace(kit.make_lease(task), epoch=store.epoch + 1))


def test_a_deposed_node_writes_nothing(store: SqliteStore) -> None:
    """Once another node has opened a later epoch, every unit of this one is refused whole."""
    task = kit.put_task(store)
    deposer = SqliteStore(store.database, cell="local", node="n2", sealer=kit.XorSealer(), clock=kit.SystemClock())
    assert deposer.open_epoch() == store.epoch + 1
    head = store.records.head()
    unit = store.unit()
    unit.save_row("agent", "a", {"state": "active"})
    with pytest.raises(Conflict):
        unit.commit()
    unit = store.unit()
    unit.record(step("lea", task.id))
    with pytest.raises(Conflict):
        unit.commit()
    assert store.records.head() == head
    kit.put_lease(deposer, kit.make_lease(replace(task, epoch=deposer.epoch)))


def test_epoch_and_generation_grow_and_are_in_the_chain(store: SqliteStore) -> None:
    """Every opening is a record; the generation passes the one an anchor remembers."""
    before = store.generation
    again = SqliteStore(store.database, cell="local", node="n1", sealer=kit.XorSealer(), clock=kit.SystemClock())
    again.open_epoch(at_least=before + 40)
    assert again.generation == before + 41
    assert [stored.kind for stored in again.records.read()] == [Kind.EPOCH_OPENED, Kind.EPOCH_OPENED]


def test_records_are_one_chain_numbered_per_task(store: SqliteStore) -> None:
    """Sequence numbers have no gap, numbers within a task start at 1, and the chain verifies to the head."""
    tasks = [kit.put_task(store) for _ in range(3)]
    for task in tasks:
        kit.put_lease(store, kit.make_lease(task))
    check, findings = verify_chain(store.records.read())
    assert findings == []
    assert (check.seq, check.head) == store.records.head()
    assert [stored.n for stored in store.records.of_task(tasks[1].id)] == [1, 2]


def test_reading_starts_and_stops_where_asked(store: SqliteStore) -> None:
    """`read` pages through, `select` answers the newest in order."""
    task = kit.put_task(store)
    unit = store.unit()
    for number in range(2500):
        unit.record(step(f"lea_{number}", task.id, kit.NOW + number))
    seqs = unit.commit()
    assert [stored.seq for stored in store.records.read(limit=10**6)] == list(range(1, seqs[-1] + 1))
    assert [stored.seq for stored in store.records.read(after=seqs[0], limit=3)] == seqs[1:4]
    assert len(list(store.records.of_task(task.id))) == 2501
    newest = store.records.select(kinds=frozenset({"lease_step"}), limit=5)
    assert [stored.seq for stored in newest] == seqs[-5:]
    assert store.records.select(task=task.id, since_ms=kit.NOW + 2499) == newest[-1:]


def test_what_is_due(store: SqliteStore) -> None:
    """Due: expired live leases, and REVOKING or QUARANTINED ones whose time has come; nothing else, expired first."""
    task = kit.put_task(store)
    now = kit.NOW + 1000
    wanted = []
    for state, expires, due, is_due in (
        (LeaseState.QUARANTINED, now + 9, now, True),
        (LeaseState.QUARANTINED, now - 9, now + 1, False),
        (LeaseState.REVOKING, now + 9, now - 1, True),
        (LeaseState.VERIFIED, now - 9, 0, False),
        (LeaseState.DELIVERED, now, 0, True),
        (LeaseState.DELIVERED, now + 1, 0, False),
        (LeaseState.INTENT, now - 1, 0, True),
        (LeaseState.ACTIVE, now - 1, 0, True),
    ):
        lease = replace(kit.make_lease(task, state=state), expires_ms=expires, due_ms=due)
        kit.put_lease(store, lease)
        if is_due:
            wanted.append(lease)
    found = store.leases.due(now)
    assert {lease.id for lease in found} == {lease.id for lease in wanted}
    live = [lease.state in {LeaseState.INTENT, LeaseState.ACTIVE, LeaseState.DELIVERED} for lease in found]
    assert live == sorted(live, reverse=True)


def test_selecting_tasks_and_leases(store: SqliteStore) -> None:
    """Filters combine; tasks come newest first, leases oldest first, both bounded."""
    tasks = [kit.put_task(store, kit.make_task(store.epoch, at=kit.NOW + i, agent=f"a{i % 2}")) for i in range(4)]
    assert [task.id for task in store.tasks.select(agent="a1")] == [tasks[3].id, tasks[1].id]
    assert [task.id for task in store.tasks.select(states=LIVE, limit=1)] == [tasks[3].id]
    assert store.tasks.select(states=frozenset({TaskState.CLOSED})) == []
    leases = [kit.put_lease(store, kit.make_lease(task, target=f"t{i % 2}")) for i, task in enumerate(tasks)]
    assert [lease.id for lease in store.leases.select(target="t0")] == [leases[0].id, leases[2].id]
    assert [lease.id for lease in store.leases.select(agent="a1", target="t1", limit=1)] == [leases[1].id]
    assert store.leases.select(task=tasks[0].id, states=frozenset({LeaseState.VERIFIED})) == []
    assert len(store.leases.select(owner="payments")) == 4


def test_small_documents(store: SqliteStore) -> None:
    """A document is replaced whole; tables do not mix; receipts are found by task."""
    unit = store.unit()
    unit.save_row("agent", "b", {"state": "active"})
    unit.save_row("agent", "a", {"state": "active"})
    unit.save_row("agent", "a", {"state": "suspended", "by": "ops"})
    unit.save_row("receipt", "r2", {"task": "t1", "lease": "l"})
    unit.save_row("receipt", "r1", {"task": "t1", "lease": "l"})
    unit.save_row("receipt", "r3", {"task": "t2", "lease": "l"})
    unit.save_row("other", "r4", {"task": "t1"})
    unit.commit()
    assert store.row("agent", "a") == {"state": "suspended", "by": "ops"}
    assert [key for key, _ in store.rows("agent")] == ["a", "b"]
    assert store.row("receipt", "a") is None
    assert len(store.receipts("t1")) == 2


def test_a_unit_is_committed_once(store: SqliteStore) -> None:
    """Committing again is a mistake of the caller's and is refused."""
    unit = store.unit()
    unit.save_row("agent", "a", {"state": "active"})
    unit.commit()
    with pytest.raises(ValueError, match="once"):
        unit.commit()


def test_labels_follow_an_instance(store: SqliteStore) -> None:
    """Only that one of that principal; kept once, by the task that came first; gone when its agent is fresh."""
    one = replace(kit.make_task(store.epoch), instance="pod-1")
    two = replace(kit.make_task(store.epoch, agent="other"), instance="pod-2")
    kit.put_task(store, one)
    kit.put_task(store, two)
    for task, labels in ((one, ["pii", "outside"]), (one, ["pii"]), (two, ["secret"])):
        unit = store.unit()
        unit.save_labels(task, labels, kit.NOW)
        unit.commit()
    assert store.labels(one.principal, "pod-1") == ["outside", "pii"]
    assert store.labels(one.principal, "pod-2") == ["secret"]
    assert store.labels("spiffe://example.org/else", "pod-1") == []
    assert store.labels_of_agent("other") == [(two.principal, "pod-2", "secret")]
    unit = store.unit()
    unit.forget_labels("other")
    unit.commit()
    assert store.labels(one.principal, "pod-2") == []
    assert store.labels(one.principal, "pod-1") == ["outside", "pii"]


def test_children_are_found_by_their_parent(store: SqliteStore) -> None:
    """Those of one task; and which tasks have any that are not closed."""
    parent = kit.put_task(store)
    assert store.tasks.parents() == frozenset()
    child = replace(kit.make_task(store.epoch), parent=parent.id)
    kit.put_task(store, child)
    kit.put_task(store)
    assert [row.id for row in store.tasks.select(parent=parent.id)] == [child.id]
    assert store.tasks.get(child.id) == child
    assert store.tasks.parents() == {parent.id}
    for state, before in ((TaskState.FENCED, LIVE), (TaskState.CLOSED, frozenset({TaskState.FENCED}))):
        unit = store.unit()
        unit.save_task(replace(child, state=state, cause="ended"), expect=before)
        unit.commit()
    assert store.tasks.parents() == frozenset()
    assert [row.state for row in store.tasks.select(parent=parent.id)] == [TaskState.CLOSED]
