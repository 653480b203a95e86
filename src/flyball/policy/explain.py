"""Why a decision was made: what an operator needs to judge it, and what little an agent may know.

The decision stands in its record and is not made again here. What the record names (a rule, a
policy, a reason) is looked up in the bundle, and where the sealed arguments are at hand each bound
of the rule is held against them, to say which one failed and where its value came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from flyball.kernel.json import Json
from flyball.policy import explain_origin
from flyball.policy.compile import Compiled, implied_rules
from flyball.policy.diagnostics import did_you_mean, visible
from flyball.policy.verdict import OUR_FAULTS, REASONS
from flyball.policy.words import limits_of
from flyball.task.profile import Profile
from flyball.task.rules import Bound, BoundValue, FromInput, Op, Resource, Rule
from flyball.task.task import Input


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision, explained. `facts` are (label, text); `change` says what would allow it, or is empty."""

    decision: str
    effect: str
    reasons: tuple[str, ...]
    headline: str
    facts: tuple[tuple[str, str], ...]
    change: str

    def render(self) -> str:
        """The operator's text."""
        width = max((len(label) for label, _ in self.facts), default=0)
        lines = [f"{visible(self.decision)}: {self.effect}, {visible(self.headline)}"]
        lines += [f"  {label:<{width}}  {visible(text)}" for label, text in self.facts]
        if self.change:
            lines.append(f"  {'to allow it':<{width}}  {visible(self.change)}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Json]:
        """The same as a JSON object."""
        return {
            "decision": self.decision,
            "effect": self.effect,
            "reasons": list(self.reasons),
            "headline": self.headline,
            "facts": [{"label": label, "text": text} for label, text in self.facts],
            "change": self.change,
        }

    def for_agent(self) -> dict[str, Json]:
        """What the agent is told: the reason's code and the decision's id. The bounds stay the operator's."""
        return {"reason": self.reasons[0] if self.reasons else "denied", "decision": self.decision}


def explain(
    body: Mapping[str, Json],
    compiled: Compiled,
    *,
    profile: str = "",
    inputs: Mapping[str, Input] | None = None,
    args: Mapping[str, Json] | None = None,
    erased: bool = False,
) -> Explanation:
    """Explain one `decided` record.

    Args:
        body: the record's body, as written by the decision plane.
        compiled: the bundle in force.
        profile: the task's profile; taken from the record's rule where it is not given.
        inputs: the task's inputs; None where they are erased or not at hand.
        args: the call's arguments, unsealed; None where they are erased or not at hand.
        erased: whether the task's data key is gone, and with it every value of the task's.
    """
    return _Explainer(body, compiled, profile, inputs, args, erased=erased).explain()


class _Explainer:
    def __init__(
        self,
        body: Mapping[str, Json],
        compiled: Compiled,
        profile: str,
        inputs: Mapping[str, Input] | None,
        args: Mapping[str, Json] | None,
        *,
        erased: bool,
    ) -> None:
        self.body = body
        self.compiled = compiled
        self.inputs = inputs
        self.args = args
        self.erased = erased
        breach = body.get("breach")
        self.breach: Mapping[str, Json] = breach if isinstance(breach, dict) else {}
        self.action = _text(body.get("action"))
        self.reasons = _texts(body.get("reasons"))
        resource = body.get("resource")
        self.resource = _text(resource.get("id")) if isinstance(resource, dict) else ""
        rule = _text(body.get("rule"))
        self.profile: Profile | None = compiled.bundle.profiles.get(profile or rule.partition("/")[0])
        everything = (*self.profile.allow, *implied_rules(self.profile)) if self.profile else ()
        self.rules = [one for one in everything if one.action == self.action and _on(one, self.resource)]
        self.rules = [one for one in self.rules if one.id == rule] or self.rules
        self.same_action = [one for one in everything if one.action == self.action]

    def explain(self) -> Explanation:
        """The explanation."""
        reason = self.reasons[0] if self.reasons else ""
        headline = REASONS.get(reason, reason or "no reason was recorded")
        facts = [*self._asked(), *self._why(reason), *self._policies(), *self._context()]
        return Explanation(
            decision=_text(self.body.get("decision")),
            effect=_text(self.body.get("effect")),
            reasons=self.reasons,
            headline=headline,
            facts=tuple(facts),
            change=self._change(reason) if self.body.get("effect") != "allow" else "",
        )

    def _asked(self) -> Iterator[tuple[str, str]]:
        yield "asked", f"{self.action} on {self.resource}"
        agent, pep = _text(self.body.get("agent")), _text(self.body.get("pep"))
        yield "by", f"{agent or _text(self.body.get('principal'))}, through enforcement point {pep or 'unknown'}"
        if task := _text(self.body.get("task")):
            yield "for", f"task {task}" + (f" of profile {self.profile.name}" if self.profile else "")
        for rule in self.rules:
            place = self.compiled.bundle.places.get(f"rule:{rule.id}")
            yield "rule", f"{rule.id}" + (f" ({place.file}:{place.line})" if place else "")

    def _why(self, reason: str) -> Iterator[tuple[str, str]]:
        if reason in ("argument_out_of_bounds", "argument_missing"):
            yield from self._bounds()
        elif reason in ("budget_spent", "once_per_spent"):
            for rule in self.rules:
                yield "limits", limits_of(rule) or "the profile's own budget"
            if self.profile and self.profile.budget_calls is not None:
                yield "limits", f"{self.profile.budget_calls} calls for the whole task"
        elif reason == "resource_not_in_profile":
            allowed = ", ".join(str(one) for rule in self.same_action for one in rule.on)
            yield "allowed on", allowed or "nothing"
        elif reason == "action_not_in_profile" and self.profile:
            yield "allowed", ", ".join(dict.fromkeys(rule.action for rule in self.profile.allow)) or "nothing"
        elif reason == "action_unknown":
            yield "hint", did_you_mean(self.action, self.compiled.bundle.actions)
        elif reason == "argument_unknown" and self.action in self.compiled.bundle.actions:
            known = self.compiled.bundle.actions[self.action].args
            unknown = sorted(set(self.args or ()) - known.keys())
            yield "declared", ", ".join(known) or "none"
            if unknown:
                yield "unknown", ", ".join(unknown)
        elif self.breach:
            yield from explain_origin.facts(self.breach, self.args, erased=self.erased)
        elif reason in OUR_FAULTS:
            yield "note", "this is not the agent's doing and counts as no deviation"

    def _bounds(self) -> Iterator[tuple[str, str]]:
        for rule in self.rules:
            for bound in rule.where:
                limit = self._limit(bound.value)
                known, said = self._argument(bound.arg)
                if self.args is not None and bound.arg not in self.args:
                    yield "failed", f"{bound.arg} was not sent; the rule bounds it: {bound.op.value} {limit}"
                elif not known:
                    yield "bound", f"{bound.arg}: {bound.op.value} {limit}"
                elif (fails := self._fails(bound)) is not False:
                    verb = "failed" if fails else "not decided"
                    yield verb, f"{bound.arg} was {said}; the bound is {bound.op.value} {limit}"
        if self.args is None:
            gone = "are gone: the task's data key is erased" if self.erased else "are sealed"
            yield "note", f"the arguments {gone}, so the bound that failed cannot be named"

    def _argument(self, name: str) -> tuple[bool, str]:
        return (True, str(self.args[name])) if self.args is not None and name in self.args else (False, "")

    def _limit(self, value: BoundValue) -> str:
        if not isinstance(value, FromInput):
            shown = ", ".join(str(one) for one in value) if isinstance(value, tuple) else str(value)
            return f"{shown} (written in the profile)"
        given = (self.inputs or {}).get(value.name)
        if given is None:
            return f"input {value.name} (not at hand)"
        source = f"vouched for by {given.vouched_by}" if given.vouched_by else "declared by the agent itself"
        return f"{given.value} (input {value.name}, {source})"

    def _fails(self, bound: Bound) -> bool | None:
        """Whether the argument fails the bound; None where that cannot be told here."""
        value = self.args[bound.arg] if self.args else None
        limit: Json | tuple[str, ...]
        if isinstance(bound.value, FromInput):
            given = (self.inputs or {}).get(bound.value.name)
            if given is None:
                return None
            limit = given.value
        else:
            limit = bound.value
        return not holds(bound.op, value, limit)

    def _policies(self) -> Iterator[tuple[str, str]]:
        named = _texts(self.body.get("policies"))
        for policy in self.compiled.bundle.policies:
            if policy.id in named:
                said = policy.annotations.get("reason")
                yield "policy", f"{policy.id} ({policy.mark.file}:{policy.mark.line})" + (f": {said}" if said else "")

    def _context(self) -> Iterator[tuple[str, str]]:
        if approval := _text(self.body.get("approval")):
            asks = approval == _text(self.body.get("decision"))
            yield (
                "approval",
                "a person is asked, by this decision's id" if asks else f"allowed by what {approval} asked",
            )
        if labels := _texts(self.body.get("labels")):
            yield "labels", f"the task has from here on: {', '.join(labels)}"
        if reaction := _text(self.body.get("reaction")):
            yield "reaction", f"{reaction}, as the profile or policy says for a deviation"
        for one in self.compiled.cooperative.get(self.profile.name if self.profile else "", ()):
            if one.rule in {rule.id for rule in self.rules}:
                yield "cooperative", f"{one.limit}: {one.because}"
        decided_under = _text(self.body.get("bundle"))
        if decided_under and decided_under != self.compiled.digest:
            yield "note", f"decided under bundle {decided_under[:19]}…; the bundle in force has changed since"

    def _change(self, reason: str) -> str:
        place = self.compiled.bundle.places.get(f"profile:{self.profile.name}") if self.profile else None
        where = place.file if place else "the profile"
        if reason == "origin_mismatch":
            return explain_origin.change(self.breach, where)
        if reason in explain_origin.CHANGES:
            rule = _text(self.breach.get("rule")) or next((one.id for one in self.rules), "the rule")
            decision = _text(self.body.get("decision"))
            return explain_origin.CHANGES[reason].format(rule=rule, where=where, decision=decision)
        if reason == "action_not_in_profile":
            return f"a rule in {where}: {{action: {self.action}, on: [{self.resource}]}}"
        if reason == "resource_not_in_profile":
            rule = self.same_action[0].id if self.same_action else "a rule"
            return f"add {self.resource} to `on` of {rule} in {where}"
        if reason == "argument_out_of_bounds":
            return f"a wider bound in {where}, or another value of the input it comes from when the task is opened"
        if reason == "budget_spent":
            return f"a larger budget in {where}, or a new task"
        if reason == "once_per_spent":
            return f"nothing for this value; {where} counts it across tasks on purpose"
        if reason == "policy_forbids":
            return "only a change of the policy itself: a forbid wins over every profile"
        if reason in OUR_FAULTS:
            return "nothing in the bundle: see `flyball status`"
        return ""


def holds(op: Op, value: Json, limit: Json | tuple[str, ...]) -> bool:
    """Whether an argument is within a bound, as the decision plane decides it. False for what does not compare."""
    if op in (Op.MAX, Op.MIN):
        try:
            number, edge = Decimal(str(value)), Decimal(str(limit))
        except InvalidOperation:
            return False
        return number <= edge if op is Op.MAX else number >= edge
    if op is Op.ONE_OF:
        values = value if isinstance(value, list) else [value]
        choices = [_same(one) for one in limit] if isinstance(limit, (tuple, list)) else []
        return all(_same(one) in choices for one in values)
    if op is Op.EQ:
        return not isinstance(limit, tuple) and _same(value) == _same(limit)
    if op is Op.LENGTH:
        return isinstance(value, (str, list)) and len(value) <= int(str(limit))
    if op is Op.PREFIX and isinstance(value, list):
        return all(isinstance(one, str) and one.startswith(str(limit)) for one in value)
    if not isinstance(value, str):
        return False
    return bool(re.fullmatch(str(limit), value)) if op is Op.PATTERN else value.startswith(str(limit))


def _same(value: Json) -> Json | Decimal:
    """Numbers compare by value, however they were written."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return Decimal(str(value)) if isinstance(value, (str, int)) else value
    except InvalidOperation:
        return value


def _on(rule: Rule, resource: str) -> bool:
    return not rule.on or any(Resource(one.id).covers(Resource(resource)) for one in rule.on)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
