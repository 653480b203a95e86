"""The in-memory backend: a real target in all but the network, with faults on request.

It keeps roles, sessions and a wall clock's expiry like a small database, and holds to the same
contract suite as the real connectors. `Faults` makes any of its calls fail, hang, or die after the
effect and before the answer. A production configuration refuses it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from flyball.plugin.v1 import (
    HELD,
    Claim,
    Clock,
    ConfigError,
    DoorProbe,
    Found,
    Issued,
    Json,
    LeaseSpec,
    Plan,
    ProbeReport,
    Secret,
    StepOutcome,
    TargetRefused,
    TargetUnavailable,
)

KIND = "memory"
STEPS = ("deny_login", "kill", "drop")


class DiedError(BaseException):
    """What `die` raises: the process ends here, as far as a test is concerned. Nothing may catch it as an error."""


@dataclass(slots=True)
class Role:
    """One role at the target."""

    issuer: str
    lease: str
    secret: Secret
    expires_ms: int
    made_ms: int
    can_login: bool = True
    sessions: int = 0
    store: str = ""


class Faults:
    """What goes wrong, by call: `issue`, a step, `probe`, `inventory`, `inspect`, `hold`, `rotate`. For so many times.

    `fail` raises TargetUnavailable before the effect, `refuse` TargetRefused; `lost` is the former
    after the effect, as with a broken connection; `die` raises `DiedError` after the effect; `hang`
    waits until `release()`; `odd` raises an error of no known kind, with a text that must not travel.
    """

    KINDS = frozenset({"fail", "refuse", "lost", "die", "hang", "odd"})

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: dict[str, list[tuple[str, int]]] = {}
        self._released = threading.Event()
        self.hanging = threading.Semaphore(0)
        self.calls: list[str] = []

    def arm(self, call: str, kind: str, times: int = 1) -> None:
        """Make the next `times` calls go wrong in that way."""
        if kind not in self.KINDS:
            raise ValueError(f"no fault is called {kind!r}")
        with self._lock:
            self._armed.setdefault(call, []).append((kind, times))

    def release(self) -> None:
        """Let whatever hangs go on; nothing hangs from now on."""
        self._released.set()

    def clear(self) -> None:
        """Forget what is armed, and let whatever hangs go on."""
        with self._lock:
            self._armed.clear()
        self.release()

    def _next(self, call: str) -> str:
        with self._lock:
            self.calls.append(call)
            waiting = self._armed.get(call)
            if not waiting:
                return ""
            kind, times = waiting[0]
            if times > 1:
                waiting[0] = (kind, times - 1)
            else:
                waiting.pop(0)
            return kind

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        """Let what is armed for `call` happen before or after the body."""
        kind = self._next(call)
        if kind == "fail":
            raise TargetUnavailable(f"{call}: the target is down")
        if kind == "refuse":
            raise TargetRefused(f"{call}: the target said no")
        if kind == "odd":
            raise KeyError(f"{call}: an error of its own, quoting a-secret-it-was-given")
        if kind == "hang":
            self.hanging.release()
            self._released.wait()
        yield
        if kind == "lost":
            raise TargetUnavailable(f"{call}: the answer was lost")
        if kind == "die":
            raise DiedError(call)


@dataclass(slots=True)
class World:
    """The target itself: it outlives any number of backends, as a server outlives our process."""

    roles: dict[str, Role] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    faults: Faults = field(default_factory=Faults)
    control: bool = True
    holders: dict[str, tuple[Claim, int]] = field(default_factory=dict)
    """By issuer: who is at work here, and how many backends hold it for him."""
    admin: Secret = field(default_factory=lambda: Secret(secrets.token_urlsafe(16)))
    """The secret of Flyball's own login; nothing here asks for it, a rotation replaces it."""
    doors: tuple[str, ...] = ("memory",)

    def login(self, name: str, secret: Secret, now_ms: int) -> bool:
        """Try to log in; a session begins where it works."""
        with self.lock:
            role = self.roles.get(name)
            if role is None or not role.can_login or now_ms >= role.expires_ms or role.secret != secret:
                return False
            role.sessions += 1
            return True

    def sessions(self, name: str) -> int:
        """How many sessions a role has."""
        with self.lock:
            role = self.roles.get(name)
            return 0 if role is None else role.sessions


def build(name: str, config: Mapping[str, Json], clock: Clock, mode: str) -> MemoryBackend:
    """A memory target with the accesses of its configuration.

    Raises:
        ConfigError: the configuration is a production one, or has no accesses.
    """
    if mode == "production":
        raise ConfigError(
            f"target {name!r} is a memory target, which guards nothing",
            code="target_config",
            hint="production takes a real target",
        )
    accesses = config.get("accesses")
    if not isinstance(accesses, dict) or not accesses:
        raise ConfigError(f"target {name!r} has no accesses", code="target_config")
    return MemoryBackend(name, frozenset(accesses), clock, World())


