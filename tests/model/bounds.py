"""Bounds from before: max, min, eq, one_of, pattern, prefix, length; a list is held by element."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from tests.model.documents import Number, WrongShape, at_path


def amount(value: Any) -> Fraction | None:
    """A number as it is written: at most four places, no exponent."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if re.fullmatch(r"-?[0-9]{1,19}(\.[0-9]{1,4})?", str(value)) is None:
        return None
    return Fraction(str(value))


def within(bound: dict[str, Any], args: dict[str, Any], inputs: dict[str, Any]) -> bool:
    """A bound from before: max, min, eq, one_of, pattern, prefix, length. A list is held by element."""
    limit = bound["value"].get("const") if "const" in bound["value"] else inputs.get(bound["value"]["input"])
    try:
        given = at_path(args, bound["arg"])
    except WrongShape:
        return False
    op = bound["op"]
    if limit is None:
        return False
    if op == "length":
        whole = args.get(bound["arg"])
        size = len(whole) if isinstance(whole, list) else max((len(str(one)) for one in given), default=0)
        return size <= int(limit)
    return all(_element_within(op, one, limit) for one in given)


def _element_within(op: str, value: Any, limit: Any) -> bool:
    if op in ("max", "min"):
        mine, bound = amount(value), amount(limit)
        if mine is None or bound is None:
            return False
        return mine <= bound if op == "max" else mine >= bound
    if op == "eq":
        return _equal(value, limit)
    if op == "one_of":
        return any(_equal(value, one) for one in limit)
    if not isinstance(value, str) or isinstance(value, Number):
        return False
    if op == "prefix":
        return value.startswith(str(limit))
    return re.fullmatch(str(limit), value, re.ASCII) is not None


def _equal(value: Any, limit: Any) -> bool:
    if isinstance(value, bool) or isinstance(limit, bool):
        return str(value).lower() == str(limit).lower()
    if isinstance(value, Number):
        return amount(value) is not None and amount(value) == amount(limit)
    return bool(value == limit)
