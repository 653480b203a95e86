"""A bundle's own cases: `tests/*.yaml`, run against a real decision plane in this process.

    - name: a refund within the limit
      profile: settle-refund
      agent: refund-agent
      inputs: {ticket: T-1042, limit: 120}
      steps:
        - check: {action: tool.refund, resource: refund, args: {order_id: O-1042, amount: 50.00}}
          expect: allow
        - check: {action: tool.refund, resource: refund, args: {order_id: O-1042, amount: 50.00}}
          expect: deny
          reason: once_per_spent

Each case has a decision plane of its own, so that no case depends on another. A step `report:` says what
the last allowed call returned, by the enforcement point that asked; `plan:` declares a plan;
`approve:` and `refuse:` settle the last call that waits for a person. A step `open:` goes on with a new
task of the same profile, for what counts across tasks. A case with `subject` is decided without a task.
The decision plane has no store here and keeps no record, unless a failure is to be explained.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from flyball.kernel.errors import FlyballError
from flyball.kernel.json import Json, canonical, parse
from flyball.policy import trial
from flyball.policy.case_report import CaseResult, Report, StepResult
from flyball.policy.cases import Case, Step, read_cases
from flyball.policy.compile import Compiled
from flyball.policy.diagnostics import Problems
from flyball.policy.engine import Core, CoreError
from flyball.policy.explain import explain
from flyball.policy.question import Party, PolicyEngine, Question
from flyball.policy.verdict import Answer, Effect
from flyball.task.task import Input

CELL = "test"


class Records(Protocol):
    """A store that planes write to, and what they wrote. `flyball.assembly.scratch` is one."""

    @property
    def cell(self) -> str:
        """The cell of its planes, which the ids of their tasks begin with."""

    def core(self) -> Core:
        """A fresh plane that keeps its records here."""

    def decided(self, task: str) -> Mapping[str, Mapping[str, Json]]:
        """The bodies of the task's `decided` records, by decision; all are written by now."""


def run_bundle_tests(
    compiled: Compiled, records: Callable[[], AbstractContextManager[Records]] | None = None
) -> Report:
    """Run every case of the bundle; none, where one of them cannot be read.

    Args:
        records: makes a store for one case. With it a case that fails is run once more, on a plane that keeps
            records, and what they say of each wrong answer (which argument failed, what was demanded, where the value
            was seen) is in the report.
    """
    problems = Problems()
    cases = tuple(read_cases(compiled.bundle, problems))
    if problems.failed:
        return Report((), problems.all())
    return Report(tuple(_case(case, compiled, records) for case in cases), problems.all())


def _case(case: Case, compiled: Compiled, records: Callable[[], AbstractContextManager[Records]] | None) -> CaseResult:
    core = Core(cell=CELL, node="bundle-tests", epoch=1, deployment_key=secrets.token_bytes(32))
    result, _ = _run(case, compiled, core, CELL)
    if result.ok or result.error or records is None:
        return result
    with records() as kept:
        again, tasks = _run(case, compiled, kept.core(), kept.cell)
        told = {decision: body for task in tasks for decision, body in kept.decided(task).items()}
    steps = tuple(
        one if one.ok else dataclasses.replace(one, why=_why(one, told.get(one.answer.decision), case, compiled))
        for one in again.steps
    )
    return dataclasses.replace(again, steps=steps)


def _why(
    result: StepResult, body: Mapping[str, Json] | None, case: Case, compiled: Compiled
) -> tuple[tuple[str, str], ...]:
    """What the record says of a wrong answer; what would allow it, where the case expects that."""
    if body is None or body.get("effect") == Effect.ALLOW.value:
        rule = str((body or {}).get("rule") or "")
        place = compiled.bundle.places.get(f"rule:{rule}")
        return (("rule", f"{rule} ({place.file}:{place.line})" if place else rule),) if rule else ()
    vouched = case.vouched_by
    inputs = {name: Input(str(value), "", vouched) for name, value in case.inputs.items()}
    args = parse(result.step.question.args_json)
    told = explain(body, compiled, profile=case.profile, inputs=inputs, args=args if isinstance(args, dict) else None)
    facts = [fact for fact in told.facts if fact[0] not in ("asked", "by", "for", "labels")]
    if told.change and result.step.expect == Effect.ALLOW.value:
        facts.append(("to allow it", told.change))
    return tuple(facts)


