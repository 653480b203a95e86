"""One request's one way through the house.

What holds when privilege leaves here, in this order, and the numbers are the rooms':

1. identity      the caller proved who it is, and which key or peer the proof is bound to;
2. task          there is a live task, opened from a reviewed profile, whose token the caller holds;
3. policy        the decision plane allowed this very action, on this bundle, and its record is durable;
4. credential    the intent to touch the target is durable before the target is touched;
5. enforcement   what is handed out is no wider than the profile, and lasts no longer than the task;
6. audit         each of these facts is a record in the chain, written before its effect is answered;
7. revocation    from the first durable intent on, something is due to take it back.

A step that cannot be taken refuses; nothing here falls through to allow.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flyball.audit.record import Kind, Record
from flyball.credential import issue
from flyball.credential.backend import Issued, TargetRefused, TargetUnavailable
from flyball.credential.lease import Delivery, Lease, LeaseState
from flyball.flow import agents, delegate, end, labels, refusals, spec, vouch
from flyball.flow.asks import Ended, OpenAsk, Opened, Proof, Released, Renewed
from flyball.flow.gate import TaskHolder, caller, heard, task_holder
from flyball.flow.house import House
from flyball.kernel import ids
from flyball.kernel.errors import Conflict, Denied, Gone, NotFound, Unavailable
from flyball.kernel.faults import fault_point
from flyball.kernel.json import Json, canonical, parse_object
from flyball.kernel.secret import Secret
from flyball.policy.engine import CoreError, Verdict
from flyball.task import lifecycle
from flyball.task.profile import CredentialSpec, Profile, validate_inputs
from flyball.task.spec import LABELS, task_spec
from flyball.task.task import LIVE, Cause, Task, TaskState

PEP = "flyball"
"""The name under which the control plane itself asks the decision plane."""


def open_task(house: House, proof: Proof, ask: OpenAsk) -> Opened:
    """Open a task of a profile.

    Raises:
        Unauthenticated: the caller's proof does not hold.
        Denied: the agent, the profile, the policy or the parent says no.
        InvalidInput: an input is unknown, missing or out of its bounds, or the plan is none.
        Gone, Conflict: the task that is to delegate has ended, or is not open now; or this one was ended meanwhile.
        Unavailable: a fault of our own.
    """
    # 1 identity
    parent = delegate.parent(house, proof, ask) if ask.parent else None
    who = caller(house, proof) if parent is None else parent.caller
    agent = who.agent
    agents.require_active(house, agent.name)

    # 2 task
    bundle, digest = house.active.bundle, house.active.digest
    profile = bundle.profiles.get(ask.profile)
    if profile is None or not profile.may_open(agent.name, agent.name):
        raise Denied(
            f"agent {agent.name!r} may not run a profile of that name",
            code="profile_not_for_agent",
            hint="a profile names its agents; ask its author to add this one",
        )
    if parent is None:
        inputs = validate_inputs(profile, ask.inputs, ask.vouchers, vouch.verifier(house, who.principal))
    else:
        inputs = delegate.inputs(parent, profile, ask)
    now = house.clock.wall_ms()
    opened = lifecycle.open_task(
        id=ids.task_id(house.settings.cell, now),
        principal=who.principal,
        agent=agent.name,
        owner=agent.owner,
        profile=profile,
        bundle=digest,
        inputs=inputs,
        binding=who.binding,
        now_ms=now,
        cell=house.settings.cell,
        home=house.settings.node,
        epoch=house.settings.epoch,
        parent_end_ms=None if parent is None else parent.task.hard_end_ms,
    )
    task = replace(
        opened,
        instance=who.instance,
        parent="" if parent is None else parent.task.id,
        attributes={
            LABELS: [*labels.starting(house, who.principal, who.instance)],
            **({} if parent is None else delegate.narrowing(profile, ask)),
        },
    )

    # 6 audit: no task without its record
    data_key = secrets.token_bytes(32)
    unit = house.store.unit()
    unit.save_data_key(task.id, house.sealer.wrap(task.id, data_key))
    unit.save_task(task)
    members = spec.opened_members(task, profile)
    unit.record(Record(Kind.TASK_OPENED, now, task.id, members, spec.sealed_inputs(house, task, data_key)))
    unit.commit()
    fault_point("open.after_record")
    try:
        house.core.open(task_spec(task, data_key))
        if ask.plan is not None:
            house.core.declare_plan(task.id, canonical([*ask.plan]), who.principal)
    except CoreError as fault:
        end.finish(house, [task], Cause.REVOKED, by=PEP, detail=f"not opened: {refusals.code_of(fault)}")
        raise refusals.of_core(fault, "the task cannot be opened") from fault
    end.unless_ended(house, task)  # the plane, which fences, did not know it until now

    # 3 policy: whether this agent may open this profile now
    verdict = _check(house, task.id, "task.open", "profile", profile.name)
    if verdict.effect != "allow":
        end.finish(house, [task], Cause.REVOKED, by=PEP, detail=f"not opened: {','.join(verdict.reasons)}")
        raise refusals.of_verdict(verdict, f"the policy does not let {agent.name!r} open {profile.name!r} now")

    token, life = spec.token(house, task)
    return Opened(
        task=task.id,
        token=token,
        token_type=spec.token_type(task),
        expires_in=life,
        heartbeat_ms=task.heartbeat_ms,
        hard_end_ms=task.hard_end_ms,
        state=task.state.value,
        credentials=tuple(profile.credentials),
        brokered=tuple(name for name, grant in profile.credentials.items() if is_brokered(house, grant)),
        check_endpoints=house.settings.check_endpoints,
    )


def declare_plan(house: House, proof: Proof, task: str, plan: Sequence[Json]) -> None:
    """Hold the task to the effects that its agent means to make. A plan is the agent's own word: it only narrows.

    Raises:
        Conflict: there is a plan already, or the task has seen what an outsider can write.
        InvalidInput, Denied: it is no plan, or not one that the profile takes.
        Gone: the task has ended.
    """
    holder = task_holder(house, proof, task)
    row = _live(house, holder)
    try:
        house.core.declare_plan(row.id, canonical([*plan]), row.principal)
    except CoreError as fault:
        raise refusals.of_core(fault, "the plan was not taken") from fault


def heartbeat(house: House, proof: Proof, task: str) -> Renewed:
    """Say that the task's holder is alive; answers with a fresh token.

    Raises:
        Unauthenticated: the token or its binding does not hold.
        Gone: the task is fenced or closed; nothing brings it back.
    """
    holder = task_holder(house, proof, task)
    row = _live(house, holder)
    heard(house)  # after a stop of ours the first heartbeat may be here before the watch is
    try:
        next_ms = house.core.heartbeat(row.id)
    except CoreError as fault:
        raise Gone("the task has ended", code="task_fenced") from fault
    token, life = spec.token(house, row)
    return Renewed(token, spec.token_type(row), life, row.state.value, next_ms)


def credential(house: House, proof: Proof, task: str, name: str) -> Released:
    """Issue one of the profile's credentials to the task's holder.

    Raises:
        Denied: the profile or the policy says no; the reason's code and the decision's id are in it.
        Gone: the task ended meanwhile; what was made at the target is being taken back.
        Unavailable: the target or the store could not; what may have been made is being taken back.
    """
    # 1 identity, 2 task
    row, profile = holder_of(house, proof, task)
    grant = profile.credentials.get(name)
    if grant is not None and is_brokered(house, grant):
        raise Denied(
            f"credential {name!r} is brokered: nobody but the gateway holds it",
            code="brokered",
            hint="connect through the gateway: POST /v1/tasks/{task}/connect",
        )
    lease, issued, secret = issued_lease(house, row, name, Delivery.RELEASED)
    return Released(lease.id, lease.target, issued.connection, secret, lease.expires_ms, Delivery.RELEASED.value)


def holder_of(house: House, proof: Proof, task: str) -> tuple[Task, Profile]:
    """The live task whose holder shows this proof, and the profile that it pinned.

    Raises:
        Unauthenticated, NotFound, Gone, Denied: it is not his, not there, over, or its agent or profile has changed.
    """
    row = _live(house, task_holder(house, proof, task))
    agents.require_active(house, row.agent)
    return row, _profile(house, row)


def is_brokered(house: House, grant: CredentialSpec) -> bool:
    """Whether a gateway holds the credential's secret, and the agent never does."""
    target = house.active.bundle.targets.get(grant.target)
    access = None if target is None else target.accesses.get(grant.access)
    return access is not None and access.delivery == Delivery.BROKERED.value


