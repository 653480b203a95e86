"""What the credential room needs of a store: reading the ledger. Writing goes through the unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flyball.credential.lease import Lease, LeaseState


class LeaseStore(Protocol):
    """The ledger of leases, by the last committed record."""

    def get(self, lease: str) -> Lease | None:
        """The lease with this id, or None."""
        ...

    def select(
        self,
        *,
        states: frozenset[LeaseState] | None = None,
        task: str | None = None,
        agent: str | None = None,
        owner: str | None = None,
        target: str | None = None,
        limit: int = 1000,
    ) -> Sequence[Lease]:
        """Leases that match, oldest first."""
        ...

    def due(self, now_ms: int, limit: int = 100) -> Sequence[Lease]:
        """What must be revoked now: expired live leases, and REVOKING or QUARANTINED ones whose `due_ms` has come."""
        ...

    def sealed_secret(self, lease: str) -> bytes | None:
        """The sealed secret, kept until the lease is VERIFIED (the probe needs it)."""
        ...
