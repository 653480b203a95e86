"""Whether an argument keeps to its origins: every element, every reading; SPEC, "`where` keys"."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from tests.model import times
from tests.model.documents import WrongShape, at_path, scoped
from tests.model.origins import Offered, World, all_resolved, offers, readings, resolved
from tests.model.strings import without_www
from tests.model.values import Value, same

_DAY_MS = 86_400_000


def elements(args: dict[str, Any], path: str) -> list[Any]:
    """What is held to the test. SPEC: "Absent, null, "" and [] pass unless `required: true`"."""
    return [one for one in at_path(args, path) if one != ""]


def origin_labels(origin: dict[str, Any], world: World, without: frozenset[str] = frozenset()) -> frozenset[str] | None:
    """SPEC: "every element must come from one of the sources"; None where one does not, else the labels of where
    they were found. `without`: labels whose fields do not count.
    """
    try:
        given = [one for one in scoped(world.args, origin["arg"]) if one[0] != ""]
    except WrongShape:
        return None
    banned = without | frozenset(origin.get("not_by", []))

    def each() -> Iterable[frozenset[str] | None]:
        for one, scope in given:
            world.element = (origin["arg"], scope)
            yield _element(origin, one, world, banned)

    try:
        return _union(each())
    finally:
        world.element = ("", [])


def _union(parts: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    out: frozenset[str] = frozenset()
    for part in parts:
        if part is None:
            return None
        out |= part
    return out


def _sources(origin: dict[str, Any], kind: str, world: World, banned: frozenset[str]) -> list[Offered]:
    """What counts of the sources, in their order."""
    out = []
    for place in origin["sources"]:
        source = world.profile.sources[place]
        for one in offers(source, kind, world):
            labels = one.labels
            if "arg" in (source if "at" not in source else world.profile.sources[source["at"]]):
                source = source if "at" not in source else world.profile.sources[source["at"]]
                # Another argument counts by where it was found; found nowhere, only where anybody may write it.
                known = world.known.get(source["arg"].split(".")[0].removesuffix("[]"))
                if known is None and banned:
                    continue
                labels = known or frozenset()
            if not labels & banned:
                out.append(Offered(one.values, labels))
    return out


def _element(origin: dict[str, Any], element: Any, world: World, banned: frozenset[str]) -> frozenset[str] | None:
    """SPEC: "an argument's every reading must be matched; a source offers all of its readings"."""
    found = readings(origin["as"], element)
    if not found or not all_resolved(found, world.day):
        return None
    each = [_reading(origin, value, world, banned) for value in resolved(found, world.day)]
    # Who decides a new word is not known, so none may where it matters.
    if origin.get("new_words") and not banned:
        missing = sum(one is None for one in each)
        return _union(one for one in each if one is not None) if missing <= origin["new_words"] else None
    return _union(each)


def _reading(origin: dict[str, Any], value: Value, world: World, banned: frozenset[str]) -> frozenset[str] | None:
    kind = origin["as"]
    sources = _sources(origin, kind, world, banned)
    if kind == "path" and origin.get("below"):
        return next((found for one in _folders(value) if (found := _first(one, sources)) is not None), None)
    if kind not in ("date", "time", "datetime"):
        return _first(value, sources)
    values = [one for each in sources for one in each.values]
    days = _of(origin, "date", world, banned) if kind != "time" else []
    clock = _of(origin, "time", world, banned) if kind != "date" else []
    if kind == "datetime":
        days += [one[1] for one in values if one[0] == "datetime"]
        clock += [("time", one[2]) for one in values if one[0] == "datetime"]
    # SPEC: "the value is a source plus one of these"; without `plus`, plus nothing.
    steps = _lengths(origin, world, banned) if origin.get("plus") else [0]
    if any(_from(origin, earlier(value, step), values, days, clock) for step in steps):
        return frozenset(label for each in sources for label in each.labels)
    return None


def _first(value: Value, sources: list[Offered]) -> frozenset[str] | None:
    """The labels of the first source that has the value; an address may be anybody's at its host."""
    at = ("at", without_www(value[1].rsplit("@", 1)[1])) if value[0] == "email" else None
    return next((each.labels for each in sources if any(same(value, one) or one == at for one in each.values)), None)


def _folders(path: Value) -> list[Value]:
    """The path, and every folder that it lies in but the root."""
    parts = path[1].split("/")
    return [("path", "/".join(parts[:many])) for many in range(len(parts), 0, -1) if "/".join(parts[:many])]


def _of(origin: dict[str, Any], kind: str, world: World, banned: frozenset[str]) -> list[Value]:
    return [one for each in _sources(origin, kind, world, banned) for one in each.values if one[0] == kind]


