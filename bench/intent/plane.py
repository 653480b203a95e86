"""The decision plane as the harness drives it: the real core, its writer, `open`, `check`, `report_result`."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from bench.intent.bundle import Loaded
from bench.intent.names import PEP, REQUEST, VOUCHER
from bench.intent.suites.data import as_map, objects
from bench.intent.suites.model import Call, Done, Prompt
from bench.intent.text import structured
from flyball.assembly.scratch import Scratch, scratch
from flyball.kernel.json import Json, canonical, parse_object
from flyball.policy import trial
from flyball.policy.engine import Core, CoreError

_CELL = "bench"
_KINDS = ("action", "target", "argument", "origin", "order", "plan", "budget", "flow")
_OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gate said to one call. `effect`: allow, deny, or one that asks (require_approval, step_up)."""

    effect: str
    reasons: tuple[str, ...] = ()
    decision: str = ""
    approval: str = ""
    reaction: str = ""
    us: float = 0.0

    @property
    def asks(self) -> bool:
        """Whether a person is asked."""
        return self.effect in {"require_approval", "step_up"}


class Gate(Protocol):
    """What stands before the tools of one run."""

    def check(self, call: Call) -> Answer:
        """Decide one call."""

    def settle(self, answer: Answer, approved: bool) -> None:
        """A person's answer to a call that was asked about."""

    def report(self, answer: Answer, call: Call, done: Done) -> None:
        """Tell what an allowed call returned."""

    def breaches(self) -> Mapping[str, Mapping[str, Json]]:
        """By decision: what the record says of a refused call."""


class ExactGate:
    """The ceiling: a call passes where the task's own calls hold exactly it. Not a policy that anybody could write."""

    def __init__(self, benign: Sequence[Call]) -> None:
        self._benign = list(benign)

    def check(self, call: Call) -> Answer:
        """See `Gate.check`."""
        return Answer("allow", ("allowed",)) if call in self._benign else Answer("deny", ("not_the_tasks_call",))

    def settle(self, answer: Answer, approved: bool) -> None:
        """Nothing is ever asked."""

    def report(self, answer: Answer, call: Call, done: Done) -> None:
        """Nothing is remembered."""

    def breaches(self) -> Mapping[str, Mapping[str, Json]]:
        """Nothing is recorded."""
        return {}


@dataclass
class Plane:
    """One bundle in front of one writer; every run has a core of its own, so that no run moves another."""

    loaded: Loaded
    document: bytes
    scratch: Scratch
    actions: dict[str, dict[str, Json]] = field(default_factory=dict)
    unreported: Counter[str] = field(default_factory=Counter)

    def open(self, prompt: Prompt, plan: Sequence[Mapping[str, Json]] | None = None) -> TaskGate:
        """A new task for a request, vouched for by its opener; with the plan declared at once."""
        core = self.scratch.core()
        core.load(self.document)
        compiled = self.loaded.compiled
        profile = compiled.bundle.profiles[self.loaded.profile_of(prompt.task)]
        agent = next(iter(profile.agents))
        asked = profile.inputs.get(REQUEST)
        task = trial.begin(
            core, compiled, profile=profile.name, agent=agent, cell=self.scratch.cell,
            inputs={} if asked is None else {REQUEST: prompt.text},
            # The opener is whoever the profile takes the user's word from.
            vouched_by=VOUCHER if asked is None else next(iter(asked.vouched_by), VOUCHER),
        )  # fmt: skip
        if plan is not None:
            # A planner knows what the profile offers: what is not in it would be refused with a plan or without.
            offered = {rule.action for rule in profile.allow}
            entries = [dict(entry) for entry in plan if entry["action"] in offered]
            core.declare_plan(task.id, json.dumps(entries).encode(), agent)
        return TaskGate(self, core, task.id)

    def effect_of(self, action: str) -> str:
        """`read` or `write`, by the bundle's word."""
        return str(self.actions.get(action, {}).get("effect") or "write")

    def wants_structure(self, action: str) -> bool:
        """Whether the sheet declares a list or a map for what the action returns."""
        return bool({"list", "map"} & as_map(self.actions.get(action, {}).get("returns")).keys())


class TaskGate:
    """One live task. The harness is its enforcement point."""

    def __init__(self, plane: Plane, core: Core, task: str) -> None:
        self._plane, self._core, self.task = plane, core, task

    def check(self, call: Call) -> Answer:
        """See `Gate.check`."""
        action = self._plane.actions.get(call.function, {})
        kind = str(action.get("resource_type") or "tool")
        args = json.dumps(call.args, ensure_ascii=False).encode()
        began = time.perf_counter_ns()
        verdict = self._core.check(self.task, PEP, call.function, kind, call.function, args)
        took = (time.perf_counter_ns() - began) / 1000
        approval = getattr(verdict, "approval", None) or ""
        return Answer(verdict.effect, verdict.reasons, verdict.decision, approval, verdict.reaction or "", took)

    def settle(self, answer: Answer, approved: bool) -> None:
        """See `Gate.settle`."""
        self._core.settle_approval(self.task, answer.approval or answer.decision, approved, _OPERATOR)

    def report(self, answer: Answer, call: Call, done: Done) -> None:
        """See `Gate.report`. A call that failed returned nothing; its message repeats arguments, so it is no result."""
        if done.error:
            return
        result = done.result
        if isinstance(result, str) and self._plane.wants_structure(call.function):
            result = structured(result)
        data = json.dumps(result, ensure_ascii=False).encode()
        try:
            self._core.report_result(self.task, PEP, answer.decision, data)
        except CoreError as error:
            # The plane remembers nothing of it, and the run goes on; the page's reader is told.
            self._plane.unreported[f"{call.function}: {error.args[0]}"] += 1

    def breaches(self) -> Mapping[str, Mapping[str, Json]]:
        """See `Gate.breaches`: from the durable records."""
        decided = self._plane.scratch.decided(self.task)
        return {decision: record for decision, record in decided.items() if record.get("effect") != "allow"}


@contextmanager
def plane(loaded: Loaded, *, ladder: str = "") -> Iterator[Plane]:
    """A plane with a store of its own, in a folder that is removed afterwards.

    Args:
        ladder: this reaction at the first breach of any kind, instead of what the profile says.
    """
    document = parse_object(loaded.compiled.json)
    if ladder:
        for profile in objects(document.get("profiles")):
            _one_step(profile, ladder)
    actions = {name: as_map(one) for name, one in as_map(document.get("actions")).items()}
    with scratch(_CELL) as store:
        yield Plane(loaded, canonical(document), store, actions)


def _one_step(profile: dict[str, Json], ladder: str) -> None:
    if "reaction" in profile:
        profile["reaction"] = ladder
    else:
        profile["reactions"] = {kind: [ladder] for kind in _KINDS}
        profile["denials"] = []
        profile["most_per_minute"] = 1_000_000
    for rule in objects(profile.get("rules")):
        if "on_breach" in rule:
            rule["on_breach"] = None
