"""What time has come for. A query, not a timer: nothing that a restart could forget.

The store knows the leases (`LeaseStore.due`: expired ones, whatever their target's own expiry
did, and retries); the decision plane knows the tasks (missed heartbeats, hard ends).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flyball.credential.lease import LIVE as LIVE_LEASES
from flyball.credential.lease import Lease
from flyball.credential.ports import LeaseStore
from flyball.task.task import Cause


class TaskClock(Protocol):
    """The part of the decision plane that knows whose time is up."""

    def due(self, limit: int = 1000) -> Sequence[tuple[str, str]]:
        """(task, `heartbeat_missed` or `hard_end`)."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """What is due now: leases with the cause each is revoked for, tasks with the cause each is fenced for."""

    leases: Sequence[tuple[Lease, str]]
    tasks: Sequence[tuple[str, Cause]]


_CAUSES = {"heartbeat_missed": Cause.HEARTBEAT_MISSED, "hard_end": Cause.EXPIRED}


def due(leases: LeaseStore, tasks: TaskClock, now_ms: int, *, limit: int = 1000) -> Due:
    """Everything whose time has come at wall time `now_ms`.

    A task that is due for a reason this version does not know is due all the same.
    """
    ripe = [(lease, cause_of(lease)) for lease in leases.due(now_ms, limit)]
    return Due(ripe, [(task, _CAUSES.get(why, Cause.EXPIRED)) for task, why in tasks.due(limit)])


def cause_of(lease: Lease) -> str:
    """Why a due lease is revoked: the cause it was first revoked for, else its time is up."""
    return lease.cause or (Cause.EXPIRED.value if lease.state in LIVE_LEASES else Cause.RECOVERED.value)
