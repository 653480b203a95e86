"""Where an argument comes from: sources and their rows; SPEC, "What an author writes"."""

from __future__ import annotations

import dataclasses
import datetime
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.model import times
from tests.model.documents import Leaf, Number, WrongShape, at_path, scalar
from tests.model.strings import names, paths, phrase, phrase_in, url_host, without_www, words
from tests.model.text import find
from tests.model.values import Value, read, same, stands_in


@dataclass(frozen=True)
class Result:
    """A result that an enforcement point with an identity of its own reported."""

    action: str
    number: int
    leaves: tuple[Leaf, ...]
    #: Which day it was when it was reported: relative words in it count from there.
    day: datetime.date | None = None
    #: Arguments of the call that it is the result of.
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class World:
    """All that a check may look at."""

    profile: Any
    inputs: dict[str, str]
    vouched: frozenset[str]
    results: list[Result]
    args: dict[str, Any]
    day: datetime.date | None
    #: Labels of the fields that arguments of this call were found in, by their names.
    known: dict[str, frozenset[str]] = field(default_factory=dict)
    #: The path of the argument that is looked at, and the objects that it leads through to the value.
    element: tuple[str, list[Any]] = ("", [])

    def beside(self, path: str) -> list[Any]:
        """What stands at another argument: in the same element, where both lead through its list."""
        mine, other = (one.replace("[]", "").split(".") for one in (self.element[0], path))
        shared = 0
        while shared < min(len(mine), len(other)) - 1 and mine[shared] == other[shared]:
            shared += 1
        if shared == 0 or shared >= len(self.element[1]):
            return at_path(self.args, path)
        return at_path(self.element[1][shared], ".".join(other[shared:]))


@dataclass
class Offered:
    """What a source offers: values, and the labels of the field they come from."""

    values: list[Value] = field(default_factory=list)
    labels: frozenset[str] = frozenset({"user"})


def readings(kind: str, value: Any) -> list[Value]:
    """Every reading of a JSON value. JSON's own numbers mean what JSON means; a host may be an address's."""
    if isinstance(value, Number):
        if kind in ("number", "money"):
            plain = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value)
            size = Fraction(str(value)) * 10_000 if plain else Fraction(1, 2)
            if size.denominator != 1 or abs(size) >= 2**63:
                return []
            return [("number", int(size))] if kind == "number" else [("money", int(size), None)]
        return list(read(kind, value))
    text = scalar(value)
    if text is None:
        return []
    out = list(read(kind, text))
    if kind == "host" and not out:
        out = [("host", url_host(one[1])) for one in read("url", text)]
        out = out or [("host", without_www(one[1].split("@")[1])) for one in read("email", text)]
    return out


def resolved(values: list[Value], day: datetime.date | None) -> list[Value]:
    """SPEC: "Relative words resolve from `today`"; without a day they mean nothing."""
    out: list[Value] = []
    for value in values:
        if value[0] in times.DAY_WORDS:
            out += times.resolve(value, day) if day else []
        else:
            out.append(value)
    return out


def all_resolved(values: list[Value], day: datetime.date | None) -> bool:
    """Whether every reading can be resolved."""
    return day is not None or not any(value[0] in times.DAY_WORDS for value in values)


def offered_by(declared: str, kind: str, value: Any, day: datetime.date | None) -> list[Value]:
    """A source's value as values of a kind: found in running text; of another type, read as it stands."""
    text = scalar(value)
    if text is None:
        return []
    if kind == "text":
        return [("text", words(text), phrase(text))]
    out = resolved(readings(kind, value), day)
    if declared in ("text", "any"):
        if isinstance(value, str) and not isinstance(value, Number):
            out += [one for each in find(kind, text) for one in resolved(list(each), day)]
    elif declared == "datetime" and kind in ("date", "time"):
        for one in readings("datetime", value):
            if one[0] == "datetime":
                out.append(one[1] if kind == "date" else ("time", one[2]))
    return out


