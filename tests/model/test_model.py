"""The model by itself: a story for each rule, so that a disagreement with the engine is not the model's fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.model.model import Answer, Model, Wrong
from tests.model.worlds import ACTIONS, SHAPES, template

NOW = 1_715_700_000_000
PEPS = [
    {"name": "gateway", "identity": {"uid": 1}, "actions": ["*"], "may_report": True},
    {"name": "sdk", "identity": {"self": True}, "actions": ["*"], "may_report": False},
]


class Story:
    """One task of one small profile."""

    def __init__(self, rules: list[dict[str, Any]], request: str, vouched: str = "desk", **profile: Any) -> None:
        rows = {
            action: template(
                shape,
                {
                    name: {"type": kind, "by": "outside" if name in ("sender", "subject", "body") else "org"}
                    for name, kind in fields.items()
                },
            )
            for action, (shape, fields) in SHAPES.items()
        }
        actions = {
            name: {"effect": effect, "resource_type": "tool", "args": args, "returns": rows.get(name)}
            for name, (effect, args) in ACTIONS.items()
        }
        reads = [{"action": name} for name, (effect, _) in ACTIONS.items() if effect == "read"]
        whole = [{"id": f"p/{n}", **one} for n, one in enumerate([*rules, *reads])]
        written = {"name": "p", "inputs": {"request": "string"}, "rules": whole, **profile}
        self.model = Model({"actions": actions, "peps": PEPS, "profiles": [written]})
        inputs = {"request": {"value": request, "vouched_by": vouched}}
        self.spec = {
            "id": "t", "profile": "p", "agent": "clerk", "owner": "desk", "binding": "uid:1",
            "hard_end_ms": NOW + 10**7, "inputs": inputs,
        }  # fmt: skip
        self.model.open(self.spec)

    def ask(self, action: str, pep: str = "gateway", task: str = "t", **args: Any) -> Answer:
        return self.model.check(task, pep, action, "tool", "x", json.dumps(args), NOW)

    def read(self, action: str, result: Any, **args: Any) -> None:
        answer = self.ask(action, **args)
        assert answer.effect == "allow", answer
        self.model.report("t", "gateway", answer.decision, json.dumps(result), {}, NOW)


def origin(arg: str, kind: str, *sources: int, **more: Any) -> dict[str, Any]:
    return {"arg": arg, "as": kind, "sources": list(sources), **more}


REQUEST = {"input": "request"}


def from_result(action: str, name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"result": {"action": action, "field": name, "rows": list(rows)}}


def test_a_value_comes_from_the_request_or_from_nowhere() -> None:
    """And a request that nobody vouches for is nowhere."""
    rules = [{"action": "send", "origins": [origin("to", "email", 0)]}]
    story = Story(rules, "Write to ann@acme.org", sources=[REQUEST])
    assert story.ask("send", to=["Ann@ACME.org"]).effect == "allow"
    refused = story.ask("send", to=["eve@evil.example"])
    assert refused[:3] == ("deny", "origin_mismatch", "deny")
    assert story.ask("send", to=["eve@evil.example"])[:3] == ("deny", "origin_mismatch", "freeze")
    assert story.ask("send", to=["ann@acme.org"]).reason == "task_frozen"
    assert Story(rules, "ann@acme.org", "declared", sources=[REQUEST]).ask("send", to=["ann@acme.org"]).effect == "deny"


def test_a_row_is_chosen_by_the_request() -> None:
    """Only the row whose subject the request names offers its id."""
    rules = [{"action": "purge", "origins": [origin("id", "id", 0)]}]
    chosen = from_result("find_mail", "id_", {"field": "subject", "in_input": "request"})
    story = Story(rules, "Delete the mail about Summer party", sources=[chosen])
    rows = [{"id_": "id-7", "subject": "Summer party"}, {"id_": "id-8", "subject": "Budget"}]
    story.read("find_mail", rows)
    assert story.ask("purge", id="id-8").effect == "deny"
    assert story.ask("purge", id="id-7").effect == "allow"


def test_what_the_agent_reports_is_no_source() -> None:
    """A result of the agent's own process is recorded and kept nowhere."""
    rules = [{"action": "send", "origins": [origin("to", "email", 0)]}]
    story = Story(rules, "", sources=[from_result("find_people", "email")])
    asked = story.ask("find_people", pep="sdk")
    story.model.report("t", "self", asked.decision, '[{"email":"eve@evil.example"}]', {}, NOW)
    assert story.ask("send", to=["eve@evil.example"]).effect == "deny"


