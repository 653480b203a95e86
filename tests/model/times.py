"""Dates and times, plainly: SPEC, "Typed values". What has two readings has both."""

from __future__ import annotations

import datetime
import re
from typing import Any

from tests.model.amounts import spelled

Value = tuple[Any, ...]

_MONTHS = [
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
]  # fmt: skip
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_SHORT = {
    "mon": 0, "tue": 1, "tues": 1, "wed": 2, "thu": 3, "thur": 3, "thurs": 3, "fri": 4, "sat": 5, "sun": 6,
}  # fmt: skip
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_TODAY = ("today", "tonight", "this morning", "this afternoon", "this evening")
_NAMED = {
    "tomorrow": 1, "yesterday": -1, "the day after tomorrow": 2, "day after tomorrow": 2,
    "the day before yesterday": -2, "day before yesterday": -2,
}  # fmt: skip
DAY_WORDS = ("offset", "weekday", "next_weekday", "last_weekday")


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


def _year(text: str | None) -> int | None:
    """Four figures, or two: 00 to 69 are of this century."""
    if not text:
        return None
    number = int(text)
    return number if len(text) == 4 else number + (2000 if number < 70 else 1900)


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
    if match := re.fullmatch(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})", bare):
        if len(match[4]) == 2 and match[2] != "/":
            return []
        first, second, year = int(match[1]), int(match[3]), _year(match[4])
        if match[2] == ".":
            return _date(year, second, first)
        return _date(year, first, second) + _date(year, second, first)
    if (match := re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", bare)) and bare != "24/7":
        first, second = int(match[1]), int(match[2])
        return _date(None, first, second) + _date(None, second, first)
    named = re.sub(r"(?<=[0-9A-Za-z])[-/](?=[0-9A-Za-z])", " ", bare) if re.search(r"[A-Za-z]", bare) else bare
    year = r"(?:,? ([0-9]{4}|(?<=[a-z] )[0-9]{2}))?"
    if match := re.fullmatch(rf"(?i)(?:the )?([0-9]{{1,2}})(?:st|nd|rd|th)?(?: of)? ([a-z]+\.?){year}", named):
        short = match[3] is not None and len(match[3]) == 2
        return [] if short and named == bare else _date(_year(match[3]), _month(match[2]), int(match[1]))
    if match := re.fullmatch(r"(?i)([a-z]+\.?) (?:the )?([0-9]{1,2})(?:st|nd|rd|th)?(?:,? ([0-9]{4}))?", named):
        return _date(_year(match[3]), _month(match[1]), int(match[2]))
    return day_words(bare)


def day_words(text: str) -> list[Value]:
    """SPEC: "Relative words (today, tomorrow, yesterday, in N days, weekday names) resolve from `today`"."""
    bare = text.lower()
    if bare in _TODAY:
        return [("offset", 0)]
    if bare in _NAMED:
        return [("offset", _NAMED[bare])]
    count = r"([0-9]{1,3}|[a-z]+(?:-[a-z]+)?) (day|week)s?"
    for pattern, sign in ((rf"in {count}", 1), (rf"{count} ago", -1), (rf"{count} from (?:now|today)", 1)):
        if match := re.fullmatch(pattern, bare):
            word = 1 if match[1] in ("a", "an") else spelled(match[1])
            number = int(match[1]) if match[1].isdigit() else word
            if number is not None:
                return [("offset", sign * number * (7 if match[2] == "week" else 1))]
    if match := re.fullmatch(r"(?:(next|last|this|on|coming) )?([a-z]+)\.?", bare):
        day = _DAYS.index(match[2]) if match[2] in _DAYS else _SHORT.get(match[2])
        if day is not None:
            return [({"next": "next_weekday", "last": "last_weekday"}.get(match[1] or "", "weekday"), day)]
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
    return bool(one[2:] == other[2:] and (one[1] is None or other[1] is None or one[1] == other[1]))


def _at(hour: int, minute: int, second: int) -> list[Value]:
    if hour > 23 or minute > 59 or second > 59:
        return []
    return [("time", hour * 3600 + minute * 60 + second)]


def _half(hour: int | None, minute: int, half: str | None) -> list[Value]:
    """A spoken hour: in the morning, in the afternoon, or both."""
    if hour is None or not 1 <= hour <= 12:
        return []
    if half:
        return _at(hour % 12 + (12 if half.startswith("p") else 0), minute, 0)
    return _at(hour % 12, minute, 0) + _at(hour % 12 + 12, minute, 0)


def times(text: str) -> list[Value]:
    """A time of the day in seconds: 10:30, 10:30:15, 10 am, 10.30 pm, six pm, half past ten, noon, midnight."""
    bare = re.sub(r"\s+", " ", text.strip().lower().replace("’", "'")).removeprefix("at ")
    if bare in ("noon", "midday", "midnight"):
        return [("time", 0 if bare == "midnight" else 12 * 3600)]
    half = r"(?: ?(a\.?m\.?|p\.?m\.?))?"
    if match := re.fullmatch(rf"([0-9]{{1,2}})(?:([:.])([0-9]{{2}})(?::([0-9]{{2}})(?:\.[0-9]+)?)?)?{half}", bare):
        if match[5] is None:
            return _at(int(match[1]), int(match[3]), int(match[4] or 0)) if match[2] == ":" else []
        if match[4]:
            return [("time", one[1] + int(match[4])) for one in _half(int(match[1]), int(match[3]), match[5])]
        return _half(int(match[1]), int(match[3] or 0), match[5])

    def hour(word: str) -> int | None:
        return int(word) if word.isdigit() else spelled(word)

    if match := re.fullmatch(r"([0-9]{1,2}|[a-z]+) o'clock", bare):
        return _at(12, 0, 0) if hour(match[1]) == 12 else _half(hour(match[1]), 0, None)
    if match := re.fullmatch(rf"(half|quarter) (past|to) ([0-9]{{1,2}}|[a-z]+){half}", bare):
        minute = 30 if match[1] == "half" else 15
        whole = hour(match[3])
        if whole is None or not 1 <= whole <= 12 or (match[1] == "half" and match[2] == "to"):
            return []
        if match[2] == "to":
            return _half((whole - 2) % 12 + 1, 60 - minute, match[4])
        return _half(whole, minute, match[4])
    if match := re.fullmatch(r"([a-z]+) ?(a\.?m\.?|p\.?m\.?)", bare):
        return _half(spelled(match[1]), 0, match[2])
    return []


def _offset(text: str) -> int | None:
    """Minutes east of UTC; fourteen hours at most."""
    if text in ("z", "utc", "gmt"):
        return 0
    match = re.fullmatch(r"([+-])([0-9]{2}):?([0-9]{2})?", text)
    if match is None or int(match[3] or 0) > 59:
        return None
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    if minutes > 14 * 60:
        return None
    return -minutes if match[1] == "-" else minutes


def datetimes(text: str) -> list[Value]:
    """A date and a time, with or without an offset: ("datetime", date, seconds, minutes or None)."""
    bare = re.sub(r"\s+", " ", text.strip())
    # A day alone is its midnight.
    out: list[Value] = [("datetime", date, 0, None) for date in dates(bare) if date[0] == "date"]
    offset: int | None = None
    zoned = re.fullmatch(r"(?i)(.*[0-9m]) ?(z|utc|gmt|[+-][0-9]{2}:?[0-9]{2}|(?<=:[0-9]{2})[+-][0-9]{2})", bare)
    body = bare
    if zoned and ":" in zoned[1]:
        offset = _offset(zoned[2].lower())
        if offset is None:
            return []
        body = zoned[1]
    for at in range(1, len(body)):
        for mark in ("T", "t", " at ", " on ", ", ", " "):
            if not body.startswith(mark, at):
                continue
            for first, second in ((body[:at], body[at + len(mark) :]), (body[at + len(mark) :], body[:at])):
                for date in dates(first):
                    for time in times(second):
                        value = ("datetime", date, time[1], offset)
                        if date[0] == "date" and value not in out:
                            out.append(value)
    return out
