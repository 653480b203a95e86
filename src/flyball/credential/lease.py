"""A lease: one credential at one target, bound to one task.

INTENT → ACTIVE → DELIVERED → REVOKING → VERIFIED, or QUARANTINED (loud, and still retried).
INTENT, ACTIVE and DELIVERED may each go to REVOKING; QUARANTINED goes back to REVOKING on every
retry; nothing leaves VERIFIED, and nothing leaves REVOKING for a live state (lease rule 10).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from flyball.kernel.json import Json


class LeaseState(StrEnum):
    """Where a lease stands. See the module's text for the arrows."""

    INTENT = "intent"
    ACTIVE = "active"
    DELIVERED = "delivered"
    REVOKING = "revoking"
    VERIFIED = "verified"
    QUARANTINED = "quarantined"


ARROWS: Mapping[LeaseState, frozenset[LeaseState]] = {
    LeaseState.INTENT: frozenset({LeaseState.ACTIVE, LeaseState.REVOKING}),
    LeaseState.ACTIVE: frozenset({LeaseState.DELIVERED, LeaseState.REVOKING}),
    LeaseState.DELIVERED: frozenset({LeaseState.REVOKING}),
    LeaseState.REVOKING: frozenset({LeaseState.VERIFIED, LeaseState.QUARANTINED}),
    LeaseState.QUARANTINED: frozenset({LeaseState.REVOKING}),
    LeaseState.VERIFIED: frozenset(),
}
LIVE = frozenset({LeaseState.INTENT, LeaseState.ACTIVE, LeaseState.DELIVERED})


class Delivery(StrEnum):
    """Whether the agent ever holds the secret."""

    BROKERED = "brokered"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Lease:
    """One row of the ledger.

    `name` is the deterministic name at the target (it carries issuer and lease id); `recipe` is
    the snapshot of all that a revoke needs, without secrets, so that a lease can be revoked after
    its target left the bundle. `step` is the last revoke step that is checkpointed as done;
    `progress` is what those steps found (for example a role's OID).
    """

    id: str
    task: str
    agent: str
    owner: str
    target: str
    kind: str
    access: str
    credential: str
    name: str
    state: LeaseState
    delivery: Delivery
    created_ms: int
    expires_ms: int
    epoch: int
    recipe: Mapping[str, Json]
    cause: str = ""
    step: str = ""
    progress: Mapping[str, Json] = field(default_factory=dict)
    attempt: int = 0
    due_ms: int = 0