def _from(
    origin: dict[str, Any], value: Value | None, values: list[Value], days: list[Value], clock: list[Value]
) -> bool:
    within = origin.get("within_ms")
    if value is None:
        return False
    if origin.get("same_day") or value[0] == "date":
        # SPEC: "only the day is compared; the time of day is free".
        day = value[1] if value[0] == "datetime" else value
        return any(times.same_date(day, one) for one in days) or _days_after(day, days, within)
    if value[0] == "time":
        return any(
            (value[1] - one[1]) % 86_400 == 0 or (within is not None and (value[1] - one[1]) % 86_400 * 1000 <= within)
            for one in clock
        )
    return moment_from(value, values, days, clock) or (
        within is not None and _after(value, values, days, clock, within)
    )


def moment_from(value: Value, values: list[Value], days: list[Value], clock: list[Value]) -> bool:
    """SPEC: "equal to a source datetime, or its date equals a source date and its time equals a source time of the
    listed sources; a zero time (00:00) or end-of-day needs no source time when a source date matches".
    """
    moments = [one for one in values if one[0] == "datetime"]
    if any(_same_moment(value, one) for one in moments):
        return True
    # SPEC: "A time zone offset, where given, is part of the value": it is not swapped for another.
    if value[3] is not None and any(
        times.same_date(value[1], one[1]) and value[2] == one[2] and one[3] is not None for one in moments
    ):
        return False
    if not any(times.same_date(value[1], one) for one in days):
        return False
    return value[2] == 0 or value[2] >= 86_340 or any(value[2] == one[1] for one in clock)


def _same_moment(one: Value, other: Value) -> bool:
    """Both with an offset: the same instant; else the same on the wall."""
    if one[3] is not None and other[3] is not None and one[3] != other[3]:
        here, there = _wall(one), _wall(other)
        return here is not None and there is not None and here - one[3] * 60_000 == there - other[3] * 60_000
    return times.same_date(one[1], other[1]) and bool(one[2] == other[2])


def _ordinal(date: Value) -> int | None:
    return None if date[1] is None else datetime.date(date[1], date[2], date[3]).toordinal()


def _wall(moment: Value) -> int | None:
    day = _ordinal(moment[1])
    return None if day is None else day * _DAY_MS + moment[2] * 1000


def earlier(value: Value, step: int) -> Value | None:
    """The value that this one is `step` milliseconds after."""
    if step == 0:
        return value
    if value[0] == "time":
        return ("time", (value[1] * 1000 - step) // 1000 % 86_400) if step % 1000 == 0 else None
    if value[0] == "date":
        day = _ordinal(value)
        if day is None or step % _DAY_MS:
            return None
        return _day(day - step // _DAY_MS)
    wall = _wall(value)
    if wall is None or (wall - step) % 1000:
        return None
    day_then = _day((wall - step) // _DAY_MS)
    return None if day_then is None else ("datetime", day_then, (wall - step) % _DAY_MS // 1000, value[3])


def _day(ordinal: int) -> Value | None:
    try:
        day = datetime.date.fromordinal(ordinal)
    except (ValueError, OverflowError):
        return None
    return ("date", day.year, day.month, day.day)


def _with_year(day: Value, year: int | None) -> Value:
    return ("date", day[1] if day[1] is not None else year, day[2], day[3])


def _days_after(day: Value, days: list[Value], within: int | None) -> bool:
    """SPEC: "not before a source and at most this much after it"."""
    if within is None:
        return False
    for one in days:
        try:
            mine, theirs = _ordinal(day), _ordinal(_with_year(one, day[1]))
        except ValueError:
            continue
        if mine is not None and theirs is not None and 0 <= mine - theirs <= within // _DAY_MS:
            return True
    return False


def _after(value: Value, values: list[Value], days: list[Value], clock: list[Value], within: int) -> bool:
    starts = [one for one in values if one[0] == "datetime"]
    moments = len(starts)
    for one in days:
        day = _with_year(one, value[1][1])
        # From midnight on only where that day was meant, and not a moment of it.
        whole = not any(times.same_date(moment[1], day) for moment in starts[:moments])
        starts += [
            ("datetime", day, second, None) for second in (*([0] if whole else []), *(time[1] for time in clock))
        ]
    for one in starts:
        try:
            here, there = _wall(value), _wall(one)
        except ValueError:
            continue
        if here is None or there is None:
            continue
        gap = here - there
        if value[3] is not None and one[3] is not None:
            gap -= (value[3] - one[3]) * 60_000
        if 0 <= gap <= within:
            return True
    return False


def _lengths(origin: dict[str, Any], world: World, banned: frozenset[str]) -> list[int]:
    """SPEC: "a source in the list gives the durations found in it"."""
    out: list[int] = []
    for one in origin["plus"]:
        if "ms" in one:
            out.append(one["ms"])
            continue
        for each in offers(world.profile.sources[one["source"]], "duration", world):
            if not each.labels & banned:
                out += [value[1] * 1000 for value in each.values if value[0] == "duration"]
    return out
