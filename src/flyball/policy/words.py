"""A rule's limits in words, for operators."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.task.rules import Across, FromInput, Op, Origin, Rule, Source


def limits_of(rule: Rule) -> str:
    """A rule's limits in words, for example `amount max $inputs.limit; calls 1; once per ticket`."""
    return "; ".join((*_conditions(rule), *_arguments(rule), *_budget(rule)))


def _conditions(rule: Rule) -> Iterator[str]:
    if rule.effect not in ("", "allow"):
        yield {"require_approval": "a person approves it", "step_up": "the user confirms it"}[rule.effect]
    if rule.asked:
        yield f"asked for {' with '.join(', '.join(group) for group in rule.asked)}"
    for said, names in (
        ("after", rule.after),
        ("after one of", rule.after_any),
        ("before", rule.before),
        ("unless labelled", rule.unless),
    ):
        if names:
            yield f"{said} {', '.join(names)}"


def _arguments(rule: Rule) -> Iterator[str]:
    for bound in rule.where:
        op = {Op.ONE_OF: "one of", Op.EQ: "is", Op.LENGTH: "length"}.get(bound.op, bound.op.value)
        yield f"{bound.arg} {op} {_shown(bound.value)}"
    for one in rule.aggregates:
        limit = one.source.name if one.source.kind == "const" else f"{one.aggregate}({one.source})"
        yield f"{one.arg} {'is' if one.op is Op.EQ else one.op.value} {limit}"
    for origin in rule.origins:
        yield origin_of(origin)
    for free in rule.free:
        without = f" without {', '.join(free.without)}" if free.without else ""
        there = ", and there" if free.required else ""
        yield f"{free.arg} at most {free.maximum} characters{without}{there}"


def origin_of(origin: Origin) -> str:
    """Where an argument must come from, for example `to as email from request or result(contacts_find).email`."""
    plus = " or ".join(str(one) if isinstance(one, Source) else span(one) for one in origin.plus)
    return "".join(
        (
            f"{origin.arg} as {origin.kind} from {' or '.join(str(one) for one in origin.sources)}",
            f" plus {plus}" if plus else "",
            f" within {span(origin.within_ms)}" if origin.within_ms is not None else "",
            " on the same day" if origin.same_day else "",
            " or below" if origin.below else "",
            f" and {origin.new_words} new words" if origin.new_words else "",
            f" not by {', '.join(origin.not_by)}" if origin.not_by else "",
        )
    )


def span(ms: int) -> str:
    """A duration as it is written in a profile, in its largest whole unit."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % length == 0:
            return f"{ms // length}{unit}"
    return f"{ms}ms" if ms else "0m"


def _budget(rule: Rule) -> Iterator[str]:
    if rule.budget.calls is not None:
        yield f"calls {rule.budget.calls}"
    yield from (f"total {total.arg} {_shown(total.maximum)}" for total in rule.budget.sums)
    yield from (f"{one.maximum} different {one.arg}" for one in rule.budget.distinct)
    yield from (f"{one.maximum} calls for each {one.arg}" for one in rule.budget.each)
    yield from (f"{key} {most}" for key, most in rule.budget.reported)
    yield from (_across(across) for across in rule.across)


def _shown(value: object) -> str:
    if isinstance(value, FromInput):
        return f"$inputs.{value.name}"
    return ", ".join(str(one) for one in value) if isinstance(value, tuple) else str(value)


def _across(across: Across) -> str:
    if isinstance(across.per, FromInput):
        return f"once per {across.per.name}"
    parts = [] if across.calls is None else [f"calls {across.calls}"]
    parts += [f"total {total.arg} {_shown(total.maximum)}" for total in across.sums]
    window = "" if across.window_ms is None else f" in {across.window_ms // 1000} s"
    return f"per {across.per}: {', '.join(parts)}{window}"
