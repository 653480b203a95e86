"""Tasks and their checks, plainly. SPEC, "The plane"."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.model.children import DEPTH, allotted, slots
from tests.model.documents import Leaf, Malformed, canonical, parse, static_labels
from tests.model.origins import World
from tests.model.program import BREACHES, REACTIONS, Profile
from tests.model.rules import Call, Match, Refused, find
from tests.model.state import Allowed, Fact, State, fold
from tests.model.text import day_of
from tests.model.typed import wrong_type

#: SPEC: "Pending at most 64 a task, each for 10 minutes".
PENDING = 64
PENDING_MS = 600_000


class Answer(NamedTuple):
    """What a check answers."""

    effect: str
    reason: str
    reaction: str | None = None
    #: Labels that the task has after it.
    labels: frozenset[str] = frozenset()
    approval: str | None = None
    decision: str = ""


class Wrong(Exception):
    """A call that could not be carried out; args: (code,)."""


@dataclass
class Task:
    """One task: what it was opened with, and the facts since."""

    profile: Profile
    agent: str
    owner: str
    inputs: dict[str, Any]
    vouched: frozenset[str]
    binding: str
    hard_end_ms: int
    labels: frozenset[str]
    #: The principal, and which instance of it where that is known.
    instance: tuple[str, str] = ("", "")
    parent: str | None = None
    #: What of the profile's actions it is narrowed to.
    actions: frozenset[str] | None = None
    #: What its parent gave it of each counter.
    allot: dict[str, int] = field(default_factory=dict)
    depth: int = 1
    facts: list[Fact] = field(default_factory=list)
    state: State = field(default_factory=State)

    def note(self, *fact: Any) -> None:
        """One fact more, and the state that all of them add up to."""
        self.facts.append(fact)
        self.state = fold(self.labels, self.facts)


class Decider:
    """Tasks and their checks."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.tasks: dict[str, Task] = {}
        self.across: dict[str, int] = {}
        self.harsh: dict[str, list[int]] = {}

    def open(self, spec: dict[str, Any]) -> None:
        """SPEC: "`declared` satisfies no `from`": only what another vouches for is the user's word."""
        inputs = {name: one["value"] for name, one in spec.get("inputs", {}).items()}
        vouched = frozenset(
            name for name, one in spec.get("inputs", {}).items() if one.get("vouched_by", "declared") != "declared"
        )
        labels = frozenset(spec.get("labels", []))
        task = Task(
            Profile(self.document, spec["profile"]), spec["agent"], spec["owner"], inputs, vouched, spec["binding"],
            spec["hard_end_ms"], labels,
        )  # fmt: skip
        task.instance = (spec.get("principal", ""), spec.get("instance", ""))
        task.state = fold(labels, [])
        if spec.get("parent"):
            self._adopt(task, spec)
        self.tasks[spec["id"]] = task

    def _adopt(self, child: Task, spec: dict[str, Any]) -> None:
        """SPEC: "The child runs its parent's profile, inputs a subset with equal values and the parent's vouching,
        labels of the parent, ends no later, budgets: its slots' limits are what was allotted".
        """
        if spec["parent"] not in self.tasks:
            raise Wrong("parent_unknown")
        parent = self.tasks[spec["parent"]]
        if parent.depth >= DEPTH:
            raise Wrong("child_too_deep")
        if any(parent.inputs.get(name) != value for name, value in child.inputs.items()):
            raise Wrong("child_inputs")
        wanted = parent.actions if spec.get("actions") is None else frozenset(spec["actions"])
        held = {rule["action"] for rule in parent.profile.rules} if parent.actions is None else parent.actions
        if wanted is not None and not wanted <= held:
            raise Wrong("child_actions")
        limits = slots(parent.profile, parent.inputs)
        if any(slot not in limits for slot in spec.get("allot") or {}):
            raise Wrong("allot_unknown")
        share = allotted(limits, parent.state.used, spec.get("allot"))
        if share is None:
            raise Wrong("allot_exceeds")
        if parent.state.standing != "open":
            raise Wrong("parent_not_open")
        child.parent, child.depth, child.allot = spec["parent"], parent.depth + 1, share
        child.vouched = parent.vouched & frozenset(child.inputs)
        child.labels |= parent.state.labels
        child.hard_end_ms = min(child.hard_end_ms, parent.hard_end_ms)
        child.actions = wanted
        parent.note("charged", share)
        child.state = fold(child.labels, [])
        child.note("charged", {slot: limits[slot] - amount for slot, amount in share.items()})

    def _catch_up(self, task: Task) -> None:
        """SPEC: "Labels follow the agent instance": what one live task of it has seen, all have."""
        for one in self.tasks.values():
            if one.instance == task.instance and not one.state.labels <= task.state.labels:
                task.note("labelled", one.state.labels)

    def _ancestors(self, task: str) -> list[Task]:
        """Parent, grandparent, and so on."""
        out: list[Task] = []
        above = self.tasks[task].parent
        while above in self.tasks:
            out.append(self.tasks[above])
            above = self.tasks[above].parent
        return out

    def close(self, task: str) -> None:
        """SPEC: "what is unused returns at the child's end"."""
        found = self.tasks.pop(task)
        if found.parent in self.tasks:
            limits = slots(found.profile, found.inputs)
            left = {slot: -(limits[slot] - found.state.used[slot]) for slot in found.allot}
            self.tasks[found.parent].note("charged", left)

    def restart(self) -> None:
        """Every task anew from its facts; SPEC: "an agent cannot reset its history"."""
        for task in self.tasks.values():
            task.state = fold(task.labels, list(task.facts))

    def check(
        self, task: str, pep: str, action: str, type_: str, id_: str, args: bytes | str, now_ms: int,
        binding: str = "inproc",
    ) -> Answer:  # fmt: skip
        """Decide one call."""
        if task not in self.tasks:
            return Answer("deny", "task_unknown")
        found = self.tasks[task]
        number = found.state.number + 1
        found.note("checked", number)
        self._catch_up(found)
        decision = f"{task}/{number}"
        try:
            match, digest = self._decide(found, task, pep, action, type_, id_, args, now_ms, binding)
            return self._grant(found, task, pep, action, match, digest, decision, number, now_ms)
        except Refused as refused:
            reaction = self._react(found, task, action, refused, now_ms)
            self._fence_children(task)
            return Answer("deny", refused.reason, reaction, found.state.labels, None, decision)

    def _decide(
        self,
        task: Task,
        name: str,
        pep: str,
        action: str,
        type_: str,
        id_: str,
        args: bytes | str,
        now_ms: int,
        binding: str,
    ) -> tuple[Match, str]:
        declared = self.document["actions"].get(action)
        write = declared is None or declared["effect"] == "write"
        self._standing(task, write, now_ms)
        for above in self._ancestors(name):
            self._standing(above, write, now_ms)
        self._proof(task, pep, action, binding)
        if declared is None or declared.get("taskless"):
            raise Stopped("action_unknown")
        if declared["resource_type"] != type_:
            raise Stopped("resource_type_unknown")
        try:
            members = parse(args or "{}")
        except Malformed:
            members = None
        if not isinstance(members, dict):
            raise Stopped("malformed")
        # SPEC: "A JSON null argument is taken as absent (dropped before typing; it stays in digest and record)".
        given = {name: value for name, value in members.items() if value is not None}
        wrong = wrong_type(declared.get("args", {}), given)
        if wrong:
            raise Stopped(wrong)
        call = Call(
            action, id_, self._world(task, given, now_ms), task.state, task.inputs, self.across, task.agent,
            task.owner, now_ms,
        )  # fmt: skip
        if task.actions is not None and action not in task.actions:
            raise Refused("action_not_in_profile")
        call.family = [above.state for above in self._ancestors(name)]
        return find(task.profile, call), canonical([action, type_, id_, members])

    def _standing(self, task: Task, write: bool, now_ms: int) -> None:
        """Fenced, suspended, parked, frozen (for effects), expired."""
        standing = task.state.standing
        if standing in ("fenced", "suspended", "parked") or (standing == "frozen" and write):
            raise Stopped(f"task_{standing}")
        if now_ms >= task.hard_end_ms:
            raise Stopped("task_expired")

    def _proof(self, task: Task, pep: str, action: str, binding: str) -> None:
        """An enforcement point asks only for actions that it is declared for, with the task's own proof."""
        if pep != "flyball" or binding != "inproc":
            known = next((one for one in self.document["peps"] if one["name"] == pep), None)
            if known is None:
                raise Stopped("pep_not_registered")
            patterns = known["actions"]
            if not any(action.startswith(p[:-1]) if p.endswith("*") else action == p for p in patterns):
                raise Stopped("pep_action_not_registered")
        if binding == "":
            raise Stopped("pep_task_proof")
        if binding != "inproc" and not binding.startswith("pep:") and binding != task.binding:
            raise Stopped("not_bound")

    def _world(self, task: Task, args: dict[str, Any], now_ms: int) -> World:
        inputs = {name: _text(value) for name, value in task.inputs.items()}
        return World(task.profile, inputs, task.vouched, task.state.results, args, self.today(task, now_ms))

    def today(self, task: Task, now_ms: int) -> datetime.date | None:
        """SPEC: "what "tomorrow" and "Saturday" are counted from; `clock` (UTC, the default) or `inputs.NAME`"."""
        today = task.profile.today
        if today == "clock":
            return datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC).date()
        if "input" in today:
            name = today["input"]
            found = day_of(("date",), _text(task.inputs[name])) if name in task.vouched else None
            return datetime.date(*found) if found else None
        for result in reversed(task.state.results):
            told = self._told(task, result.action, result.leaves)
            if told:
                return told
        return None

    def _told(self, task: Task, action: str, found: tuple[Leaf, ...]) -> datetime.date | None:
        """The day that a result says it is: the first value of the field that `today` names."""
        named = task.profile.today
        if not isinstance(named, dict) or named.get("result", {}).get("action") != action:
            return None
        first = next((leaf for leaf in found if leaf.field == named["result"].get("field", "")), None)
        day = day_of(("date", "datetime"), first.text) if first else None
        return datetime.date(*day) if day else None

    def _grant(
        self,
        task: Task,
        name: str,
        pep: str,
        action: str,
        match: Match,
        digest: str,
        decision: str,
        number: int,
        now_ms: int,
    ) -> Answer:
        effect = match.rule.get("effect", "allow")
        approval = None
        if effect != "allow":
            reason, approval = self._approval(task, digest, effect, decision, now_ms)
            if reason == "approval_refused":
                return Answer("deny", reason, None, task.state.labels, approval, decision)
            if reason != "allowed":
                refused = effect if reason.endswith("_required") else "deny"
                return Answer(refused, reason, None, task.state.labels, approval, decision)
        for key, cost, _, _ in match.across:
            self.across[key] = self.across.get(key, 0) + cost
        # SPEC: "At allow: static labels of the action are attached before release".
        labels = static_labels(task.profile.template(action))
        meters = tuple(f"{match.rule['id']}/{unit}" for unit in (match.rule.get("reported") or {}))
        call = Allowed(
            number,
            action,
            pep,
            tuple(sorted(match.charge.items())),
            match.entry,
            meters,
            tuple(match.above),
            match.args,
        )
        task.note("allowed", call, labels, match.distinct, approval)
        # A child's labels are its parents' too, and what it does moves their plans.
        for above, entry in zip(self._ancestors(name), match.above, strict=True):
            above.note("labelled", labels)
            if entry is not None:
                above.note("moved", entry, 1)
        return Answer("allow", "allowed", None, task.state.labels, approval, decision)

    def _approval(self, task: Task, digest: str, effect: str, decision: str, now_ms: int) -> tuple[str, str | None]:
        """SPEC: "The same call (same digest) while pending answers with the first reference"; "single use"."""
        mine = [one for one in task.state.approvals if one.digest == digest and one.outcome != "used"]
        for one in mine:
            if one.outcome == "pending" and now_ms >= one.asked_ms + PENDING_MS:
                task.note("settled", one.reference, "refused")
                return "approval_refused", one.reference
            if one.outcome == "approved":
                return "allowed", one.reference
            if one.outcome == "refused":
                return "approval_refused", one.reference
            return ("step_up_required" if effect == "step_up" else "approval_required"), one.reference
        if sum(one.outcome == "pending" for one in task.state.approvals) >= PENDING:
            return "approvals_full", None
        task.note("asked", decision, digest, now_ms)
        return ("step_up_required" if effect == "step_up" else "approval_required"), decision

    def _react(self, task: Task, name: str, action: str, refused: Refused, now_ms: int) -> str | None:
        """SPEC: "n-th breach *of that kind* in this task picks the step; `denials` counts all breaches"."""
        kind = BREACHES.get(refused.reason)
        if kind is None or isinstance(refused, Stopped):
            return None
        rule = refused.__dict__.get("rule")
        own = [rule] if rule else task.profile.rules_of(action)
        ladder = next((one["on_breach"] for one in own if one.get("on_breach")), task.profile.ladders[kind])
        # Ten children are not ten first breaches: the root of the family counts.
        above = self._ancestors(name)
        counted = (above[-1] if above else task).state.breaches
        nth, total = counted[kind] + 1, sum(counted.values()) + 1
        steps = [ladder[min(nth, len(ladder)) - 1]]
        steps += [word for threshold, word in task.profile.denials if total >= threshold]
        reaction = max(steps, key=REACTIONS.index)
        reaction = self._degraded(task, reaction, now_ms)
        task.note("breach", kind, reaction)
        for one in above:
            one.note("counted", kind)
        return reaction

    def _degraded(self, task: Task, reaction: str, now_ms: int) -> str:
        """SPEC: "more than `most_per_minute` reactions harder than freeze for one profile in one minute -> freeze"."""
        if REACTIONS.index(reaction) <= REACTIONS.index("freeze"):
            return reaction
        recent = [at for at in self.harsh.get(task.profile.name, []) if now_ms - at < 60_000]
        if len(recent) >= task.profile.most:
            return "freeze"
        self.harsh[task.profile.name] = [*recent, now_ms]
        return reaction


class Stopped(Refused):
    """Refused before any rule was looked at."""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
