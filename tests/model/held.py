"""Whether an argument keeps to its origins: every element, every reading; SPEC, "`where` keys"."""

from __future__ import annotations

from typing import Any

from tests.model import times
from tests.model.documents import WrongShape, at_path, scalar
from tests.model.origins import Offered, World, offers, resolved
from tests.model.text import id_stands_in
from tests.model.values import Value, read, same

_DAY_MS = 86_400_000
#: SPEC: "a zero time (00:00) or end-of-day needs no source time when a source date matches".
_ENDS_OF_DAY = (0, 86_399, 86_340)


def elements(args: dict[str, Any], path: str) -> list[Any]:
    """What is held to the test. SPEC: "Absent, null, "" and [] pass unless `required: true`"."""
    return [one for one in at_path(args, path) if one not in ("", [], {}, None)]


def origin_holds(origin: dict[str, Any], world: World, without: frozenset[str] = frozenset()) -> bool:
    """SPEC: "every element must come from one of the sources". `without`: labels whose fields do not count."""
    try:
        given = elements(world.args, origin["arg"])
    except WrongShape:
        return False
    banned = without | frozenset(origin.get("not_by", []))
    return all(_element(origin, one, world, banned) for one in given)


def _sources(origin: dict[str, Any], kind: str, world: World, banned: frozenset[str]) -> list[Offered]:
    out = []
    for place in origin["sources"]:
        out += [one for one in offers(world.profile.sources[place], kind, world) if not one.labels & banned]
    return out


def _element(origin: dict[str, Any], element: Any, world: World, banned: frozenset[str]) -> bool:
    """SPEC: "an argument's every reading must be matched; a source offers all of its readings"."""
    text, kind = scalar(element), origin["as"]
    if text is None:
        return False
    readings = [one for value in read(kind, text) for one in resolved(value, world.day)]
    if not readings:
        return False
    return all(_reading(origin, value, text, world, banned) for value in readings)


def _reading(origin: dict[str, Any], value: Value, text: str, world: World, banned: frozenset[str]) -> bool:
    kind = origin["as"]
    offered = _sources(origin, kind, world, banned)
    if kind == "id":
        return any(value in one.values or any(id_stands_in(text, whole) for whole in one.texts) for one in offered)
    values = [one for each in offered for one in each.values]
    if kind not in ("date", "time", "datetime"):
        return any(same(value, one) for one in values)
    if kind == "datetime":
        values += _put_together(origin, value, world, banned)
    if origin.get("same_day"):
        # SPEC: "only the day is compared; the time of day is free".
        days = [one[1] if one[0] == "datetime" else one for one in values if one[0] in ("date", "datetime")]
        days += [v for one in _sources(origin, "date", world, banned) for v in one.values if v[0] == "date"]
        mine = value[1] if value[0] == "datetime" else value
        return any(times.same_date(mine, day) for day in days if day[0] == "date")
    if origin.get("within_ms") is not None:
        # SPEC: "not before a source and at most this much after it".
        return any(0 <= gap <= origin["within_ms"] for one in values for gap in _gaps(value, one))
    if origin.get("plus"):
        # SPEC: "the value is a source plus one of these".
        lengths = _lengths(origin, world, banned)
        return any(gap in lengths for one in values for gap in _gaps(value, one))
    return any(same(value, one) for one in values)


def _lengths(origin: dict[str, Any], world: World, banned: frozenset[str]) -> list[int]:
    """SPEC: "a source in the list gives the durations found in it"."""
    out = []
    for one in origin["plus"]:
        if "ms" in one:
            out.append(one["ms"])
        else:
            for each in offers(world.profile.sources[one["source"]], "duration", world):
                if not each.labels & banned:
                    out += [value[1] * 1000 for value in each.values if value[0] == "duration"]
    return out


def _put_together(origin: dict[str, Any], value: Value, world: World, banned: frozenset[str]) -> list[Value]:
    """SPEC: "or its date equals a source date and its time equals a source time of the listed sources"."""
    dates = [one for each in _sources(origin, "date", world, banned) for one in each.values if one[0] == "date"]
    clock = [one for each in _sources(origin, "time", world, banned) for one in each.values if one[0] == "time"]
    seconds = [one[1] for one in clock]
    if not origin.get("plus") and origin.get("within_ms") is None:
        seconds += list(_ENDS_OF_DAY)
    elif value[2] in _ENDS_OF_DAY:
        seconds.append(0)
    return [("datetime", date, second, value[3]) for date in dates for second in seconds]


def _gaps(value: Value, source: Value) -> list[int]:
    """Milliseconds from a source to a value; a date that lacks its year has a gap in every year."""
    if value[0] != source[0]:
        return []
    if value[0] == "time":
        return [((value[1] - source[1]) % 86_400) * 1000, (value[1] - source[1]) * 1000]
    if value[0] == "date":
        return [days * _DAY_MS for days in _days(value, source)]
    if value[3] != source[3]:
        if value[3] is None or source[3] is None:
            return []
        return [
            days * _DAY_MS + (value[2] - source[2]) * 1000 - (value[3] - source[3]) * 60_000
            for days in _days(value[1], source[1])
        ]
    return [days * _DAY_MS + (value[2] - source[2]) * 1000 for days in _days(value[1], source[1])]


def _days(value: Value, source: Value) -> list[int]:
    """Days from one date to another: exact where both have years, else in each year that fits."""
    import datetime

    def fits(date: Value, year: int) -> datetime.date | None:
        try:
            return datetime.date(year, date[2], date[3])
        except ValueError:
            return None

    years = {date[1] for date in (value, source) if date[1] is not None} or {2023, 2024}
    out = set()
    for year in years:
        for shift in (-1, 0, 1):
            mine = fits(value, value[1] if value[1] is not None else year + shift)
            theirs = fits(source, source[1] if source[1] is not None else year)
            if mine and theirs:
                out.add((mine - theirs).days)
    return sorted(out)
