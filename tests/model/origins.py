"""Where an argument comes from: sources, row conditions, modifiers; SPEC, "What an author writes"."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

from tests.model import times
from tests.model.documents import Leaf, WrongShape, at_path, scalar
from tests.model.strings import url_host, words
from tests.model.text import find, id_stands_in
from tests.model.values import Value, read, same, stands_in


@dataclass(frozen=True)
class Result:
    """A result that an enforcement point with an identity of its own reported."""

    action: str
    number: int
    leaves: tuple[Leaf, ...]
    #: The day that `today` was when it was reported.
    day: datetime.date | None = None


@dataclass
class World:
    """All that a check may look at."""

    profile: Any
    inputs: dict[str, str]
    vouched: frozenset[str]
    results: list[Result]
    args: dict[str, Any]
    day: datetime.date | None


@dataclass
class Offered:
    """What a source offers: values, whole texts, and the labels of the field it comes from."""

    values: list[Value] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: frozenset[str] = frozenset({"user"})


_HANDLES = ("id", "email", "url", "host", "phone", "iban", "path", "number")


def resolved(value: Value, day: datetime.date | None) -> list[Value]:
    """SPEC: "Relative words resolve from `today`"; without a day they mean nothing."""
    if value[0] in ("offset", "weekday", "next_weekday", "last_weekday"):
        return times.resolve(value, day) if day else []
    return [value]


def in_text(kind: str, text: str, day: datetime.date | None) -> list[Value]:
    """A source offers all readings of every value found in it."""
    if kind == "text":
        return [("text", words(text))]
    return [one for readings in find(kind, text) for value in readings for one in resolved(value, day)]


def derived(kind: str, leaf: Leaf, day: datetime.date | None) -> list[Value]:
    """A field's value as values of a kind: its own, found in it where it is text, or a derived form."""
    if kind == "text":
        return [("text", words(leaf.text))]
    if kind == "id" and leaf.kind not in ("text", "any"):
        # A number, an address or a path may stand as a handle.
        return list(read("id", leaf.text)) if leaf.kind in _HANDLES else []
    if leaf.kind in ("text", "any"):
        whole = [one for value in read(kind, leaf.text) for one in resolved(value, day)]
        return [*whole, *(one for one in in_text(kind, leaf.text, day) if one not in whole)]
    out: list[Value] = []
    for own in read(leaf.kind, leaf.text):
        for value in resolved(own, day):
            out += _forms(kind, value)
    return out


def _forms(kind: str, value: Value) -> list[Value]:
    if value[0] == kind:
        return [value]
    if value[0] == "datetime" and kind == "date":
        return [value[1]]
    if value[0] == "datetime" and kind == "time":
        return [("time", value[2])]
    if value[0] == "email" and kind == "host":
        return [("host", value[1].split("@")[1])]
    if value[0] == "url" and kind == "host":
        return [("host", url_host(value[1]))]
    if value[0] == "money" and kind == "number":
        return [("number", value[1])]
    if value[0] == "number" and kind == "money":
        return [("money", value[1], None)]
    return []


def rows_of(result: Result, source: dict[str, Any], world: World) -> list[Leaf]:
    """The leaves of the source's field in rows whose conditions hold."""
    out = []
    for leaf in result.leaves:
        if leaf.field == source["field"] and all(
            holds(condition, leaf.row, result, world) for condition in source.get("rows", [])
        ):
            out.append(leaf)
    return out


def holds(condition: dict[str, Any], row: int, result: Result, world: World) -> bool:
    """Whether a condition holds for a row; of several values in it one suffices."""
    beside = [leaf for leaf in result.leaves if leaf.field == condition["field"] and leaf.row in (row, -1)]
    if "extreme" in condition:
        return any(_extreme(condition, leaf, result) for leaf in beside)
    return any(_chosen(condition, leaf, world, result.day) for leaf in beside)


def _chosen(condition: dict[str, Any], leaf: Leaf, world: World, day: datetime.date | None) -> bool:
    """SPEC: "the row's whole field value stands in that text; for typed fields: the same value is found there"."""
    kind = "text" if leaf.kind == "any" else leaf.kind
    mine = [one for value in read(kind, leaf.text) for one in resolved(value, day)]
    if not mine:
        return False
    if "in_input" in condition:
        name = condition["in_input"]
        if name not in world.vouched:
            return False
        text = world.inputs[name]
        if kind == "text":
            return stands_in(words(leaf.text), words(text))
        if kind == "id":
            return id_stands_in(leaf.text, text)
        there = in_text(kind, text, day)
        return all(any(same(value, one) for one in there) for value in mine)
    if "is_arg" in condition:
        try:
            given = at_path(world.args, condition["is_arg"])
        except WrongShape:
            return False
        return any(_equal(kind, mine, scalar(one) or "", world.day) for one in given)
    return _equal(kind, mine, str(condition["is"]), day)


def _equal(kind: str, mine: list[Value], other: str, day: datetime.date | None) -> bool:
    """The same value: every reading of the other is one of mine (whole texts are equal word by word)."""
    theirs = [one for value in read(kind, other) for one in resolved(value, day)]
    if kind == "text":
        return bool(theirs) and theirs == mine
    return bool(theirs) and all(any(same(value, one) for one in mine) for value in theirs)


def _extreme(condition: dict[str, Any], leaf: Leaf, result: Result) -> bool:
    """SPEC: "`FIELD is max`, `FIELD is min` (within that result; numbers, money, dates)"."""

    def size(one: Leaf) -> Any:
        readings = read(one.kind, one.text)
        return None if len(readings) != 1 or None in readings[0][1:2] else readings[0][1:]

    mine = size(leaf)
    sizes = [size(one) for one in result.leaves if one.field == condition["field"]]
    known = [one for one in sizes if one is not None]
    if mine is None or not known:
        return False
    best = max if condition["extreme"] == "max" else min
    return bool(mine[0:3] == best(known, key=lambda one: tuple(part for part in one if isinstance(part, int)))[0:3])


def offers(source: dict[str, Any], kind: str, world: World) -> list[Offered]:
    """Everything that a source offers, as values of a kind."""
    if "input" in source:
        # SPEC: "An input source counts only where the input is vouched: `declared` satisfies no `from`."
        name = source["input"]
        if name not in world.vouched:
            return []
        text = world.inputs[name]
        whole = [one for value in read(kind, text) for one in resolved(value, world.day)]
        return [Offered([*whole, *in_text(kind, text, world.day)], [text])]
    if "arg" in source:
        try:
            given = [scalar(one) or "" for one in at_path(world.args, source["arg"])]
        except WrongShape:
            return []
        return [Offered([v for one in given for r in read(kind, one) for v in resolved(r, world.day)], given)]
    if "const" in source:
        text = str(source["const"])
        return [Offered([one for value in read(kind, text) for one in resolved(value, world.day)], [text])]
    out = []
    for result in world.results:
        if "trusted" in source:
            # SPEC: "any remembered value in any field that only user or org can write".
            found = [leaf for leaf in result.leaves if leaf.by in ("user", "org")]
        elif source["result"]["action"] == result.action:
            found = rows_of(result, source["result"], world)
        else:
            found = []
        out += [Offered(derived(kind, leaf, result.day), [leaf.text], leaf.labels) for leaf in found]
    return out
