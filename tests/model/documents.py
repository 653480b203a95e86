"""JSON as the plane takes it, and what stands where in it: templates over results, paths into arguments."""

from __future__ import annotations

import contextlib
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
    value: Any
    kind: str
    by: str
    labels: frozenset[str]

    @property
    def text(self) -> str:
        """The value as text."""
        return scalar(self.value) or ""


def leaves(template: dict[str, Any] | None, result: Any) -> list[Leaf]:
    """What a template declares of a result, with the row that each value stands in.

    SPEC: "A map given for a list is applied to each element; a list template for a single value takes it
    as one row. Undeclared fields are `any by outside` and never kept." "A result that is a string where a
    structure is declared: parsed as JSON if it is JSON, else it is outside text under no field." What is undeclared
    comes as leaves of the kind UNDECLARED.
    """
    template = template or OUTSIDE_ANY
    if isinstance(result, str) and not isinstance(result, Number) and "spec" not in template:
        with contextlib.suppress(Malformed):
            result = parse(result)
    out: list[Leaf] = []
    _walk(template, result, [], None, [0], out)
    return out


#: What stands for something that the template does not declare: it has no field that a source could name.
UNDECLARED = "undeclared"


def declared(found: list[Leaf]) -> list[Leaf]:
    """Only the values of declared fields; SPEC: "Undeclared fields are `any by outside` and never kept"."""
    return [leaf for leaf in found if leaf.kind != UNDECLARED]


def _walk(
    template: dict[str, Any], value: Any, path: list[str], row: int | None, rows: list[int], out: list[Leaf]
) -> None:
    """Rows are numbered by the outermost list, or by the outermost map where the template says "*"; what is in
    neither stands in row 0.
    """
    if value is None:
        return
    if isinstance(value, list):
        inner = template.get("list", template)
        for one in value:
            _walk(inner, one, path, _next(rows) if row is None else row, rows, out)
    elif "list" in template:
        _walk(template["list"], value, path, _next(rows) if row is None else row, rows, out)
    elif "map" in template:
        fields = template["map"]
        if not isinstance(value, dict):
            out.append(_outside(value))
            return
        for key, one in value.items():
            named = key in fields and key not in ("*", "$key")
            here = row if named or row is not None else _next(rows)
            if "$key" in fields:
                _walk(fields["$key"], key, [*path, "$key"], here, rows, out)
            if named:
                _walk(fields[key], one, [*path, key], here, rows, out)
            elif "*" in fields:
                _walk(fields["*"], one, [*path, "*"], here, rows, out)
            elif one is not None:
                out.append(_outside(one))
    elif isinstance(value, dict):
        if template["spec"]["type"] != "any":
            out.append(_outside(value))
            return
        for one in value.values():
            _walk(template, one, path, row, rows, out)
    else:
        spec = template["spec"]
        labels = frozenset([spec["by"], *spec.get("labels", [])])
        out.append(Leaf(".".join(path), row or 0, value, spec["type"], spec["by"], labels))


def _outside(value: Any) -> Leaf:
    return Leaf("", 0, value, UNDECLARED, "outside", frozenset({"outside"}))


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


def at_path(args: Any, path: str) -> list[Any]:
    """Every element that a `where` key is about; lists are taken apart, nothing where nothing stands.

    Raises:
        WrongShape: something stands where the path goes on, or a map where it ends.
    """
    return _follow(args, [step.removesuffix("[]") for step in path.split(".")])


def _follow(value: Any, steps: list[str]) -> list[Any]:
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return [one for inner in value for one in _follow(inner, steps)]
    if isinstance(value, dict) and steps:
        return _follow(value.get(steps[0]), steps[1:])
    if isinstance(value, dict) or steps:
        raise WrongShape(".".join(steps))
    return [value]


def scoped(args: Any, path: str) -> list[tuple[Any, list[Any]]]:
    """The same as `at_path`, each with the objects that the path leads through: the arguments first."""
    return _scoped(args, [step.removesuffix("[]") for step in path.split(".")], [])


def _scoped(value: Any, steps: list[str], scope: list[Any]) -> list[tuple[Any, list[Any]]]:
    if isinstance(value, list):
        return [one for inner in value for one in _scoped(inner, steps, scope)]
    if isinstance(value, dict) and steps:
        return _scoped(value.get(steps[0]), steps[1:], [*scope, value])
    return [(one, scope) for one in _follow(value, steps)]


def filled(value: Any, steps: list[str]) -> bool:
    """Whether something stands there, in every element of every list that the path leads through."""
    if isinstance(value, list) and steps:
        return bool(value) and all(filled(one, steps) for one in value)
    if isinstance(value, list):
        return any(filled(one, []) for one in value)
    if isinstance(value, dict) and steps:
        return filled(value.get(steps[0]), steps[1:])
    return value is not None and value != ""


def below(args: Any, path: str) -> list[str]:
    """Every text at a path and below, names and numbers too: what a free argument says."""
    return _below(args, [step.removesuffix("[]") for step in path.split(".")])


def _below(value: Any, steps: list[str]) -> list[str]:
    if isinstance(value, list):
        return [text for one in value for text in _below(one, steps)]
    if isinstance(value, dict) and steps:
        return _below(value.get(steps[0]), steps[1:])
    if isinstance(value, dict):
        return [text for name, one in value.items() for text in (name, *_below(one, []))]
    return [str(value)] if isinstance(value, str) else []


def count_below(value: Any, steps: list[str]) -> int:
    """How many values stand at a path and below."""
    if value is None or value == "":
        return 0
    if isinstance(value, list):
        return sum(count_below(one, steps) for one in value)
    if isinstance(value, dict) and steps:
        return count_below(value.get(steps[0]), steps[1:])
    if isinstance(value, dict):
        return sum(count_below(one, []) for one in value.values())
    return 1
