"""Reading `where`: what a rule says of each argument of its action."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from flyball.policy.diagnostics import Mark, Problems
from flyball.policy.reader import Fields, describe, text
from flyball.policy.regex import refused_pattern
from flyball.policy.sources import SourceError, parse_aggregate, parse_source
from flyball.policy.yaml import Kind, Listing, Node, Scalar, Table
from flyball.task.rules import COMPARED_TYPES, Aggregate, Bound, BoundValue, Free, FromInput, Op, Origin, Source

#: An argument, or a path into it: `attachments[].file_id`, `filter.owner`.
PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(?:\[\])?(?:\.[A-Za-z_][A-Za-z0-9_-]{0,62}(?:\[\])?){0,7}")
MAX_FREE = 1_000_000
_FROM_INPUT = re.compile(r"\$inputs\.([a-z][a-z0-9_]{0,62})")
_SPAN = re.compile(r"(-?)(0|[1-9][0-9]{0,8})(ms|s|m|h|d|w)")
_SPANS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_OPS = (*((op.value, op) for op in Op if op is not Op.LENGTH), ("max_length", Op.LENGTH))
#: What says how `from` is meant.
_MODIFIERS = ("required", "plus", "within", "same_day", "not_by", "below", "new_words")
_COMPUTED = (Op.MAX, Op.MIN, Op.EQ)


@dataclass(slots=True)
class Where:
    """What `where` of one rule says."""

    bounds: list[Bound] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    free: list[Free] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)


def read_where(rule: Fields, rule_id: str, places: dict[str, Mark]) -> Where:
    """What `where` of the rule says; every fault goes to the rule's problems."""
    found = Where()
    for arg, mark, node in rule.named("where", "argument", PATH):
        place = f"rule:{rule_id}/where:{arg}"
        places[place] = mark
        if not isinstance(node, Table):
            places[f"{place}/eq"] = node.mark
            found.bounds.append(Bound(arg, Op.EQ, read_value(node, rule.problems)))  # short for `arg: {eq: value}`
            continue
        fields = Fields(f"`where` of {rule.what} on `{arg}`", node, rule.problems)
        if not node.entries:
            rule.problems.error("empty_bounds", mark, f"`where` bounds `{arg}` by nothing")
        kind = fields.choice("as", COMPARED_TYPES, "")
        if not kind and "as" in fields:
            fields.problems.doubt("as", place)
        places[f"{place}/as"] = fields.at("as")
        _bounds(fields, arg, kind, place, places, found)
        _origin(fields, arg, kind, place, places, found)
        _free(fields, arg, place, places, found)
        fields.done()
    return found


def _bounds(fields: Fields, arg: str, kind: str, place: str, places: dict[str, Mark], found: Where) -> None:
    for key, op in _OPS:
        value = fields.node(key)
        if value is None:
            continue
        places[f"{place}/{op.value}"] = value.mark
        if op in _COMPUTED and isinstance(value, Scalar) and value.kind is Kind.TEXT:
            try:
                computed = parse_aggregate(value.text)
            except SourceError as error:
                _refused(error, value, fields.problems)
                continue
            if computed is not None:
                aggregate, source = computed
                places[f"{place}/source:{source}"] = value.at(len(aggregate) + 1)
                found.aggregates.append(Aggregate(arg, op, aggregate, source, kind))
                continue
        bound = read_value(value, fields.problems)
        if op is Op.PATTERN and isinstance(bound, str):
            check_pattern(bound, value.mark, fields.problems)
        found.bounds.append(Bound(arg, op, bound))


def _origin(fields: Fields, arg: str, kind: str, place: str, places: dict[str, Mark], found: Where) -> None:
    sources = _sources(fields, "from", place, places)
    modifiers = {key: fields.place(key) for key in _MODIFIERS if key in fields}
    required = fields.flag("required")
    plus = _plus(fields, place, places)
    within = fields.duration("within")
    same_day = fields.flag("same_day")
    below = fields.flag("below")
    new_words = fields.whole("new_words", least=1, most=100) or 0
    not_by = fields.texts("not_by")
    for label, mark in not_by:
        places[f"{place}/label:{label}"] = mark
    if fields.misspelt("from"):
        return
    if "from" not in fields:
        if "free" in fields:
            modifiers.pop("required", None)
        for key, mark in modifiers.items():
            fields.problems.error(
                "wrong_origin",
                mark,
                f"`{key}` says how `from` is meant, and there is no `from`",
                "add `from`",
                len(key),
            )
        if kind and not any(one.arg == arg for one in found.aggregates):
            fields.problems.error(
                "wrong_origin",
                fields.place("as"),
                "`as` says how `from` compares, and there is no `from`",
                "add `from`",
            )
        return
    if not sources:
        if not fields.listed("from"):
            fields.problems.error(
                "wrong_origin", fields.at("from"), "`from` names no source", "name one, or leave it out"
            )
        return
    ways = [key for key, given in (("plus", plus), ("within", within), ("same_day", same_day)) if given]
    if len(ways) > 1:
        fields.problems.error(
            "wrong_origin",
            fields.place(ways[1]),
            f"`{ways[1]}` cannot stand beside `{ways[0]}`",
            "write a second rule for the other case",
            len(ways[1]),
        )
        return
    for key in ("below", "new_words"):
        places[f"{place}/{key}"] = fields.at(key)
    found.origins.append(
        Origin(
            arg, kind, sources, required, plus, within, same_day, tuple(label for label, _ in not_by), below, new_words
        )
    )


