"""Comparing each target with the ledger, both ways.

What carries our name at a target and stands in no lease is an orphan: past a grace period it is
written down and revoked by the same path as everything else. What the ledger says was delivered
and the target does not have is noted: somebody else removed it.

What bears our issuer and another store's mark is foreign: another Flyball's, which must not share our
issuer, or a lost store's. It is reported and never removed, unless an operator says so (`adopt`). Nothing
is taken for an orphan, marked or not, where another Flyball of our issuer is at work.

After a restore from backup the ledger has forgotten leases that are alive and wanted. Then the
sweep only observes, until an operator has looked (lease rule 9).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from flyball.audit.record import Kind, Record
from flyball.audit.text import escape
from flyball.credential.backend import Backend, Found, LeaseSpec, Plan
from flyball.credential.claims import Claims
from flyball.credential.lease import Delivery, Lease, LeaseState
from flyball.credential.ports import LeaseStore
from flyball.kernel.clock import Clock
from flyball.kernel.errors import FlyballError
from flyball.kernel.ids import is_id, lease_id
from flyball.kernel.json import Json
from flyball.revocation.loop import Lane, Revoker

log = structlog.get_logger("flyball.sweep")
CAUSE = "orphan"
ADOPTED = "adopted"


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep of one target found. `orphans` were (or, when observing, would have been) revoked.

    `foreign` bears our issuer and another store's mark; it was left alone.
    """

    target: str
    found: int
    orphans: tuple[str, ...] = ()
    young: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    error: str = ""
    foreign: tuple[Found, ...] = ()


