"""Composing a lease, in the order in which it must happen.

    plan_lease   the INTENT, whole: name, recipe, expiry; no target touched   → make it durable
    at_target    the credential is made                                       → from here on it must be taken back
    activated    ACTIVE, with what the target told                            → make it durable, then hand it out

These are facts only; `flow` writes them down between the steps.
"""

from __future__ import annotations

import secrets

from flyball.credential.backend import Backend, Issued, LeaseSpec, Plan
from flyball.credential.lease import Delivery, Lease, LeaseState
from flyball.credential.transition import transition
from flyball.kernel.errors import Gone
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret
from flyball.task.task import LIVE, Task

SECRET_BYTES = 24


def make_secret() -> Secret:
    """A fresh secret of 192 random bits, in characters that need no quoting anywhere."""
    return Secret(secrets.token_urlsafe(SECRET_BYTES))


def plan_lease(
    backend: Backend,
    *,
    id: str,  # noqa: A002 - it is the lease's id, beside the other members' names
    task: Task,
    credential: str,
    target: str,
    access: str,
    ttl_ms: int,
    issuer: str,
    store: str,
    now_ms: int,
    epoch: int,
    delivery: Delivery = Delivery.RELEASED,
) -> tuple[Lease, Secret]:
    """The intended lease and the secret it will have. Touches no target.

    It expires `ttl_ms` from now and never after the task's hard end (invariant 5).

    Raises:
        Gone: the task has ended, or ends now.
        TargetRefused: the backend has no such access.
    """
    expires_ms = min(now_ms + ttl_ms, task.hard_end_ms)
    if task.state not in LIVE or expires_ms <= now_ms:
        raise Gone("the task has ended", code="task_fenced", hint="open a new task")
    plan = backend.plan(LeaseSpec(id, task.id, issuer, access, now_ms, expires_ms, store))
    lease = Lease(
        id=id,
        task=task.id,
        agent=task.agent,
        owner=task.owner,
        target=target,
        kind=backend.kind,
        access=access,
        credential=credential,
        name=plan.name,
        state=LeaseState.INTENT,
        delivery=delivery,
        created_ms=now_ms,
        expires_ms=expires_ms,
        epoch=epoch,
        recipe=plan.recipe,
    )
    return lease, make_secret()


def plan_of(lease: Lease) -> Plan:
    """The plan that stands in a lease's row."""
    return Plan(lease.name, lease.recipe)


def at_target(backend: Backend, lease: Lease, secret: Secret) -> Issued:
    """Make the credential of a lease whose INTENT is durable.

    Raises:
        Conflict: the lease is no longer an intent.
        TargetUnavailable: the target could not; what may have been made must be taken back.
        TargetRefused: the target will not.
    """
    transition(lease, LeaseState.ACTIVE)  # refuses before the target is touched
    return backend.issue(plan_of(lease), secret)


def activated(lease: Lease, issued: Issued) -> Lease:
    """The lease as ACTIVE, with what the target told of it. The target's own expiry can only bring its end forward.

    Raises:
        Conflict: the lease is no longer an intent.
    """
    native = issued.native_expiry_ms
    expires_ms = min(lease.expires_ms, native) if native else lease.expires_ms
    progress: dict[str, Json] = {**lease.progress, **issued.progress}
    if native:
        progress["native_expiry_ms"] = native
    return transition(lease, LeaseState.ACTIVE, progress=progress, expires_ms=expires_ms)
