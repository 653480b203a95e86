"""What an engine answers, and what each reason means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What may happen. Only `allow` lets an action through as it stands."""

    ALLOW = "allow"
    DENY = "deny"
    MODIFY = "modify"
    REQUIRE_APPROVAL = "require_approval"
    STEP_UP = "step_up"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Answer:
    """One engine's answer: the effect, reason codes, and the ids of the policies that decided.

    `decision` is the answer's own id, where the engine keeps records; `approval` names the decision that
    a person must settle before the same call is allowed.
    """

    effect: Effect
    reasons: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    decision: str = ""
    approval: str = ""


#: Every reason code of the decision plane, for operators. See crates/decision/src/verdict.rs.
REASONS: Mapping[str, str] = {
    "allowed": "the profile allows it and no policy forbids it",
    "task_unknown": "no live task has this id on this node",
    "task_fenced": "the task had been fenced",
    "task_suspended": "the task was suspended",
    "task_parked": "the task was parked, waiting without privilege",
    "task_frozen": "the task was frozen: reads go on, effects are refused",
    "task_expired": "the task had reached its hard end",
    "heartbeat_missed": "the task's heartbeat was overdue",
    "action_unknown": "the bundle declares no such action",
    "resource_type_unknown": "the action is not for resources of this type, or the bundle declares no such type",
    "action_not_in_profile": "no rule of the profile allows this action",
    "resource_not_in_profile": "the profile allows this action, but not on this resource",
    "argument_unknown": "an argument is not declared for this action",
    "argument_missing": "an argument that the rule bounds was not sent",
    "argument_type": "an argument is not of its declared type",
    "argument_out_of_bounds": "an argument is outside the rule's bounds",
    "origin_mismatch": "an argument does not come from where the rule demands",
    "not_asked_for": "nothing in the request asks for this",
    "out_of_order": "something must be done before this, or was done already that may not be",
    "label_forbids": "the task or the value carries a label with which this is refused",
    "too_long": "a free text is longer than the rule allows",
    "plan_required": "the profile wants a plan of its effects first, and the task declared none",
    "not_in_plan": "the task's own plan does not hold this effect, or not so often",
    "approval_required": "a person must approve exactly this call first",
    "step_up_required": "the user must confirm exactly this call first, by a signed word",
    "approval_refused": "a person refused this call, or nobody answered in time",
    "approvals_full": "too many calls of this task wait for a person",
    "memory_full": "the task's memory of results is full, so origins can no longer be checked",
    "budget_spent": "the task's budget for this is spent",
    "once_per_spent": "this was done once already for this value, or the limit across tasks is reached",
    "quota_exceeded": "more checks per second were asked than the profile provides for",
    "policy_forbids": "a hand-written policy forbids it",
    "policy_no_permit": "no policy permits it",
    "policy_error": "a policy erred while it was evaluated, and an erring policy refuses",
    "pep_not_registered": "the enforcement point is not declared in the bundle",
    "pep_action_not_registered": "the enforcement point may not ask for this action",
    "pep_task_proof": "the enforcement point did not prove which task it asked for",
    "task_mismatch": "the task named in the request is not the one that was proved",
    "not_bound": "the task token was shown without the key or connection that it is bound to",
    "record_failed": "the decision's record could not be made durable: no record, no privilege",
    "queue_full": "the queue of records was full",
    "overtaken_by_fence": "it was decided allow, and the task was fenced before the answer left",
    "bundle_not_loaded": "no bundle is in force",
    "engine_error": "the decision plane failed",
    "malformed": "the request could not be read",
}

#: Faults of our own: they refuse, and are never a deviation of the agent.
OUR_FAULTS = frozenset(
    {
        "record_failed",
        "queue_full",
        "bundle_not_loaded",
        "engine_error",
        "policy_error",
        "quota_exceeded",
        "memory_full",
        "approvals_full",
    }
)