def allowed_credential(house: House, row: Task, name: str) -> Verdict:
    """The decision that a task may have a credential.

    Raises:
        Denied: the profile or the policy says no; the reason's code and the decision's id are in it.
    """
    verdict = _check(house, row.id, "credential.issue", "credential", name)
    if verdict.effect != "allow":
        raise refusals.of_verdict(verdict, f"this task may not have a credential {name!r}")
    return verdict


def issued_lease(house: House, row: Task, name: str, delivery: Delivery) -> tuple[Lease, Issued, Secret]:
    """Issue a lease of a task, from the decision to ACTIVE on record. Whoever gets it hands it on, or takes it back.

    Raises:
        Denied, Gone, Unavailable: as for `credential`.
    """
    profile = _profile(house, row)
    # 3 policy: decided, charged and recorded, like any other privileged action
    verdict = allowed_credential(house, row, name)

    # 4 credential: intent first
    grant = profile.credentials[name]
    backend = house.backends.get(grant.target)
    if backend is None:
        raise Unavailable(f"target {grant.target!r} is not configured here", code="target_unknown")
    try:
        house.claims.hold(grant.target)
    except TargetUnavailable as fault:
        raise refusals.of_claim(fault, grant.target) from None
    now = house.clock.wall_ms()
    lease, secret = issue.plan_lease(
        backend,
        id=ids.lease_id(house.settings.cell, now),
        task=row,
        credential=name,
        target=grant.target,
        access=grant.access,
        ttl_ms=grant.ttl_ms,
        issuer=house.settings.issuer,
        store=house.claims.claim.store,
        now_ms=now,
        epoch=house.settings.epoch,
        delivery=delivery,
    )
    fault_point("issue.before_intent")
    try:
        with house.issuing.hold(lease.id):
            unit = house.store.unit()
            unit.save_lease(lease)
            unit.save_secret(lease.id, house.sealer.seal(lease.id, secret.reveal().encode()))
            unit.record(Record(Kind.LEASE_INTENT, now, row.id, _intent_members(lease, verdict.decision)))
            unit.commit()
            fault_point("issue.after_intent")
            issued = issue.at_target(backend, lease, secret) if may_go_on(house, lease) else None
    except (TargetUnavailable, TargetRefused):
        end.take_back(house, [lease], Cause.UNDELIVERED)
        raise
    fault_point("issue.after_target")
    if issued is None:
        raise ended_meanwhile(house, lease)

    # 5 enforcement: no longer than the task; 6 audit: active is on record before it is handed out
    active = issue.activated(lease, issued)
    now = house.clock.wall_ms()
    unit = house.store.unit()
    unit.save_lease(active, expect=frozenset({LeaseState.INTENT}))
    unit.record(
        Record(Kind.LEASE_ACTIVE, now, row.id, {"lease": lease.id, "native_expiry_ms": issued.native_expiry_ms})
    )
    try:
        unit.commit()
    except (Conflict, Unavailable):
        end.take_back(house, [active], Cause.UNDELIVERED)
        raise
    fault_point("issue.after_active")
    # 7 revocation: a fence that came between is answered by taking back, never by handing out
    if not may_go_on(house, active):
        raise ended_meanwhile(house, active)
    return active, issued, secret


