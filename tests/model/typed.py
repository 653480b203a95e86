"""Arguments by the types that the bundle declares: string, long, decimal, bool, strings, any."""

from __future__ import annotations

import re
from typing import Any

from tests.model.documents import Number

MAX_TEXT = 65_536


def wrong_type(declared: dict[str, str], given: dict[str, Any]) -> str | None:
    """`argument_unknown` or `argument_type`, by the first argument (in order of names) that is wrong."""
    for name in sorted(given):
        if name not in declared:
            return "argument_unknown"
        if not fits(declared[name], given[name]):
            return "argument_type"
    return None


def fits(kind: str, value: Any) -> bool:
    """Whether a value is of an argument's type."""
    text = isinstance(value, str) and not isinstance(value, Number)
    if kind == "string":
        return text and len(value.encode()) <= MAX_TEXT
    if kind == "strings":
        return isinstance(value, list) and all(fits("string", one) for one in value)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "long":
        whole = isinstance(value, Number) and re.fullmatch(r"-?[0-9]+", value) is not None
        return whole and -(2**63) <= int(value) < 2**63
    if kind == "decimal":
        return isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,4})?", value) is not None
    return kind == "any"
