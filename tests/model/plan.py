"""A plan: the effects that an agent means to make; SPEC, "Plan"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.model.documents import WrongShape, at_path, canonical
from tests.model.origins import readings
from tests.model.values import same

if TYPE_CHECKING:
    from tests.model.rules import Call
    from tests.model.state import State


def matching_entry(rule: dict[str, Any], call: Call, state: State) -> int | None:
    """SPEC: "a write call must match an entry with count left (args compared typed by the rule's `as`, else
    exactly)".
    """
    for place, entry in enumerate(state.plan or []):
        if entry["action"] != call.action or state.moved[place] >= int(entry.get("count", 1)):
            continue
        if all(_same_arg(rule, call, arg, meant) for arg, meant in entry.get("args", {}).items()):
            return place
    return None


def _same_arg(rule: dict[str, Any], call: Call, arg: str, meant: Any) -> bool:
    kind = next((one["as"] for one in rule.get("origins", []) if _same_path(one["arg"], arg)), None)
    kind = kind or next((one["as"] for one in rule.get("distinct", []) if one["arg"] == arg), None)
    if kind is None:
        given = call.world.args.get(arg)
        return given is not None and canonical(given) == canonical(meant)
    try:
        elements = at_path(call.world.args, arg)
        wanted = at_path({"it": meant}, "it")
    except WrongShape:
        return False
    if not elements:
        return not wanted
    return all(any(_same_value(kind, one, other) for other in wanted) for one in elements)


def _same_path(one: str, other: str) -> bool:
    return one.replace("[]", "") == other.replace("[]", "")


def _same_value(kind: str, given: Any, meant: Any) -> bool:
    mine, theirs = readings(kind, given), readings(kind, meant)
    if kind == "text":
        return mine == theirs
    return bool(mine) and all(any(same(one, other) for other in theirs) for one in mine)