def delivered(house: House, proof: Proof, lease: str, handover: str = "") -> None:
    """The holder says that it has the credential. What nobody acknowledges is taken back.

    `handover` is how it went on from there (`memory`, `file`, `environment`), where the holder says so; the
    receipt says it too.
    """
    row = house.leases.get(lease)
    if row is None:
        raise NotFound("no such lease", code="lease_unknown")
    task_holder(house, proof, row.task)
    if row.state is LeaseState.DELIVERED:
        return
    if row.state is not LeaseState.ACTIVE:
        raise Gone("the lease is being taken back", code="lease_gone")
    now = house.clock.wall_ms()
    unit = house.store.unit()
    told: dict[str, Json] = {"handover": handover} if handover else {}
    now_delivered = replace(row, state=LeaseState.DELIVERED, progress={**row.progress, **told})
    unit.save_lease(now_delivered, expect=frozenset({LeaseState.ACTIVE}))
    members: dict[str, Json] = {"lease": lease, "delivery": row.delivery.value, **told}
    unit.record(Record(Kind.LEASE_DELIVERED, now, row.task, members))
    unit.commit()
    fault_point("issue.after_delivered")


def report_result(
    house: House, proof: Proof, task: str, decision: str, result: Json, meta: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """A result of an allowed call, told under the task's own token: `self_reported`, it satisfies no origin rule.

    `meta` may add labels and say rows, bytes and milliseconds; nothing in it takes a label away.
    """
    holder = task_holder(house, proof, task)
    try:
        taken = house.core.report_result(holder.task, "self", decision, canonical(result), canonical(dict(meta or {})))
    except CoreError as fault:
        hint = "report a result once, for an allowed call of this task"
        refused = refusals.of_core(fault, "that result was not taken")
        raise type(refused)(refused.detail, code=refused.code, hint=refused.hint or hint) from fault
    return parse_object(taken)


def end_task(house: House, proof: Proof, task: str, wait_ms: int = 5000) -> Ended:
    """The holder ends its task. Ending twice answers with the same receipts."""
    holder = task_holder(house, proof, task)
    row = house.tasks.get(holder.task)
    if row is None:
        raise NotFound("no such task", code="task_unknown")
    return end.finish(house, [row], Cause.ENDED, by=row.agent, wait_ms=wait_ms)


def _live(house: House, holder: TaskHolder) -> Task:
    row = house.tasks.get(holder.task)
    if row is None:
        raise NotFound("no such task", code="task_unknown")
    if row.state not in LIVE:
        raise Gone("the task has ended", code="task_fenced", hint="open a new task")
    return row


def _profile(house: House, task: Task) -> Profile:
    profile = house.active.bundle.profiles.get(task.profile)
    if profile is None or profile.digest != task.profile_digest:
        raise Denied(
            f"profile {task.profile!r} has changed since this task was opened",
            code="profile_changed",
            hint="credentials are issued under the profile that the task pinned; open a new task",
        )
    return profile


def _check(house: House, task: str, action: str, resource_type: str, resource: str) -> Verdict:
    return house.core.check(task, PEP, action, resource_type, resource, b"{}")


def may_go_on(house: House, lease: Lease) -> bool:
    """Whether the lease's task is still live, by its row and by the decision plane, which knows a fence first."""
    row = house.tasks.get(lease.task)
    live = house.core.state_json(lease.task)
    state = "" if live is None else parse_object(live).get("state")
    return row is not None and row.state in (TaskState.OPEN, TaskState.FROZEN) and state in ("open", "frozen")


def ended_meanwhile(house: House, lease: Lease) -> Gone:
    """Take a lease back whose task ended while it was being made; the error to raise."""
    end.take_back(house, [lease], Cause.REVOKED)
    return Gone("the task ended while its credential was being made", code="task_fenced")


def _intent_members(lease: Lease, decision: str) -> dict[str, Json]:
    return {
        "lease": lease.id,
        "target": lease.target,
        "access": lease.access,
        "credential": lease.credential,
        "name": lease.name,
        "expires_ms": lease.expires_ms,
        "decision": decision,
        "delivery": lease.delivery.value,
    }
