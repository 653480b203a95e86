"""A task: one run of a profile by one principal, the root of all authority.

    OPEN ⇄ FROZEN     effects are refused, reads go on
    OPEN ⇄ SUSPENDED  everything is refused; leases are revoked or wait, as the profile says
    OPEN ⇄ PARKED     waits without privilege: no leases
    any of these → FENCED → CLOSED

FENCED is final: a fenced task never decides *allow* again. CLOSED is FENCED with every lease settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from flyball.kernel.json import Json


class TaskState(StrEnum):
    """Where a task stands. See the module's text for the arrows."""

    OPEN = "open"
    FROZEN = "frozen"
    SUSPENDED = "suspended"
    PARKED = "parked"
    FENCED = "fenced"
    CLOSED = "closed"


_LIVE = frozenset({TaskState.OPEN, TaskState.FROZEN, TaskState.SUSPENDED, TaskState.PARKED})
ARROWS: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.OPEN: frozenset({TaskState.FROZEN, TaskState.SUSPENDED, TaskState.PARKED, TaskState.FENCED}),
    TaskState.FROZEN: frozenset({TaskState.OPEN, TaskState.SUSPENDED, TaskState.FENCED}),
    TaskState.SUSPENDED: frozenset({TaskState.OPEN, TaskState.FENCED}),
    TaskState.PARKED: frozenset({TaskState.OPEN, TaskState.FENCED}),
    TaskState.FENCED: frozenset({TaskState.CLOSED}),
    TaskState.CLOSED: frozenset(),
}
LIVE = _LIVE


class Cause(StrEnum):
    """Why a task was fenced or a lease revoked. One word each, the same in records and receipts."""

    ENDED = "ended"
    HEARTBEAT_MISSED = "heartbeat_missed"
    EXPIRED = "expired"
    REVOKED = "revoked"
    DEVIATION = "deviation"
    AGENT_STATE = "agent_state"
    RECOVERED = "recovered"
    UNDELIVERED = "undelivered"


@dataclass(frozen=True, slots=True)
class Input:
    """One declared input. `vouched_by` names who vouched for it (issuer of the signature, or the
    registered opener); empty means the agent's own word (`declared`)."""

    value: str
    type: str
    vouched_by: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the table of tasks. Times are wall milliseconds.

    `binding` is what the task token is bound to: `jkt:<thumbprint>` (DPoP) or `uid:<n>` (peer
    credentials). `profile_digest` pins the profile for the task's life. `parent` is the task that
    delegated to this one, or empty; `instance` is the running workload that holds it, which its labels
    follow. `attributes` hold what else the decision plane was told when the task was opened
    (`labels`, `actions`, `allot`): names and amounts, no values.
    """

    id: str
    principal: str
    agent: str
    owner: str
    profile: str
    profile_digest: str
    bundle: str
    state: TaskState
    opened_ms: int
    hard_end_ms: int
    heartbeat_ms: int
    binding: str
    cell: str
    home: str
    epoch: int
    cause: str = ""
    purpose: str = ""
    parent: str = ""
    instance: str = ""
    inputs: Mapping[str, Input] = field(default_factory=dict)
    attributes: Mapping[str, Json] = field(default_factory=dict)
