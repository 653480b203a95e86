"""Client for Flyball: open a task, hold its privilege, give it back.

::

    import flyball_sdk

    with flyball_sdk.task("settle-refund", inputs={"ticket": "T-1042", "limit": "120.00"}) as task:
        task.check("tool.refund", "order", "1042", amount=Decimal("80.00"))
        with psycopg.connect(task.credential("orders").dsn()) as connection:
            ...

Leaving the block ends the task, and with it every credential it was given. `flyball_sdk.aio` is
the same for asyncio.

A check made here, inside the agent's own process, is cooperation: it keeps an honest agent within
its intent. What holds a dishonest one is enforced at the target, the gateway and the broker.

Environment: FLYBALL_ADDR (http://127.0.0.1:7611, https://…, or unix:/path), FLYBALL_SVID_FILE or
FLYBALL_SVID (who we are), FLYBALL_CA_FILE (further TLS authorities).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball_sdk import aio
from flyball_sdk._settings import Identity
from flyball_sdk._task import Task
from flyball_sdk.credential import Credential, Ticket
from flyball_sdk.errors import (
    ApprovalRequired,
    ConfigError,
    Denied,
    FlyballError,
    InvalidRequest,
    Refused,
    StepUpRequired,
    TaskLost,
    Unauthenticated,
    Unavailable,
)
from flyball_sdk.model import Decision, Reported, Secret

__all__ = [
    "ApprovalRequired",
    "ConfigError",
    "Credential",
    "Decision",
    "Denied",
    "FlyballError",
    "Identity",
    "InvalidRequest",
    "Refused",
    "Reported",
    "Secret",
    "StepUpRequired",
    "Task",
    "TaskLost",
    "Ticket",
    "Unauthenticated",
    "Unavailable",
    "aio",
    "task",
]


def task(
    profile: str,
    *,
    inputs: Mapping[str, object] | None = None,
    plan: Sequence[Mapping[str, object]] | None = None,
    vouchers: Sequence[str] | None = None,
    parent: Task | str = "",
    actions: Sequence[str] | None = None,
    allot: Mapping[str, object] | None = None,
    addr: str | None = None,
    identity: Identity | None = None,
    timeout_s: float = 10.0,
) -> Task:
    """A task of `profile`, to be used in a `with` statement, which opens and ends it.

    Args:
        profile: the profile's name in the bundle.
        inputs: its inputs. What we say here is our own word unless a voucher stands for it.
        plan: the effects that we mean to make; the task is held to them. None for no plan.
        vouchers: signed statements that vouch for inputs.
        parent: a task that this one is to be a child of, opened by this very identity; see `Task.child`.
        actions, allot: with `parent`, how much less the child may do.
        addr: where Flyball is; the environment's FLYBALL_ADDR when None.
        identity: a JWT-SVID or OIDC token, or a function that fetches one; the environment's when None.
        timeout_s: seconds that one request may take.

    Raises:
        ConfigError: the address cannot be used.
    """
    return Task(
        profile,
        inputs=inputs,
        plan=plan,
        vouchers=vouchers,
        parent=parent,
        actions=actions,
        allot=allot,
        addr=addr,
        identity=identity,
        timeout_s=timeout_s,
    )