def in_input(name: str, kind: str, world: World) -> list[Value] | None:
    """What an input offers; None where nobody vouches for it: "`declared` satisfies no `from`"."""
    if name not in world.vouched:
        return None
    out = offered_by("text", kind, world.inputs[name], world.day)
    if kind == "path":
        out = out + [one for name in paths(world.inputs[name]) for one in read("path", name)]
    if kind == "id":
        # SPEC: "the user's request, verbatim": a plain word of it may be an id, with or without `#` or `@` in front.
        plain = [*(one[1] for one in out), *names(world.inputs[name])]
        bare = [one[1:] for one in plain if one[0] in "#@" and one[1:]]
        out = [("id", sign + one) for one in plain for sign in ("", "#", "@")] + [("id", one) for one in bare]
    return out


def rows_of(result: Result, source: dict[str, Any], world: World, among: list[Result] | None = None) -> list[Leaf]:
    """The leaves of the source's field in rows whose conditions hold. `among`: the results that a name is unique in."""
    conditions = source.get("rows", [])
    among = [one for one in world.results if one.action == result.action] if among is None else among
    return [
        leaf
        for leaf in _settled(result, source, world)
        if all(holds(one, leaf.row, result, world) for one in conditions if "is_arg" in one)
        and all(_meant(one, leaf.row, result, source, world, among) for one in conditions if "named" in one)
    ]


def _settled(result: Result, source: dict[str, Any], world: World) -> list[Leaf]:
    """The same by all that is known when the result comes in."""
    return [
        leaf
        for leaf in result.leaves
        if leaf.field == source["field"]
        and all(holds(one, leaf.row, result, world) for one in source.get("rows", []) if "is_arg" not in one)
    ]


def _meant(
    condition: dict[str, Any], row: int, result: Result, source: dict[str, Any], world: World, among: list[Result]
) -> bool:
    """Whether no other row's value is named in the input as well as this one."""
    every = [
        _name(condition, leaf.row, one, world) for one in among for leaf in _settled(one, source, world)
    ]  # fmt: skip
    best = max((rank for rank, _ in every), default=0)
    first = {value for rank, value in every if rank == best}
    return len(first) == 1 and _name(condition, row, result, world) == (best, *first)


def _name(condition: dict[str, Any], row: int, result: Result, world: World) -> tuple[int, frozenset[Value]]:
    """How well a row is named, and by which value. What an outsider, or the agent, can choose is named or is not."""
    beside = _beside(condition, row, result)
    count = min((_worded(condition["named"], leaf, world) for leaf in beside), default=0)
    if count and ("call" in condition or any(_kind(leaf) != "text" or "outside" in leaf.labels for leaf in beside)):
        count = 1
    value: set[Value] = set()
    for leaf in beside:
        kind = _kind(leaf)
        value |= (
            {("text", words(leaf.text))} if kind == "text" else set(resolved(readings(kind, leaf.value), result.day))
        )
    return count, frozenset(value)


def _beside(condition: dict[str, Any], row: int, result: Result) -> list[Leaf]:
    if "call" not in condition:
        return [leaf for leaf in result.leaves if leaf.field == condition["field"] and leaf.row == row]
    try:
        given = [one for one in at_path(result.args, condition["call"]) if one != ""]
    except WrongShape:
        return []
    return [Leaf("", 0, one, condition.get("as", "text"), "user", frozenset()) for one in given]


def _worded(name: str, leaf: Leaf, world: World) -> int:
    """How many words of a value stand in an input: of an address its local part, of a host all but the last label."""
    there = in_input(name, "words", world) or []
    kind = _kind(leaf)
    text = leaf.text
    if kind != "text":
        found = readings(kind, leaf.value)
        if not found:
            return 0
        if kind == "email":
            text = found[0][1].rsplit("@", 1)[0]
        elif kind in ("url", "host"):
            host = url_host(found[0][1]) if kind == "url" else found[0][1]
            text = host.rsplit(".", 1)[0]
    return sum(one in there for one in read("words", text))


