"""Reading `allow`: the rules of a profile, with their budgets."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from flyball.policy import wordings
from flyball.policy.diagnostics import Mark, Problems, did_you_mean
from flyball.policy.flow_rules import read_ladder
from flyball.policy.reader import Fields, describe, text
from flyball.policy.where import read_value, read_where
from flyball.policy.yaml import Listing, Table
from flyball.task.profile import InputType, canonical_value
from flyball.task.rules import Across, Budget, Distinct, FromInput, Resource, Rule, Sum

_RESOURCE = re.compile(r"([^\s()]{1,512}?)\s*(?:\(\s*([^()]*?)\s*\))?")
_REPORTED = ("rows", "bytes", "seconds")
MAX_PHRASE = 100


def read_resources(fields: Fields) -> tuple[tuple[Resource, Mark], ...]:
    """The entries of `on`, for example `orders.public.refunds(order_id, amount)` or `orders.public.*`."""
    found: list[tuple[Resource, Mark]] = []
    for value, mark in fields.texts("on"):
        match = _RESOURCE.fullmatch(value)
        columns = tuple(part.strip() for part in match.group(2).split(",")) if match and match.group(2) else ()
        inner = match.group(1)[:-1] if match else ""
        if match is None or "*" in inner or not all(re.fullmatch(r"[^\s*]+", column) for column in columns):
            fields.problems.error(
                "wrong_resource",
                mark,
                f"`{value}` names no resource",
                "an id, a `*` only at its end, and for a table its columns: `orders.public.refunds(order_id, amount)`",
                len(value),
            )
            continue
        if columns and match.group(1).endswith("*"):
            fields.problems.error("wrong_resource", mark, "columns need one table, not a pattern", width=len(value))
            continue
        found.append((Resource(match.group(1), tuple(sorted(set(columns)))), mark))
    return tuple(found)


def read_rules(top: Fields, profile: str, places: dict[str, Mark]) -> Iterator[Rule]:
    """The rules of `allow`; a rule that lists `actions` is one rule for each."""
    for number, node in enumerate(top.items("allow"), 1):
        fields = Fields(f"rule {number} of {top.what}", node, top.problems)
        rule_id = f"{profile}/allow/{number}"
        actions = _actions(fields, rule_id)
        for one_id, _, mark in actions:
            places[f"rule:{one_id}"] = node.mark if "actions" not in fields else mark
            places[f"rule:{one_id}/action"] = mark
        places.setdefault(f"rule:{rule_id}", node.mark)
        written = _rule(fields, rule_id, places)
        shared = [(key, mark) for key, mark in places.items() if key.startswith(f"rule:{rule_id}/")]
        fields.done()
        for one_id, action, _ in actions:
            if one_id != rule_id:
                for key, mark in shared:
                    places.setdefault(key.replace(rule_id, one_id, 1), mark)
            yield written(one_id, action)


def _actions(fields: Fields, rule_id: str) -> list[tuple[str, str, Mark]]:
    """The rule's actions, as (the rule's id for it, the action, its place)."""
    if "actions" not in fields:
        return [(rule_id, fields.text("action", required=True), fields.at("action"))]
    if "action" in fields:
        fields.text("action")
        place = fields.place("action")
        fields.problems.error("wrong_shape", place, "a rule has `action` or `actions`, not both", width=6)
    listed = fields.texts("actions")
    if not listed and isinstance(fields.node("actions"), Listing):
        fields.problems.error("missing_field", fields.place("actions"), f"`actions` of {fields.what} is empty")
    return [(f"{rule_id}.{number}", action, mark) for number, (action, mark) in enumerate(listed, 1)]


class _Written:
    """A rule as written, to be made for each of its actions."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def __call__(self, rule_id: str, action: str) -> Rule:
        return dataclasses.replace(self._rule, id=rule_id, action=action)


