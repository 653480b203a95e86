"""Dates, times and durations, plainly: SPEC, "Typed values". What has two readings has both."""

from __future__ import annotations

import datetime
import re
from typing import Any

Value = tuple[Any, ...]

_MONTHS = [
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
]  # fmt: skip
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
            "nine": 9, "ten": 10, "eleven": 11, "twelve": 12}  # fmt: skip
_UNITS = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400, "week": 604800, "weeks": 604800, "w": 604800,
}  # fmt: skip
DAY = 86400


def _date(year: int | None, month: int, day: int) -> list[Value]:
    """The date, where there is such a day. Without a year, the 29th of February is one."""
    if not 1 <= month <= 12 or not 1 <= day <= _LENGTHS[month - 1]:
        return []
    if year is not None:
        if not 1 <= year <= 9999:
            return []
        try:
            datetime.date(year, month, day)
        except ValueError:
            return []
    return [("date", year, month, day)]


def _month(word: str) -> int:
    """The number of a month's name or its first letters (at least three); 0 for other words."""
    word = word.lower().removesuffix(".")
    if word == "sept":
        return 9
    for number, name in enumerate(_MONTHS, 1):
        if word == name or (len(word) == 3 and name.startswith(word)):
            return number
    return 0


def dates(text: str) -> list[Value]:
    """The ways people write dates: ISO, with names, and with figures in either order."""
    bare = re.sub(r"\s+", " ", text.strip())
    weekday = re.match(r"(?i)(?:on )?(mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,? (?=\S)", bare)
    if weekday:
        bare = bare[weekday.end() :]
    if match := re.fullmatch(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})", bare):
        return _date(int(match[1]), int(match[3]), int(match[4]))
    if match := re.fullmatch(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})", bare):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        if match[2] == ".":
            return _date(year, second, first)
        return _date(year, first, second) + _date(year, second, first)
    if match := re.fullmatch(r"(?i)(?:the )?([0-9]{1,2})(?:st|nd|rd|th)?(?: of)? ([a-z]+\.?)(?:,? ([0-9]{4}))?", bare):
        return _date(int(match[3]) if match[3] else None, _month(match[2]), int(match[1]))
    if match := re.fullmatch(r"(?i)([a-z]+\.?) (?:the )?([0-9]{1,2})(?:st|nd|rd|th)?(?:,? ([0-9]{4}))?", bare):
        return _date(int(match[3]) if match[3] else None, _month(match[1]), int(match[2]))
    return day_words(bare)


def day_words(text: str) -> list[Value]:
    """SPEC: "Relative words (today, tomorrow, yesterday, in N days, weekday names) resolve from `today`"."""
    bare = text.lower()
    if bare in ("today", "tomorrow", "yesterday"):
        return [("offset", {"today": 0, "tomorrow": 1, "yesterday": -1}[bare])]
    if bare == "the day after tomorrow":
        return [("offset", 2)]
    if match := re.fullmatch(r"in ([0-9]{1,3}|[a-z]+) (days?|weeks?)", bare):
        count = int(match[1]) if match[1].isdigit() else _NUMBERS.get(match[1])
        if count is not None:
            return [("offset", count * (7 if match[2].startswith("week") else 1))]
    if (match := re.fullmatch(r"(?:(next|last|this|on) )?([a-z]+)", bare)) and match[2] in _DAYS:
        kind = {"next": "next_weekday", "last": "last_weekday"}.get(match[1] or "", "weekday")
        return [(kind, _DAYS.index(match[2]))]
    return []


def resolve(word: Value, today: datetime.date) -> list[Value]:
    """A relative day as dates. A weekday is the first from today on, today included; "next" is after it."""
    ahead = (word[1] - today.weekday()) % 7
    if word[0] == "offset":
        ahead = word[1]
    elif word[0] == "next_weekday":
        ahead = ahead or 7
    elif word[0] == "last_weekday":
        ahead = ahead - 7
    day = today + datetime.timedelta(days=ahead)
    return [("date", day.year, day.month, day.day)]


def same_date(one: Value, other: Value) -> bool:
    """SPEC: "No year: matches any year"."""
    return one[2:] == other[2:] and (one[1] is None or other[1] is None or one[1] == other[1])


