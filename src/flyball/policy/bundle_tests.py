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
Nothing is stored: the decision plane has no store here and keeps no record.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flyball.kernel import ids
from flyball.kernel.errors import FlyballError
from flyball.kernel.json import Json, canonical
from flyball.policy.cases import Case, Step, read_cases
from flyball.policy.compile import Compiled
from flyball.policy.diagnostics import Diagnostic, Problems, visible
from flyball.policy.engine import Core, CoreError
from flyball.policy.question import Party, PolicyEngine, Question
from flyball.policy.verdict import Answer, Effect
from flyball.task.lifecycle import open_task
from flyball.task.profile import Profile, Voucher, validate_inputs
from flyball.task.task import Input

_CELL = "test"


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of one step."""

    step: Step
    answer: Answer
    ok: bool

    def line(self) -> str:
        """The step in one line."""
        if self.step.kind != "check":
            return visible(f"{self.step.kind}: {', '.join(self.answer.reasons) or 'expected ' + self.step.reason}")
        asked = f"{self.step.question.action} on {self.step.question.resource.id}"
        got = f"{self.answer.effect.value} ({', '.join(self.answer.reasons)})"
        expected = self.step.expect + (f" ({self.step.reason})" if self.step.reason else "")
        return visible(asked) + (f": {got}" if self.ok else f": expected {expected}, got {got}")


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case. `error` is why it could not run, or empty."""

    case: Case
    steps: tuple[StepResult, ...]
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether every step answered as expected."""
        return not self.error and all(step.ok for step in self.steps)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all cases, and what was wrong with the files."""

    results: tuple[CaseResult, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether every case ran and passed."""
        return not self.diagnostics and all(result.ok for result in self.results)

    def render(self) -> str:
        """A table: one line a case, the steps that failed below theirs, and the counts."""
        lines = [found.render() for found in self.diagnostics]
        for result in self.results:
            lines.append(f"{'ok  ' if result.ok else 'FAIL'}  {visible(result.case.name)}")
            place = result.case.mark
            if result.error:
                lines.append(f"        {place.file}:{place.line}: {visible(result.error)}")
            lines += [
                f"        {one.step.mark.file}:{one.step.mark.line}: {one.line()}" for one in result.steps if not one.ok
            ]
        failed = sum(not result.ok for result in self.results)
        lines.append(f"{len(self.results)} cases, {failed} failed")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Json]:
        """The same as a JSON object."""
        cases: list[Json] = [
            {
                "name": result.case.name,
                "file": result.case.mark.file,
                "line": result.case.mark.line,
                "ok": result.ok,
                "error": result.error,
                "steps": [
                    {
                        "line": one.step.mark.line,
                        "ok": one.ok,
                        "expect": one.step.expect,
                        "effect": one.answer.effect.value,
                        "reasons": list(one.answer.reasons),
                        "policies": list(one.answer.policies),
                    }
                    for one in result.steps
                ],
            }
            for result in self.results
        ]
        return {"ok": self.ok, "cases": cases, "diagnostics": [found.as_json() for found in self.diagnostics]}


def run_bundle_tests(compiled: Compiled, engine: Callable[[], Core] | None = None) -> Report:
    """Run every case of the bundle; none, where one of them cannot be read.

    Args:
        engine: makes the decision plane of one case; the real one by default.
    """
    problems = Problems()
    cases = tuple(read_cases(compiled.bundle, problems))
    if problems.failed:
        return Report((), problems.all())
    make = engine or _core
    return Report(tuple(_run(case, compiled, make()) for case in cases), problems.all())


def _core() -> Core:
    return Core(cell=_CELL, node="bundle-tests", epoch=1, deployment_key=secrets.token_bytes(32))


def _run(case: Case, compiled: Compiled, core: Core) -> CaseResult:
    done: list[StepResult] = []
    try:
        core.load(compiled.json)
        run = _Run(case, compiled, core)
        for step in case.steps:
            answer = run.take(step)
            if answer is not None:
                done.append(StepResult(step, answer, _right(step, answer)))
    except FlyballError as error:
        return CaseResult(case, tuple(done), f"{error.detail}{f' ({error.hint})' if error.hint else ''}")
    except CoreError as error:
        return CaseResult(case, tuple(done), str(error.args[1] if len(error.args) > 1 else error))
    return CaseResult(case, tuple(done))


def _right(step: Step, answer: Answer) -> bool:
    if step.kind != "check":
        return (step.reason in answer.reasons) if step.reason else not answer.reasons
    return answer.effect.value == step.expect and (not step.reason or step.reason in answer.reasons)


class _Run:
    """A case under way: its task, the last call that was allowed, and the last that waits for a person."""

    def __init__(self, case: Case, compiled: Compiled, core: Core) -> None:
        self._case = case
        self._compiled = compiled
        self._core = core
        self._asks: PolicyEngine = _Asks(core)
        self._task = ""
        self._allowed = ("", "")
        self._pending = ""
        if case.profile:
            self._begin({})

    def _begin(self, inputs: Mapping[str, Json]) -> None:
        self._task = _open(self._case, {**self._case.inputs, **inputs}, self._compiled, self._core)
        self._allowed, self._pending = ("", ""), ""
        if self._case.plan:
            self._core.declare_plan(self._task, self._case.plan.encode(), self._case.agent)

    def take(self, step: Step) -> Answer | None:
        """Take one step. What it answers, or None where nothing was asked."""
        if step.kind == "open":
            self._begin(step.given)
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


def _open(case: Case, inputs: dict[str, Json], compiled: Compiled, core: Core) -> str:
    bundle, now = compiled.bundle, time.time_ns() // 1_000_000
    profile = bundle.profiles[case.profile]
    agent = bundle.agents[case.agent]
    task = open_task(
        id=ids.task_id(_CELL, now),
        principal=agent.ids[0].replace("*", "x") if agent.ids else f"peer:uid:{agent.uid}",
        agent=agent.name,
        owner=agent.owner,
        profile=profile,
        bundle=compiled.digest,
        inputs=_inputs(case, profile, inputs),
        binding="uid:0",
        now_ms=now,
        cell=_CELL,
        home="bundle-tests",
        epoch=1,
    )
    given: dict[str, Json] = {
        name: {"value": one.value, "type": one.type, "vouched_by": one.vouched_by} for name, one in task.inputs.items()
    }
    core.open(
        canonical(
            {
                "id": task.id,
                "principal": task.principal,
                "agent": task.agent,
                "owner": task.owner,
                "profile": task.profile,
                "profile_digest": task.profile_digest,
                "inputs": given,
                "opened_ms": task.opened_ms,
                "hard_end_ms": task.hard_end_ms,
                "heartbeat_ms": task.heartbeat_ms,
                "data_key": base64.b64encode(secrets.token_bytes(32)).decode(),
                "state": task.state.value,
                "binding": task.binding,
            }
        )
    )
    return task.id


def _inputs(case: Case, profile: Profile, inputs: dict[str, Json]) -> dict[str, Input]:
    """The inputs, vouched for by the issuer that the case names, if it names one."""
    vouchers = ["case"] if case.vouched_by else []
    return validate_inputs(profile, inputs, vouchers, lambda _: Voucher(case.vouched_by, inputs))


def _evaluation(question: Question) -> str:
    """The question as an AuthZEN request; the arguments are its action's properties."""

    def party(one: Party) -> str:
        return canonical({"type": one.type, "id": one.id, "properties": dict(one.properties)}).decode()

    action = f'{{"name": {json.dumps(question.action)}, "properties": {question.args_json}}}'
    return f'{{"subject": {party(question.subject)}, "action": {action}, "resource": {party(question.resource)}}}'
