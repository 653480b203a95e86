"""The one way in which a lease changes its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flyball.credential.lease import ARROWS, Lease, LeaseState
from flyball.kernel.errors import Conflict
from flyball.kernel.json import Json


def transition(
    lease: Lease,
    to: LeaseState,
    *,
    cause: str | None = None,
    step: str | None = None,
    progress: Mapping[str, Json] | None = None,
    attempt: int | None = None,
    due_ms: int | None = None,
    expires_ms: int | None = None,
) -> Lease:
    """The lease in its next state, with what changes beside it.

    A first cause stays: what began a revocation is what its receipt says. An expiry can only come
    nearer, so a renewal brings nothing back (lease rule 10).

    Raises:
        Conflict: no arrow leads there from where it is, or the expiry would move away.
    """
    if to not in ARROWS[lease.state]:
        raise Conflict(f"a lease that is {lease.state.value} cannot become {to.value}", code="lease_state")
    if expires_ms is not None and expires_ms > lease.expires_ms:
        raise Conflict("a lease's expiry cannot move away", code="lease_expiry")
    return replace(
        lease,
        state=to,
        cause=lease.cause or cause or "",
        step=lease.step if step is None else step,
        progress=lease.progress if progress is None else dict(progress),
        attempt=lease.attempt if attempt is None else attempt,
        due_ms=lease.due_ms if due_ms is None else due_ms,
        expires_ms=lease.expires_ms if expires_ms is None else expires_ms,
    )
