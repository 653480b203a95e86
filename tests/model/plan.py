"""A plan: the effects that an agent means to make; SPEC, "Plan"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.model.documents import WrongShape, at_path, canonical, scalar
from tests.model.origins import resolved
from tests.model.values import read, same

if TYPE_CHECKING:
    from tests.model.rules import Call


def matching_entry(rule: dict[str, Any], call: Call) -> int | None:
    """SPEC: "a write call must match an entry with count left (args compared typed by the rule's `as`, else
    exactly)".
    """
    for place, entry in enumerate(call.state.plan or []):
        if entry["action"] != call.action or call.state.moved[place] >= int(entry.get("count", 1)):
            continue
        if all(_same_arg(rule, call, arg, meant) for arg, meant in entry.get("args", {}).items()):
            return place
    return None


def _same_arg(rule: dict[str, Any], call: Call, arg: str, meant: Any) -> bool:
    kind = next((one["as"] for one in rule.get("origins", []) if one["arg"] == arg), None)
    given = call.world.args.get(arg)
    if given is None:
        return False
    if kind is None:
        return canonical(given) == canonical(meant)
    try:
        elements = at_path({"it": given}, "it")
    except WrongShape:
        return False
    wanted = at_path({"it": meant}, "it")
    return all(any(_same_value(kind, call, one, other) for other in wanted) for one in elements)


def _same_value(kind: str, call: Call, given: Any, meant: Any) -> bool:
    mine = [v for r in read(kind, scalar(given) or "") for v in resolved(r, call.world.day)]
    theirs = [v for r in read(kind, scalar(meant) or "") for v in resolved(r, call.world.day)]
    if kind == "text":
        return bool(mine) and mine == theirs
    return bool(mine) and all(any(same(one, other) for other in theirs) for one in mine)
