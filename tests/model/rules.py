"""One rule against one call, hurdle after hurdle; SPEC, "What an author writes" and "Reasons"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.model.documents import Number, WrongShape, at_path, scalar
from tests.model.held import elements, origin_holds
from tests.model.origins import World, derived, in_text, resolved, rows_of
from tests.model.plan import matching_entry
from tests.model.program import Profile, covers, rank
from tests.model.state import State
from tests.model.strings import words
from tests.model.text import asked
from tests.model.values import Value, read, same, stands_in

ONE = 10_000


class Refused(Exception):
    """A hurdle that was not taken; args: (reason,), `state:` before it where an early one says it."""

    @property
    def reason(self) -> str:
        """The reason as a verdict gives it."""
        return str(self.args[0]).removeprefix("state:")

    @property
    def rank(self) -> int:
        """How far the call came."""
        return rank(str(self.args[0]))


@dataclass
class Match:
    """A rule that holds, and what the call costs."""

    rule: dict[str, Any]
    charge: dict[str, int] = field(default_factory=dict)
    across: list[tuple[str, int, int, str]] = field(default_factory=list)
    distinct: dict[str, frozenset[Value]] = field(default_factory=dict)
    entry: int | None = None


@dataclass
class Call:
    """A call with its typed world."""

    action: str
    resource: str
    world: World
    state: State
    inputs: dict[str, Any]
    used_across: dict[str, int]
    agent: str
    owner: str
    now_ms: int


def find(profile: Profile, call: Call) -> Match:
    """SPEC: "Rules of one action are tried in order; the first that holds decides; else the failure that came
    furthest is reported."
    """
    rules = profile.rules_of(call.action)
    if not rules:
        raise Refused("action_not_in_profile")
    furthest = Refused("resource_not_in_profile")
    found_at: dict[str, Any] | None = None
    for rule in rules:
        if not covers(rule, call.resource):
            continue
        try:
            return attempt(profile, rule, call)
        except Refused as refused:
            if refused.rank > furthest.rank:
                furthest, found_at = refused, rule
    furthest.__dict__["rule"] = found_at
    raise furthest


def attempt(profile: Profile, rule: dict[str, Any], call: Call) -> Match:
    """Every hurdle in its order."""
    _missing(rule, call)
    _state(profile, rule, call)
    for bound in rule.get("where", []):
        if not _within(bound, call):
            raise Refused("argument_out_of_bounds")
    for aggregate in rule.get("aggregates", []):
        if not _aggregate(profile, aggregate, call):
            raise Refused("argument_out_of_bounds")
    for free in rule.get("free", []):
        if sum(len(text) for text in _texts(call, free["arg"])) > free["max"]:
            raise Refused("too_long")
    for origin in rule.get("origins", []):
        if not origin_holds(origin, call.world):
            raise Refused("origin_mismatch")
    _flow(profile, rule, call)
    match = Match(rule)
    if profile.writes(call.action) and call.state.plan is None and profile.plan == "required":
        raise Refused("plan_required")
    if profile.writes(call.action) and call.state.plan is not None:
        match.entry = matching_entry(rule, call)
        if match.entry is None:
            raise Refused("not_in_plan")
    _budget(profile, rule, call, match)
    return match


def _missing(rule: dict[str, Any], call: Call) -> None:
    """A bounded argument that was not sent is a mistake in the call, not an act outside the intent."""
    named = [one["arg"] for key in ("where", "aggregates") for one in rule.get(key, [])]
    named += [one["arg"] for one in rule.get("origins", []) if one.get("required")]
    named += [one["arg"] for one in rule.get("budget", {}).get("sums", [])]
    named += [one["arg"] for across in rule.get("across", []) for one in across.get("sums", [])]
    required = {one["arg"] for one in rule.get("origins", []) if one.get("required")}
    for arg in named:
        try:
            there = elements(call.world.args, arg) if arg in required else at_path(call.world.args, arg)
        except WrongShape:
            continue
        empty_list = arg not in required and call.world.args.get(arg) == []
        if not there and not empty_list:
            raise Refused("argument_missing")


def _state(profile: Profile, rule: dict[str, Any], call: Call) -> None:
    if rule.get("asked"):
        # SPEC: "one of these stands in the request (input `request`), whole words"; and an agent's own
        # request is no request.
        text = call.world.inputs.get("request", "") if "request" in call.world.vouched else ""
        if not asked(rule["asked"], text):
            raise Refused("not_asked_for")
    if any(action not in call.state.actions_done for action in rule.get("after", [])):
        raise Refused("out_of_order")
    if any(action in call.state.actions_done for action in rule.get("before", [])):
        raise Refused("out_of_order")
    # SPEC: "unless: not while the task has this label"; "after: with this label on the task the action is refused".
    after = [one["after"] for one in profile.never if "after" in one and one["action"] == call.action]
    if any(label in call.state.labels for label in [*rule.get("unless", []), *after]):
        raise Refused("state:label_forbids")


def _flow(profile: Profile, rule: dict[str, Any], call: Call) -> None:
    """SPEC: "a value an outsider could write never decides this argument, whatever a rule says"; "no remembered
    value of a field with this label stands in it".
    """
    for never in profile.never:
        if never.get("by") is None or never["action"] != call.action:
            continue
        for origin in rule.get("origins", []):
            if origin["arg"] == never["arg"] and not origin_holds(origin, call.world, frozenset([never["by"]])):
                raise Refused("label_forbids")
    for free in rule.get("free", []):
        text = " ".join(_texts(call, free["arg"]))
        for result in call.world.results:
            for leaf in result.leaves:
                if leaf.labels & set(free.get("without", [])) and _stands(leaf, text, call, result.day):
                    raise Refused("label_forbids")


def _stands(leaf: Any, text: str, call: Call, day: Any) -> bool:
    if leaf.kind in ("text", "any"):
        return stands_in(words(leaf.text), words(text))
    mine = derived(leaf.kind, leaf, day)
    there = in_text(leaf.kind, text, call.world.day)
    return any(same(one, other) for one in mine for other in there)


def _texts(call: Call, arg: str) -> list[str]:
    """Every text in a free argument, wherever in it."""

    def inside(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for one in value.values() for text in inside(one)]
        if isinstance(value, list):
            return [text for one in value for text in inside(one)]
        text = scalar(value)
        return [] if text is None else [text]

    try:
        return [text for one in at_path(call.world.args, arg) for text in inside(one)]
    except WrongShape as error:
        raise Refused("argument_out_of_bounds") from error


def amount(value: Any) -> Fraction | None:
    """A number as it is written: at most four places, no exponent."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if re.fullmatch(r"-?[0-9]{1,19}(\.[0-9]{1,4})?", str(value)) is None:
        return None
    return Fraction(str(value))


