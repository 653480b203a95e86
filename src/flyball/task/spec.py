"""One task in the words of the decision plane."""

from __future__ import annotations

import base64

from flyball.kernel.json import Json, canonical
from flyball.task.task import Task

LABELS, ACTIONS, ALLOT = "labels", "actions", "allot"
"""Names in a task's attributes: what it starts with, and how much less than its parent it may do."""


def task_spec(task: Task, data_key: bytes) -> bytes:
    """The task as the decision plane takes it, when it is opened and when it is rebuilt."""
    inputs: dict[str, Json] = {
        name: {"value": given.value, "type": given.type, "vouched_by": given.vouched_by}
        for name, given in task.inputs.items()
    }
    spec: dict[str, Json] = {
        "id": task.id,
        "principal": task.principal,
        "agent": task.agent,
        "owner": task.owner,
        "profile": task.profile,
        "profile_digest": task.profile_digest,
        "inputs": inputs,
        "opened_ms": task.opened_ms,
        "hard_end_ms": task.hard_end_ms,
        "heartbeat_ms": task.heartbeat_ms,
        "data_key": base64.b64encode(data_key).decode(),
        "state": task.state.value,
        "binding": task.binding,
        "instance": task.instance or task.principal,
        "labels": task.attributes.get(LABELS, []),
    }
    if task.parent:
        spec["parent"] = task.parent
        spec |= {name: task.attributes[name] for name in (ACTIONS, ALLOT) if name in task.attributes}
    return canonical(spec)
