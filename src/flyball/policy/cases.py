"""Reading a bundle's own cases, `tests/*.yaml`. Every fault is noted with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle
from flyball.policy.diagnostics import Mark, Problems, did_you_mean
from flyball.policy.manifest import CONTROL_PLANE
from flyball.policy.question import Party, Question
from flyball.policy.reader import Fields
from flyball.policy.verdict import REASONS, Effect
from flyball.policy.yaml import Kind, Listing, Node, Scalar, Table, parse, plain

NOTHING = Question(Party("", ""), "", Party("", ""))
_SETTLES = ("approve", "refuse")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a case.

    `kind` is `check` (a question and the answer expected), `open` (goes on with a new task), `report`
    (what the last allowed call returned), `plan`, `approve` or `refuse`. For all but a check, a `reason`
    says that the step itself is refused, and by which code.
    """

    mark: Mark
    kind: str
    question: Question = NOTHING
    expect: str = ""
    reason: str = ""
    #: `open`: the inputs. `report`: `rows`, `bytes`, `seconds`, `labels`.
    given: Mapping[str, Json] = field(default_factory=dict)
    #: `report`: the result as JSON text; `plan`: the plan likewise.
    text: str = ""
    #: `report`: the enforcement point; `approve` and `refuse`: who settles it.
    by: str = ""


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
    plan: str = ""


def read_cases(bundle: Bundle, problems: Problems) -> Iterator[Case]:
    """Every case of the bundle, in the order of the files."""
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
    given = _values(inputs_node)
    steps = tuple(_step(item, subject, pep, bundle, fields.problems) for item in fields.items("steps"))
    if not steps:
        fields.missing("steps")
    mark, vouched_by = fields.mark, fields.text("vouched_by")
    plan = fields.node("plan")
    fields.done()
    return Case(name, mark, profile, agent, given, steps, vouched_by, json_text(plan) if plan is not None else "")


def _known(fields: Fields, key: str, name: str, names: Mapping[str, object]) -> None:
    if name not in names:
        hint = did_you_mean(name, names)
        fields.problems.error(f"unknown_{key}", fields.place(key), f"there is no {key} `{name}`", hint)


def _step(node: Node, subject: Party, pep: str, bundle: Bundle, problems: Problems) -> Step:
    fields = Fields("a step", node, problems)
    if (opens := fields.node("open")) is not None:
        inner = Fields("`open`", opens, problems)
        given = _values(inner.node("inputs"))
        inner.done()
        fields.done()
        return Step(fields.mark, "open", given=given)
    if (report := fields.node("report")) is not None:
        return _report(fields, report, bundle)
    if (plan := fields.node("plan")) is not None:
        reason = fields.text("reason")
        fields.done()
        return Step(fields.mark, "plan", reason=reason, text=json_text(plan))
    for kind in _SETTLES:
        if kind in fields:
            by, reason = fields.text(kind), fields.text("reason")
            fields.done()
            return Step(fields.mark, kind, reason=reason, by=by)
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
    return Step(fields.mark, "check", question, expect, reason)


def _report(fields: Fields, node: Node, bundle: Bundle) -> Step:
    inner = Fields("`report`", node, fields.problems)
    result = inner.node("result")
    given: dict[str, Json] = {}
    for key in ("rows", "bytes", "seconds"):
        if (count := inner.whole(key)) is not None:
            given[key] = count
    if labels := [label for label, _ in inner.texts("labels")]:
        given["labels"] = list(labels)
    by = inner.text("pep")
    if by:
        _known(inner, "pep", by, bundle.peps)
    inner.done()
    reason = fields.text("reason")
    fields.done()
    return Step(fields.mark, "report", reason=reason, given=given, text=json_text(result) if result else "null", by=by)


def _values(node: Node | None) -> dict[str, Json]:
    values = plain(node) if node is not None else {}
    return values if isinstance(values, dict) else {}


def _party(node: Node, kind: str, problems: Problems) -> Party:
    if isinstance(node, Scalar):
        return Party(kind, node.text)
    fields = Fields("a subject or resource", node, problems)
    values = _values(fields.node("properties"))
    party = Party(
        fields.text("type", default=kind),
        fields.text("id", required=True),
        values,
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
