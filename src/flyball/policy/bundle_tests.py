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

Each case has a decision plane of its own, so that no case depends on another. A step `open:` goes on
with a new task of the same profile, for what counts across tasks. A case with `subject` is decided
without a task. Nothing is stored: the decision plane has no store here and keeps no record.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from flyball.kernel import ids
from flyball.kernel.errors import FlyballError
from flyball.kernel.json import Json, canonical
from flyball.policy.bundle import Bundle
from flyball.policy.compile import Compiled
from flyball.policy.diagnostics import Diagnostic, Mark, Problems, did_you_mean, visible
from flyball.policy.engine import Core, CoreError
from flyball.policy.manifest import CONTROL_PLANE
from flyball.policy.question import Party, PolicyEngine, Question
from flyball.policy.reader import Fields
from flyball.policy.verdict import REASONS, Answer, Effect
from flyball.policy.yaml import Kind, Listing, Node, Scalar, Table, parse, plain
from flyball.task.lifecycle import open_task
from flyball.task.profile import Profile, Voucher, validate_inputs
from flyball.task.task import Input

_CELL = "test"


@dataclass(frozen=True, slots=True)
class Step:
    """One question of a case and the answer that is expected; `opens` begins a new task instead."""

    mark: Mark
    question: Question
    expect: str
    reason: str
    opens: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One case, read."""

    name: str
    mark: Mark
    profile: str
    agent: str
    inputs: dict[str, Json]
    steps: tuple[Step, ...]
    vouched_by: str = ""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of one step."""

    step: Step
    answer: Answer
    ok: bool

    def line(self) -> str:
        """The step in one line."""
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
    cases = tuple(_cases(compiled.bundle, problems))
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
        asks: PolicyEngine = _Asks(core)
        task = _open(case, case.inputs, compiled, core) if case.profile else ""
        for step in case.steps:
            if step.opens is not None:
                task = _open(case, {**case.inputs, **step.opens}, compiled, core)
                continue
            question = Question(
                step.question.subject,
                step.question.action,
                step.question.resource,
                step.question.args_json,
                task,
                step.question.pep,
            )
            answer = asks.ask(question)
            right = answer.effect.value == step.expect and (not step.reason or step.reason in answer.reasons)
            done.append(StepResult(step, answer, right))
    except FlyballError as error:
        return CaseResult(case, tuple(done), f"{error.detail}{f' ({error.hint})' if error.hint else ''}")
    except CoreError as error:
        return CaseResult(case, tuple(done), str(error.args[1] if len(error.args) > 1 else error))
    return CaseResult(case, tuple(done))


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
        return Answer(Effect(verdict.effect), tuple(verdict.reasons), tuple(verdict.policies))


def _evaluation(question: Question) -> str:
    """The question as an AuthZEN request; the arguments are its action's properties."""

    def party(one: Party) -> str:
        return canonical({"type": one.type, "id": one.id, "properties": dict(one.properties)}).decode()

    action = f'{{"name": {json.dumps(question.action)}, "properties": {question.args_json}}}'
    return f'{{"subject": {party(question.subject)}, "action": {action}, "resource": {party(question.resource)}}}'


def _cases(bundle: Bundle, problems: Problems) -> Iterator[Case]:
    for file, data in bundle.tests.items():
        node = parse(file, data, problems)
        if node is None:
            continue
        if not isinstance(node, Listing):
            problems.error("wrong_shape", node.mark, "a file of cases holds a list of cases")
            continue
        for item in node.items:
            yield _case(Fields("a case", item, problems), bundle)


def _case(fields: Fields, bundle: Bundle) -> Case:
    name = fields.text("name", required=True)
    fields.what = f"case `{name}`"
    profile, agent = fields.text("profile"), fields.text("agent")
    subject_node = fields.node("subject")
    subject = _party(subject_node, "user", fields.problems) if subject_node is not None else Party("", "")
    if subject_node is None:
        _known(fields, "profile", profile, bundle.profiles)
        agent = agent or next(iter(bundle.profiles[profile].agents if profile in bundle.profiles else ()), "")
        _known(fields, "agent", agent, bundle.agents)
    pep = fields.text("pep") or next(iter(bundle.peps), CONTROL_PLANE)
    inputs_node = fields.node("inputs")
    inputs = plain(inputs_node) if inputs_node is not None else {}
    steps = tuple(_step(item, subject, pep, bundle, fields.problems) for item in fields.items("steps"))
    if not steps:
        fields.missing("steps")
    mark, vouched_by = fields.mark, fields.text("vouched_by")
    fields.done()
    given = inputs if isinstance(inputs, dict) else {}
    return Case(name, mark, profile, agent, given, steps, vouched_by)


def _known(fields: Fields, key: str, name: str, names: object) -> None:
    choices = cast("dict[str, object]", names)
    if name not in choices:
        hint = did_you_mean(name, choices)
        fields.problems.error(f"unknown_{key}", fields.place(key), f"there is no {key} `{name}`", hint)


def _step(node: Node, subject: Party, pep: str, bundle: Bundle, problems: Problems) -> Step:
    fields = Fields("a step", node, problems)
    opens = fields.node("open")
    if opens is not None:
        inner = Fields("`open`", opens, problems)
        given = inner.node("inputs")
        values = plain(given) if given is not None else {}
        inner.done()
        fields.done()
        empty = Question(subject, "", Party("", ""))
        return Step(fields.mark, empty, "", "", values if isinstance(values, dict) else {})
    check = fields.node("check")
    if check is None:
        fields.missing("check")
    asked = Fields("`check`", check or Table({}, fields.mark), problems)
    action = asked.text("action", required=check is not None)
    kind = bundle.actions[action].resource_type if action in bundle.actions else ""
    resource_node = asked.node("resource")
    resource = _party(resource_node, kind, problems) if resource_node is not None else Party(kind, "")
    args = asked.node("args")
    question = Question(
        subject, action, resource, json_text(args) if args is not None else "{}", pep=asked.text("pep", default=pep)
    )
    asked.done()
    effects = tuple(effect.value for effect in Effect)
    expect = fields.choice("expect", effects, "")
    if not expect:
        fields.missing("expect")
    reason = fields.choice("reason", tuple(REASONS), "")
    fields.done()
    return Step(fields.mark, question, expect, reason)


def _party(node: Node, kind: str, problems: Problems) -> Party:
    if isinstance(node, Scalar):
        return Party(kind, node.text)
    fields = Fields("a subject or resource", node, problems)
    properties = fields.node("properties")
    values = plain(properties) if properties is not None else {}
    party = Party(
        fields.text("type", default=kind),
        fields.text("id", required=True),
        values if isinstance(values, dict) else {},
    )
    fields.done()
    return party


def json_text(node: Node) -> str:
    """A YAML value as JSON text, numbers with the digits that stand in the file."""
    if isinstance(node, Table):
        return "{" + ", ".join(f"{json.dumps(key)}: {json_text(one)}" for key, (_, one) in node.entries.items()) + "}"
    if isinstance(node, Listing):
        return "[" + ", ".join(json_text(item) for item in node.items) + "]"
    if node.kind is Kind.NULL:
        return "null"
    return json.dumps(node.text) if node.kind is Kind.TEXT else node.text
