"""What operators see and do. Reading changes nothing; every answer is plain JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from flyball.audit.ports import Stored
from flyball.audit.record import Kind
from flyball.credential.lease import Lease, LeaseState
from flyball.flow import agents, react
from flyball.flow.asks import RecordFilter
from flyball.flow.house import House
from flyball.flow.targets import look
from flyball.kernel.errors import InvalidInput, NotFound
from flyball.kernel.json import Json, parse, parse_object
from flyball.policy.explain import explain
from flyball.task.task import Task, TaskState

log = structlog.get_logger("flyball.operate")


def authenticate(house: House, authorization: str) -> str:
    """The operator behind an `Authorization` header.

    Raises:
        Unauthenticated: no operator's token, or not ours.
    """
    return house.admins.authenticate(authorization)


def tasks(
    house: House,
    *,
    states: Sequence[str] | None = None,
    agent: str | None = None,
    owner: str | None = None,
    limit: int = 100,
) -> list[dict[str, Json]]:
    """Tasks, newest first."""
    wanted = None if not states else frozenset(_task_state(state) for state in states)
    return [task_view(row) for row in house.tasks.select(states=wanted, agent=agent, owner=owner, limit=limit)]


def task(house: House, task_id: str) -> dict[str, Json]:
    """One task with its leases, its live standing and its last records.

    Raises:
        NotFound: no such task.
    """
    row = house.tasks.get(task_id)
    if row is None:
        raise NotFound(f"no task {task_id!r}", code="task_unknown", hint="see `flyball tasks`")
    live = house.core.state_json(task_id)
    records = house.log.select(task=task_id, limit=50)
    return {
        **task_view(row),
        "inputs": {
            name: {"value": i.value, "type": i.type, "vouched_by": i.vouched_by} for name, i in row.inputs.items()
        },
        "leases": [lease_view(lease) for lease in house.leases.select(task=task_id)],
        "live": None if live is None else parse(live),
        "records": [record_view(stored) for stored in records],
        "cooperative": _cooperative(house, row.profile),
    }


def leases(
    house: House,
    *,
    states: Sequence[str] | None = None,
    task: str | None = None,
    agent: str | None = None,
    target: str | None = None,
    limit: int = 100,
) -> list[dict[str, Json]]:
    """Leases, oldest first."""
    wanted = None if not states else frozenset(_lease_state(state) for state in states)
    rows = house.leases.select(states=wanted, task=task, agent=agent, target=target, limit=limit)
    return [lease_view(row) for row in rows]


def receipts(
    house: House, *, task: str | None = None, lease: str | None = None, limit: int = 100
) -> list[dict[str, Json]]:
    """Signed receipts with their decoded payload, newest last."""
    found = [_receipt(row) for _, row in house.store.rows("receipt")]
    wanted = [
        one
        for one in found
        if (task is None or one["payload"]["task"] == task) and (lease is None or one["payload"]["lease"] == lease)
    ]
    return [{"envelope": one["envelope"], "payload": one["payload"]} for one in wanted[-limit:]]


def receipt(house: House, receipt_id: str) -> dict[str, Json]:
    """One receipt.

    Raises:
        NotFound: no such receipt.
    """
    row = house.store.row("receipt", receipt_id)
    if row is None:
        raise NotFound(f"no receipt {receipt_id!r}", code="receipt_unknown", hint="see `flyball receipts`")
    one = _receipt(row)
    return {"envelope": one["envelope"], "payload": one["payload"]}


def _receipt(row: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    envelope = row["envelope"]
    assert isinstance(envelope, dict)
    return {"envelope": envelope, "payload": {name: value for name, value in row.items() if name != "envelope"}}


def why(house: House, decision: str) -> dict[str, Json]:
    """Why a decision came out as it did, for operators.

    Raises:
        NotFound: no such decision on record (denials for a fault of our own are only counted).
    """
    stored = find_decision(house, decision)
    body = parse_object(stored.body)
    arguments: dict[str, Json] | None = None
    erased = False
    row = None if stored.task is None else house.tasks.get(stored.task)
    if stored.task is not None and stored.sealed is not None:
        wrapped = house.tasks.data_key(stored.task)
        erased = wrapped is None
        if wrapped is not None:
            key = house.sealer.unwrap(stored.task, wrapped)
            arguments = parse_object(house.sealer.open_record(key, stored.task, decision, stored.sealed))
    found = explain(
        body,
        house.active.compiled,
        profile="" if row is None else row.profile,
        inputs=None if row is None else row.inputs,
        args=arguments,
        erased=erased,
    )
    rendered = found.render().splitlines()
    return {
        **found.as_json(),
        "values": "erased" if erased else "shown" if arguments is not None else "none",
        "arguments": None if arguments is None else as_sent(arguments),
        "for_agent": found.for_agent(),
        "text": list(rendered),
        "record": record_view(stored),
    }


def as_sent(value: Json) -> Json:
    """A value out of a seal, with numbers that have a fraction as their text."""
    if isinstance(value, float):
        return str(value)
    if isinstance(value, list):
        return [as_sent(one) for one in value]
    return {name: as_sent(one) for name, one in value.items()} if isinstance(value, dict) else value


def find_decision(house: House, decision: str) -> Stored:
    """The record of a decision.

    Raises:
        InvalidInput: not a decision id. NotFound: none on record.
    """
    parts = decision.split("_")
    if len(parts) != 5 or parts[0] != "dec":
        raise InvalidInput(f"{decision!r} is not a decision id", hint="it reads dec_<cell>_<task>_<epoch>_<n>")
    task_id = f"tsk_{parts[1]}_{parts[2]}"
    if parts[2] == "none":
        candidates = iter(house.log.select(kinds=frozenset({Kind.DECIDED.value}), limit=100_000))
    else:
        candidates = house.log.of_task(task_id)
    for stored in candidates:
        if stored.kind == Kind.DECIDED.value and parse_object(stored.body).get("decision") == decision:
            return stored
    raise NotFound(f"no decision {decision!r} is on record", code="decision_unknown")


def records(house: House, wanted: RecordFilter) -> list[dict[str, Json]]:
    """Records, newest last."""
    rows = house.log.select(kinds=wanted.kinds or None, task=wanted.task, since_ms=wanted.since_ms, limit=wanted.limit)
    return [record_view(row) for row in rows]


def status(house: House) -> dict[str, Json]:
    """How the house stands. `ok` is false while anything is quarantined, unreachable or over-privileged, while a target
    is refused to us or bears what another store of our issuer left, while new certificates cannot be used, and for an
    hour after reactions were degraded."""
    by_task = Counter(row.state.value for row in house.tasks.select(limit=100_000))
    rows = house.leases.select(limit=100_000)
    by_lease = Counter(row.state.value for row in rows)
    quarantined: list[Json] = [lease_view(row) for row in rows if row.state is LeaseState.QUARANTINED]
    targets = {name: look(house, name) for name in house.backends}
    asked: list[Json] = [{"task": key, **row} for key, row in house.store.rows("quarantine_request")]
    seq, head = house.log.head()
    degraded: list[Json] = [*react.degraded(house)]
    waiting = sum(parse_object(one).get("state") == "pending" for one in house.core.approvals(None))
    unusable: dict[str, Json] = {**house.certificate_problems}
    trouble = bool(quarantined or degraded or unusable) or any(
        not t["reachable"] or t["excess"] or t["refused"] or t["foreign"] for t in targets.values()
    )
    inactive = {name: agents.state_of(house, name) for name in house.active.bundle.agents}
    return {
        "ok": not trouble,
        "mode": house.settings.mode,
        "issuer": house.settings.issuer,
        "node": house.settings.node,
        "epoch": house.settings.epoch,
        "bundle": {"name": house.active.bundle.name, "digest": house.active.digest},
        "tasks": dict(by_task),
        "leases": dict(by_lease),
        "quarantined": quarantined,
        "quarantine_requests": asked,
        "reactions_degraded": degraded,
        "approvals_waiting": waiting,
        "agents": {name: state for name, state in inactive.items() if state != "active"},
        "targets": dict(targets),
        "certificates": unusable,
        "store": {"seq": seq, "head": head.hex(), "writer": parse(house.writer.stats_json())},
        "journal": house.journal.stats(),
        "decisions": parse_object(house.core.stats_json()),
        "revocations": house.revoker.stats(),
        "cooperative": _all_cooperative(house),
    }


def metrics(house: House) -> str:
    """The same, counted, as Prometheus text."""
    lines: list[str] = []

    def gauge(name: str, help_text: str, values: dict[str, int], label: str = "") -> None:
        lines.append(f"# HELP flyball_{name} {help_text}")
        lines.append(f"# TYPE flyball_{name} gauge")
        for key, value in sorted(values.items()):
            lines.append(f'flyball_{name}{{{label}="{key}"}} {value}' if label else f"flyball_{name} {value}")

    rows = house.leases.select(limit=100_000)
    gauge("tasks", "Tasks by state.", Counter(row.state.value for row in house.tasks.select(limit=100_000)), "state")
    gauge("leases", "Leases by state.", Counter(row.state.value for row in rows), "state")
    gauge("leases_quarantined", "Leases not proved gone.", {"": sum(r.state is LeaseState.QUARANTINED for r in rows)})
    waiting = sum(parse_object(one).get("state") == "pending" for one in house.core.approvals(None))
    gauge("approvals_waiting", "Calls that wait for a person.", {"": waiting})
    gauge(
        "certificates_unusable", "Places whose new certificates cannot be used.", {"": len(house.certificate_problems)}
    )
    paged = {name: row["count"] for name, row in house.store.rows("degraded")}
    counts = {name: count for name, count in paged.items() if isinstance(count, int)}
    gauge("reactions_degraded", "Reactions degraded to freezing, ever, by profile.", counts or {"": 0}, "profile")
    gauge("records", "Last durable sequence number.", {"": house.log.head()[0]})
    for name, value in parse_object(house.core.stats_json()).items():
        if isinstance(value, int) and not isinstance(value, bool):
            gauge(f"plane_{name}", f"Decision plane: {name}.", {"": value})
    return "\n".join(lines) + "\n"


def discovery(house: House) -> dict[str, Json]:
    """What any client may know: the issuer, its public keys, where decisions are asked for."""
    return {
        "issuer": house.settings.issuer,
        "jwks": house.keys.jwks(),
        **house.public_keys,
        "check_endpoints": list(house.settings.check_endpoints),
    }


def task_view(row: Task) -> dict[str, Json]:
    """A task as operators see it."""
    return {
        "task": row.id,
        "state": row.state.value,
        "cause": row.cause,
        "agent": row.agent,
        "owner": row.owner,
        "principal": row.principal,
        "profile": row.profile,
        "profile_digest": row.profile_digest,
        "bundle": row.bundle,
        "opened_ms": row.opened_ms,
        "hard_end_ms": row.hard_end_ms,
        "heartbeat_ms": row.heartbeat_ms,
        "bound_to": row.binding.partition(":")[0],
    }


def lease_view(row: Lease) -> dict[str, Json]:
    """A lease as operators see it: no secret, and no recipe."""
    return {
        "lease": row.id,
        "task": row.task,
        "agent": row.agent,
        "target": row.target,
        "access": row.access,
        "name": row.name,
        "state": row.state.value,
        "delivery": row.delivery.value,
        "cause": row.cause,
        "step": row.step,
        "attempt": row.attempt,
        "created_ms": row.created_ms,
        "expires_ms": row.expires_ms,
    }


def record_view(row: Stored) -> dict[str, Json]:
    """A record as operators see it: its body and its place; what is sealed stays sealed."""
    body = parse_object(row.body)
    return {"seq": row.seq, "n": row.n, **body, "sealed": row.sealed is not None, "hash": row.hash.hex()}


def _cooperative(house: House, profile: str) -> list[Json]:
    return [found.as_json() for found in house.active.compiled.cooperative.get(profile, ())]


def _all_cooperative(house: House) -> dict[str, Json]:
    return {name: _cooperative(house, name) for name in house.active.bundle.profiles}


def _task_state(text: str) -> TaskState:
    try:
        return TaskState(text)
    except ValueError as fault:
        known = ", ".join(state.value for state in TaskState)
        raise InvalidInput(f"no task state {text!r}", hint=f"one of {known}") from fault


def _lease_state(text: str) -> LeaseState:
    try:
        return LeaseState(text)
    except ValueError as fault:
        known = ", ".join(state.value for state in LeaseState)
        raise InvalidInput(f"no lease state {text!r}", hint=f"one of {known}") from fault
