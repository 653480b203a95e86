"""JSON as the plane takes it, and what stands where in it: templates over results, paths into arguments."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

OUTSIDE_ANY = {"spec": {"type": "any", "by": "outside", "labels": []}}


class Number(str):
    """A number's source text: nothing here is a float."""

    __slots__ = ()


class Malformed(ValueError):
    """Not JSON as the plane takes it."""


def parse(data: bytes | str) -> Any:
    """Strict JSON: no name twice, numbers as their text, 32 levels and 1 MiB at most."""
    raw = data.encode() if isinstance(data, str) else data

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(members)
        if len(out) != len(members):
            raise Malformed("a name twice")
        return out

    def refuse(word: str) -> Any:
        raise Malformed(word)

    if len(raw) > 1 << 20:
        raise Malformed("too large")
    try:
        value = json.loads(raw, object_pairs_hook=pairs, parse_float=Number, parse_int=Number, parse_constant=refuse)
        canonical(value).encode()
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error
    if _depth(value) > 32:
        raise Malformed("too deep")
    return value


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(one) for one in value.values()), default=-1) if value else 0
    if isinstance(value, list):
        return 1 + max((_depth(one) for one in value), default=-1) if value else 0
    return 0


def canonical(value: Any) -> str:
    """One text for one document: names sorted, no blanks."""
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(name) + ":" + canonical(value[name]) for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(one) for one in value) + "]"
    return str(value) if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


def scalar(value: Any) -> str | None:
    """The text of a string, a number or a truth value; nothing for null, lists and maps."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else None


@dataclass(frozen=True)
class Leaf:
    """A declared field's value in one result."""

    field: str
    row: int
    text: str
    kind: str
    by: str
    labels: frozenset[str]


def leaves(template: dict[str, Any] | None, result: Any) -> list[Leaf]:
    """What a template declares of a result, with the row that each value stands in.

    SPEC: "A map given for a list is applied to each element; a list template for a single value takes it
    as one row. Undeclared fields are `any by outside` and never kept." "A result that is a string where a
    structure is declared: parsed as JSON if it is JSON, else it is outside text under no field."
    """
    template = template or OUTSIDE_ANY
    if isinstance(result, str) and not isinstance(result, Number) and "spec" not in template:
        try:
            result = parse(result)
        except Malformed:
            return []
    out: list[Leaf] = []
    _walk(template, result, [], None, [0], out)
    return out


def _walk(
    template: dict[str, Any], value: Any, path: list[str], row: int | None, rows: list[int], out: list[Leaf]
) -> None:
    """Rows are numbered by the outermost list, or by the outermost map where the template says "*"."""
    if isinstance(value, list) and ("list" in template or "map" in template or "spec" in template):
        inner = template.get("list", template)
        for one in value:
            _walk(inner, one, path, _next(rows) if row is None else row, rows, out)
        return
    if "list" in template:
        _walk(template["list"], value, path, _next(rows) if row is None else row, rows, out)
        return
    if "map" in template:
        if not isinstance(value, dict):
            return
        fields = template["map"]
        for key, one in value.items():
            named = key in fields and key not in ("*", "$key")
            many = not named and ("*" in fields or "$key" in fields)
            here = (_next(rows) if many else None) if row is None else row
            if not named and "$key" in fields:
                _walk(fields["$key"], key, [*path, "$key"], here, rows, out)
            if named:
                _walk(fields[key], one, [*path, key], here, rows, out)
            elif "*" in fields:
                _walk(fields["*"], one, [*path, "*"], here, rows, out)
        return
    text = scalar(value)
    if text is not None:
        spec = template["spec"]
        labels = frozenset([spec["by"], *spec.get("labels", [])])
        out.append(Leaf(".".join(path), -1 if row is None else row, text, spec["type"], spec["by"], labels))


def _next(rows: list[int]) -> int:
    rows[0] += 1
    return rows[0]


def static_labels(template: dict[str, Any] | None) -> frozenset[str]:
    """SPEC: "static labels of the action (all writers and own labels of its `returns`)"."""
    template = template or OUTSIDE_ANY
    if "spec" in template:
        return frozenset([template["spec"]["by"], *template["spec"].get("labels", [])])
    if "list" in template:
        return static_labels(template["list"])
    return frozenset(label for inner in template["map"].values() for label in static_labels(inner))


class WrongShape(ValueError):
    """Something stands where the path leads to something else."""


def at_path(args: dict[str, Any], path: str) -> list[Any]:
    """Every element that a `where` key is about; lists are taken apart, nothing where nothing stands.

    Raises:
        WrongShape: the path leads through what is no map.
    """
    found: list[Any] = [args]
    for step in path.split("."):
        name = step.removesuffix("[]")
        through: list[Any] = []
        for value in found:
            if not isinstance(value, dict):
                raise WrongShape(path)
            if value.get(name) is not None:
                through += _flat(value[name])
        found = [one for one in through if one is not None]
    return found


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [inner for one in value for inner in _flat(one)]
