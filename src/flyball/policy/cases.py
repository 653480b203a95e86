"""Reading a bundle's own cases, `tests/*.yaml`. Every fault is noted with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle
from flyball.policy.diagnostics import Mark, Problems, did_you_mean, nearest
from flyball.policy.manifest import CONTROL_PLANE
from flyball.policy.question import Party, Question
from flyball.policy.reader import Fields
from flyball.policy.verdict import REASONS, Effect
from flyball.policy.yaml import Kind, Listing, Node, Scalar, Table, parse, plain

NOTHING = Question(Party("", ""), "", Party("", ""))
_SETTLES = ("approve", "refuse")
#: What a step may be, by its one key.
KINDS = ("check", "open", "report", "plan", *_SETTLES)
#: The codes with which a step that asks nothing may itself be refused (see `Core` in flyball/_core/_native.pyi).
REFUSALS: Mapping[str, tuple[str, ...]] = {
    "report": ("already_reported", "decision_unknown", "malformed", "pep_may_not_report", "pep_mismatch"),
    "plan": ("plan_exists", "plan_malformed", "plan_not_in_profile", "plan_too_late"),
    "approve": ("approval_expired", "approval_settled", "approval_unknown"),
    "refuse": ("approval_expired", "approval_settled", "approval_unknown"),
}
_ENDED = ("task_fenced", "task_unknown")


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
        if not node.items:
            problems.error("missing_field", node.mark, "this file holds no case", "write one, or delete the file")
        for item in node.items:
            yield _case(Fields("a case", item, problems), bundle)


def _case(fields: Fields, bundle: Bundle) -> Case:
    problems = fields.problems
    name = fields.text("name", required=True)
    fields.what = f"case `{name}`"
    profile, agent = fields.text("profile"), fields.text("agent")
    subject_node = fields.node("subject")
    subject = _party(subject_node, "user", problems) if subject_node is not None else Party("", "")
    inputs_node = fields.node("inputs")
    if subject_node is None and not profile:
        fields.missing("profile")
    elif subject_node is None and _known(fields, "profile", profile, bundle.profiles):
        agent = agent or next(iter(bundle.profiles[profile].agents), "")
        _known(fields, "agent", agent, bundle.agents)
        for key, (mark, _) in inputs_node.entries.items() if isinstance(inputs_node, Table) else ():
            problems.known("input", key, bundle.profiles[profile].inputs, mark, "unknown_input")
    pep = fields.text("pep") or next(iter(bundle.peps), CONTROL_PLANE)
    given = _values(inputs_node)
    steps = tuple(_step(item, subject, pep, bundle, problems) for item in fields.items("steps"))
    if not steps:
        fields.missing("steps")
    mark, vouched_by = fields.mark, fields.text("vouched_by")
    plan = fields.node("plan")
    fields.done()
    return Case(name, mark, profile, agent, given, steps, vouched_by, json_text(plan) if plan is not None else "")


def _known(fields: Fields, key: str, name: str, names: Mapping[str, object]) -> bool:
    if name not in names:
        hint = did_you_mean(name, names)
        fields.problems.error(f"unknown_{key}", fields.place(key), f"there is no {key} `{name}`", hint)
    return name in names


def _step(node: Node, subject: Party, pep: str, bundle: Bundle, problems: Problems) -> Step:
    fields = Fields("a step", node, problems)
    kind = next((one for one in KINDS if one in fields), "")
    if not kind:
        return _unknown_step(fields)
    inner = fields.node(kind)
    if inner is None:
        # What stands beside it is not judged: nobody knows what it belongs to.
        problems.error("wrong_type", fields.place(kind), f"`{kind}` of a step says nothing", width=len(kind))
        return Step(fields.mark, kind)
    if kind == "check":
        return _check(fields, inner, subject, pep, bundle)
    if kind == "report":
        return _report(fields, inner, bundle)
    if kind == "open":
        opens = Fields("`open`", inner, problems)
        step = Step(fields.mark, "open", given=_values(opens.node("inputs")))
        opens.done()
    elif kind == "plan":
        step = Step(fields.mark, "plan", reason=_reason(fields, kind), text=json_text(inner))
    else:
        step = Step(fields.mark, kind, reason=_reason(fields, kind), by=fields.text(kind))
    fields.done()
    return step


def _unknown_step(fields: Fields) -> Step:
    """A step that is of no kind: a kind's name misspelt, or none at all."""
    for key, mark, _ in fields.rest():
        if (meant := nearest(key, KINDS)) != "":
            fields.problems.error(
                "unknown_key", mark, f"there is no step `{key}`", f"did you mean `{meant}`?", len(key)
            )
            return Step(fields.mark, meant)
    kinds = ", ".join(f"`{kind}`" for kind in KINDS)
    fields.problems.error("missing_field", fields.mark, "a step lacks what it does", f"one of {kinds}")
    return Step(fields.mark, "check")


def _reason(fields: Fields, kind: str, *, otherwise: tuple[str, ...] = ()) -> str:
    """The reason that a step expects. One that is written and says nothing would expect anything: an error."""
    if "reason" in fields and fields.node("reason") is None:
        hint = "name a reason's code, or leave the key out"
        fields.problems.error("wrong_type", fields.place("reason"), "`reason` of a step says nothing", hint, 6)
        return ""
    return fields.choice("reason", otherwise or (*REFUSALS[kind], *_ENDED), "")


def _check(fields: Fields, check: Node, subject: Party, pep: str, bundle: Bundle) -> Step:
    problems = fields.problems
    asked = Fields("`check`", check, problems)
    reason = _reason(fields, "check", otherwise=tuple(REASONS))
    action = asked.text("action", required=True)
    # A name that the bundle does not hold is a slip, unless the case is about just that.
    declared = bundle.actions.get(action)
    if reason != "action_unknown":
        problems.known("action", action, bundle.actions, asked.at("action"), "unknown_action")
    kind = declared.resource_type if declared is not None else ""
    resource_node = asked.node("resource")
    resource = _party(resource_node, kind, problems) if resource_node is not None else Party(kind, "")
    args = asked.node("args")
    if declared is not None and reason != "argument_unknown":
        for key, (mark, _) in args.entries.items() if isinstance(args, Table) else ():
            problems.known("argument", key, declared.args, mark, "unknown_argument")
    point = asked.text("pep")
    if point and point != CONTROL_PLANE and reason != "pep_not_registered":
        _known(asked, "pep", point, bundle.peps)
    question = Question(subject, action, resource, json_text(args) if args is not None else "{}", pep=point or pep)
    asked.done()
    expect = fields.choice("expect", tuple(effect.value for effect in Effect), "")
    if not expect and fields.node("expect") is None:
        fields.missing("expect")
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
    reason = _reason(fields, "report")
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
