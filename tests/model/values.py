"""Typed values, plainly: what a text means as a date, an amount, an address; SPEC, "Typed values".

A value is a tuple whose first member says what it is, so that Python's own equality is the only
comparison there is. Everything is brought to NFC, never to NFKC: look-alikes stay different.
`read` takes a whole text for one value, and gives every reading of an ambiguous one.
"""

from __future__ import annotations

from typing import Any

from tests.model import amounts, strings, times
from tests.model.strings import nfc

#: A value: ("id", text), ("date", year or None, month, day), ("number", ten-thousandths), ...
Value = tuple[Any, ...]
Readings = tuple[Value, ...]

KINDS = (
    "text", "id", "email", "url", "host", "phone", "iban", "path",
    "date", "time", "datetime", "duration", "number", "money", "bool", "words",
)  # fmt: skip


def read(kind: str, text: str) -> Readings:
    """All readings of the whole text as one value of that kind; none where it is not one."""
    text = nfc(text).strip(" \t\r\n") if kind == "id" else nfc(text).strip()
    if not text:
        return ()
    reader = {
        "text": _text, "id": _id, "email": strings.email, "url": strings.url, "host": strings.host,
        "phone": strings.phone, "iban": strings.iban, "path": strings.path,
        "date": times.dates, "time": times.times, "datetime": times.datetimes, "duration": amounts.durations,
        "number": amounts.numbers, "money": amounts.moneys, "bool": _bool, "words": _words,
    }[kind]  # fmt: skip
    found: list[Value] = []
    for value in reader(text):
        if value not in found:
            found.append(value)
    return tuple(found)


def _text(text: str) -> list[Value]:
    words = strings.words(text)
    return [("text", words, strings.phrase(text))] if words else []


def _words(text: str) -> list[Value]:
    """Each word is a reading: all of them are meant."""
    found = strings.gist(text)
    return [("words", word) for word in found] if len(found) <= 512 else []


def _id(text: str) -> list[Value]:
    """SPEC: "Id: NFC, trimmed, exact case"."""
    return [] if strings.unseen(text) or len(text.encode()) > 1024 else [("id", text)]


def _bool(text: str) -> list[Value]:
    if text.lower() in ("true", "yes", "on", "y"):
        return [("bool", True)]
    return [("bool", False)] if text.lower() in ("false", "no", "off", "n") else []


def same(argument: Value, source: Value) -> bool:
    """Whether an argument's reading is a source's value.

    SPEC: "No year: matches any year"; "no currency matches any currency only on the side of the argument".
    """
    if argument[0] != source[0]:
        return False
    if argument[0] == "date":
        return times.same_date(argument, source)
    if argument[0] == "datetime":
        return times.same_date(argument[1], source[1]) and argument[2:] == source[2:]
    if argument[0] == "money":
        return argument[1] == source[1] and argument[2] in (None, source[2])
    if argument[0] == "text":
        return strings.phrase_in(argument[2], source[2])
    return argument == source


def stands_in(words: tuple[str, ...], text: tuple[str, ...]) -> bool:
    """SPEC: "the argument's word sequence stands contiguously in the source's text. Empty never matches"."""
    if not words:
        return False
    return any(text[at : at + len(words)] == words for at in range(len(text) - len(words) + 1))
