"""The port a credential backend fills: how one kind of target issues, revokes and proves.

The lease engine drives it in small idempotent steps and checkpoints each one; a backend keeps no
state of its own and decides nothing. Each call opens what it needs and gives up within the
timeout that its target is configured with. A backend raises `TargetUnavailable` for what may
pass, `TargetRefused` for what will not; anything else is treated as the former.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from flyball.kernel.errors import Denied, Unavailable
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret

HELD = "target_held"
"""The code of a refusal because another Flyball of our issuer is at work at the target."""


class TargetUnavailable(Unavailable):
    """The target did not answer, or answered that it cannot now. Try again."""

    default_code = "target_unavailable"


class TargetRefused(Denied):
    """The target said no for good: a wrong grant, an unknown access."""

    default_code = "target_refused"


@dataclass(frozen=True, slots=True)
class LeaseSpec:
    """What is to be issued. `expires_ms` is wall time; the backend sets the target's own expiry no later.

    `store` is the mark of the store that the lease is written in (`Claim.store`): what is made at the target
    bears it from its first moment on, so that no other store's Flyball takes it for an orphan of its own.
    """

    lease: str
    task: str
    issuer: str
    access: str
    created_ms: int
    expires_ms: int
    store: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A lease as the target will know it, made before the target is touched.

    `name` is deterministic in issuer, store and lease id. `recipe` holds all that revoking needs and no
    secret; it is stored with the lease's INTENT, so a plan can be rebuilt from the row alone.
    """

    name: str
    recipe: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Issued:
    """What the target made. `connection` is what the holder needs besides the secret (host, port,
    user, database …); `progress` is what the later steps need (for example the role's OID);
    `native_expiry_ms` is the target's own expiry in wall time, 0 where it has none."""

    connection: Mapping[str, Json]
    progress: Mapping[str, Json]
    native_expiry_ms: int


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """One revoke step, done. `observed` goes into the receipt (counts, pids, doors); `progress` is
    merged into the lease's. `weaknesses` name what this step could not do."""

    observed: Mapping[str, Json] = field(default_factory=dict)
    progress: Mapping[str, Json] = field(default_factory=dict)
    weaknesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DoorProbe:
    """One door tried with the revoked credential, beside a control login through the same door.

    `refused` only on an authentication refusal by the pinned server; any other failure is
    `inconclusive`, and an inconclusive door keeps the lease from VERIFIED.
    """

    door: str
    verdict: str  # "refused" | "accepted" | "inconclusive"
    control: bool
    detail: str
    sessions: int


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """All doors. VERIFIED needs every declared door refused, its control good, and no session left."""

    doors: tuple[DoorProbe, ...]

    @property
    def gone(self) -> bool:
        """Whether the privilege is proved gone at every door."""
        return bool(self.doors) and all(
            door.verdict == "refused" and door.control and door.sessions == 0 for door in self.doors
        )


@dataclass(frozen=True, slots=True)
class Found:
    """Something at the target that carries our prefix and issuer. `age_ms` since it was made, if known.

    `store` is the mark of the store that it was made for; empty where it bears none, as what was made before
    there were marks.
    """

    name: str
    lease: str
    age_ms: int | None
    sessions: int
    store: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who works at a target: an issuer, the mark of its store (12 hex digits), and this one opening of that store.

    Two Flyballs that share an issuer differ in `store`; a store and its copy at another place in `instance` alone.
    """

    issuer: str
    store: str
    instance: str


class Backend(Protocol):
    """One target, spoken to in steps."""

    @property
    def kind(self) -> str:
        """The connector's name, for example `postgresql`."""
        ...

    def plan(self, spec: LeaseSpec) -> Plan:
        """Name and recipe for a lease. Pure: no I/O, same answer for the same spec."""
        ...

    def issue(self, plan: Plan, secret: Secret) -> Issued:
        """Create the credential, or complete it where a crash left it half made."""
        ...

    def steps(self, plan: Plan) -> Sequence[str]:
        """The revoke steps, in order, ending before the probe. The first denies new logins."""
        ...

    def run(self, step: str, plan: Plan, progress: Mapping[str, Json]) -> StepOutcome:
        """Do one revoke step. Idempotent: absent is done."""
        ...

    def probe(self, plan: Plan, progress: Mapping[str, Json], secret: Secret | None) -> ProbeReport:
        """Try every door with the revoked credential beside a control login, and count its sessions."""
        ...

    def inventory(self, issuer: str) -> Sequence[Found]:
        """Everything at the target that carries our prefix and `issuer`, leases or not."""
        ...

    def inspect(self) -> Mapping[str, Json]:
        """Facts for `status`: version, our own role's excess privilege (`excess`: list of text), doors."""
        ...


@runtime_checkable
class RotatesAdmin(Protocol):
    """What a backend can do besides: give Flyball's own login at the target a new secret.

    An optional capability: a backend has it by having the method. Leases are not touched, and what
    was issued before can be revoked after. A crash at any instruction leaves a login that is found.
    """

    def rotate_admin(self) -> None:
        """Replace the secret of our own login, verified before the old one is let go.

        Raises:
            TargetRefused: the target rejected it; the old secret stays.
            TargetUnavailable: it may or may not have happened; whichever secret counts will be found.
        """
        ...


@runtime_checkable
class HoldsTarget(Protocol):
    """What a backend can do besides: let one Flyball of an issuer work at its target at a time.

    An optional capability: a backend has it by having the methods. What is held ends with the process that holds
    it, without anybody's doing. It refuses; that nothing of another's is removed is the mark's work (`Found.store`).
    """

    def hold(self, claim: Claim) -> None:
        """Take the target, or make sure that it is still ours. Cheap where it is.

        Raises:
            TargetUnavailable: another Flyball of this issuer is at work there (`HELD`), or the target did not answer.
        """
        ...

    def let_go(self) -> None:
        """Hold it no more."""
        ...


@runtime_checkable
class KeepsKey(Protocol):
    """What a backend can do besides: keep a key that the target gave out for good, for a gateway alone.

    An optional capability: a backend has it by having the method. A lease's own secret opens nothing at such a
    target; whoever shows it here, while the lease lives, is given the key. Never handed to an agent.
    """

    def kept(self, plan: Plan, secret: Secret) -> Secret:
        """The target's key, for a lease that lives and its secret.

        Raises:
            TargetRefused: no such lease lives, or the secret is another's.
            TargetUnavailable: the key cannot be read.
        """
        ...