def test_dates_are_put_together_and_moved() -> None:
    """A date and a time of the request make a start; an end is a start plus a length."""
    rules = [
        {
            "action": "book",
            "origins": [origin("start", "datetime", 0), origin("end", "datetime", 1, plus=[{"ms": 3_600_000}])],
        }
    ]
    sources = [REQUEST, {"arg": "start"}]
    for start, end, effect in (
        ("2024-05-15 10:00", "2024-05-15 11:00", "allow"),
        ("2024-05-15 10:00", "2024-05-15 12:00", "deny"),
        ("2024-05-16 10:00", "2024-05-16 11:00", "deny"),
        ("2024-05-15 00:00", "2024-05-15 01:00", "allow"),
    ):
        story = Story(rules, "Book May 15th at 10 am", sources=sources)
        assert story.ask("book", start=start, end=end).effect == effect, (start, end)


def test_a_plan_narrows_and_an_approval_is_used_once() -> None:
    """One planned payment is asked about, done once, and then spent."""
    rules = [{"action": "pay", "effect": "require_approval"}]
    story = Story(rules, "", sources=[])
    story.model.declare_plan("t", [{"action": "pay", "count": 1, "args": {"iban": "X"}}])
    assert story.ask("pay", iban="Y").reason == "not_in_plan"
    asked = story.ask("pay", iban="X")
    assert asked[:2] == ("require_approval", "approval_required")
    assert story.ask("pay", iban="X").approval == asked.approval
    story.model.settle_approval("t", asked.approval or "", True, NOW)
    assert story.ask("pay", iban="X").effect == "allow"
    assert story.ask("pay", iban="X").reason == "not_in_plan"
    with pytest.raises(Wrong, match="approval_settled"):
        story.model.settle_approval("t", asked.approval or "", True, NOW)


def test_labels_grow_at_allow_and_a_late_plan_is_refused() -> None:
    """Reading mail makes the task `outside`; then no plan counts, and `unless` holds."""
    rules = [{"action": "purge", "unless": ["outside"]}]
    story = Story(rules, "", sources=[])
    assert story.ask("purge").effect == "allow"
    assert "outside" in story.ask("find_mail").labels
    assert story.ask("purge").reason == "label_forbids"
    with pytest.raises(Wrong, match="plan_too_late"):
        story.model.declare_plan("t", [{"action": "purge"}])


def test_a_child_has_what_is_left_and_gives_back_what_it_leaves() -> None:
    """Two calls in all, whoever makes them."""
    rules = [{"action": "purge", "budget": {"calls": 2}}]
    story = Story(rules, "", sources=[])
    story.model.open({**story.spec, "id": "c", "parent": "t"})
    assert story.ask("purge").reason == "budget_spent"
    assert story.ask("purge", task="c").effect == "allow"
    story.model.close("c")
    assert story.ask("purge").effect == "allow"
    assert story.ask("purge").reason == "budget_spent"


def test_a_restart_changes_nothing() -> None:
    """The state is what the facts add up to."""
    rules = [{"action": "send", "origins": [origin("to", "email", 0)], "budget": {"calls": 1}}]
    story = Story(rules, "", sources=[from_result("find_people", "email")])
    story.read("find_people", [{"email": "ann@acme.org"}])
    before = story.model.tasks["t"].state
    story.model.restart()
    assert story.model.tasks["t"].state == before
    assert story.ask("send", to=["ann@acme.org"]).effect == "allow"
    story.model.restart()
    assert story.ask("send", to=["ann@acme.org"]).reason == "budget_spent"
