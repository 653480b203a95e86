"""What the decision plane would not do, as an error that says what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.credential.backend import HELD, TargetUnavailable
from flyball.kernel.errors import Conflict, Denied, FlyballError, Gone, InvalidInput, NotFound, Unavailable
from flyball.policy.engine import CoreError, StoreUnavailable, Verdict
from flyball.policy.verdict import OUR_FAULTS

_FAULTS = OUR_FAULTS | {"store_unavailable"}
_KNOWN: Mapping[str, tuple[type[FlyballError], str]] = {
    "task_unknown": (Gone, "open a new task"),
    "task_fenced": (Gone, "open a new task"),
    "plan_too_late": (Conflict, "declare a plan before the task reads what an outsider can write"),
    "plan_exists": (Conflict, "a plan is declared once; open a new task for another one"),
    "plan_malformed": (InvalidInput, 'a list of {"action", "count", "args"}'),
    "plan_not_in_profile": (Denied, "a plan narrows the profile; see the profile's `allow` and `plan`"),
    "parent_unknown": (Gone, "open a task of its own"),
    "parent_not_open": (Conflict, "a task opens children only while it is open"),
    "child_too_deep": (Denied, "children of children end at the fourth"),
    "child_inputs": (InvalidInput, "a child's inputs are some of its parent's, with the same values"),
    "child_actions": (InvalidInput, "`actions` names some of the profile's"),
    "child_profile": (Denied, "a child runs its parent's profile"),
    "allot_unknown": (InvalidInput, "`allot` names budgets of the profile: see `flyball task show`"),
    "allot_exceeds": (Denied, "no more than what the parent has left"),
    "child_wider": (Denied, "a child gets no more than what its parent has left: see `allot` and `actions`"),
    "malformed": (InvalidInput, ""),
    "already_reported": (Conflict, "a result is reported once"),
    "decision_unknown": (NotFound, "report the result of an allowed call of this task"),
    "approval_unknown": (NotFound, "see `flyball approvals`"),
    "approval_expired": (Gone, "the agent asks again"),
    "approval_settled": (Conflict, "an approval is settled once"),
}


def code_of(fault: CoreError) -> str:
    """The stable code of what the plane raised."""
    return str(fault.args[0]) if fault.args else "denied"


def of_core(fault: CoreError, detail: str) -> FlyballError:
    """The refusal for a call that the plane would not carry out. A fault of our own never reads as a denial."""
    code = code_of(fault)
    if isinstance(fault, StoreUnavailable) or code in _FAULTS:
        return Unavailable(detail, code=code, hint="try again")
    kind, hint = _KNOWN.get(code, (Denied, ""))
    said = str(fault.args[1]) if len(fault.args) > 1 else ""
    return kind(f"{detail}: {said}" if said else detail, code=code, hint=hint)


def of_verdict(verdict: Verdict, detail: str) -> Denied | Unavailable:
    """The refusal for a check of our own that was not answered with allow."""
    reason = verdict.reasons[0] if verdict.reasons else "denied"
    hint = f"decision {verdict.decision}" if verdict.decision else ""
    if reason in OUR_FAULTS:
        return Unavailable(detail, code=reason, hint=hint or "try again")
    return Denied(detail, code=reason, hint=hint)


def of_claim(fault: TargetUnavailable, target: str) -> TargetUnavailable:
    """A target that is not ours to issue at now, as an agent may hear it: where the other one is, an operator sees."""
    if fault.code != HELD:
        return fault
    return TargetUnavailable(
        f"another Flyball of our issuer is at work at target {target!r}",
        code=HELD,
        hint="tell an operator: `flyball target list` shows which, and what to do",
    )
