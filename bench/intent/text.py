"""What a tool returned, as JSON: models are taken apart, and text that spells out a structure is read.

An enforcement point knows the tool it stands before, so it reports what the tool returned before it was
rendered for a model. Recorded runs hold the rendering only; where that is JSON, YAML or a Python literal
of a list or a map, the structure is read back from it.
"""

from __future__ import annotations

import ast
import dataclasses
import datetime
import enum
import json
import math
import re
from collections.abc import Mapping, Sequence

import yaml
from pydantic import BaseModel

from flyball.kernel.json import Json

#: Beyond this a text is not read as YAML: the reader is slow, and an answer that long is prose.
_MOST_YAML = 200_000
_FIELD = re.compile(r"[a-z_][a-zA-Z0-9_]*")


def plain_json(value: object) -> Json:
    """`value` as JSON: models and dataclasses become objects, dates ISO text, whatever else its text."""
    if value is None or isinstance(value, bool | str | int):
        return str(value) if isinstance(value, enum.Enum) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, BaseModel):
        return plain_json(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain_json(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(plain_json(key)): plain_json(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return [plain_json(inner) for inner in sorted(value, key=str)]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain_json(inner) for inner in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    return str(value)


def structured(text: str) -> Json:
    """The list or map that `text` spells out as JSON, as a Python literal or as YAML; else `text` itself."""
    stripped = text.strip()
    if not stripped:
        return text
    if stripped[0] in "[{":
        for read in (json.loads, ast.literal_eval):
            try:
                found = read(stripped)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(found, list | dict):
                return plain_json(found)
        return text
    if len(stripped) <= _MOST_YAML and _looks_like_yaml(stripped):
        try:
            found = yaml.safe_load(stripped)
        except (yaml.YAMLError, ValueError, RecursionError):
            return text
        if isinstance(found, list) or (isinstance(found, dict) and _is_record(found)):
            return plain_json(found)
    return text


def _is_record(found: dict[object, object]) -> bool:
    """Whether a map's keys are the names of fields: headings of prose begin with a capital, and rarely come alone."""
    return len(found) > 1 and all(isinstance(key, str) and _FIELD.fullmatch(key) for key in found)


def _looks_like_yaml(text: str) -> bool:
    """Whether the first line is a list's dash or a map's key: prose with a colon in it is no map.

    A list counts where its first element is a map or plain; a map's key has no blank in it.
    """
    first = text.split("\n", 1)[0]
    if first.startswith("- "):
        return True
    key, colon, rest = first.partition(":")
    return bool(colon) and bool(key) and " " not in key and (not rest or rest[0] == " ") and not key.startswith("http")
