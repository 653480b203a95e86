"""Worlds about one argument of one effect: its sources are read, and then it is tried with values from the same few."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st
from tests.model import generate
from tests.model.generate import LABELS, Draw, origin, result, returns, text_with
from tests.model.program import LADDERS
from tests.model.worlds import ACTIONS, AS, SHAPES, template
from tests.model.worlds import POOLS as ALL

#: What the other arguments of an effect are drawn from, where a row may be chosen by them.
_OTHERS = {"note": "text", "subject": "text", "id": "id", "place": "text", "amount": "number", "body": "text"}


@st.composite
def focused(draw: Draw) -> dict[str, Any]:
    """A document with one or two rules, a request full of the few values, results full of them, and calls."""
    few = random.Random(draw(st.integers(0, 2**32)))
    for kind, values in ALL.items():
        generate.POOLS[kind] = tuple(few.sample(values, min(len(values), few.choice((1, 2, 2, 3)))))
    action = draw(st.sampled_from(sorted(AS)))
    sources: list[dict[str, Any]] = []

    def place(one: dict[str, Any]) -> int:
        return generate.placed(sources, one)

    rules = [
        {"id": f"p/allow/{number}", "action": name, "on": ["x"], "where": [], "budget": {}, "across": []}
        for number, (name, (effect, _)) in enumerate(ACTIONS.items())
        if effect == "read" and name != action
    ]
    for number in range(draw(st.sampled_from([1, 1, 2]))):
        one: dict[str, Any] = {"id": f"p/own/{number}", "action": action, "on": ["x"], "where": [], "budget": {}}
        args = draw(st.lists(st.sampled_from(sorted(AS[action])), min_size=1, max_size=2, unique=True))
        one["origins"] = [origin(draw, arg, draw(st.sampled_from(AS[action][arg])), place) for arg in args]
        if action == "pay" and draw(st.integers(0, 3)) == 0:
            bills = place(
                {"result": {"action": "list_bills", "field": "total", "rows": generate.conditions(draw, "list_bills")}}
            )
            fold, op = draw(st.sampled_from(["sum", "min", "max"])), draw(st.sampled_from(["max", "min", "eq"]))
            one["aggregates"] = [{"arg": "amount", "as": "money", "source": bills, "op": op, "aggregate": fold}]
        if action == "send" and draw(st.booleans()):
            one["free"] = [{"arg": "body", "max": 4000, "without": draw(st.sampled_from([["secret"], ["pii"]]))}]
            one[draw(st.sampled_from(["distinct", "each"]))] = [{"arg": "to", "as": "email", "max": 2}]
        if draw(st.integers(0, 5)) == 0:
            one["effect"] = "require_approval"
        rules.append(one)
    never = []
    if draw(st.integers(0, 4)) == 0:
        never = [{"by": "outside", "action": action, "arg": draw(st.sampled_from(sorted(AS[action])))}]
    shapes = draw(returns())
    cited = [one["result"]["action"] for one in sources if "result" in one]
    for name in cited:
        if name not in shapes:
            shape, fields = SHAPES[name]
            shapes[name] = template(shape, {n: {"type": k, "by": "org", "labels": []} for n, k in fields.items()})
    kinds = draw(st.lists(st.sampled_from(sorted(ALL)), min_size=2, max_size=5))
    request = {"value": text_with(draw, kinds), "type": "string", "vouched_by": "desk"}
    ticket = {"value": generate.POOLS[draw(st.sampled_from(sorted(ALL)))][0], "type": "string", "vouched_by": "desk"}
    profile = {
        "name": "p", "digest": "sha256:" + "0" * 64, "inputs": {"request": "string", "ticket": "string"},
        "rules": rules, "budget": {}, "labels": list(LABELS), "sources": sources, "never": never,
        "reactions": {kind: ["deny"] for kind in LADDERS}, "plan": "optional", "denials": [], "most_per_minute": 10,
        "today": draw(st.sampled_from(["clock", {"result": {"action": "get_day", "field": ""}}])),
    }  # fmt: skip
    steps = list(_steps(draw, action, [*cited, draw(st.sampled_from(sorted(SHAPES)))]))
    return {"returns": shapes, "profile": profile, "inputs": {"request": request, "ticket": ticket}, "steps": steps}


def _steps(draw: Draw, action: str, reads: list[str]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 4))):
        for name in draw(st.lists(st.sampled_from(reads), max_size=3)):
            if name == action:
                continue
            own = generate.args(draw, name) if draw(st.booleans()) else {}
            out.append({"do": "check", "action": name, "args": own, "pep": "gateway", "on": "x"})
            out.append({"do": "report", "back": 1, "result": result(draw, name), "meta": {}})
        for _ in range(draw(st.integers(1, 3))):
            args = generate.args(draw, action)
            for name in list(args):
                if name in _OTHERS and draw(st.booleans()):
                    args[name] = draw(st.sampled_from(generate.POOLS[_OTHERS[name]]))
            out.append({"do": "check", "action": action, "args": args, "pep": "gateway", "on": "x"})
        if draw(st.integers(0, 5)) == 0:
            out.append({"do": "settle", "back": 1, "approved": True})
            out.append({"do": "again", "back": 1})
    return out
