"""State as a fold of the records: what each task and lease is, by the chain alone.

Tables are there to be asked quickly. Where they and this fold differ, the tables are wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flyball.audit.chain import parse_body
from flyball.audit.ports import Stored
from flyball.audit.record import Kind
from flyball.credential.lease import LeaseState
from flyball.kernel.json import Json
from flyball.task.task import TaskState


@dataclass(slots=True)
class Fold:
    """States by id, and receipts by lease."""

    tasks: dict[str, TaskState] = field(default_factory=dict)
    leases: dict[str, LeaseState] = field(default_factory=dict)
    receipts: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    epoch: int = 0

    def apply(self, stored: Stored) -> None:
        """Apply one record. One that this version does not know changes nothing here."""
        body, _ = parse_body(stored.body)
        task = stored.task or ""
        match stored.kind:
            case Kind.TASK_OPENED:
                self.tasks[task] = TaskState.OPEN
            case Kind.TASK_STATE:
                to = body.get("to")
                if to in {state.value for state in TaskState}:
                    self.tasks[task] = TaskState(str(to))
            case Kind.FENCED:
                self.tasks[task] = TaskState.FENCED
            case Kind.TASK_CLOSED:
                self.tasks[task] = TaskState.CLOSED
            case Kind.KEY_ERASED:
                self.erased.add(task)
            case Kind.EPOCH_OPENED:
                epoch = body.get("epoch")
                self.epoch = epoch if isinstance(epoch, int) else self.epoch
            case _:
                self._lease(stored.kind, body)

    def _lease(self, kind: str, body: Mapping[str, Json]) -> None:
        lease = body.get("lease")
        if not isinstance(lease, str):
            return
        match kind:
            case Kind.LEASE_INTENT:
                self.leases[lease] = LeaseState.INTENT
            case Kind.LEASE_ACTIVE:
                self.leases[lease] = LeaseState.ACTIVE
            case Kind.LEASE_DELIVERED:
                self.leases[lease] = LeaseState.DELIVERED
            case Kind.LEASE_STEP:
                self.leases[lease] = LeaseState.REVOKING
            case Kind.LEASE_QUARANTINED:
                self.leases[lease] = LeaseState.QUARANTINED
            case Kind.RECEIPT:
                self.leases[lease] = LeaseState.VERIFIED
                self.receipts[lease] = str(body.get("receipt", ""))
            case _:
                pass


def fold(records: Iterable[Stored]) -> Fold:
    """The state that these records, from the first, amount to."""
    state = Fold()
    for stored in records:
        state.apply(stored)
    return state
