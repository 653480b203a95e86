"""The targets as operators see them, the rotation of Flyball's own login at one, and what a lost store left there."""

from __future__ import annotations

from collections import Counter

import structlog

from flyball.audit.record import Kind, Record
from flyball.credential.backend import Backend, RotatesAdmin, TargetRefused
from flyball.credential.guarded import UNSUPPORTED, Guarded
from flyball.credential.lease import LIVE
from flyball.flow.house import House
from flyball.kernel.errors import Conflict, FlyballError, InvalidInput, NotFound
from flyball.kernel.json import Json

log = structlog.get_logger("flyball.targets")
_ROW = "target_rotation"
_MOST_NAMES = 100


def listed(house: House) -> list[dict[str, Json]]:
    """Every target, looked at now: whether it answers, who we are there, and when that login was last rotated."""
    live = Counter(lease.target for lease in house.leases.select(states=LIVE, limit=1_000_000))
    return [
        {"target": name, "kind": backend.kind, "leases": live[name], **look(house, name)}
        for name, backend in sorted(house.backends.items())
    ]


def look(house: House, name: str) -> dict[str, Json]:
    """Facts of one target. One that cannot be reached says why; that is no error here."""
    backend = house.backends[name]
    row = house.store.row(_ROW, name)
    foreign: dict[str, Json] = {**house.sweeper.foreign(name)}
    known: dict[str, Json] = {
        "rotates": _rotates(backend),
        "rotated_ms": None if row is None else row["at_ms"],
        "rotated_by": None if row is None else row["by"],
        "foreign": foreign,
        "refused": "",
    }
    try:
        facts = dict(backend.inspect())
    except FlyballError as fault:
        return {"reachable": False, "excess": [], "detail": fault.detail, **known}
    try:
        house.claims.hold(name)
    except FlyballError as fault:
        known["refused"] = f"{fault.detail}; {fault.hint}" if fault.hint else fault.detail
    return {"reachable": True, **facts, "excess": facts.get("excess", []), **known}


def rotate(house: House, name: str, *, by: str, reason: str = "") -> dict[str, Json]:
    """Give Flyball's own login at a target a new secret; leases and their sessions are not touched.

    It stands in the record before the target is asked, and again with what came of it.

    Raises:
        NotFound: no such target.
        Conflict: this kind of target has no login to rotate, or the target rejected the new secret; the old one stays.
        Unavailable: the target did not answer, or it is not known what came of it. Either secret will be found.
    """
    backend = _backend(house, name)
    if not isinstance(backend, RotatesAdmin) or not _rotates(backend):
        said = f"target {name!r} is of kind {backend.kind!r}, which has no login of ours to rotate"
        raise Conflict(said, code=UNSUPPORTED, hint="change its credential where it was made")
    _record(house, name, "begun", by=by, reason=reason)
    try:
        backend.rotate_admin()
    except FlyballError as fault:
        _record(house, name, "failed", by=by, reason=reason, code=fault.code)
        log.warning("our own login was not rotated", target=name, code=fault.code, detail=fault.detail)
        if isinstance(fault, TargetRefused):
            raise Conflict(f"target {name!r}: {fault.detail}", code=fault.code, hint=fault.hint) from fault
        hint = fault.hint or "try again: whichever of the two secrets the target knows is found first"
        raise type(fault)(f"target {name!r}: {fault.detail}", code=fault.code, hint=hint) from fault
    at_ms = _record(house, name, "rotated", by=by, reason=reason)
    log.info("our own login was rotated", target=name, by=by)
    return {"target": name, "kind": backend.kind, "rotated_ms": at_ms, "rotated_by": by}


def adopt(house: House, name: str, store: str, *, by: str, reason: str = "") -> dict[str, Json]:
    """Take back all that another store of our issuer left at a target: for a store that is lost.

    Only what stands there now, and only while no other Flyball of our issuer is at work there. On record before
    anything is touched; then each is revoked as an orphan is, with a receipt.

    Raises:
        NotFound: no such target, or nothing of such a store there.
        InvalidInput: that store is this one.
        Unavailable: another Flyball of our issuer is at work there, or target or store did not answer.
    """
    _backend(house, name)
    own = house.claims.claim.store
    if store == own:
        raise InvalidInput(
            f"{store} is this Flyball's own store", code="store_own", hint="its orphans go by themselves"
        )
    try:
        found = house.sweeper.left_by(name, store)
    except FlyballError as fault:
        raise type(fault)(f"target {name!r}: {fault.detail}", code=fault.code, hint=fault.hint) from fault
    if not found:
        raise NotFound(
            f"nothing of a store {store} of our issuer stands at target {name!r}, or it is being taken back already",
            code="store_unknown",
            hint="`flyball target list --json` shows what is there, by store",
        )
    now = house.clock.wall_ms()
    names: list[Json] = [item.name for item in found]
    members: dict[str, Json] = {"target": name, "store": store, "names": names[:_MOST_NAMES], "count": len(names)}
    unit = house.store.unit()
    unit.record(Record(Kind.TARGET_ADOPTED, now, None, {**members, "by": by, "reason": reason}))
    unit.commit()
    log.warning("what another store left at a target is taken back", target=name, store=store, count=len(names), by=by)
    for item in found:
        house.sweeper.adopt(name, item)
    return members


def _backend(house: House, name: str) -> Backend:
    backend = house.backends.get(name)
    if backend is None:
        known = ", ".join(sorted(house.backends)) or "none"
        raise NotFound(f"no target {name!r} is configured", code="target_unknown", hint=f"configured: {known}")
    return backend


def _rotates(backend: Backend) -> bool:
    return backend.rotates if isinstance(backend, Guarded) else isinstance(backend, RotatesAdmin)


def _record(house: House, name: str, change: str, *, by: str, reason: str, code: str = "") -> int:
    now = house.clock.wall_ms()
    members: dict[str, Json] = {"target": name, "change": change, "by": by, "reason": reason}
    if code:
        members["code"] = code
    unit = house.store.unit()
    if change == "rotated":
        unit.save_row(_ROW, name, {"at_ms": now, "by": by})
    unit.record(Record(Kind.TARGET_ROTATION, now, None, members))
    unit.commit()
    return now
