"""Which bundle is in force: validated, recorded, and swapped in whole, or refused while the running one stays."""

from __future__ import annotations

from pathlib import Path

import structlog

from flyball.audit.record import Kind, Record
from flyball.flow.house import House
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json, canonical, parse_object
from flyball.policy.compile import Compiled, load_bundle
from flyball.policy.engine import Core, PolicyLoadError
from flyball.task.task import LIVE

log = structlog.get_logger("flyball.bundles")


def activate(house: House, path: str | None, *, by: str) -> dict[str, Json]:
    """Validate a bundle and put it in force; a bad one is refused and the running one stays.

    Raises:
        ConfigError: the bundle cannot be used; its diagnostics are in the detail.
    """
    folder = Path(path) if path else house.active.path
    compiled = load_bundle(folder)
    unknown = sorted(set(compiled.bundle.targets) - set(house.backends))
    if unknown:
        raise ConfigError(
            f"the bundle names targets that this server was not started with: {', '.join(unknown)}",
            code="target_unknown",
            hint="restart Flyball with this bundle",
        )
    put_in_force(house, compiled, folder, by=by)
    warnings: list[Json] = [found.as_json() for found in compiled.diagnostics]
    return {"digest": compiled.digest, "name": compiled.bundle.name, "warnings": warnings}


def put_in_force(house: House, compiled: Compiled, folder: Path, *, by: str) -> None:
    """Validate a compiled bundle, record it, then let the decision plane swap it in whole.

    The profiles that live tasks pin are loaded beside it, so that a task goes on under what was
    reviewed when it was opened, also after a restart. Where an old profile no longer fits the new
    bundle (its action is gone), it is left out: its tasks go on until a restart, which fences them.

    Raises:
        ConfigError: the plane refused it; the running one stays.
        Unavailable: it could not be recorded; the running one stays.
    """
    now = house.clock.wall_ms()
    profiles: dict[str, Json] = {name: profile.digest for name, profile in compiled.bundle.profiles.items()}
    members: dict[str, Json] = {"digest": compiled.digest, "name": compiled.bundle.name, "profiles": profiles, "by": by}
    document = _with_pinned(house, compiled)
    for tell in house.bundle_watchers:
        tell(compiled.bundle)
    unit = house.store.unit()
    unit.save_row("bundle", compiled.digest, {"name": compiled.bundle.name, "at_ms": now, "by": by})
    for profile in _profiles(compiled.json):
        unit.save_row("profile", str(profile["digest"]), profile)
    unit.record(Record(Kind.BUNDLE_ACTIVATED, now, None, members))
    unit.commit()
    house.core.load(document)
    house.active.replace(compiled, folder)


def _with_pinned(house: House, compiled: Compiled) -> bytes:
    own = {profile["digest"] for profile in _profiles(compiled.json)}
    pinned = {task.profile_digest for task in house.tasks.select(states=LIVE, limit=1_000_000)} - own
    older = [dict(row) for digest in sorted(pinned) if (row := house.store.row("profile", digest)) is not None]
    if older:
        document = parse_object(compiled.json)
        listed: list[Json] = [*_profiles(compiled.json), *older]
        both = canonical({**document, "profiles": listed})
        try:
            Core.validate(both)
        except PolicyLoadError:
            log.warning("profiles that live tasks pin do not fit the new bundle", profiles=len(older))
        else:
            return both
    try:
        Core.validate(compiled.json)
    except PolicyLoadError as fault:
        raise ConfigError(str(fault.args[1]), code="bundle_refused", hint="run `flyball validate`") from fault
    return compiled.json


def _profiles(compiled: bytes) -> list[dict[str, Json]]:
    listed = parse_object(compiled).get("profiles")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