def _within(bound: dict[str, Any], call: Call) -> bool:
    """A bound from before: max, min, eq, one_of, pattern, prefix, length. A list is held by element."""
    limit = bound["value"].get("const") if "const" in bound["value"] else call.inputs.get(bound["value"]["input"])
    try:
        given = at_path(call.world.args, bound["arg"])
    except WrongShape:
        return False
    op = bound["op"]
    if limit is None:
        return False
    if op == "length":
        whole = call.world.args.get(bound["arg"])
        size = len(whole) if isinstance(whole, list) else max((len(str(one)) for one in given), default=0)
        return size <= int(limit)
    return all(_element_within(op, one, limit) for one in given)


def _element_within(op: str, value: Any, limit: Any) -> bool:
    if op in ("max", "min"):
        mine, bound = amount(value), amount(limit)
        if mine is None or bound is None:
            return False
        return mine <= bound if op == "max" else mine >= bound
    if op == "eq":
        return _equal(value, limit)
    if op == "one_of":
        return any(_equal(value, one) for one in limit)
    if not isinstance(value, str) or isinstance(value, Number):
        return False
    if op == "prefix":
        return value.startswith(str(limit))
    return re.fullmatch(str(limit), value, re.ASCII) is not None


def _equal(value: Any, limit: Any) -> bool:
    if isinstance(value, bool) or isinstance(limit, bool):
        return str(value).lower() == str(limit).lower()
    if isinstance(value, Number):
        return amount(value) is not None and amount(value) == amount(limit)
    return bool(value == limit)


