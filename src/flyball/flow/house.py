"""The parts of one running Flyball, as the flow sees them.

Assembly builds a `House` and hands it to the edges; the functions of `flow` take it as their
first argument. It holds no behaviour of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flyball.audit.checkpoint import CheckpointSigner
from flyball.audit.ports import RecordLog, Store
from flyball.credential.backend import Backend
from flyball.credential.claims import Claims
from flyball.credential.ports import LeaseStore
from flyball.credential.seal import Sealer
from flyball.enforcement.gateway import Gateway
from flyball.identity.admin import AdminTokens
from flyball.identity.replay import ReplayCache
from flyball.identity.resolve import Resolver
from flyball.identity.token_keys import TokenKeys
from flyball.kernel.clock import Clock
from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle
from flyball.policy.compile import Compiled
from flyball.policy.engine import Core, Writer
from flyball.revocation.journal import Journal
from flyball.revocation.loop import Revoker
from flyball.revocation.sweep import Sweeper
from flyball.task.heartbeat import ReceivingClock
from flyball.task.ports import TaskStore


@dataclass(frozen=True, slots=True)
class Settings:
    """What does not change while it runs. Times in milliseconds."""

    issuer: str
    cell: str
    node: str
    epoch: int
    mode: str
    check_endpoints: tuple[str, ...] = ()
    undelivered_ms: int = 30_000
    sweep_ms: int = 60_000


class ActiveBundle:
    """The bundle that is in force. Replaced whole, and only by one that was loaded."""

    def __init__(self, compiled: Compiled, path: Path) -> None:
        self._compiled = compiled
        self.path = path

    @property
    def compiled(self) -> Compiled:
        """As it was compiled."""
        return self._compiled

    @property
    def bundle(self) -> Bundle:
        """The bundle itself."""
        return self._compiled.bundle

    @property
    def digest(self) -> str:
        """`sha256:…` over its content."""
        return self._compiled.digest

    def replace(self, compiled: Compiled, path: Path) -> None:
        """Put a loaded bundle in force."""
        self._compiled, self.path = compiled, path


class Issuing:
    """Leases whose credential is being made at a target this very moment.

    A revocation that overtook the making would find nothing, prove it gone, and leave what is made
    a moment later. So whoever fences leaves such a lease alone, and the one who makes it takes it
    back: it looks at the fence after the target has answered, before anybody gets the secret.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._held: set[str] = set()

    @contextmanager
    def hold(self, lease: str) -> Iterator[None]:
        """The lease is at its target for the length of the block."""
        with self._condition:
            self._held.add(lease)
        try:
            yield
        finally:
            with self._condition:
                self._held.discard(lease)
                self._condition.notify_all()

    def holds(self, lease: str) -> bool:
        """Whether it is at its target now."""
        with self._condition:
            return lease in self._held

    def wait(self, lease: str, timeout_s: float) -> bool:
        """Wait until it is not; False if it still is when the time is up."""
        with self._condition:
            return self._condition.wait_for(lambda: lease not in self._held, timeout_s)


class Brokering:
    """One task at a time asks a gateway for a session: two at once would issue two leases for it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._busy: set[str] = set()

    @contextmanager
    def one(self, task: str) -> Iterator[None]:
        """Alone for that task, for the length of the block."""
        with self._condition:
            self._condition.wait_for(lambda: task not in self._busy)
            self._busy.add(task)
        try:
            yield
        finally:
            with self._condition:
                self._busy.discard(task)
                self._condition.notify_all()


class FaultCounts:
    """Counts of refusals for faults of our own, for `status` and the gap record."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, reason: str) -> None:
        """Count one."""
        with self._lock:
            self._counts[reason] = self._counts.get(reason, 0) + 1

    def take(self) -> dict[str, int]:
        """The counts since the last take."""
        with self._lock:
            counts, self._counts = self._counts, {}
            return counts


@dataclass(slots=True)
class House:
    """Everything the flow calls, by room."""

    settings: Settings
    clock: Clock
    resolver: Resolver
    replay: ReplayCache
    keys: TokenKeys
    admins: AdminTokens
    active: ActiveBundle
    core: Core
    sealer: Sealer
    backends: Mapping[str, Backend]
    claims: Claims
    store: Store
    tasks: TaskStore
    leases: LeaseStore
    log: RecordLog
    journal: Journal
    revoker: Revoker
    sweeper: Sweeper
    signer: CheckpointSigner
    receiving: ReceivingClock
    writer: Writer
    public_keys: Mapping[str, Json]
    gateways: dict[str, Gateway] = field(default_factory=dict)
    bundle_watchers: list[Callable[[Bundle], None]] = field(default_factory=list)
    """Told a bundle before it comes into force; one that cannot use it refuses it (`ConfigError`)."""
    certificate_problems: dict[str, str] = field(default_factory=dict)
    """Places whose certificates' files cannot be used as they stand, and why; replaced whole."""
    brokering: Brokering = field(default_factory=Brokering)
    issuing: Issuing = field(default_factory=Issuing)
    hearing: threading.Lock = field(default_factory=threading.Lock)
    faults: FaultCounts = field(default_factory=FaultCounts)
