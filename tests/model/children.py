"""A child task: less than its parent in every way; SPEC, "Children"."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.model.program import Profile

ONE = 10_000
#: SPEC: "Depth at most 4": so many generations below a task that nobody opened for another.
DEPTH = 5


def slots(profile: Profile, inputs: dict[str, Any]) -> dict[str, int]:
    """Every counter of the task that has a limit, with it, in ten-thousandths."""
    out: dict[str, int] = {}
    if profile.total_calls is not None:
        out["calls"] = profile.total_calls * ONE
    for rule in profile.rules:
        budget = rule.get("budget", {})
        if budget.get("calls") is not None:
            out[f"{rule['id']}/calls"] = budget["calls"] * ONE
        for one in budget.get("sums", []):
            limit = one["max"]["const"] if "const" in one["max"] else inputs.get(one["max"]["input"])
            if limit is not None:
                out[f"{rule['id']}/sum:{one['arg']}"] = int(Fraction(str(limit)) * ONE)
        for one in rule.get("distinct", []):
            out[f"{rule['id']}/distinct:{one['arg']}"] = one["max"] * ONE
        for unit, limit in (rule.get("reported") or {}).items():
            if limit is not None:
                out[f"{rule['id']}/{unit}"] = limit * ONE
    return out


def allotted(limits: dict[str, int], used: dict[str, int], allot: dict[str, str] | None) -> dict[str, int] | None:
    """What a child gets of each counter; None where it asks for more than is left or for what is none.

    SPEC: "its slots' limits are what was allotted (default: all that is left)".
    """
    left = {slot: max(0, limit - used.get(slot, 0)) for slot, limit in limits.items()}
    out = dict(left)
    for slot, text in (allot or {}).items():
        amount = Fraction(text) * ONE
        if slot not in left or amount < 0 or amount > left[slot]:
            return None
        out[slot] = int(amount)
    return out
