"""The conformance program of a profile: what `crates/decision` holds calls against, beside Cedar's permits.

Constants, sources and rules as plain JSON, in the shape of crates/decision/src/document.rs. Sources
stand once each in a table of the profile, and rules name them by number.
"""

from __future__ import annotations

import dataclasses
import re

from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle
from flyball.policy.provenance import effect_of, root_of
from flyball.task.profile import Profile
from flyball.task.rules import Across, Bound, Condition, Distinct, Free, FromInput, Never, Op, Origin, Rule, Source, Sum


def flow_json(bundle: Bundle, profile: Profile) -> dict[str, Json]:
    """What a profile says of the whole task: labels, day, plan, obligations, prohibitions, reactions."""
    today: Json = "clock"
    if isinstance(profile.today, FromInput):
        today = {"input": profile.today.name}
    elif profile.today is not None:
        today = {"result": {"action": profile.today.name, "field": profile.today.field}}
    return {
        "labels": list(bundle.all_labels()),
        "today": today,
        "plan": profile.plan,
        "must": list(profile.must),
        "never": [_never(one) for one in profile.never],
        "reactions": {kind.value: [step.value for step in ladder] for kind, ladder in profile.ladders.items()},
        "denials": [[count, step.value] for count, step in profile.denials],
        "most_per_minute": profile.most_per_minute,
    }


class Sources:
    """The table of a profile's sources, each once, in the order in which rules cite them."""

    def __init__(self) -> None:
        self._numbers: dict[Source, int] = {}

    def number(self, source: Source) -> int:
        """The source's place in the table; it is added where it is new."""
        if source.at:
            self.number(dataclasses.replace(source, at=False))
        for row in source.rows:
            if row.source is not None:
                self.number(row.source)
        return self._numbers.setdefault(source, len(self._numbers))

    def json(self) -> list[Json]:
        """The table."""
        return [
            {"at": self._numbers[dataclasses.replace(one, at=False)]} if one.at else self._source(one)
            for one in self._numbers
        ]

    def _source(self, source: Source) -> Json:
        if source.kind == "result":
            rows: list[Json] = [self._condition(row) for row in source.rows]
            return {"result": {"action": source.name, "field": source.field, "rows": rows}}
        return {"trusted": True} if source.kind == "trusted" else {source.kind: source.name}

    def _condition(self, row: Condition) -> Json:
        test: dict[str, Json] = {row.test: row.value if row.source is None else self._numbers[row.source]}
        if not row.call:
            return {"field": row.field, **test}
        called: dict[str, Json] = {"call": row.field, **test}
        return {**called, "as": row.kind} if row.kind else called


def rule_json(bundle: Bundle, profile: Profile, rule: Rule, sources: Sources) -> dict[str, Json]:
    """One rule of the program."""
    args = bundle.actions[rule.action].args if rule.action in bundle.actions else {}
    where: list[Json] = [_bound(bound, args.get(bound.arg, "string")) for bound in rule.where]
    columns = rule.on[0].columns if rule.on else ()
    if columns and args.get("columns") == "strings":
        where.append({"arg": "columns", "op": "one_of", "value": {"const": list(columns)}})
    budget: dict[str, Json] = {"sums": [_sum(total) for total in rule.budget.sums]}
    if rule.budget.calls is not None:
        budget["calls"] = rule.budget.calls
    # Different texts are told apart by all of their words in order.
    kinds = {origin.arg: "text" if origin.kind == "words" else origin.kind for origin in rule.origins}

    def counted(one: Distinct) -> Json:
        kind = kinds.get(one.arg) or kinds.get(root_of(one.arg)) or "id"
        return {"arg": one.arg, "as": kind, "max": one.maximum}

    some: dict[str, Json] = {"after_any": list(rule.after_any)} if rule.after_any else {}
    if rule.budget.each:
        some["each"] = [counted(one) for one in rule.budget.each]
    return {
        **some,
        "id": rule.id,
        "action": rule.action,
        "on": list(dict.fromkeys(resource.id for resource in rule.on)),
        "where": where,
        "budget": budget,
        "across": [_across(across) for across in rule.across],
        "effect": effect_of(bundle, profile, rule),
        "asked": [list(group) for group in rule.asked] if len(rule.asked) > 1 else list(*rule.asked),
        "after": list(rule.after),
        "before": list(rule.before),
        "unless": list(rule.unless),
        "on_breach": None if rule.on_breach is None else [step.value for step in rule.on_breach],
        "origins": [_origin(origin, sources) for origin in rule.origins],
        "free": [_free(one) for one in rule.free],
        "aggregates": [
            {
                "arg": one.arg,
                "op": one.op.value,
                "aggregate": one.aggregate,
                "source": sources.number(one.source),
                "as": one.kind,
            }
            for one in rule.aggregates
        ],
        "distinct": [counted(one) for one in rule.budget.distinct],
        "reported": dict(rule.budget.reported),
    }


def _origin(origin: Origin, sources: Sources) -> Json:
    plus: list[Json] = [
        {"source": sources.number(one)} if isinstance(one, Source) else {"ms": one} for one in origin.plus
    ]
    written: dict[str, Json] = {
        "arg": origin.arg,
        "as": origin.kind,
        "sources": [sources.number(source) for source in origin.sources],
        "required": origin.required,
        "plus": plus,
        "within_ms": origin.within_ms,
        "same_day": origin.same_day,
        "not_by": list(origin.not_by),
    }
    if origin.below:
        written["below"] = True
    return {**written, "new_words": origin.new_words} if origin.new_words else written


def _free(free: Free) -> Json:
    written: dict[str, Json] = {"arg": free.arg, "max": free.maximum, "without": list(free.without)}
    return {**written, "required": True} if free.required else written


def _never(never: Never) -> Json:
    if never.after:
        return {"after": never.after, "action": never.action}
    return {"by": never.by, "action": never.action, "arg": never.arg}


def _bound(bound: Bound, kind: str) -> Json:
    value = bound.value
    if isinstance(value, FromInput):
        return {"arg": bound.arg, "op": bound.op.value, "value": {"input": value.name}}
    constant: Json
    if isinstance(value, tuple):
        constant = [_constant(one, kind) for one in value]
    elif bound.op is Op.LENGTH:
        constant = int(str(value)) if str(value).isdecimal() else 0
    else:
        constant = _constant(value, kind)
    return {"arg": bound.arg, "op": bound.op.value, "value": {"const": constant}}


def _constant(value: str | int | bool, kind: str) -> Json:
    """A constant in the JSON type of its argument: a decimal stays text, so that it keeps its digits."""
    if kind == "long" and isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value):
        return int(value)
    return value


def _sum(total: Sum) -> Json:
    limit: Json = {"input": total.maximum.name} if isinstance(total.maximum, FromInput) else {"const": total.maximum}
    return {"arg": total.arg, "max": limit}


def _across(across: Across) -> Json:
    per: Json = {"input": across.per.name} if isinstance(across.per, FromInput) else across.per
    return {
        "per": per,
        "window_ms": across.window_ms,
        "calls": across.calls,
        "sums": [_sum(total) for total in across.sums],
    }
