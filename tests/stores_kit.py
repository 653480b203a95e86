"""Parts for tests of stores and of revocation: a real store, a database that fails on demand, an in-memory target."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flyball.audit.record import Kind, Record
from flyball.credential.backend import (
    HELD,
    Claim,
    DoorProbe,
    Found,
    Issued,
    LeaseSpec,
    Plan,
    ProbeReport,
    StepOutcome,
    TargetUnavailable,
)
from flyball.credential.lease import Delivery, Lease, LeaseState
from flyball.kernel.clock import Clock, SystemClock
from flyball.kernel.errors import Conflict, NotFound, Unavailable
from flyball.kernel.ids import lease_id, task_id
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret
from flyball.revocation.journal import Journal
from flyball.revocation.loop import Pace, Revoker
from flyball.revocation.receipts import ReceiptSigner
from flyball.stores.sqlite.files import STORE_NAME, prepare, touch_private
from flyball.stores.sqlite.migrate import migrate
from flyball.stores.sqlite.native import NativeDatabase, open_store
from flyball.stores.sqlite.ports import Database, NewRecord, Row, Statement, Value
from flyball.stores.sqlite.store import SqliteStore
from flyball.task.task import Input, Task, TaskState

NOW = 1_800_000_000_000
STEPS = ("deny_logins", "kill", "drop")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def until(predicate: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < end, "the condition did not come about in time"
        time.sleep(0.002)


class XorSealer:
    """Enough of a sealer to see that inputs do not stand in the clear, and need their key."""

    def seal_inputs(self, task: str, wrapped: bytes, plain: bytes) -> bytes:
        return bytes(b ^ wrapped[i % len(wrapped)] for i, b in enumerate(plain))

    def open_inputs(self, task: str, wrapped: bytes, sealed: bytes) -> bytes:
        return self.seal_inputs(task, wrapped, sealed)


class FaultyDatabase:
    """A real database that refuses, hangs, or lies about the outcome of a commit when told to."""

    def __init__(self, inner: Database) -> None:
        self.inner = inner
        self.mode = "ok"  # ok | refuse | hang | unknown (commits, then says it could not) | blind (cannot be read)
        self.gate = threading.Event()
        self.commits = 0

    def commit(self, statements: Sequence[Statement], records: Sequence[NewRecord]) -> list[int]:
        if self.mode == "refuse":
            raise Unavailable("the disk is full", code="store_unavailable")
        if self.mode == "hang":
            self.gate.wait()
        seqs = self.inner.commit(statements, records)
        self.commits += 1
        if self.mode == "unknown":
            self.mode = "ok"
            raise Unavailable("the outcome of the commit is unknown", code="store_unavailable")
        return seqs

    def query(self, sql: str, parameters: Sequence[Value]) -> list[Row]:
        if self.mode == "blind":
            raise Unavailable("the store cannot be read", code="store_unavailable")
        return self.inner.query(sql, parameters)

    def head(self) -> tuple[int, bytes]:
        return self.inner.head()

    def close(self) -> None:
        self.gate.set()
        self.inner.close()


def native_store(directory: Path, *, node: str = "n1", clock: Clock | None = None) -> SqliteStore:
    """A store on the compiled writer, its epoch opened."""
    store = open_store(directory, cell="local", node=node, sealer=XorSealer(), clock=clock or SystemClock())
    store.open_epoch()
    return store


@contextmanager
def faulty_store(directory: Path, clock: Clock | None = None) -> Iterator[tuple[SqliteStore, FaultyDatabase]]:
    """A store whose database fails on demand."""
    inner = open_store(directory, cell="local", node="n1", sealer=XorSealer(), clock=clock or SystemClock())
    database = FaultyDatabase(inner.database)
    store = SqliteStore(database, cell="local", node="n1", sealer=XorSealer(), clock=clock or SystemClock())
    store.open_epoch()
    try:
        yield store, database
    finally:
        database.mode = "ok"
        database.gate.set()
        inner.close()


def make_task(store_epoch: int = 1, *, agent: str = "refund-agent", owner: str = "payments", at: int = NOW) -> Task:
    return Task(
        id=task_id("local", at),
        principal="spiffe://example.org/refund-agent",
        agent=agent,
        owner=owner,
        profile="settle-refund",
        profile_digest="sha256:00",
        bundle="sha256:11",
        state=TaskState.OPEN,
        opened_ms=at,
        hard_end_ms=at + 900_000,
        heartbeat_ms=5000,
        binding="jkt:abc",
        cell="local",
        home="n1",
        epoch=store_epoch,
        inputs={"ticket": Input("T-1042", "string", "desk"), "limit": Input("120.00", "decimal")},
        attributes={"user": "ünïcode"},
    )


def make_lease(
    task: Task, *, target: str = "orders", at: int | None = None, state: LeaseState = LeaseState.INTENT
) -> Lease:
    created = task.opened_ms if at is None else at
    lease = lease_id("local", created)
    return Lease(
        id=lease,
        task=task.id,
        agent=task.agent,
        owner=task.owner,
        target=target,
        kind="memory",
        access="writer",
        credential="orders",
        name=f"flyball_{lease}",
        state=state,
        delivery=Delivery.RELEASED,
        created_ms=created,
        expires_ms=created + 300_000,
        epoch=task.epoch,
        recipe={"groups": ["writers"]},
        progress={"native_expiry_ms": created + 300_000},
    )


def opened(task: Task) -> Record:
    return Record(Kind.TASK_OPENED, task.opened_ms, task.id, {"agent": task.agent, "owner": task.owner})


def intent(lease: Lease) -> Record:
    return Record(Kind.LEASE_INTENT, lease.created_ms, lease.task, {"lease": lease.id, "target": lease.target})


def put_task(store: SqliteStore, task: Task | None = None) -> Task:
    task = task or make_task(store.epoch)
    unit = store.unit()
    unit.save_task(task)
    unit.save_data_key(task.id, b"wrapped-key-of-" + task.id.encode())
    unit.record(opened(task))
    unit.commit()
    return task


def put_lease(store: SqliteStore, lease: Lease, secret: bytes | None = b"sealed") -> Lease:
    unit = store.unit()
    unit.save_lease(lease)
    if secret is not None:
        unit.save_secret(lease.id, secret)
    unit.record(intent(lease))
    unit.commit()
    return lease


class Target:
    """An in-memory target: logins by name, sessions by name, steps that fail or hang when told to."""

    kind = "memory"

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.logins: dict[str, bool] = {}
        self.sessions: dict[str, int] = {}
        self.calls: list[tuple[str, str]] = []
        self.fail: dict[str, int] = {}  # step → times to fail (-1: always)
        self.hang: set[str] = set()
        self.sticky = 0  # probes that still find a session
        self.release = threading.Event()
        self.weak: tuple[str, ...] = ()
        self.stores: dict[str, str] = {}  # name → the mark of the store that it was made for
        self.held_by_another = False

    def plan(self, spec: LeaseSpec) -> Plan:
        return Plan(f"flyball_{spec.lease}", {"issuer": spec.issuer})

    def issue(self, plan: Plan, secret: Secret) -> Issued:
        with self.lock:
            self.logins[plan.name] = True
            self.sessions[plan.name] = 1
        return Issued({}, {"oid": 1}, 0)

    def steps(self, plan: Plan) -> Sequence[str]:
        return STEPS

    def run(self, step: str, plan: Plan, progress: Mapping[str, Json]) -> StepOutcome:
        self._maybe(step, plan)
        with self.lock:
            if step == "deny_logins" and plan.name in self.logins:
                self.logins[plan.name] = False
            killed = self.sessions.pop(plan.name, 0) if step == "kill" else 0
            if step == "drop":
                self.logins.pop(plan.name, None)
        return StepOutcome({"killed": killed, "ratio": "1.5"}, {step: True}, self.weak)

    def probe(self, plan: Plan, progress: Mapping[str, Json], secret: Secret | None) -> ProbeReport:
        self._maybe("probe", plan)
        with self.lock:
            accepted = self.logins.get(plan.name, False)
            left = self.sessions.get(plan.name, 0)
            if self.sticky:
                self.sticky -= 1
                left += 1
        verdict = "accepted" if accepted else "refused"
        return ProbeReport((DoorProbe("primary", verdict, True, "28P01", left),))

    def inventory(self, issuer: str) -> Sequence[Found]:
        with self.lock:
            names = set(self.logins) | set(self.sessions)
        return [
            Found(name, name.removeprefix("flyball_"), 3_600_000, self.sessions.get(name, 0), self.stores.get(name, ""))
            for name in names
        ]

    def hold(self, claim: Claim) -> None:
        if self.held_by_another:
            raise TargetUnavailable(f"another Flyball of {claim.issuer} is at work here", code=HELD)

    def let_go(self) -> None:
        pass

    def inspect(self) -> Mapping[str, Json]:
        return {}

    def _maybe(self, step: str, plan: Plan) -> None:
        with self.lock:
            self.calls.append((step, plan.name))
            left = self.fail.get(step, 0)
            if left > 0:
                self.fail[step] = left - 1
        if step in self.hang:
            self.release.wait()
        if left:
            raise TargetUnavailable(f"{step} cannot now")


FAST = Pace(quick_ms=1, backoff_ms=5, backoff_cap_ms=50)


def make_revoker(
    store: SqliteStore,
    journal: Journal,
    backends: Mapping[str, Target],
    *,
    pace: Pace = FAST,
    patience_s: float = 2.0,
    clock: Clock | None = None,
    epoch: int | None = None,
    on_settled: Callable[[Lease], None] = lambda lease: None,
) -> Revoker:
    return Revoker(
        store=store,
        leases=store.leases,
        tasks=store.tasks,
        records=store.records,
        journal=journal,
        backends=backends,
        signer=ReceiptSigner(KEY),
        clock=clock or SystemClock(),
        epoch=store.epoch if epoch is None else epoch,
        cell="local",
        unseal=lambda lease, sealed: Secret(sealed.decode()),
        pace=pace,
        patience_s=patience_s,
        on_settled=on_settled,
    )


__all__ = [
    "FAST",
    "KEY",
    "NOW",
    "STEPS",
    "STORE_NAME",
    "Conflict",
    "Ed25519PrivateKey",
    "FaultyDatabase",
    "Kind",
    "Lease",
    "NativeDatabase",
    "NotFound",
    "Record",
    "SystemClock",
    "Target",
    "Task",
    "XorSealer",
    "faulty_store",
    "intent",
    "make_lease",
    "make_revoker",
    "make_task",
    "migrate",
    "native_store",
    "opened",
    "prepare",
    "put_lease",
    "replace",
    "put_task",
    "touch_private",
    "until",
]
