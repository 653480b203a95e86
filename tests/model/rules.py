"""One rule against one call, hurdle after hurdle; SPEC, "What an author writes" and "Reasons"."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.model.bounds import amount, within
from tests.model.documents import WrongShape, below, count_below, filled, scoped
from tests.model.held import elements, origin_labels
from tests.model.origins import World, all_resolved, offered_by, readings, resolved, rows_of
from tests.model.plan import matching_entry
from tests.model.program import Profile, covers, rank
from tests.model.state import State
from tests.model.strings import words
from tests.model.text import asked
from tests.model.values import Value, stands_in

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
    #: The entries of the parents' plans that it moves.
    above: list[int | None] = field(default_factory=list)
    #: The call's arguments.
    args: dict[str, Any] = field(default_factory=dict)


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
    #: The states of the parents, the nearest first.
    family: list[State] = field(default_factory=list)


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
        if not within(bound, call.world.args, call.inputs):
            raise Refused("argument_out_of_bounds")
    for aggregate in rule.get("aggregates", []):
        if not _aggregate(profile, aggregate, call):
            raise Refused("argument_out_of_bounds")
    for free in rule.get("free", []):
        if sum(len(text) for text in below(call.world.args, free["arg"])) > free["max"]:
            raise Refused("too_long")
    call.world.known = {}
    for origin in rule.get("origins", []):
        labels = _found(profile, origin, call)
        head = _steps(origin["arg"])[0]
        call.world.known[head] = call.world.known.get(head, frozenset()) | labels
    _flow(profile, rule, call)
    match = Match(rule, args=call.world.args)
    _plan(profile, rule, call, match)
    _budget(profile, rule, call, match)
    return match


def _plan(profile: Profile, rule: dict[str, Any], call: Call, match: Match) -> None:
    """SPEC: "a write call must match an entry with count left; reads are left as the profile has them"; and a child's
    call an entry of each of its parents' plans.
    """
    states = [call.state, *call.family]
    writes = profile.writes(call.action)
    if writes and profile.plan == "required" and all(state.plan is None for state in states):
        raise Refused("plan_required")
    moved: list[int | None] = []
    for state in states:
        entry = matching_entry(rule, call, state) if writes and state.plan is not None else None
        if writes and state.plan is not None and entry is None:
            raise Refused("not_in_plan")
        moved.append(entry)
    match.entry, match.above = moved[0], moved[1:]


def _missing(rule: dict[str, Any], call: Call) -> None:
    """A bounded argument that was not sent is a mistake in the call, not an act outside the intent."""
    named = [one["arg"] for one in rule.get("where", [])]
    named += [one["arg"] for one in rule.get("budget", {}).get("sums", [])]
    named += [one["arg"] for across in rule.get("across", []) for one in across.get("sums", [])]
    for arg in named:
        if not _present(call.world.args, _steps(arg)):
            raise Refused("argument_missing")
    wanted = [one["arg"] for key in ("origins", "free") for one in rule.get(key, []) if one.get("required")]
    wanted += [one["arg"] for one in rule.get("aggregates", [])]
    if not all(filled(call.world.args, _steps(arg)) for arg in wanted):
        raise Refused("argument_missing")


def _present(value: Any, steps: list[str]) -> bool:
    if not steps:
        return value is not None
    if isinstance(value, list):
        return any(_present(one, steps) for one in value)
    if isinstance(value, dict):
        return _present(value.get(steps[0]), steps[1:])
    return value is not None


def _state(profile: Profile, rule: dict[str, Any], call: Call) -> None:
    if rule.get("asked"):
        # SPEC: "one of these stands in the request (input `request`), whole words"; and an agent's own
        # request is no request.
        text = call.world.inputs.get("request", "") if "request" in call.world.vouched else ""
        if not asked(rule["asked"], text):
            raise Refused("not_asked_for")
    if any(action not in call.state.actions_done for action in rule.get("after", [])):
        raise Refused("out_of_order")
    some = rule.get("after_any", [])
    if some and not any(action in call.state.actions_done for action in some):
        raise Refused("out_of_order")
    if any(action in call.state.actions_done for action in rule.get("before", [])):
        raise Refused("out_of_order")
    # SPEC: "unless: not while the task has this label"; "after: with this label on the task the action is refused".
    after = [one["after"] for one in profile.never if "after" in one and one["action"] == call.action]
    if any(label in call.state.labels for label in [*rule.get("unless", []), *after]):
        raise Refused("state:label_forbids")


def _steps(path: str) -> list[str]:
    return [step.removesuffix("[]") for step in path.split(".")]


def _leads(one: list[str], other: list[str]) -> bool:
    return other[: len(one)] == one


def _found(profile: Profile, origin: dict[str, Any], call: Call) -> frozenset[str]:
    """Where an argument was found. SPEC: "a value an outsider could write never decides this argument, whatever a
    rule says": where only that stands against it, the flow does.
    """
    mine = _steps(origin["arg"])
    never = frozenset(
        one["by"]
        for one in profile.never
        if "by" in one
        and one["action"] == call.action
        and (_leads(mine, _steps(one["arg"])) or _leads(_steps(one["arg"]), mine))
    )
    labels = origin_labels(origin, call.world, never)
    if labels is not None:
        return labels
    if never and origin_labels(origin, call.world) is not None:
        raise Refused("label_forbids")
    raise Refused("origin_mismatch")


def _flow(profile: Profile, rule: dict[str, Any], call: Call) -> None:
    """What no origin decides, and is no constant of the rule's, anybody may have decided; and SPEC: "no remembered
    value of a field with this label stands in it".
    """
    for never in profile.never:
        if "by" not in never or never["action"] != call.action:
            continue
        path = _steps(never["arg"])
        there = count_below(call.world.args, path)
        origins = [_steps(one["arg"]) for one in rule.get("origins", [])]
        under = [one for one in origins if _leads(path, one)]
        constants = [
            one for one in rule.get("where", []) if one["arg"] == never["arg"] and one["op"] in ("eq", "one_of")
        ]
        if there == 0 or any(_leads(one, path) for one in origins) or constants:
            continue
        if sum(count_below(call.world.args, one) for one in under) != there:
            raise Refused("label_forbids")
    for free in rule.get("free", []):
        for text in below(call.world.args, free["arg"]):
            for result in call.world.results:
                for leaf in result.leaves:
                    if leaf.labels & set(free.get("without", [])) and _carries(text, leaf):
                        raise Refused("label_forbids")


def _carries(text: str, leaf: Any) -> bool:
    """The whole value, three words of it in a row, a word of it that looks like a code, or the same address, number
    of a telephone or account, or amount.
    """
    mine, there = words(leaf.text), words(text)
    if stands_in(mine, there):
        return True
    if any(stands_in(mine[at : at + 3], there) for at in range(len(mine) - 2)):
        return True
    codes = [word for word in mine if len(word) >= 4 and any(char.isnumeric() for char in word)]
    if any(word in there for word in codes):
        return True
    for kind in ("email", "url", "phone", "iban", "money"):
        known = offered_by(leaf.kind, kind, leaf.value, None)
        found = offered_by("text", kind, text, None)
        for one in known:
            for other in found:
                loose = kind == "money" and None in (one[2], other[2]) and one[1] == other[1]
                if loose or one == other:
                    return True
    return False


def _aggregate(profile: Profile, one: dict[str, Any], call: Call) -> bool:
    """SPEC: "`sum(result(A).F)`, `min(...)`, `max(...)` may stand as the value of the bounds `max`, `min`, `eq`"."""
    try:
        given = scoped(call.world.args, one["arg"])
    except WrongShape:
        return False
    try:
        for element, scope in given:
            call.world.element = (one["arg"], scope)
            if not _bounded(profile, one, element, call):
                return False
    finally:
        call.world.element = ("", [])
    return True


def _bounded(profile: Profile, one: dict[str, Any], element: Any, call: Call) -> bool:
    written = profile.sources[one["source"]]
    if "const" in written:
        fixed = int(Fraction(str(written["const"])) * ONE)
        every = [value[1] for value in readings("number", element)]
        fits = {"max": lambda n: n <= fixed, "min": lambda n: n >= fixed, "eq": lambda n: n == fixed}[one["op"]]
        return bool(every) and all(fits(number) for number in every)
    source = written["result"]
    latest = [result for result in call.world.results if result.action == source["action"]][-1:]
    known: list[Value] = []
    for result in latest:
        for leaf in rows_of(result, source, call.world, latest):
            known += [v for v in offered_by(leaf.kind, one["as"], leaf.value, result.day) if v[0] == one["as"]]
    currencies = {value[2] if len(value) > 2 else None for value in known}
    if not known or len(currencies) > 1:
        return False
    limit = {"sum": sum, "min": min, "max": max}[one["aggregate"]]([value[1] for value in known])
    found = readings(one["as"], element)
    if not found:
        return False
    for value in found:
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
    for unit, limit in (rule.get("reported") or {}).items():
        if call.state.used[f"{rule['id']}/{unit}"] >= limit * ONE:
            raise Refused("budget_spent")
    for one in rule.get("distinct", []):
        slot = f"{rule['id']}/distinct:{one['arg']}"
        match.distinct[slot] = _distinct(call, one)
        new = match.distinct[slot] - call.state.distinct.get(slot, frozenset())
        if new and call.state.used[slot] + len(new) * ONE > one["max"] * ONE:
            raise Refused("budget_spent")
    for one in rule.get("each", []):
        # A child would count anew what its parent has counted.
        if call.family:
            raise Refused("budget_spent")
        slot = f"{rule['id']}/each:{one['arg']}"
        before = call.state.distinct.get(slot, frozenset())
        known = {value: sum(other[0] == value for other in before) for value in _distinct(call, one)}
        if any(count >= one["max"] for count in known.values()):
            raise Refused("budget_spent")
        match.distinct[slot] = frozenset((value, count + 1) for value, count in known.items())
    for one in rule.get("across", []):
        _across(profile, rule, one, call, match)


def _distinct(call: Call, one: dict[str, Any]) -> frozenset[Value]:
    """Each element by all of its readings, so that two spellings of one value are one."""
    try:
        given = elements(call.world.args, one["arg"])
    except WrongShape as error:
        raise Refused("origin_mismatch") from error
    out = []
    for element in given:
        found = readings(one["as"], element)
        if not found or not all_resolved(found, call.world.day):
            raise Refused("origin_mismatch")
        settled = resolved(found, call.world.day)
        out.append(tuple(value[:2] if one["as"] == "text" else value for value in settled))
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