def _rule(fields: Fields, rule_id: str, places: dict[str, Mark]) -> _Written:
    resources = read_resources(fields)
    for resource, mark in resources:
        places[f"rule:{rule_id}/on:{resource}"] = mark
    budget, across = _budget(fields, rule_id, places)
    where = read_where(fields, rule_id, places)
    effect = fields.choice("effect", ("allow", "require_approval", "step_up"), "", later=("modify", "defer"))
    after, after_any = _after(fields)
    named = {"after": after, "after_any": after_any, **{key: fields.texts(key) for key in ("before", "unless")}}
    for key, entries in named.items():
        for value, mark in entries:
            places[f"rule:{rule_id}/{key.removesuffix('_any')}:{value}"] = mark
    on_breach = read_ladder(fields, "on_breach")
    rule = Rule(
        id=rule_id,
        action="",
        on=tuple(resource for resource, _ in resources),
        where=tuple(where.bounds),
        budget=budget,
        across=across,
        cooperative=fields.flag("cooperative"),
        effect=effect,
        asked=_asked(fields, rule_id, places),
        after=tuple(value for value, _ in named["after"]),
        after_any=tuple(value for value, _ in named["after_any"]),
        before=tuple(value for value, _ in named["before"]),
        unless=tuple(value for value, _ in named["unless"]),
        on_breach=on_breach or None,
        origins=tuple(where.origins),
        free=tuple(where.free),
        aggregates=tuple(where.aggregates),
    )
    for key in ("cooperative", "budget", "effect", "asked", "where"):
        places[f"rule:{rule_id}/{key}"] = fields.place(key)
    return _Written(rule)


_Names: TypeAlias = tuple[tuple[str, Mark], ...]


def _after(fields: Fields) -> tuple[_Names, _Names]:
    """Actions that must all have been allowed before, and those of which one must (`after: {any: […]}`)."""
    node = fields.node("after")
    if not isinstance(node, Table):
        return fields.texts("after"), ()
    inner = Fields(f"`after` of {fields.what}", node, fields.problems)
    listed = inner.texts("any")
    if "any" not in inner:
        inner.missing("any")
    every = inner.texts("all")
    inner.done()
    return every, listed


def _asked(fields: Fields, rule_id: str, places: dict[str, Mark]) -> tuple[tuple[str, ...], ...]:
    """Groups of words and phrases; of each, one must stand in the request. A `*` ends a stem."""
    node = fields.node("asked")
    for item in node.items if isinstance(node, Listing) else ():
        if isinstance(item, Listing):
            fields.problems.error(
                "wrong_shape",
                item.mark,
                "`asked` is one list, of which one entry must stand in the request",
                "for one of each of several lists write `asked: {all: [[pay*, transfer*], [bill*, invoice*]]}`",
            )
            return ()
    if not isinstance(node, Table):
        group = _phrases(fields.texts("asked"), fields.problems)
        return (group,) if group else ()
    inner = Fields(f"`asked` of {fields.what}", node, fields.problems)
    groups: list[tuple[str, ...]] = []
    listed = inner.items("all")
    for number, item in enumerate(listed):
        if not isinstance(item, Listing):
            fields.problems.error(
                "wrong_shape",
                item.mark,
                "each entry of `all` is a list of words, of which one must stand in the request",
                "`[pay*, transfer*]`, and `[invoice*]` for a single word",
            )
            continue
        words = [(text(one, "a phrase", fields.problems), one.mark) for one in item.items]
        group = _phrases([(word, mark) for word, mark in words if word], fields.problems)
        places[f"rule:{rule_id}/asked:{number}"] = item.mark
        if group:
            groups.append(group)
        elif not words:
            fields.problems.error("wrong_shape", item.mark, "a list of no words never stands in a request")
    if "all" not in inner:
        inner.missing("all")
    inner.done()
    return tuple(groups)


