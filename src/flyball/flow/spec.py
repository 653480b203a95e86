"""One task in the words of others: of its record, of its token. (The decision plane's: `flyball.task.spec`.)"""

from __future__ import annotations

from flyball.audit.record import Kind
from flyball.flow.house import House
from flyball.identity import task_token
from flyball.kernel.json import Json, canonical
from flyball.kernel.secret import Secret
from flyball.task.profile import Profile
from flyball.task.spec import ACTIONS, ALLOT, LABELS
from flyball.task.task import Task


def opened_members(task: Task, profile: Profile) -> dict[str, Json]:
    """What the record of its opening says: names, never values."""
    members: dict[str, Json] = {
        "principal": task.principal,
        "agent": task.agent,
        "owner": task.owner,
        "profile": task.profile,
        "profile_digest": task.profile_digest,
        "bundle": task.bundle,
        "purpose": profile.purpose,
        "inputs": {name: {"type": given.type, "vouched_by": given.vouched_by} for name, given in task.inputs.items()},
        "heartbeat_ms": task.heartbeat_ms,
        "hard_end_ms": task.hard_end_ms,
        "binding": task.binding.partition(":")[0],
        "home": task.home,
        "epoch": task.epoch,
        "instance": task.instance,
        "labels": task.attributes.get(LABELS, []),
    }
    if task.parent:
        members["parent"] = task.parent
        members |= {name: task.attributes[name] for name in (ACTIONS, ALLOT) if name in task.attributes}
    return members


def sealed_inputs(house: House, task: Task, data_key: bytes) -> bytes:
    """The inputs' values, sealed beside that record."""
    values: dict[str, Json] = {name: given.value for name, given in task.inputs.items()}
    return house.sealer.seal_record(data_key, task.id, Kind.TASK_OPENED.value, canonical(values))


def token(house: House, task: Task) -> tuple[Secret, int]:
    """A fresh task token, and the seconds that it lives."""
    now = house.clock.wall_ms()
    expires = task_token.expiry_ms(now_ms=now, heartbeat_ms=task.heartbeat_ms, hard_end_ms=task.hard_end_ms)
    made = task_token.mint(
        house.keys,
        issuer=house.settings.issuer,
        task=task.id,
        principal=task.principal,
        binding=task.binding,
        now_ms=now,
        expires_ms=expires,
    )
    return Secret(made), max(0, expires - now) // 1000


def token_type(task: Task) -> str:
    """How the token is shown: with a DPoP proof, or by the Unix peer that it is bound to."""
    return "DPoP" if task.binding.startswith("jkt:") else "Bearer"