class MemoryBackend:
    """One memory target."""

    def __init__(self, name: str, accesses: frozenset[str], clock: Clock, world: World) -> None:
        self._name = name
        self._accesses = accesses
        self._clock = clock
        self._held: Claim | None = None
        self.world = world

    @property
    def kind(self) -> str:
        """`memory`."""
        return KIND

    @property
    def faults(self) -> Faults:
        """What goes wrong at this target."""
        return self.world.faults

    def plan(self, spec: LeaseSpec) -> Plan:
        """Name and recipe.

        Raises:
            TargetRefused: no such access.
        """
        if spec.access not in self._accesses:
            raise TargetRefused(f"target {self._name!r} has no access {spec.access!r}", code="access_unknown")
        recipe: dict[str, Json] = {"issuer": spec.issuer, "lease": spec.lease, "expires_ms": spec.expires_ms}
        recipe["store"] = spec.store
        return Plan("_".join(part for part in ("mem", spec.issuer, spec.store, spec.lease) if part), recipe)

    def issue(self, plan: Plan, secret: Secret) -> Issued:
        """Make the role, or make it again the same."""
        now = self._clock.wall_ms()
        expires = plan.recipe["expires_ms"]
        assert isinstance(expires, int)
        if expires <= now:
            raise TargetRefused("the lease has expired", code="lease_expired")
        with self.faults.around("issue"), self.world.lock:
            known = self.world.roles.get(plan.name)
            if known is not None and not known.can_login:
                raise TargetRefused("the lease is being revoked", code="lease_gone")
            if known is None:
                known = Role(str(plan.recipe["issuer"]), str(plan.recipe["lease"]), secret, expires, now)
                known.store = str(plan.recipe.get("store", ""))
                self.world.roles[plan.name] = known
            known.secret = secret
        return Issued({"user": plan.name, "host": "memory"}, {"made": True}, expires)

    def steps(self, plan: Plan) -> Sequence[str]:
        """The steps."""
        del plan
        return STEPS

    def run(self, step: str, plan: Plan, progress: Mapping[str, Json]) -> StepOutcome:
        """Do one step."""
        del progress
        if step not in STEPS:
            raise TargetRefused(f"there is no step {step[:40]!r}", code="step_unknown")
        with self.faults.around(step), self.world.lock:
            role = self.world.roles.get(plan.name)
            if role is None:
                return StepOutcome({"role": "absent"})
            if step == "deny_login":
                role.can_login = False
                return StepOutcome({"role": "denied"})
            if step == "kill":
                ended, role.sessions = role.sessions, 0
                return StepOutcome({"sessions": ended}, {"killed": ended})
            del self.world.roles[plan.name]
            return StepOutcome({"role": "dropped"})

    def probe(self, plan: Plan, progress: Mapping[str, Json], secret: Secret | None) -> ProbeReport:
        """Try every door beside a control login."""
        del progress
        now = self._clock.wall_ms()
        with self.faults.around("probe"), self.world.lock:
            role = self.world.roles.get(plan.name)
            sessions = 0 if role is None else role.sessions
            open_ = role is not None and role.can_login and now < role.expires_ms
            if not self.world.control:
                found = ("inconclusive", False, "the control login failed")
            elif open_ and role is not None and role.secret == secret:
                found = ("accepted", True, "the password still logs in")
            elif open_ or (secret is None and role is not None):
                found = ("inconclusive", True, "the role is still there")
            else:
                found = ("refused", True, "no such role, or it may not log in")
            return ProbeReport(tuple(DoorProbe(door, *found, sessions) for door in self.world.doors))

    def inventory(self, issuer: str) -> Sequence[Found]:
        """Every role of the issuer's."""
        now = self._clock.wall_ms()
        with self.faults.around("inventory"), self.world.lock:
            return [
                Found(name, role.lease, now - role.made_ms, role.sessions, role.store)
                for name, role in sorted(self.world.roles.items())
                if role.issuer == issuer
            ]

    def inspect(self) -> Mapping[str, Json]:
        """Facts for `status`."""
        with self.faults.around("inspect"):
            return {"version": "memory", "excess": [], "doors": [{"name": door} for door in self.world.doors]}

    def hold(self, claim: Claim) -> None:
        """Be the one Flyball of the issuer's here.

        Raises:
            TargetUnavailable: another is.
        """
        with self.faults.around("hold"), self.world.lock:
            if self._held == claim:
                return
            self._let_go()
            there, count = self.world.holders.get(claim.issuer, (claim, 0))
            if there != claim:
                raise TargetUnavailable(f"another Flyball of {claim.issuer!r} is at work here", code=HELD)
            self.world.holders[claim.issuer] = (claim, count + 1)
            self._held = claim

    def let_go(self) -> None:
        """Be it no more."""
        with self.world.lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._held is None:
            return
        claim, count = self.world.holders.pop(self._held.issuer)
        if count > 1:
            self.world.holders[claim.issuer] = (claim, count - 1)
        self._held = None

    def rotate_admin(self) -> None:
        """Give Flyball's own login a new secret."""
        with self.faults.around("rotate"), self.world.lock:
            self.world.admin = Secret(secrets.token_urlsafe(16))
