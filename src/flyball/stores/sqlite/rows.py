"""Tasks and leases as columns, and back. The one place that knows both sides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from flyball.credential.lease import Delivery, Lease, LeaseState
from flyball.kernel.json import Json, canonical
from flyball.stores.sqlite.ports import Row, Value
from flyball.task.task import Input, Task, TaskState

TASK_COLUMNS = (
    "id, principal, agent, owner, profile, profile_digest, bundle, state, opened_ms, hard_end_ms, heartbeat_ms,"
    " binding, cause, purpose, attributes, cell, home, epoch, parent, instance"
)
LEASE_COLUMNS = (
    "id, task, agent, owner, target, kind, access, credential, name, state, delivery, created_ms, expires_ms, epoch,"
    " recipe, cause, step, progress, attempt, due_ms"
)


def text(value: Mapping[str, Json]) -> str:
    """A JSON object as the text that a column holds.

    Raises:
        ValueError: it holds a float.
    """
    return canonical(dict(value)).decode()


def mapping(value: Value) -> dict[str, Json]:
    """A column's JSON object."""
    loaded = cast("object", json.loads(_str(value)))
    if not isinstance(loaded, dict):
        raise TypeError("a column that should hold a JSON object does not")
    return cast("dict[str, Json]", loaded)


def task_values(task: Task) -> list[Value]:
    """The values of TASK_COLUMNS."""
    return [
        task.id,
        task.principal,
        task.agent,
        task.owner,
        task.profile,
        task.profile_digest,
        task.bundle,
        task.state.value,
        task.opened_ms,
        task.hard_end_ms,
        task.heartbeat_ms,
        task.binding,
        task.cause,
        task.purpose,
        text(task.attributes),
        task.cell,
        task.home,
        task.epoch,
        task.parent,
        task.instance,
    ]


def task_from(row: Row, inputs: Mapping[str, Input]) -> Task:
    """The task of a row of TASK_COLUMNS."""
    return Task(
        id=_str(row[0]),
        principal=_str(row[1]),
        agent=_str(row[2]),
        owner=_str(row[3]),
        profile=_str(row[4]),
        profile_digest=_str(row[5]),
        bundle=_str(row[6]),
        state=TaskState(_str(row[7])),
        opened_ms=_int(row[8]),
        hard_end_ms=_int(row[9]),
        heartbeat_ms=_int(row[10]),
        binding=_str(row[11]),
        cause=_str(row[12]),
        purpose=_str(row[13]),
        attributes=mapping(row[14]),
        cell=_str(row[15]),
        home=_str(row[16]),
        epoch=_int(row[17]),
        parent=_str(row[18]),
        instance=_str(row[19]),
        inputs=inputs,
    )


def inputs_bytes(inputs: Mapping[str, Input]) -> bytes:
    """The inputs in the form that is sealed."""
    return canonical(
        {name: {"value": i.value, "type": i.type, "vouched_by": i.vouched_by} for name, i in inputs.items()}
    )


def inputs_from(plain: bytes) -> dict[str, Input]:
    """The inputs of an opened seal."""
    loaded = mapping(plain.decode())
    inputs = {}
    for name, value in loaded.items():
        if not isinstance(value, dict):
            raise TypeError(f"input {name!r} is malformed")
        inputs[name] = Input(str(value["value"]), str(value["type"]), str(value["vouched_by"]))
    return inputs


def lease_values(lease: Lease) -> list[Value]:
    """The values of LEASE_COLUMNS."""
    return [
        lease.id,
        lease.task,
        lease.agent,
        lease.owner,
        lease.target,
        lease.kind,
        lease.access,
        lease.credential,
        lease.name,
        lease.state.value,
        lease.delivery.value,
        lease.created_ms,
        lease.expires_ms,
        lease.epoch,
        text(lease.recipe),
        lease.cause,
        lease.step,
        text(lease.progress),
        lease.attempt,
        lease.due_ms,
    ]


def lease_from(row: Row) -> Lease:
    """The lease of a row of LEASE_COLUMNS."""
    return Lease(
        id=_str(row[0]),
        task=_str(row[1]),
        agent=_str(row[2]),
        owner=_str(row[3]),
        target=_str(row[4]),
        kind=_str(row[5]),
        access=_str(row[6]),
        credential=_str(row[7]),
        name=_str(row[8]),
        state=LeaseState(_str(row[9])),
        delivery=Delivery(_str(row[10])),
        created_ms=_int(row[11]),
        expires_ms=_int(row[12]),
        epoch=_int(row[13]),
        recipe=mapping(row[14]),
        cause=_str(row[15]),
        step=_str(row[16]),
        progress=mapping(row[17]),
        attempt=_int(row[18]),
        due_ms=_int(row[19]),
    )


def _str(value: Value) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text column holds {type(value).__name__}")
    return value


def _int(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError(f"an integer column holds {type(value).__name__}")
    return value