def _aggregate(profile: Profile, one: dict[str, Any], call: Call) -> bool:
    """SPEC: "`sum(result(A).F)`, `min(...)`, `max(...)` may stand as the value of the bounds `max`, `min`, `eq`"."""
    source = profile.sources[one["source"]]["result"]
    latest = [result for result in call.world.results if result.action == source["action"]][-1:]
    known: list[Value] = []
    for result in latest:
        for leaf in rows_of(result, source, call.world):
            readings = [v for v in derived(one["as"], leaf, result.day) if v[0] == one["as"]]
            if len(readings) != 1:
                return False
            known.append(readings[0])
    currencies = {value[2] if len(value) > 2 else None for value in known}
    if not known or len(currencies) > 1:
        return False
    limit = {"sum": sum, "min": min, "max": max}[one["aggregate"]]([value[1] for value in known])
    for element in at_path(call.world.args, one["arg"]):
        readings = [v for r in read(one["as"], scalar(element) or "") for v in resolved(r, call.world.day)]
        if not readings:
            return False
        for value in readings:
            currency = value[2] if len(value) > 2 else None
            if currency is not None and currency not in currencies:
                return False
            if not {"max": value[1] <= limit, "min": value[1] >= limit, "eq": value[1] == limit}[one["op"]]:
                return False
    return True


def _spend(call: Call, match: Match, slot: str, cost: int, limit: int) -> None:
    if call.state.used[slot] + match.charge.get(slot, 0) + cost > limit:
        raise Refused("budget_spent")
    match.charge[slot] = match.charge.get(slot, 0) + cost


def _cost(call: Call, arg: str) -> int:
    """What a call adds to a sum. A negative amount would give back what others spent."""
    cost = amount(call.world.args.get(arg))
    if cost is None or cost < 0:
        raise Refused("argument_out_of_bounds")
    return int(cost * ONE)


def _limit(call: Call, value: dict[str, Any]) -> int:
    limit = amount(value["const"] if "const" in value else call.inputs.get(value["input"]))
    if limit is None:
        raise Refused("argument_out_of_bounds")
    return int(limit * ONE)


def _budget(profile: Profile, rule: dict[str, Any], call: Call, match: Match) -> None:
    """SPEC: budgets of calls, sums, distinct values, what results reported, and those across tasks."""
    budget = rule.get("budget", {})
    if profile.total_calls is not None:
        _spend(call, match, "calls", ONE, profile.total_calls * ONE)
    if budget.get("calls") is not None:
        _spend(call, match, f"{rule['id']}/calls", ONE, budget["calls"] * ONE)
    for one in budget.get("sums", []):
        _spend(call, match, f"{rule['id']}/sum:{one['arg']}", _cost(call, one["arg"]), _limit(call, one["max"]))
    for one in rule.get("distinct", []):
        slot = f"{rule['id']}/distinct:{one['arg']}"
        new = _distinct(call, one)
        if len(call.state.distinct.get(slot, frozenset()) | new) > one["max"]:
            raise Refused("budget_spent")
        match.distinct[slot] = new
    for unit, limit in (rule.get("reported") or {}).items():
        if call.state.used[f"{rule['id']}/{unit}"] >= limit * ONE:
            raise Refused("budget_spent")
    for one in rule.get("across", []):
        _across(profile, rule, one, call, match)


def _distinct(call: Call, one: dict[str, Any]) -> frozenset[Value]:
    out = []
    for element in elements(call.world.args, one["arg"]):
        readings = [v for r in read(one["as"], scalar(element) or "") for v in resolved(r, call.world.day)]
        if not readings:
            raise Refused("argument_out_of_bounds")
        out += readings
    return frozenset(out)


def _across(profile: Profile, rule: dict[str, Any], one: dict[str, Any], call: Call, match: Match) -> None:
    """Counters that outlive the task: per agent, per owner, or once per an input's value."""
    per = one["per"]
    if isinstance(per, dict):
        if call.inputs.get(per["input"]) is None:
            raise Refused("argument_out_of_bounds")
        whose = f"input:{per['input']}={call.inputs[per['input']]}"
    else:
        whose = f"{per}:{call.agent if per == 'agent' else call.owner}"
    window = one.get("window_ms")
    key = f"{profile.name}|{rule['action']}|{whose}|{window}|{call.now_ms // window if window else ''}"
    costs = [] if one.get("calls") is None else [("calls", ONE, one["calls"] * ONE)]
    costs += [(f"sum:{s['arg']}", _cost(call, s["arg"]), _limit(call, s["max"])) for s in one.get("sums", [])]
    for unit, cost, limit in costs:
        once = isinstance(per, dict) or (unit == "calls" and limit == ONE)
        reason = "once_per_spent" if once else "budget_spent"
        if call.used_across.get(f"{key}|{unit}", 0) + cost > limit:
            raise Refused(reason)
        match.across.append((f"{key}|{unit}", cost, limit, reason))