def plus_days(date: Value, days: int) -> list[Value]:
    """A date so many days later. One without a year is counted in a year of 365 days and in one of 366."""
    out: list[Value] = []
    years = (date[1],) if date[1] is not None else (2023, 2024)
    for year in years:
        for exact in _date(year, date[2], date[3]):
            try:
                day = datetime.date(exact[1], exact[2], exact[3]) + datetime.timedelta(days=days)
            except OverflowError:
                continue
            value = ("date", day.year if date[1] is not None else None, day.month, day.day)
            if value not in out:
                out.append(value)
    return out


def times(text: str) -> list[Value]:
    """A time of the day in seconds: 10:30, 10:30:15, 10 am, 10.30 pm, noon, midnight."""
    bare = re.sub(r"\s+", " ", text.strip().lower()).removeprefix("at ")
    if bare in ("noon", "midday"):
        return [("time", 12 * 3600)]
    if bare == "midnight":
        return [("time", 0)]
    match = re.fullmatch(r"([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2})(?:\.[0-9]+)?)?)? ?(a\.?m\.?|p\.?m\.?)?", bare)
    if match is None or (match[2] is None and match[4] is None):
        return []
    hour, minute, second = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    if match[4]:
        if not 1 <= hour <= 12:
            return []
        hour = hour % 12 + (12 if match[4].startswith("p") else 0)
    if hour > 23 or minute > 59 or second > 59:
        return []
    return [("time", hour * 3600 + minute * 60 + second)]


def _offset(text: str) -> int | None:
    """Minutes east of UTC."""
    if text in ("z", "utc", "gmt"):
        return 0
    match = re.fullmatch(r"([+-])([0-9]{2}):?([0-9]{2})?", text)
    if match is None or int(match[2]) > 18 or int(match[3] or 0) > 59:
        return None
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    return -minutes if match[1] == "-" else minutes


def datetimes(text: str) -> list[Value]:
    """A date and a time, with or without an offset: ("datetime", date, seconds, minutes or None)."""
    bare = re.sub(r"\s+", " ", text.strip())
    # A day alone is its midnight.
    out: list[Value] = [("datetime", date, 0, None) for date in dates(bare) if date[0] == "date"]
    offset: int | None = None
    zoned = re.fullmatch(r"(?i)(.*[0-9m]) ?(z|utc|gmt|[+-][0-9]{2}:?[0-9]{2})", bare)
    body = bare
    if zoned and ":" in zoned[1]:
        offset = _offset(zoned[2].lower())
        if offset is None:
            return []
        body = zoned[1]
    for at in range(1, len(body)):
        for mark in ("T", "t", " at ", ", ", " "):
            if not body.startswith(mark, at):
                continue
            for first, second in ((body[:at], body[at + len(mark) :]), (body[at + len(mark) :], body[:at])):
                for date in dates(first):
                    for time in times(second):
                        value = ("datetime", date, time[1], offset)
                        if date[0] == "date" and value not in out:
                            out.append(value)
    return out


def durations(text: str) -> list[Value]:
    """A length of time in seconds: 90 min, 1h30m, 2 hours and 30 minutes, PT1H30M."""
    bare = re.sub(r"\s+", " ", text.strip().lower())
    if match := re.fullmatch(r"p(?:([0-9]+)w)?(?:([0-9]+)d)?(?:t(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?)?", bare):
        parts = [int(part or 0) for part in match.groups()]
        if not any(match.groups()):
            return []
        return [("duration", parts[0] * 7 * DAY + parts[1] * DAY + parts[2] * 3600 + parts[3] * 60 + parts[4])]
    if bare in ("half an hour", "half hour"):
        return [("duration", 1800)]
    total, at, pieces = 0, 0, re.compile(r"(?:and )?([0-9]{1,9}(?:\.[0-9]{1,2})?|[a-z]+)[ -]?([a-z]+)(?:, ?| |$)?")
    while at < len(bare):
        match = pieces.match(bare, at)
        if match is None or match[2] not in _UNITS:
            return []
        if match[1][0].isdigit():
            whole, _, part = match[1].partition(".")
            seconds = int(whole) * _UNITS[match[2]] * 100 + int((part or "0").ljust(2, "0")) * _UNITS[match[2]]
            if seconds % 100:
                return []
            total += seconds // 100
        elif match[1] in _NUMBERS:
            total += _NUMBERS[match[1]] * _UNITS[match[2]]
        else:
            return []
        at = match.end()
    return [("duration", total)] if bare else []
