"""What the synchronous and the asynchronous client share beside the conversation itself."""

from __future__ import annotations

import httpx

from flyball_sdk.errors import ApprovalRequired, Denied, StepUpRequired
from flyball_sdk.model import Decision

TRIES = 3
"""How often what counts once, however often it comes, is sent where no answer came."""
CONTROL_IDLE_S, CHECK_IDLE_S = 4.0, 25.0
"""For how long an idle connection is kept: less than Flyball keeps it (5 and 30 s), so that no request meets one that
is being closed."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 2.0
"""Between two looks at whether a person has answered."""


def denied(action: str, decision: Decision) -> Denied:
    """The error for a decision that is not allow."""
    why = ", ".join(decision.reasons) or decision.effect
    where = f"; decision {decision.id}" if decision.id else ""
    if decision.effect == "require_approval" and decision.approval:
        return ApprovalRequired(decision, f"{action} waits for a person: {decision.approval}")
    if decision.effect == "step_up" and decision.approval:
        return StepUpRequired(decision, f"{action} needs a voucher for this very call: {decision.approval}")
    return Denied(decision, f"{action} was not allowed: {why}{where}")


def waits(decision: Decision) -> bool:
    """Whether a person is asked, so that asking again later may be answered otherwise."""
    return decision.effect == "require_approval" and bool(decision.approval)


def limits(connections: int, idle_s: float) -> httpx.Limits:
    """A pool that keeps its connections: the decision plane has seen our proof on them."""
    return httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=idle_s)


def segment(name: str) -> str:
    """`name` as one segment of a path.

    Raises:
        ValueError: it could be anything else.
    """
    if not name or not all((one.isascii() and one.isalnum()) or one in "-_." for one in name) or name.strip(".") == "":
        raise ValueError("a credential's name is letters, digits, `-`, `_` and `.`")
    return name
