"""JSON as a type, and the one canonical encoding.

Records, digests and signatures are over RFC 8785-style canonical JSON: UTF-8, keys sorted by
code point, no white space, minimal escapes. Records hold no floats (money is a decimal string),
so RFC 8785's number formatting never arises; a float is refused here.
"""

from __future__ import annotations

import json
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def canonical(value: Json) -> bytes:
    """`value` in the canonical encoding.

    Raises:
        ValueError: a float stands somewhere in it.
    """
    _refuse_floats(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _refuse_floats(value: Json) -> None:
    if isinstance(value, float):
        raise ValueError("records hold no floats; write a decimal as a string")
    if isinstance(value, dict):
        for inner in value.values():
            _refuse_floats(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_floats(inner)


def parse(data: bytes | str) -> Json:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON.
    """
    value: Json = json.loads(data)
    return value


def parse_object(data: bytes | str) -> dict[str, Json]:
    """The value of a JSON text that must be an object.

    Raises:
        ValueError: it is not JSON, or not an object.
    """
    value = parse(data)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