def _sources(fields: Fields, key: str, place: str, places: dict[str, Mark]) -> tuple[Source, ...]:
    found: list[Source] = []
    for item in fields.listed(key):
        source = read_source(item, f"a source in {fields.what}", fields.problems)
        if source is None:
            continue
        if source in found:
            fields.problems.error(
                "listed_twice", item.mark, f"`{source}` stands twice in `{key}`", width=len(str(source))
            )
        places[f"{place}/source:{source}"] = item.at(0) if isinstance(item, Scalar) else item.mark
        found.append(source)
    return tuple(found)


def read_source(node: Node, what: str, problems: Problems) -> Source | None:
    """The source that a value writes, or None where it writes none (noted)."""
    written = text(node, what, problems)
    if not written or not isinstance(node, Scalar):
        return None
    try:
        return parse_source(written)
    except SourceError as error:
        _refused(error, node, problems)
        return None


def _refused(error: SourceError, node: Scalar, problems: Problems) -> None:
    problems.error("wrong_source", node.at(error.offset), error.message, error.hint, error.width)


def _plus(fields: Fields, place: str, places: dict[str, Mark]) -> tuple[int | Source, ...]:
    found: list[int | Source] = []
    for item in fields.listed("plus"):
        match = _SPAN.fullmatch(item.text) if isinstance(item, Scalar) else None
        if match is not None:
            found.append(int(match.group(1) + match.group(2)) * _SPANS[match.group(3)])
            continue
        if isinstance(item, Scalar) and re.match(r"-?[0-9]", item.text):
            fields.problems.error(
                "wrong_duration",
                item.mark,
                f"`{item.text}` is no duration",
                "write a whole number and a unit: ms, s, m, h, d or w, for example `90m`",
                len(item.text),
            )
            continue
        source = read_source(item, f"a duration in {fields.what}", fields.problems)
        if source is not None and source.kind in ("trusted", "const"):
            fields.problems.error("wrong_source", item.mark, f"`{source}` gives no duration", "write it out: `90m`")
        elif source is not None:
            places[f"{place}/source:{source}"] = item.at(0) if isinstance(item, Scalar) else item.mark
            found.append(source)
    return tuple(dict.fromkeys(found))


def _free(fields: Fields, arg: str, place: str, places: dict[str, Mark], found: Where) -> None:
    maximum = fields.whole("free", least=1, most=MAX_FREE)
    without = fields.texts("without")
    for label, mark in without:
        places[f"{place}/label:{label}"] = mark
    places[f"{place}/free"] = fields.at("free")
    if "free" in fields:
        if maximum is not None:
            required = "from" not in fields and fields.flag("required")
            found.free.append(Free(arg, maximum, tuple(label for label, _ in without), required))
    elif "without" in fields:
        fields.problems.error(
            "wrong_origin", fields.place("without"), "`without` belongs to free text", "say how long: `free: 2000`", 7
        )


def check_pattern(pattern: str, mark: Mark, problems: Problems) -> None:
    """Note a pattern that cannot be used."""
    if why := refused_pattern(pattern):
        problems.error("wrong_pattern", mark, f"the pattern cannot be used: {why}")


def read_value(node: Node, problems: Problems) -> BoundValue:
    """A bound's value: written here, or `$inputs.<name>`."""
    if isinstance(node, Listing):
        values = [text(item, "a value of the list", problems) for item in node.items]
        return tuple(_literal(value, item.mark, problems) for value, item in zip(values, node.items, strict=True))
    if isinstance(node, Table):
        problems.error(
            "wrong_shape", node.mark, f"a bound is a value, a list or `$inputs.<name>`, not {describe(node)}"
        )
        return ""
    if node.kind is Kind.BOOL:
        return node.text == "true"
    if node.kind is Kind.TEXT and (match := _FROM_INPUT.fullmatch(node.text)):
        return FromInput(match.group(1))
    return _literal(node.text, node.mark, problems)


def _literal(value: str, mark: Mark, problems: Problems) -> str:
    if value.startswith("$$"):
        return value[1:]
    if value.startswith("$"):
        problems.error(
            "wrong_reference", mark, f"`{value}` refers to nothing", "write `$inputs.<name>`, or `$$` for a dollar sign"
        )
    return value
