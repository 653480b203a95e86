"""A ticket for a session that the agent never holds the secret of: delivery `brokered`.

The lease is issued as any other (`request.issued_lease`), lent to the gateway of its target's kind, and stays there.
What the holder gets is a ticket of minutes, for the gateway alone; each statement or request is decided as it comes.
"""

from __future__ import annotations

from dataclasses import replace

from flyball.audit.record import Kind, Record
from flyball.credential import issue
from flyball.credential.backend import KeepsKey
from flyball.credential.lease import LIVE as LIVE_LEASES
from flyball.credential.lease import Delivery, Lease, LeaseState
from flyball.enforcement.gateway import Gateway, Lent
from flyball.flow import end, request
from flyball.flow.asks import Proof, Released
from flyball.flow.house import House
from flyball.kernel.errors import Denied, FlyballError, NotFound, Unavailable
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret
from flyball.task.profile import CredentialSpec
from flyball.task.task import Cause, Task

RENEW_AT = 2 / 3
"""The part of a lease's life after which a new session gets the next one."""


def connect(house: House, proof: Proof, task: str, name: str, renew: str = "") -> Released:
    """A ticket for one of the profile's brokered credentials. The lease behind it is issued where there is none.

    `renew` is the user of a ticket that the holder has: it gets a new secret, so that what knows the user by its
    environment alone can go on.

    Raises:
        Denied: the profile or the policy says no, or the credential is handed out and not brokered.
        Gone: the task ended meanwhile; what was made at the target is being taken back.
        Unavailable: the target, the store or the gateway could not.
    """
    row, profile = request.holder_of(house, proof, task)
    grant = profile.credentials.get(name)
    if grant is None:
        request.allowed_credential(house, row, name)  # policy says no, and that is on record
        raise NotFound(f"the profile has no credential {name!r}", code="credential_unknown")
    if not request.is_brokered(house, grant):
        raise Denied(
            f"credential {name!r} is handed out, and no gateway stands before it",
            code="not_brokered",
            hint="ask for the credential itself",
        )
    gateway = _gateway(house, grant)
    with house.brokering.one(row.id):
        lease = _in_hand(house, gateway, row, name) or _issue(house, gateway, row, name)
        place = str(lease.progress.get("database", "")) or lease.target
        ticket = gateway.ticket(row.id, name, place, renew)
    expires_ms = min(house.clock.wall_ms() + ticket.ttl_ms, row.hard_end_ms)
    return Released(lease.id, lease.target, ticket.connection, ticket.secret, expires_ms, Delivery.BROKERED.value)


def _gateway(house: House, grant: CredentialSpec) -> Gateway:
    target = house.active.bundle.targets.get(grant.target)
    found = None if target is None else house.gateways.get(target.kind)
    if found is None:
        raise Unavailable(
            f"no gateway for target {grant.target!r} runs here",
            code="gateway_off",
            hint="set where it listens: docs/configuration.md",
        )
    return found


def _in_hand(house: House, gateway: Gateway, row: Task, name: str) -> Lease | None:
    """The lease that is lent already, if it has enough of its life before it."""
    lent = gateway.lent(row.id, name)
    lease = None if lent is None else house.leases.get(lent)
    if lease is None or lease.state not in LIVE_LEASES:
        return None
    life = lease.expires_ms - lease.created_ms
    return lease if house.clock.wall_ms() < lease.created_ms + life * RENEW_AT else None


def _issue(house: House, gateway: Gateway, row: Task, name: str) -> Lease:
    """Issue a lease, lend it, and write down that it is with the gateway."""
    lease, issued, secret = request.issued_lease(house, row, name, Delivery.BROKERED)
    try:
        judging = house.active.bundle.targets[lease.target].gateway
        secret = _usable(house, lease, secret)
        gateway.lend(Lent(row.id, name, lease.id, lease.target, issued.connection, judging, secret))
        progress = {**lease.progress, "database": str(issued.connection.get("database", ""))}
        delivered = replace(lease, state=LeaseState.DELIVERED, progress=progress)
        unit = house.store.unit()
        unit.save_lease(delivered, expect=frozenset({LeaseState.ACTIVE}))
        members: dict[str, Json] = {"lease": lease.id, "delivery": lease.delivery.value}
        unit.record(Record(Kind.LEASE_DELIVERED, house.clock.wall_ms(), row.id, members))
        unit.commit()
    except FlyballError:
        end.take_back(house, [lease], Cause.UNDELIVERED)
        raise
    # A fence that came between is answered by taking back: it may have come before the gateway could hear it.
    if not request.may_go_on(house, delivered):
        raise request.ended_meanwhile(house, delivered)
    _retire(house, delivered)
    return delivered


def _usable(house: House, lease: Lease, secret: Secret) -> Secret:
    """What the gateway shows to the target: the lease's secret, or the key that the backend keeps for the gateway."""
    backend = house.backends[lease.target]
    return backend.kept(issue.plan_of(lease), secret) if isinstance(backend, KeepsKey) else secret


def _retire(house: House, newest: Lease) -> None:
    """Leases of the same credential that no gateway holds any more (the process was started anew): they are taken
    back. One that is lent goes on to its own end, with its sessions."""
    for lease in house.leases.select(task=newest.task, states=LIVE_LEASES):
        ours = lease.credential == newest.credential and lease.delivery is Delivery.BROKERED
        if ours and lease.epoch != house.settings.epoch and not house.issuing.holds(lease.id):
            end.take_back(house, [lease], Cause.UNDELIVERED)