def holds(condition: dict[str, Any], row: int, result: Result, world: World) -> bool:
    """SPEC: "the row's whole field value": where a field has several values in a row, all of them count."""
    for test in ("partly", "named"):
        if test in condition:
            found = _beside(condition, row, result)
            return bool(found) and all(_worded(condition[test], leaf, world) for leaf in found)
    if "in_source" in condition:
        return _linked(condition, row, result, world)
    if "call" in condition:
        return _called(condition, result, world)
    beside = [leaf for leaf in result.leaves if leaf.field == condition["field"] and leaf.row == row]
    if "is_arg" in condition:
        return _is_arg(condition["is_arg"], beside, result, world)
    if "extreme" in condition:
        return bool(beside) and all(_extreme(condition, leaf, result) for leaf in beside)
    if "in_input" in condition:
        return bool(beside) and all(_mentioned(condition["in_input"], leaf, result, world) for leaf in beside)
    return bool(beside) and all(_is(leaf, str(condition["is"])) for leaf in beside)


def _linked(condition: dict[str, Any], row: int, result: Result, world: World) -> bool:
    """SPEC: "the value was found there by the time that the row's own result came"; its rows count as they did then."""
    source = world.profile.sources[condition["in_source"]]
    then = dataclasses.replace(world, results=earlier(result, world))
    found = _beside(condition, row, result)
    return bool(found) and all(_found(leaf, source, result, then, own="call" in condition) for leaf in found)


def earlier(result: Result, world: World) -> list[Result]:
    """The results before one."""
    return world.results[: next(at for at, one in enumerate(world.results) if one is result)]


def _found(leaf: Leaf, source: dict[str, Any], result: Result, then: World, own: bool) -> bool:
    kind = _kind(leaf)
    there = [one for each in offers(source, kind, then) for one in each.values]
    if kind == "text":
        mine = words(leaf.text)
        if own:
            return bool(mine) and any(phrase_in(phrase(leaf.text), one[2]) for one in there)
        return bool(mine) and any(stands_in(mine, one[1]) for one in there)
    values = readings(kind, leaf.value)
    if not values or not all_resolved(values, result.day):
        return False
    return all(any(same(one, other) for other in there) for one in resolved(values, result.day))


def _choosers(source: dict[str, Any], world: World) -> frozenset[str]:
    """Labels of whatever the rows of a source are chosen by: who writes that has a hand in what it gives."""
    out: frozenset[str] = frozenset()
    for place in (one["in_source"] for one in source.get("rows", []) if "in_source" in one):
        inner = world.profile.sources[place]["result"]
        fields = [leaf for one in world.results if one.action == inner["action"] for leaf in one.leaves]
        out = out.union(*(leaf.labels for leaf in fields if leaf.field == inner["field"]), _choosers(inner, world))
    return out


def _called(condition: dict[str, Any], result: Result, world: World) -> bool:
    """An argument of the call that made the result: what is not there satisfies nothing."""
    kind = condition.get("as", "text")
    try:
        given = [one for one in at_path(result.args, condition["call"]) if one != ""]
    except WrongShape:
        return False
    # It is the agent's own word: held as an argument is.
    leaves = [Leaf("", 0, one, kind, "user", frozenset()) for one in given]
    if "is_arg" in condition:
        return _is_arg(condition["is_arg"], leaves, result, world)
    if "is" in condition:
        return bool(leaves) and all(_is(leaf, str(condition["is"])) for leaf in leaves)
    if kind == "text":
        there = in_input(condition["in_input"], "text", world) or []
        return bool(leaves) and all(any(phrase_in(phrase(leaf.text), one[2]) for one in there) for leaf in leaves)
    return bool(leaves) and all(_mentioned(condition["in_input"], leaf, result, world) for leaf in leaves)


def _kind(leaf: Leaf) -> str:
    return "text" if leaf.kind == "any" else leaf.kind


