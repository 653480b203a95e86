"""Typed values, plainly: what a text means as a date, an amount, an address; SPEC, "Typed values".

A value is a tuple whose first member says what it is, so that Python's own equality is the only
comparison there is. Everything is brought to NFC, never to NFKC: look-alikes stay different.
`read` takes a whole text for one value, and gives every reading of an ambiguous one.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from tests.model import strings, times

#: A value: ("id", text), ("date", year or None, month, day), ("number", ten-thousandths), ...
Value = tuple[Any, ...]
Readings = tuple[Value, ...]

KINDS = (
    "text", "id", "email", "url", "host", "phone", "iban", "path",
    "date", "time", "datetime", "duration", "number", "money", "bool",
)  # fmt: skip
_LIMIT = 2**63 - 1
_ONE = 10_000
CURRENCIES = frozenset(
    {
        "usd", "eur", "gbp", "jpy", "chf", "cad", "aud", "nzd", "cny", "inr", "sek", "nok", "dkk",
        "pln", "czk", "huf", "brl", "mxn", "zar", "sgd", "hkd", "krw", "thb", "try", "ils",
    }
)  # fmt: skip
_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW", "₪": "ILS"}
_WORDS = {"dollar": "USD", "dollars": "USD", "euro": "EUR", "euros": "EUR", "pound": "GBP", "pounds": "GBP"}


def nfc(text: str) -> str:
    """The text in NFC. SPEC: "NFC, never NFKC"."""
    return unicodedata.normalize("NFC", text)


def read(kind: str, text: str) -> Readings:
    """All readings of the whole text as one value of that kind; none where it is not one."""
    text = nfc(text).strip()
    if not text:
        return ()
    reader = {
        "text": _text, "id": _id, "email": strings.email, "url": strings.url, "host": strings.host,
        "phone": strings.phone, "iban": strings.iban, "path": strings.path,
        "date": times.dates, "time": times.times, "datetime": times.datetimes, "duration": times.durations,
        "number": numbers, "money": moneys, "bool": _bool,
    }[kind]  # fmt: skip
    found: list[Value] = []
    for value in reader(text):
        if value not in found:
            found.append(value)
    return tuple(found)


def _text(text: str) -> list[Value]:
    words = strings.words(text)
    return [("text", words)] if words else []


def _id(text: str) -> list[Value]:
    """SPEC: "Id: NFC, trimmed, exact case"."""
    return [("id", text)]


def _bool(text: str) -> list[Value]:
    return {"true": [("bool", True)], "false": [("bool", False)]}.get(text.lower(), [])


def amounts(text: str) -> list[int]:
    """A number's readings in ten-thousandths: a point or a comma may part thousands or decimals."""
    match = re.fullmatch(r"([+-]?)([0-9][0-9.,'  ]*)", text)
    if match is None:
        return []
    sign, digits = match.groups()
    out: list[int] = []
    for thousands, point in ((",", "."), (".", ","), ("'", "."), (" ", "."), (" ", ","), (" ", ".")):
        grouped = rf"[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+"
        plain = re.fullmatch(rf"([0-9]+|{grouped})(?:{re.escape(point)}([0-9]{{1,4}}))?", digits)
        if plain is None:
            continue
        whole = int(re.sub(r"[^0-9]", "", plain[1]))
        value = whole * _ONE + int((plain[2] or "").ljust(4, "0"))
        value = -value if sign == "-" else value
        if abs(value) <= _LIMIT and value not in out:
            out.append(value)
    return out


def numbers(text: str) -> list[Value]:
    """Numbers with at most four places, in ten-thousandths, within 64 bits."""
    return [("number", amount) for amount in amounts(text)]


def moneys(text: str) -> list[Value]:
    """SPEC: "Money: amount + currency"; a bare number is an amount of no currency."""
    currency = None
    rest = text
    sign = ""
    if rest[0] in "+-":
        sign, rest = rest[0], rest[1:].lstrip()
    for mark, code in _SIGNS.items():
        if rest.startswith(mark):
            currency, rest = code, rest[len(mark) :]
        elif rest.endswith(mark):
            currency, rest = code, rest[: -len(mark)]
    if currency is None:
        lead = re.fullmatch(r"([A-Za-z]+)\s*(.*)", rest, re.DOTALL)
        tail = re.fullmatch(r"(.*?)\s*([A-Za-z]+)", rest, re.DOTALL)
        if lead and lead[1].lower() in CURRENCIES:
            currency, rest = lead[1].upper(), lead[2]
        elif tail and tail[2].lower() in CURRENCIES:
            currency, rest = tail[2].upper(), tail[1]
        elif tail and tail[2].lower() in _WORDS:
            currency, rest = _WORDS[tail[2].lower()], tail[1]
    rest = rest.strip()
    if sign and rest[:1] in ("+", "-"):
        return []
    return [("money", amount, currency) for amount in amounts(sign + rest)]


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
        return stands_in(argument[1], source[1])
    return argument == source


def stands_in(words: tuple[str, ...], text: tuple[str, ...]) -> bool:
    """SPEC: "the argument's word sequence stands contiguously in the source's text. Empty never matches"."""
    if not words:
        return False
    return any(text[at : at + len(words)] == words for at in range(len(text) - len(words) + 1))
