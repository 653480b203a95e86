"""A person's word on one call: asked for by the profile, given on Flyball's own surface, good for that call once.

Two ways, never mixed:

- `require_approval` is settled by an operator, by the decision's id. Never over the agent's own connection:
  whoever shows a task's proof, or comes from the very user that the task is bound to, is refused;
- `step_up` is settled by a voucher: a signed statement, by an issuer that is registered here and is not
  the agent, that names this very call by its digest. The agent carries it, and cannot make it.

Both are bound to the call's digest, used once, and refused when their time is over. They stand in the records.
"""

from __future__ import annotations

import hashlib
import hmac

from flyball.audit.record import Kind, Record
from flyball.flow import refusals
from flyball.flow.asks import Proof
from flyball.flow.gate import task_holder
from flyball.flow.house import House
from flyball.identity.agents import match_agent
from flyball.identity.principal import Principal
from flyball.kernel.errors import Conflict, Denied, Gone, InvalidInput, NotFound
from flyball.kernel.ids import is_id
from flyball.kernel.json import Json, parse_object
from flyball.policy.engine import CoreError

OUTCOMES = ("approve", "refuse")
STATES = ("pending", "approved", "used", "refused", "expired")
PERSON, VOUCHER = "require_approval", "step_up"


def listed(house: House, *, task: str | None = None, state: str | None = None) -> list[dict[str, Json]]:
    """What is asked for, oldest first, each with its agent and profile; `state` keeps only those.

    Raises:
        InvalidInput: there is no such state.
    """
    if state is not None and state not in STATES:
        raise InvalidInput(f"no state {state!r} of an approval", hint=f"one of {', '.join(STATES)}")
    found = [parse_object(one) for one in house.core.approvals(task)]
    kept = [one for one in found if state is None or one.get("state") == state]
    for one in kept:
        row = house.tasks.get(str(one.get("task")))
        if row is not None:
            one |= {"agent": row.agent, "profile": row.profile, "purpose": row.purpose}
    return sorted(kept, key=lambda one: (str(one.get("asked_ms")).rjust(20), str(one.get("decision"))))


def settle(
    house: House, decision: str, outcome: str, *, by: str, note: str = "", shown: Proof | None = None
) -> dict[str, Json]:
    """An operator answers one pending decision.

    Args:
        decision: the reference that the agent was given.
        outcome: `approve` or `refuse`.
        by: the operator, as authenticated.
        note: why; it stands in the record.
        shown: what came with the request, beside the operator's token.

    Raises:
        InvalidInput: no such outcome, or no decision's id.
        Denied: it came over the agent's own connection, or is settled by a voucher.
        NotFound, Gone, Conflict: nothing is asked for under this reference, its time is over, it is settled.
        Unavailable: a fault of our own; nothing was settled.
    """
    if outcome not in OUTCOMES:
        raise InvalidInput(f"no outcome {outcome!r}", hint=f"one of {', '.join(OUTCOMES)}")
    task = task_of(decision)
    row = house.tasks.get(task)
    if row is None:
        raise _unknown(decision)
    if shown is not None and (shown.dpop or row.binding == f"uid:{shown.peer_uid}"):
        raise Denied(
            "this came over the connection of the agent that asks",
            code="approval_own_connection",
            hint="settle it as another user, or over another address, and without the task's proof",
        )
    asked = _asked(house, task, decision)
    approve = outcome == "approve"
    if approve and asked.get("kind") != PERSON:
        raise Denied(
            "a step-up is settled by a voucher of whom it concerns, not by an operator's word",
            code="approval_by_voucher",
            hint="it may be refused here",
        )
    if note:
        told: dict[str, Json] = {"decision": decision, "outcome": outcome, "by": by, "note": note}
        unit = house.store.unit()
        unit.record(Record(Kind.APPROVAL_NOTED, house.clock.wall_ms(), task, told))
        unit.commit()
    return _settle(house, task, decision, approved=approve, by=by)


def step_up(house: House, proof: Proof, task: str, decision: str, voucher: str) -> dict[str, Json]:
    """The task's holder brings somebody's signed word for one call.

    Raises:
        Unauthenticated: the task's proof, or the voucher, does not hold.
        Denied: it is the agent's own word, another agent's, or the decision waits for an operator.
        InvalidInput: the voucher speaks of another call.
        NotFound, Gone, Conflict: as for `settle`; or the voucher was used before.
    """
    holder = task_holder(house, proof, task)
    row = house.tasks.get(holder.task)
    if row is None or task_of(decision) != holder.task:
        raise _unknown(decision)
    word = house.resolver.authenticate(voucher)
    if word.id == row.principal or _is_an_agent(house, word):
        raise Denied(
            "no agent vouches for a call of an agent",
            code="voucher_self",
            hint="the voucher is a person's or a system's",
        )
    asked = _asked(house, task, decision)
    if asked.get("kind") != VOUCHER:
        raise Denied(
            "this waits for an operator, who never answers over the agent's connection",
            code="approval_by_operator",
            hint="see `flyball approvals`",
        )
    call, digest = word.claims.get("call"), asked.get("call")
    if (
        not isinstance(call, str)
        or not isinstance(digest, str)
        or not hmac.compare_digest(call.encode(), digest.encode())
    ):
        raise InvalidInput(
            "the voucher speaks of another call", code="voucher_mismatch", hint="its claim `call` is the call's digest"
        )
    _use_once(house, task, voucher)
    return _settle(house, task, decision, approved=True, by=word.id)


def task_of(decision: str) -> str:
    """The task that a decision's id names.

    Raises:
        InvalidInput: it is no id of a task's decision.
    """
    parts = decision.split("_")
    task = "_".join(("tsk", *parts[1:3]))
    if len(parts) != 5 or parts[0] != "dec" or not is_id(task, "tsk"):
        raise InvalidInput(f"{decision!r} is no id of a task's decision", hint="it reads dec_<cell>_<task>_<epoch>_<n>")
    return task


def _settle(house: House, task: str, decision: str, *, approved: bool, by: str) -> dict[str, Json]:
    try:
        told = parse_object(house.core.settle_approval(task, decision, approved, by))
    except CoreError as fault:
        raise refusals.of_core(fault, "the approval cannot be settled") from fault
    return {"decision": decision, "task": task, **told, "by": by}


def _asked(house: House, task: str, decision: str) -> dict[str, Json]:
    for one in map(parse_object, house.core.approvals(task)):
        if one.get("decision") == decision:
            state = one.get("state")
            if state == "expired":
                raise Gone(
                    "its time is over: it counts as refused", code="approval_expired", hint="the agent asks again"
                )
            if state != "pending":
                raise Conflict(f"it is {state} already", code="approval_settled")
            return one
    raise _unknown(decision)


def _is_an_agent(house: House, word: Principal) -> bool:
    try:
        match_agent(word, house.active.bundle.agents.values())
    except Denied as fault:
        return fault.code == "agent_ambiguous"
    return True


def _use_once(house: House, task: str, voucher: str) -> None:
    """Remember the voucher: durably, since a call's digest may come again in the same task."""
    used = hashlib.sha256(voucher.encode()).hexdigest()
    if house.store.row("voucher", used) is not None:
        raise Conflict("this voucher was used before", code="voucher_used", hint="one voucher is for one call, once")
    unit = house.store.unit()
    unit.save_row("voucher", used, {"task": task, "at_ms": house.clock.wall_ms()})
    unit.commit()


def _unknown(decision: str) -> NotFound:
    return NotFound(
        f"nothing is asked for under {decision!r}", code="approval_unknown", hint="see `flyball approvals`; tasks end"
    )