def _mentioned(name: str, leaf: Leaf, result: Result, world: World) -> bool:
    """SPEC: "the row's whole field value stands in that text; for typed fields: the same value is found there"."""
    kind = _kind(leaf)
    there = in_input(name, kind, world)
    if there is None:
        return False
    if kind == "text":
        return any(stands_in(words(leaf.text), one[1]) for one in there)
    mine = readings(kind, leaf.value)
    if not mine or not all_resolved(mine, result.day):
        return False
    if kind == "datetime":
        # The rules for arguments, with nothing else than the input as a source.
        from tests.model.held import moment_from

        days = in_input(name, "date", world) or []
        clock = in_input(name, "time", world) or []
        return all(moment_from(one, there, days, clock) for one in mine)
    return all(any(same(one, other) for other in there) for one in resolved(mine, result.day))


def _is(leaf: Leaf, text: str) -> bool:
    kind = _kind(leaf)
    if kind == "text":
        return bool(words(leaf.text)) and words(leaf.text) == words(text)
    mine, constant = readings(kind, leaf.value), readings(kind, text)
    return bool(mine) and all(any(same(one, other) for other in constant) for one in mine)


def _is_arg(path: str, beside: list[Leaf], result: Result, world: World) -> bool:
    """A row is chosen by another argument: one of its values, in all its readings, is the row's."""
    try:
        given = [one for one in world.beside(path) if one != ""]
    except WrongShape:
        return False
    for value in given:
        kinds = {_kind(leaf) for leaf in beside}
        for kind in kinds:
            if kind == "text":
                mine = words(scalar(value) or "")
                if mine and any(words(leaf.text) == mine for leaf in beside):
                    return True
                continue
            wanted = readings(kind, value)
            there = [one for leaf in beside for one in resolved(readings(kind, leaf.value), result.day)]
            if wanted and all(any(same(one, other) for other in there) for one in resolved(wanted, world.day)):
                return True
    return False


def _size(leaf: Leaf) -> tuple[Any, int] | None:
    """A unit and a size, where the value has one reading that has them."""
    kind = "number" if leaf.kind == "any" else leaf.kind
    found = readings(kind, leaf.value)
    if len(found) != 1:
        return None
    value = found[0]
    if value[0] in ("number", "duration", "time"):
        return None, value[1]
    if value[0] == "money":
        return value[2], value[1]
    if value[0] == "date" and value[1] is not None:
        return None, datetime.date(value[1], value[2], value[3]).toordinal()
    return None


def _extreme(condition: dict[str, Any], leaf: Leaf, result: Result) -> bool:
    """SPEC: "`FIELD is max`, `FIELD is min` (within that result; numbers, money, dates)"; of one unit only."""
    sizes = [_size(one) for one in result.leaves if one.field == condition["field"]]
    if None in sizes or len({one[0] for one in sizes if one}) != 1:
        return False
    best = max if condition["extreme"] == "max" else min
    return _size(leaf) == best(one for one in sizes if one)


def offers(source: dict[str, Any], kind: str, world: World) -> list[Offered]:
    """Everything that a source offers, as values of a kind."""
    if "at" in source:
        # SPEC: "anybody at a host that another source names".
        return [
            Offered([("at", one[1]) for one in each.values if one[0] == "host"], each.labels)
            for each in offers(world.profile.sources[source["at"]], "host", world)
        ]
    if "input" in source:
        there = in_input(source["input"], kind, world)
        return [] if there is None else [Offered(there)]
    if "arg" in source:
        try:
            given = world.beside(source["arg"])
        except WrongShape:
            return []
        return [Offered([v for one in given for v in _stated(kind, one, world)], frozenset({"arg"}))]
    if "const" in source:
        return [Offered(_stated(kind, str(source["const"]), world), frozenset())]
    out = []
    for result in world.results:
        if "trusted" in source:
            # SPEC: "any remembered value in any field that only user or org can write".
            found = [leaf for leaf in result.leaves if leaf.by in ("user", "org")]
        elif source["result"]["action"] == result.action:
            found = rows_of(result, source["result"], world)
        else:
            found = []
        also = _choosers(source.get("result", {}), world)
        out += [Offered(offered_by(leaf.kind, kind, leaf.value, result.day), leaf.labels | also) for leaf in found]
    return out


def _stated(kind: str, value: Any, world: World) -> list[Value]:
    """A constant or another argument: one value as it stands, and a moment's day and time."""
    return offered_by("datetime", kind, value, world.day)