class Sweeper:
    """Sweeps all targets; one that hangs delays no other and is not swept twice at once."""

    def __init__(
        self,
        *,
        revoker: Revoker,
        leases: LeaseStore,
        backends: Mapping[str, Backend],
        claims: Claims,
        clock: Clock,
        cell: str,
        epoch: int,
        grace_ms: int = 60_000,
        patience_s: float = 30.0,
    ) -> None:
        self._revoker = revoker
        self._leases = leases
        self._backends = backends
        self._claims = claims
        self._issuer = claims.claim.issuer
        self._clock = clock
        self._cell = cell
        self._epoch = epoch
        self._grace_ms = grace_ms
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._observing = False
        self._running: dict[str, threading.Thread] = {}
        self._first_seen: dict[tuple[str, str], int] = {}
        self._last: dict[str, Swept] = {}

    def observe_only(self) -> None:
        """From now on only look. For a store that was restored from a backup."""
        self._observing = True
        log.warning("sweeps only observe, until an operator lets them act")

    def act(self) -> None:
        """An operator has looked: orphans are revoked again."""
        self._observing = False

    @property
    def observing(self) -> bool:
        """Whether sweeps only look."""
        return self._observing

    def sweep(self) -> list[Swept]:
        """Sweep every target; what was found, and for a target that did not answer in time its error."""
        threads = {}
        for target in list(self._backends):
            with self._lock:
                before = self._running.get(target)
                if before is not None and before.is_alive():
                    continue
                thread = threading.Thread(
                    target=self._guarded, args=(target,), name=f"flyball-sweep-{target}", daemon=True
                )
                self._running[target] = thread
                known = self._last.get(target)
                self._last[target] = Swept(target, 0, error="no answer yet", foreign=known.foreign if known else ())
            threads[target] = thread
            thread.start()
        deadline = self._clock.mono_ms() + int(self._patience_s * 1000)
        for thread in threads.values():
            thread.join(max(0.0, (deadline - self._clock.mono_ms()) / 1000))
        with self._lock:
            return list(self._last.values())

    def foreign(self, target: str) -> dict[str, int]:
        """How much of which other store the last sweep of a target found there."""
        with self._lock:
            swept = self._last.get(target)
        return dict(Counter(item.store for item in swept.foreign)) if swept is not None else {}

    def left_by(self, target: str, store: str) -> list[Found]:
        """What stands at a target for another store and is not being revoked yet. Looked at now.

        Raises:
            TargetUnavailable: another Flyball of our issuer is at work there, or the target does not answer.
        """
        self._claims.hold(target)
        found = self._backends[target].inventory(self._issuer)
        return [item for item in found if item.store == store and self._foreign(item) and not self._is_known(item)]

    def adopt(self, target: str, item: Found) -> None:
        """Revoke something of another store's, on an operator's word. Never waits and never fails."""
        self._take(target, self._backends[target], item, ADOPTED)

    def stats(self) -> dict[str, Json]:
        """Figures for `status`."""
        with self._lock:
            targets: dict[str, Json] = {
                target: {
                    "found": swept.found,
                    "orphans": list(swept.orphans),
                    "missing": list(swept.missing),
                    "foreign": dict(Counter(item.store for item in swept.foreign)),
                    "error": swept.error,
                }
                for target, swept in self._last.items()
            }
        return {"observing": self._observing, "targets": targets}

    def _guarded(self, target: str) -> None:
        hint = ""
        try:
            swept = self._target(target, self._backends[target])
        except FlyballError as fault:
            swept, hint = Swept(target, 0, error=f"{fault.code}: {fault.detail}"), fault.hint
        except Exception as fault:  # noqa: BLE001 - a target's failure is a fact about the target
            swept = Swept(target, 0, error=type(fault).__name__)
        if swept.error:
            log.error("a target could not be swept", target=target, error=escape(swept.error), hint=escape(hint, 300))
        with self._lock:
            before = self._last[target].foreign
            # A sweep that came to nothing knows no better than the one before.
            self._last[target] = replace(swept, foreign=before) if swept.error else swept
        if {item.name for item in swept.foreign} - {item.name for item in before}:
            stores: dict[str, Json] = {**self.foreign(target)}
            log.error("another store of our issuer has left something at a target", target=target, stores=stores)

    def _target(self, target: str, backend: Backend) -> Swept:
        self._claims.hold(target)
        # The ledger before the target for what should be there, and after it for what should not.
        delivered = self._leases.select(states=frozenset({LeaseState.DELIVERED}), target=target, limit=1_000_000)
        found = backend.inventory(self._issuer)
        names = {item.name for item in found}
        missing = [lease for lease in delivered if lease.name not in names and self._still_delivered(lease)]
        for lease in missing:
            log.warning("a delivered credential is gone from its target", lease=lease.id, target=target)
        orphans, young, foreign = [], [], []
        for item in found:
            if self._is_known(item):
                continue
            if self._foreign(item):
                foreign.append(item)
                continue
            if self._age(target, item) < self._grace_ms:
                young.append(item.name)
                continue
            orphans.append(item.name)
            self._orphan(target, backend, item)
        self._forget_seen(target, names)
        gone = tuple(lease.name for lease in missing)
        return Swept(target, len(found), tuple(orphans), tuple(young), gone, foreign=tuple(foreign))

    def _foreign(self, item: Found) -> bool:
        """Whether it was made for another store. What bears no mark is older than marks, and ours."""
        return item.store not in ("", self._claims.claim.store)

    def _is_known(self, item: Found) -> bool:
        known = self._lease(item)
        # A lease that is VERIFIED was proved gone. Something of that name is something new.
        return known is not None and known.state is not LeaseState.VERIFIED

    def _lease(self, item: Found) -> Lease | None:
        return self._leases.get(item.lease) if is_id(item.lease, "lea") else None

    def _still_delivered(self, lease: Lease) -> bool:
        now = self._leases.get(lease.id)
        return now is not None and now.state is LeaseState.DELIVERED

    def _age(self, target: str, item: Found) -> int:
        now = self._clock.mono_ms()
        seen = self._first_seen.setdefault((target, item.name), now)
        # No age from the target: count from when we first saw it.
        return now - seen if item.age_ms is None else item.age_ms

    def _forget_seen(self, target: str, names: set[str]) -> None:
        gone = [key for key in self._first_seen if key[0] == target and key[1] not in names]
        for key in gone:
            del self._first_seen[key]

    def _orphan(self, target: str, backend: Backend, item: Found) -> None:
        shown = escape(item.name, 100)
        if self._observing:
            log.warning("an orphan stands at a target (observing only)", target=target, name=shown)
            return
        log.error("an orphan at a target is being removed", target=target, name=shown, sessions=item.sessions)
        self._take(target, backend, item, CAUSE)

    def _take(self, target: str, backend: Backend, item: Found, cause: str) -> None:
        now = self._clock.wall_ms()
        fresh = self._lease(item) is not None or not is_id(item.lease, "lea")
        identity = lease_id(self._cell, now) if fresh else item.lease
        lease = Lease(
            id=identity,
            task="",
            agent="",
            owner="",
            target=target,
            kind=backend.kind,
            access="",
            credential="",
            name=item.name,
            state=LeaseState.REVOKING,
            delivery=Delivery.RELEASED,
            created_ms=now,
            expires_ms=now,
            epoch=self._epoch,
            recipe=self._recipe(backend, item, now),
            cause=cause,
        )
        members: dict[str, Json] = {
            "target": target,
            "name": item.name[:200],
            "lease": identity,
            "sessions": item.sessions,
        }
        if item.store:
            members["store"] = item.store
        record = Record(Kind.ORPHAN, now, None, members)
        self._revoker.submit(lease, cause, Lane.KILL, orphan=record)

    def _recipe(self, backend: Backend, item: Found, now_ms: int) -> dict[str, Json]:
        """What revoking it needs. The backend may not know its access any more; the name is what counts."""
        try:
            plan: Plan = backend.plan(LeaseSpec(item.lease, "", self._issuer, "", now_ms, now_ms))
        except Exception as fault:  # noqa: BLE001 - a plan for something unknown may well be refused
            log.warning("no plan for an orphan; its name must do", code=getattr(fault, "code", type(fault).__name__))
            return {}
        return dict(plan.recipe)