def _phrases(entries: Iterable[tuple[str, Mark]], problems: Problems) -> tuple[str, ...]:
    found: list[str] = []
    for value, mark in entries:
        if listed := wordings.listed(value):
            name, known = listed
            if known is None:
                hint = did_you_mean(name, wordings.NAMES) or f"there are {', '.join(wordings.NAMES)}"
                problems.error("wrong_phrase", mark, f"there is no list of words `{name}`", hint, len(value))
            found.extend(known or ())
            continue
        phrase = " ".join(unicodedata.normalize("NFC", value).split())
        stems = [word.removesuffix("*") for word in phrase.split(" ")]
        if len(phrase) > MAX_PHRASE or any("*" in stem or not re.search(r"\w", stem) for stem in stems):
            problems.error(
                "wrong_phrase",
                mark,
                f"`{value}` is no phrase to look for",
                "whole words, a `*` only at the end of a word: `send*`, `write to`",
                len(value),
            )
            continue
        found.append(phrase)
    return tuple(dict.fromkeys(found))


def _budget(rule: Fields, rule_id: str, places: dict[str, Mark]) -> tuple[Budget, tuple[Across, ...]]:
    at_most = rule.whole("at_most", least=1)
    node = rule.node("budget")
    if node is None:
        return Budget(at_most), ()
    fields = Fields(f"`budget` of {rule.what}", node, rule.problems)
    calls = fields.whole("calls", least=1)
    if calls is not None and at_most is not None:
        rule.problems.error(
            "wrong_bound", fields.place("calls"), "`at_most` says the same", "leave one of them out", len("calls")
        )
    across: list[Across] = []
    for name, mark in fields.texts("once_per"):
        places[f"rule:{rule_id}/once_per:{name}"] = mark
        across.append(Across(FromInput(name), None, 1))
    for key, per in (("per_agent", "agent"), ("per_owner", "owner")):
        inner = fields.node(key)
        if inner is not None:
            limits = Fields(f"`{key}` of {fields.what}", inner, rule.problems)
            window, most = limits.duration("window"), limits.whole("calls", least=1)
            across.append(Across(per, window, most, _sums(limits, rule_id, places)))
    distinct = _distinct(fields, "distinct", 10_000, rule_id, places)
    each = _distinct(fields, "each", 100, rule_id, places)
    reported = [(key, fields.whole(key, least=1)) for key in _REPORTED]
    limits_of_results = tuple((key, most) for key, most in reported if most is not None)
    most = at_most if calls is None else calls
    budget = Budget(most, _sums(fields, rule_id, places), distinct, limits_of_results, each)
    return budget, tuple(across)


def _distinct(fields: Fields, key: str, limit: int, rule_id: str, places: dict[str, Mark]) -> tuple[Distinct, ...]:
    node = fields.node(key)
    if node is None:
        return ()
    inner = Fields(f"`{key}` of {fields.what}", node, fields.problems)
    found: list[Distinct] = []
    for arg, mark, _ in list(inner.rest()):
        places[f"rule:{rule_id}/distinct:{arg}"] = mark
        most = inner.whole(arg, least=1, most=limit)
        if most is not None:
            found.append(Distinct(arg, most))
    return tuple(found)


def _sums(fields: Fields, rule_id: str, places: dict[str, Mark]) -> tuple[Sum, ...]:
    """What is left of a budget: arguments, and the most that each may sum up to."""
    found: list[Sum] = []
    for arg, mark, node in fields.rest():
        places[f"rule:{rule_id}/sum:{arg}"] = mark
        places[f"rule:{rule_id}/sum:{arg}/max"] = node.mark
        value = read_value(node, fields.problems)
        amount = value if isinstance(value, FromInput) else canonical_value(InputType.DECIMAL, str(value))
        if amount is None or isinstance(node, Listing):
            fields.problems.error(
                "wrong_bound",
                node.mark,
                f"the budget of `{arg}` must be a number or `$inputs.<name>`, not {describe(node)}",
            )
            continue
        found.append(Sum(arg, amount))
    return tuple(found)