def _run(case: Case, compiled: Compiled, core: Core, cell: str) -> tuple[CaseResult, tuple[str, ...]]:
    """The case on this core; and the tasks that it opened."""
    done: list[StepResult] = []
    run = _Run(case, compiled, core, cell)
    error = ""
    try:
        core.load(compiled.json)
        run.begin({})
        for step in case.steps:
            answer = run.take(step)
            if answer is not None:
                done.append(StepResult(step, answer, _right(step, answer)))
    except FlyballError as fault:
        error = f"{fault.detail}{f' ({fault.hint})' if fault.hint else ''}"
    except CoreError as fault:
        error = str(fault.args[1] if len(fault.args) > 1 else fault)
    return CaseResult(case, tuple(done), error), tuple(run.tasks)


def _right(step: Step, answer: Answer) -> bool:
    if step.kind != "check":
        return (step.reason in answer.reasons) if step.reason else not answer.reasons
    return answer.effect.value == step.expect and (not step.reason or step.reason in answer.reasons)


class _Run:
    """A case under way: its task, the last call that was allowed, and the last that waits for a person."""

    def __init__(self, case: Case, compiled: Compiled, core: Core, cell: str) -> None:
        self._case = case
        self._cell = cell
        self._compiled = compiled
        self._core = core
        self._asks: PolicyEngine = _Asks(core)
        self._task = ""
        self._allowed = ("", "")
        self._pending = ""
        #: Every task that was opened; none (`""`) where the case is decided without.
        self.tasks: list[str] = []

    def begin(self, inputs: Mapping[str, Json]) -> None:
        """Open a task with the case's inputs and these; nothing to do for a case without one."""
        case = self._case
        if case.profile:
            self._task = trial.begin(
                self._core,
                self._compiled,
                profile=case.profile,
                agent=case.agent,
                inputs={**case.inputs, **inputs},
                vouched_by=case.vouched_by,
                cell=self._cell,
            ).id
        self.tasks.append(self._task)
        self._allowed, self._pending = ("", ""), ""
        if case.plan:
            self._core.declare_plan(self._task, case.plan.encode(), case.agent)

    def take(self, step: Step) -> Answer | None:
        """Take one step. What it answers, or None where nothing was asked."""
        if step.kind == "open":
            self.begin(step.given)
            return None
        if step.kind == "check":
            return self._check(step.question)
        try:
            self._tell(step)
        except CoreError as error:
            return Answer(Effect.DENY, (str(error.args[0]),))
        return Answer(Effect.ALLOW)

    def _check(self, question: Question) -> Answer:
        answer = self._asks.ask(dataclasses.replace(question, task=self._task))
        if answer.effect is Effect.ALLOW:
            self._allowed = (answer.decision, question.pep)
        self._pending = answer.approval or self._pending
        return answer

    def _tell(self, step: Step) -> None:
        if step.kind == "plan":
            self._core.declare_plan(self._task, step.text.encode(), self._case.agent)
        elif step.kind == "report":
            decision, pep = self._allowed
            meta = {key: value for key, value in step.given.items() if key != "seconds"}
            if isinstance(seconds := step.given.get("seconds"), int):
                meta["ms"] = seconds * 1000
            self._core.report_result(self._task, step.by or pep, decision, step.text.encode(), canonical(meta))
        else:
            self._core.settle_approval(self._task, self._pending, step.kind == "approve", step.by)


class _Asks:
    """The decision plane behind the joint of plain values."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def ask(self, question: Question) -> Answer:
        """The decision plane's answer."""
        if question.task:
            verdict = self._core.check(
                question.task,
                question.pep,
                question.action,
                question.resource.type,
                question.resource.id,
                question.args_json.encode(),
            )
        else:
            verdict = self._core.evaluate(_evaluation(question).encode(), question.pep)
        approval = verdict.approval or ""
        return Answer(
            Effect(verdict.effect), tuple(verdict.reasons), tuple(verdict.policies), verdict.decision, approval
        )


def _evaluation(question: Question) -> str:
    """The question as an AuthZEN request; the arguments are its action's properties."""

    def party(one: Party) -> str:
        return canonical({"type": one.type, "id": one.id, "properties": dict(one.properties)}).decode()

    action = f'{{"name": {json.dumps(question.action)}, "properties": {question.args_json}}}'
    return f'{{"subject": {party(question.subject)}, "action": {action}, "resource": {party(question.resource)}}}'
