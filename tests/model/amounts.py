"""Numbers, money and durations, plainly: in figures, in words, with their units. SPEC, "Typed values"."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

Value = tuple[Any, ...]
ONE = 10_000
LIMIT = 2**63 - 1
CURRENCIES = frozenset(
    {
        "USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "CNY", "INR", "SEK", "NOK", "DKK",
        "PLN", "CZK", "HUF", "BRL", "MXN", "ZAR", "SGD", "HKD", "KRW", "THB", "TRY", "ILS", "AED", "RUB",
    }
)  # fmt: skip
_SIGNS: dict[str, tuple[str, ...]] = {
    "US$": ("USD",), "$": ("USD",), "€": ("EUR",), "£": ("GBP",), "¥": ("JPY", "CNY"), "₹": ("INR",), "₩": ("KRW",),
}  # fmt: skip
_NAMES = {"dollar": "USD", "dollars": "USD", "us dollar": "USD", "us dollars": "USD", "buck": "USD", "bucks": "USD",
          "euro": "EUR", "euros": "EUR", "pound": "GBP", "pounds": "GBP", "yen": "JPY"}  # fmt: skip
_ONES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_BIG = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 10**9}
UNITS = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400, "week": 604800, "weeks": 604800, "w": 604800,
}  # fmt: skip


def spelled(text: str) -> int | None:
    """A whole number in words: twenty-five, two hundred and fifty, a hundred."""
    words = text.lower().replace("-", " ").split()
    if words and words[0] in ("a", "an") and len(words) > 1 and words[1] in _BIG:
        words[0] = "one"
    if not words or any(word not in _ONES and word not in _BIG and word != "and" for word in words):
        return None
    if words[0] in ("and", *_BIG) or words[-1] == "and":
        return None
    total, part, last = 0, 0, 0
    for word in words:
        if word == "and":
            continue
        if word in _ONES:
            if part % 100 and not (last >= 20 and last % 10 == 0 and 0 < _ONES[word] < 10):
                return None
            part += _ONES[word]
            last = _ONES[word]
        elif word == "hundred":
            part, last = part * 100, 0
        else:
            total, part, last = total + part * _BIG[word], 0, 0
    return total + part


def figures(text: str) -> list[int]:
    """A number's readings in ten-thousandths: a point or a comma may part thousands or decimals."""
    match = re.fullmatch(r"([+-]?)([0-9][0-9.,']*)(k|K| million| thousand| billion)?", text)
    if match is None:
        word = spelled(text)
        return [] if word is None else [word * ONE]
    sign, digits, scale = match.groups()
    times = {"k": 1000, "million": 10**6, "thousand": 1000, "billion": 10**9}.get((scale or "").strip().lower(), 1)
    out: list[int] = []
    for thousands, point in ((",", "."), (".", ","), ("'", ".")):
        many = re.escape(thousands)
        grouped = rf"[1-9][0-9]{{0,2}}(?:{many}[0-9]{{3}})+"
        indian = rf"[1-9][0-9]?(?:{many}[0-9]{{2}})+{many}[0-9]{{3}}"
        plain = re.fullmatch(rf"([0-9]+|{grouped}|{indian})(?:{re.escape(point)}([0-9]+))?", digits)
        if plain is None:
            continue
        places = (plain[2] or "").rstrip("0")
        value = Fraction(re.sub(r"[^0-9]", "", plain[1]) + "." + (places or "0")) * ONE * times
        value = -value if sign == "-" else value
        if value.denominator == 1 and abs(value) <= LIMIT and int(value) not in out:
            out.append(int(value))
    return out


def numbers(text: str) -> list[Value]:
    """Numbers with at most four places, in ten-thousandths, within 64 bits."""
    return [("number", amount) for amount in figures(text)]


