"""One record kind per fact, in one canonical encoding. State is a fold of the records.

A record's body is canonical JSON with `v`, `kind` and `at` (wall milliseconds), `task` where it
concerns one, and the kind's own members below. It holds no secret and no argument: those stand
sealed beside it, under the task's data key. What may never change: the meaning of a member of a
given `v`; a new meaning takes a new `v`, and `audit verify` reads them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flyball.kernel.json import Json, canonical

VERSION = 1


class Kind(StrEnum):
    """The kinds of record, and the members each has beside the common ones."""

    EPOCH_OPENED = "epoch_opened"  # node, epoch, cell, version, cause
    BUNDLE_ACTIVATED = "bundle_activated"  # digest, name, profiles {name: digest}, by
    TASK_OPENED = "task_opened"  # principal, agent, owner, profile, profile_digest, bundle, inputs, hard_end_ms …
    PLAN_DECLARED = "plan_declared"  # by, digest; the plan itself is sealed
    TASK_STATE = "task_state"  # from, to, cause, by
    FENCED = "fenced"  # cause, by, detail; unmet: what the profile asks for at least once and was not done
    TASK_CLOSED = "task_closed"  # cause, leases
    DECIDED = "decided"  # written by the decision plane; see crates/decision/src/record.rs
    NOT_RELEASED = "not_released"  # decision, reason: decided allow, overtaken, answered deny
    RESULT_REPORTED = "result_reported"  # decision, pep, digest, action, result, labels, kept, self, full, charge
    CHARGE_RETURNED = "charge_returned"  # decision, pep, charge
    APPROVAL_SETTLED = "approval_settled"  # decision, call, outcome, by
    APPROVAL_NOTED = "approval_noted"  # decision, outcome that was asked for, by, note
    CHILD_OPENED = "child_opened"  # child, charge: what it was allotted, of its parent's
    CHILD_CLOSED = "child_closed"  # child, charge: what it used; the rest is its parent's again
    LEASE_INTENT = "lease_intent"  # lease, target, access, name, expires_ms
    LEASE_ACTIVE = "lease_active"  # lease, native_expiry_ms
    LEASE_DELIVERED = "lease_delivered"  # lease, delivery
    LEASE_REVOKED = "lease_revoked"  # lease, by, reason: an operator took this one lease back
    LEASE_STEP = "lease_step"  # lease, step, attempt, outcome, observed
    LEASE_QUARANTINED = "lease_quarantined"  # lease, attempt, reason
    RECEIPT = "receipt"  # lease, receipt, digest
    AGENT_STATE = "agent_state"  # agent, from, to, by, reason
    INSTANCE_FRESH = "instance_fresh"  # agent, instances, labels, by, reason: no label follows them any more
    REACTIONS_DEGRADED = "reactions_degraded"  # profile, decision: too many at once, so it was frozen and no more
    TARGET_ROTATION = "target_rotation"  # target, change (begun, rotated, failed), by, reason; code: why it failed
    TARGET_ADOPTED = "target_adopted"  # target, store, names, by, reason: what a lost store left there is taken back
    ORPHAN = "orphan"  # target, name, store if marked: found at the target with no lease, and removed
    GAP = "gap"  # reason, count: denials for a fault of our own that went unrecorded
    KEY_ERASED = "key_erased"  # the task's data key is gone
    EXCEPTION = "exception"  # id, change


@dataclass(frozen=True, slots=True)
class Record:
    """One record on its way to the chain. `sealed` is ciphertext under the task's data key."""

    kind: Kind
    at_ms: int
    task: str | None
    members: dict[str, Json]
    sealed: bytes | None = None

    def body(self) -> bytes:
        """The canonical bytes that the chain covers."""
        common: dict[str, Json] = {"v": VERSION, "kind": self.kind.value, "at": self.at_ms}
        if self.task is not None:
            common["task"] = self.task
        clash = common.keys() & self.members.keys()
        if clash:
            raise ValueError(f"a record's members may not be named {sorted(clash)}")
        return canonical({**self.members, **common})
