"""JSON as requests may write it: RFC 8259 without what two readers could read differently.

Refused: duplicate members, NaN and infinities, lone surrogates, whole numbers beyond 64 bits,
nesting deeper than 32. A number with a fraction or exponent is kept as its source text: a float
would no longer be what the caller wrote.
"""

from __future__ import annotations

import json
from typing import cast

from flyball.kernel.errors import InvalidInput
from flyball.kernel.json import Json

MAX_DEPTH = 32
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


def loads(data: bytes) -> Json:
    """The value in `data`.

    Raises:
        InvalidInput: `json_malformed`.
    """
    try:
        text = data.decode()
        value = cast(
            "Json",
            json.loads(text, object_pairs_hook=_members, parse_float=str, parse_int=_whole, parse_constant=_constant),
        )
        _check(value, MAX_DEPTH)
    except UnicodeDecodeError as fault:
        raise _refused("it is not UTF-8") from fault
    except json.JSONDecodeError as fault:
        raise _refused(f"{fault.msg} at character {fault.pos}") from fault
    except RecursionError as fault:
        raise _refused(f"it is nested deeper than {MAX_DEPTH}") from fault
    except ValueError as fault:
        raise _refused(str(fault)) from fault
    return value


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return members


def _whole(text: str) -> int:
    value = int(text) if len(text) <= 20 else _MOST + 1
    if not _LEAST <= value <= _MOST:
        raise ValueError("a whole number is beyond 64 bits; write it as text")
    return value


def _constant(text: str) -> Json:
    raise ValueError(f"{text} is not JSON")


def _check(value: Json, depth: int) -> None:
    if depth == 0:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        _text(value)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth - 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            _text(name)
            _check(item, depth - 1)


def _text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        raise ValueError("a text holds half of a surrogate pair") from fault


def _refused(why: str) -> InvalidInput:
    return InvalidInput(f"the body is not JSON as it is read here: {why}", code="json_malformed")
