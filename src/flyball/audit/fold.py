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
    """States by id, receipts by lease, and what each agent's instances have touched in tasks that are closed."""

    tasks: dict[str, TaskState] = field(default_factory=dict)
    leases: dict[str, LeaseState] = field(default_factory=dict)
    receipts: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    labels: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """(principal, instance) → labels that follow it."""
    children: dict[str, str] = field(default_factory=dict)
    """Child → parent, of those whose parent's records speak of them."""
    approvals: dict[str, str] = field(default_factory=dict)
    """Decision that was settled → outcome."""
    _holders: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    _touched: dict[str, set[str]] = field(default_factory=dict)
    epoch: int = 0

    def apply(self, stored: Stored) -> None:
        """Apply one record. One that this version does not know changes nothing here."""
        body, _ = parse_body(stored.body)
        task = stored.task or ""
        match stored.kind:
            case Kind.TASK_OPENED:
                self.tasks[task] = TaskState.OPEN
                names = (str(body.get(name, "")) for name in ("agent", "principal", "instance"))
                self._holders[task] = next(names), next(names), next(names)
                self._touch(task, body)
            case Kind.DECIDED | Kind.RESULT_REPORTED:
                self._touch(task, body)
            case Kind.CHILD_CLOSED:
                self._touch(task, body)
            case Kind.CHILD_OPENED:
                self.children[str(body.get("child", ""))] = task
            case Kind.APPROVAL_SETTLED:
                self.approvals[str(body.get("decision", ""))] = str(body.get("outcome", ""))
            case Kind.INSTANCE_FRESH:
                agents = {holder[1:]: holder[0] for holder in self._holders.values()}
                self.labels = {key: kept for key, kept in self.labels.items() if agents.get(key) != body.get("agent")}
            case Kind.TASK_STATE:
                to = body.get("to")
                if to in {state.value for state in TaskState}:
                    self.tasks[task] = TaskState(str(to))
            case Kind.FENCED:
                self.tasks[task] = TaskState.FENCED
            case Kind.TASK_CLOSED:
                self.tasks[task] = TaskState.CLOSED
                self._carry(task)
            case Kind.KEY_ERASED:
                self.erased.add(task)
            case Kind.EPOCH_OPENED:
                epoch = body.get("epoch")
                self.epoch = epoch if isinstance(epoch, int) else self.epoch
            case _:
                self._lease(stored.kind, body)

    def _touch(self, task: str, body: Mapping[str, Json]) -> None:
        labels = body.get("labels")
        if task and isinstance(labels, list):
            self._touched.setdefault(task, set()).update(one for one in labels if isinstance(one, str))

    def _carry(self, task: str) -> None:
        _, principal, instance = self._holders.get(task, ("", "", ""))
        if instance and (touched := self._touched.pop(task, None)):
            self.labels.setdefault((principal, instance), set()).update(touched)

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