def moneys(text: str) -> list[Value]:
    """SPEC: "Money: amount + currency"; a bare number is an amount of no currency."""
    rest, sign = text, ""
    if rest[0] in "+-":
        sign, rest = rest[0], rest[1:].lstrip()
    signed: tuple[str, ...] = ()
    for mark, codes in _SIGNS.items():
        if rest.startswith(mark):
            signed, rest = codes, rest[len(mark) :].lstrip()
            break
        if rest.endswith(mark):
            signed, rest = codes, rest[: -len(mark)].rstrip()
            break
    named: str | None = None
    lead = re.fullmatch(r"([A-Z]{3})\s*([^A-Za-z].*)", rest, re.DOTALL | re.IGNORECASE)
    tail = re.fullmatch(r"(.*[^A-Za-z])\s*([A-Z]{3})", rest, re.DOTALL | re.IGNORECASE)
    if lead and lead[1].upper() in CURRENCIES:
        named, rest = lead[1].upper(), lead[2]
    elif tail and tail[2].upper() in CURRENCIES:
        named, rest = tail[2].upper(), tail[1].rstrip()
    else:
        for name in sorted(_NAMES, key=len, reverse=True):
            if rest.lower().endswith(f" {name}"):
                named, rest = _NAMES[name], rest[: -len(name)].rstrip()
                break
    if signed and named and named not in signed and signed != ("USD",):
        return []
    rest = rest.strip()
    if sign and rest[:1] in ("+", "-"):
        return []
    currencies = (named,) if named else (signed or (None,))
    return [("money", amount, currency) for amount in figures(sign + rest) for currency in currencies]


def durations(text: str) -> list[Value]:
    """A length of time in seconds: 90 min, 1h30m, 2 hours and 30 minutes, PT1H30M, an hour and a half."""
    bare = re.sub(r"\s+", " ", text.strip().lower()).removesuffix(" long")
    if match := re.fullmatch(r"p(?:([0-9]+)w)?(?:([0-9]+)d)?(?:t(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?)?", bare):
        if not any(match.groups()):
            return []
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return [("duration", weeks * 604_800 + days * 86_400 + hours * 3600 + minutes * 60 + seconds)]
    fixed = {
        "half an hour": 1800, "half hour": 1800, "a half hour": 1800, "a quarter of an hour": 900,
        "a fortnight": 1_209_600, "half a day": 43_200,
    }  # fmt: skip
    if bare in fixed:
        return [("duration", fixed[bare])]
    if match := re.fullmatch(r"(an?|one|[0-9]+) (hour|day|minute|week)s? and a half", bare):
        count = 1 if not match[1].isdigit() else int(match[1])
        return [("duration", count * UNITS[match[2]] + UNITS[match[2]] // 2)]
    if match := re.fullmatch(r"([a-z-]+|[0-9]+) and a half (hours|days|minutes|weeks)", bare):
        whole = int(match[1]) if match[1].isdigit() else spelled(match[1])
        return [] if whole is None else [("duration", whole * UNITS[match[2]] + UNITS[match[2]] // 2)]
    bare = re.sub(r"^a couple of ", "2 ", bare)
    total, at, last = Fraction(0), 0, 10**9
    piece = re.compile(r"(?:and )?([0-9]{1,9}(?:\.[0-9]{1,2})?|[a-z]+(?:-[a-z]+)?)( |-)?([a-z]+)(?:, ?| |$)?")
    while at < len(bare):
        match = piece.match(bare, at)
        unit = UNITS.get(match[3]) if match else None
        if match is None or unit is None or unit >= last:
            return []
        amount = Fraction(match[1]) if match[1][0].isdigit() else None
        if amount is None:
            word = 1 if match[1] in ("a", "an") else spelled(match[1])
            if word is None or match[2] is None:
                return []
            amount = Fraction(word)
        if match[2] == " " and match[3] in ("d", "m", "s", "w"):
            return []
        total, at, last = total + amount * unit, match.end(), unit
    return [("duration", int(total))] if bare and total.denominator == 1 else []
