"""JSON out and in. `Decimal` is written as a number with its own digits, so money keeps them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def dumps(value: object) -> bytes:
    """`value` as JSON: dicts, lists, tuples, sets of text (sorted), text, numbers, Decimal, bool, None.

    Raises:
        TypeError: for anything else. ValueError: for a number that is not finite.
    """
    return _text(value).encode("utf-8")


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(name)}:{_text(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, set | frozenset):
        return _text(sorted(value))
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(inner) for inner in value) + "]"
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("a number that is not finite has no JSON")
        return format(value, "f")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is not finite has no JSON")
    if value is None or isinstance(value, str | int | float):
        return json.dumps(value)
    raise TypeError(f"{type(value).__name__} cannot be sent; send text, numbers, bool, lists or dicts")


def _key(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError("only text can name a member")
    return json.dumps(name)


def loads(data: bytes) -> Json:
    """JSON from the server.

    Raises:
        ValueError: it is none.
    """
    try:
        value: Json = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def text(members: Mapping[str, Json], name: str) -> str:
    """The member as text, empty where it is absent or no text."""
    value = members.get(name)
    return value if isinstance(value, str) else ""


def whole(members: Mapping[str, Json], name: str, default: int = 0) -> int:
    """The member as a whole number, `default` where it is absent or none."""
    value = members.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def texts(members: Mapping[str, Json], name: str) -> tuple[str, ...]:
    """A list of texts, or none."""
    value = members.get(name)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
