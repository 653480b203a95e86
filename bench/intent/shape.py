"""The shape of results: field names and types, never a value."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pydantic import BaseModel

from flyball.kernel.json import Json

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}\Z")
_FORMS = (
    ("date and time", re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?\Z")),
    ("date", re.compile(r"\d{4}-\d\d-\d\d\Z")),
    ("time", re.compile(r"\d\d:\d\d(:\d\d)?\Z")),
    ("email", re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")),
    ("url", re.compile(r"https?://\S+\Z")),
    ("number as text", re.compile(r"[-+]?\d+(\.\d+)?\Z")),
)


@dataclass
class Shape:
    """What stood at one place: scalar types, and fields or elements where there were any."""

    scalars: set[str] = field(default_factory=set)
    fields: dict[str, Shape] = field(default_factory=dict)
    field_sets: list[frozenset[str]] = field(default_factory=list)
    by_key: Shape | None = None
    items: Shape | None = None

    def see(self, value: Json) -> None:
        """Take in one value."""
        if isinstance(value, dict):
            self.field_sets.append(frozenset(value))
            for key, inner in value.items():
                self.fields.setdefault(key, Shape()).see(inner)
        elif isinstance(value, list):
            self.items = self.items or Shape()
            for inner in value:
                self.items.see(inner)
        else:
            self.scalars.add(_scalar(value))

    def is_map_by_data(self) -> bool:
        """Whether the keys are data: not names, or hardly any of them is there twice."""
        if not self.fields:
            return False
        if not all(_FIELD.match(key) for key in self.fields):
            return True
        seen = len(self.field_sets)
        always = sum(all(key in keys for keys in self.field_sets) for key in self.fields)
        return seen > 2 and always == 0 and len(self.fields) > 12

    def lines(self, indent: str = "") -> list[str]:
        """The shape as indented lines."""
        out: list[str] = []
        scalars = sorted(self.scalars)
        if self.fields or self.field_sets:
            if self.is_map_by_data():
                inner = Shape()
                for shape in self.fields.values():
                    inner.take(shape)
                out += [f"{indent}map; the keys are data:", *_entry(f"{indent}  <key>", inner, f"{indent}    ")]
            else:
                out.append(f"{indent}map:")
                seen = len(self.field_sets)
                for key, shape in self.fields.items():
                    sometimes = "" if all(key in keys for keys in self.field_sets) or seen < 2 else " (not always)"
                    out += _entry(f"{indent}  {key}{sometimes}", shape, f"{indent}    ")
        if self.by_key is not None:
            out += [f"{indent}map; the keys are data:", *_entry(f"{indent}  <key>", self.by_key, f"{indent}    ")]
        if self.items is not None:
            out += [f"{indent}list of:", *(self.items.lines(indent + "  ") or [f"{indent}  (was always empty)"])]
        if scalars:
            out.append(f"{indent}{' | '.join(scalars)}")
        return out

    def take(self, other: Shape) -> None:
        """Merge another shape into this one."""
        self.scalars |= other.scalars
        self.field_sets += other.field_sets
        for key, shape in other.fields.items():
            self.fields.setdefault(key, Shape()).take(shape)
        for name in ("items", "by_key"):
            theirs = getattr(other, name)
            if theirs is not None:
                mine = getattr(self, name) or Shape()
                mine.take(theirs)
                setattr(self, name, mine)


def _entry(head: str, shape: Shape, indent: str) -> list[str]:
    inner = shape.lines(indent)
    if len(inner) == 1:
        return [f"{head}: {inner[0].strip()}"]
    return [f"{head}:", *inner]


def _scalar(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    text = str(value)
    for name, form in _FORMS:
        if form.match(text):
            return f"string ({name})" if name != "number as text" else "string (number)"
    if "\n" in text:
        return "string (several lines)"
    return "string"


def of_values(values: Iterable[Json]) -> Shape:
    """The shape of what was seen."""
    out = Shape()
    for value in values:
        out.see(value)
    return out


def of_annotation(hint: object, depth: int = 0) -> Shape:
    """The shape that a type annotation declares."""
    out = Shape()
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return of_annotation(args[0], depth)
    if origin in (typing.Union, types.UnionType):
        for arg in args:
            out.take(of_annotation(arg, depth))
        return out
    if hint is None or hint is type(None):
        out.scalars.add("null")
    elif origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        out.by_key = of_annotation(args[1], depth + 1) if len(args) == 2 else Shape({"any"})
    elif origin is not None and isinstance(origin, type) and issubclass(origin, Sequence | set | frozenset):
        out.items = of_annotation(args[0], depth + 1) if args else Shape({"any"})
    elif isinstance(hint, type) and issubclass(hint, BaseModel) and depth < 8:
        out.field_sets.append(frozenset(hint.model_fields))
        for name, info in hint.model_fields.items():
            out.fields[name] = of_annotation(info.annotation, depth + 1)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        out.scalars.add(f"string (one of: {', '.join(str(one.value) for one in hint)})")
    else:
        out.scalars.add(_NAMES.get(getattr(hint, "__name__", str(hint)), getattr(hint, "__name__", str(hint))))
    return out


_NAMES = {
    "str": "string", "int": "integer", "float": "number", "bool": "bool", "EmailStr": "string (email)",
    "datetime": "string (date and time)", "date": "string (date)", "time": "string (time)", "dict": "map",
    "list": "list", "Any": "any",
}  # fmt: skip
