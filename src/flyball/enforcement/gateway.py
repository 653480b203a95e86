"""The port that a gateway in this process fills: it opens sessions at a target, with leases that no agent sees.

The control plane lends it a lease once that is ACTIVE and takes it back before the lease is revoked. A task's holder
gets a ticket: a name and a secret of minutes, of which the gateway keeps only what checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flyball.kernel.errors import Unavailable
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret


class NotLendable(Unavailable):
    """The gateway cannot open a session at that target. The detail says why, without a secret."""

    default_code = "gateway_unavailable"


@dataclass(frozen=True, slots=True)
class Lent:
    """A lease as the gateway needs it: whose it is, where it leads, and its secret.

    `connection` is what the connector told of it (host, port, user, database, TLS); `judging` is what the bundle says
    of the target for the gateway (`gateway:` of the target).
    """

    task: str
    credential: str
    lease: str
    target: str
    connection: Mapping[str, Json]
    judging: Mapping[str, Json]
    secret: Secret


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client logs in with, shown once. `connection` says where the gateway is; `ttl_ms` for how long it opens
    new sessions."""

    connection: Mapping[str, Json]
    secret: Secret
    ttl_ms: int


class Gateway(Protocol):
    """One gateway of this process, for one kind of target."""

    def lend(self, lent: Lent) -> None:
        """Take over a lease that is ACTIVE.

        Raises:
            NotLendable: it does not listen, or no safe session can be opened there.
        """
        ...

    def take_back(self, lease: str) -> bool:
        """Let go of a lease: its sessions end at once. True if it was lent. Never waits."""
        ...

    def lent(self, task: str, credential: str) -> str | None:
        """The lease that is lent for a credential of a task, the newest."""
        ...

    def ticket(self, task: str, credential: str, place: str, renew: str = "") -> Ticket:
        """A new ticket for a credential that is lent. `place` is what it is for: a database, an API. `renew` is the
        user of one of the same task and credential: it gets a new secret and new time.

        Raises:
            NotLendable: it is not, any more.
        """
        ...
