"""What agents call: open a task, keep it alive, get its credentials, end it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from flyball.edges.http import models
from flyball.edges.http.deps import (
    AgentPlaces,
    Empty,
    HouseDep,
    LeaseId,
    NamePath,
    ProofDep,
    Stopping,
    StrictRoute,
    TaskId,
    Watchers,
    answer,
    ended_json,
    nothing,
)
from flyball.flow import approvals, holder, request
from flyball.flow import connect as connecting
from flyball.flow.asks import OpenAsk, Released
from flyball.kernel.errors import InvalidInput
from flyball.kernel.json import Json

WATCH_S = 0.02
"""Seconds between two looks at a watched task; a look costs microseconds."""

router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["tasks"])


@router.post("/tasks", status_code=201, response_model=models.Opened, summary="Open a task")
def open_task(house: HouseDep, proof: ProofDep, ask: models.OpenTask) -> Response:
    """Show a workload's token (JWT-SVID or OIDC) and offer a key with a DPoP proof, or call over the Unix socket.

    With `parent`, its own token with the proof that it is bound to will do as well.
    """
    if ask.parent is None and (ask.actions is not None or ask.allot is not None):
        raise InvalidInput("`actions` and `allot` narrow a child", code="parent_missing", hint="name its `parent`")
    asked = OpenAsk(
        ask.profile,
        ask.inputs,
        tuple(ask.vouchers),
        plan=None if ask.plan is None else plan_json(ask.plan),
        parent=ask.parent or "",
        actions=ask.actions,
        allot=ask.allot,
    )
    opened = request.open_task(house, proof, asked)
    return answer(
        {
            "task": opened.task,
            "token": opened.token.reveal(),
            "token_type": opened.token_type,
            "expires_in": opened.expires_in,
            "heartbeat_ms": opened.heartbeat_ms,
            "hard_end_ms": opened.hard_end_ms,
            "state": opened.state,
            "credentials": list(opened.credentials),
            "brokered": list(opened.brokered),
            "check_endpoints": list(opened.check_endpoints),
        },
        201,
    )


@router.post("/whoami", response_model=models.Who, summary="Whom a workload's token shows")
def whoami(house: HouseDep, proof: ProofDep, _: Empty = None) -> Response:
    """Shown as for opening a task. For gateways that take tokens: they open nothing by asking."""
    return answer(holder.whoami(house, proof))


@router.post("/tasks/{task}/plan", status_code=204, summary="Say which effects the task is for")
def plan(house: HouseDep, proof: ProofDep, task: TaskId, ask: models.DeclarePlan) -> Response:
    """It is held to them; reads stay as the profile has them. Once, and before it reads what an outsider can write."""
    request.declare_plan(house, proof, task, plan_json(ask.plan))
    return nothing()


@router.post("/tasks/{task}/step-up", response_model=models.Settled, summary="Bring somebody's signed word for a call")
def step_up(house: HouseDep, proof: ProofDep, task: TaskId, ask: models.StepUp) -> Response:
    """Where a check was answered `step_up`. What was answered `require_approval` is never settled here."""
    return answer(approvals.step_up(house, proof, task, ask.decision, ask.voucher))


@router.post("/tasks/{task}/heartbeat", response_model=models.Renewed, summary="Say that the task's holder is alive")
def heartbeat(house: HouseDep, proof: ProofDep, task: TaskId, _: Empty = None) -> Response:
    """Answers with a fresh token. A missed heartbeat ends the task."""
    renewed = request.heartbeat(house, proof, task)
    return answer(
        {
            "token": renewed.token.reveal(),
            "token_type": renewed.token_type,
            "expires_in": renewed.expires_in,
            "state": renewed.state,
            "next_ms": renewed.next_ms,
        }
    )


@router.post(
    "/tasks/{task}/credentials/{name}", status_code=201, response_model=models.Credential, summary="Get a credential"
)
def credential(
    house: HouseDep, proof: ProofDep, places: AgentPlaces, task: TaskId, name: NamePath, _: Empty = None
) -> Response:
    """One of the profile's credentials. Acknowledge it with `delivered`, else it is taken back."""
    with places.one():
        released = request.credential(house, proof, task, name)
    return answer(handed(released), 201)


@router.post(
    "/tasks/{task}/connect", status_code=201, response_model=models.Credential, summary="Get a ticket for a gateway"
)
def connect(house: HouseDep, proof: ProofDep, places: AgentPlaces, task: TaskId, ask: models.Connect) -> Response:
    """For a brokered credential: where the gateway is, and a name and secret of minutes for it. The target's own secret
    stays with the gateway, which decides each statement. Nothing is to be acknowledged."""
    with places.one():
        ticket = connecting.connect(house, proof, task, ask.credential, ask.renew)
    return answer(handed(ticket), 201)


@router.post("/leases/{lease}/delivered", status_code=204, summary="Acknowledge a credential")
def delivered(house: HouseDep, proof: ProofDep, lease: LeaseId, ask: models.Delivered | None = None) -> Response:
    """The holder has the credential."""
    request.delivered(house, proof, lease, (ask or models.Delivered()).handover)
    return nothing()


@router.post("/tasks/{task}/end", response_model=models.Receipts, summary="End the task")
def end(house: HouseDep, proof: ProofDep, places: AgentPlaces, task: TaskId, _: Empty = None) -> Response:
    """Give the privilege back. Ending twice answers with the same receipts."""
    with places.one():
        ended = ended_json(request.end_task(house, proof, task))
    return answer({name: ended[name] for name in ("receipts", "pending", "unmet")})


@router.post("/tasks/{task}/result", response_model=models.Taken, summary="Report the result of an allowed call")
def result(house: HouseDep, proof: ProofDep, task: TaskId, ask: models.Result) -> Response:
    """Under the task's own token a result is the agent's word: it satisfies no rule that asks for an origin.

    Enforcement points report at the decision plane, `POST /access/v1/result`.
    """
    meta = cast("dict[str, Json]", ask.meta.model_dump(exclude_none=True))
    return answer(request.report_result(house, proof, task, ask.decision, ask.result, meta))


@router.post("/tasks/{task}/actions", response_model=models.Actions, summary="What the task may do at all")
def actions(house: HouseDep, proof: ProofDep, task: TaskId, _: Empty = None) -> Response:
    """Names for a list of tools. No permission: each call is decided by its arguments, budgets and origins."""
    return answer({"actions": [*holder.actions(house, proof, task)]})


@router.post("/tasks/{task}/watch", response_model=models.State, summary="Wait until the task's state changes")
async def watch(
    house: HouseDep, proof: ProofDep, watchers: Watchers, stopping: Stopping, task: TaskId, ask: models.Watch
) -> Response:
    """Answers once the state is another than the one named, at the latest after `wait_ms`. What holds an agent's live
    connections asks so, and learns of a fence in some milliseconds instead of at its next heartbeat."""
    await run_in_threadpool(holder.authenticate, house, proof, task)
    with watchers.one():
        until = time.monotonic() + ask.wait_ms / 1000
        while (found := holder.state(house, task)) == ask.state and time.monotonic() < until and not stopping():
            await asyncio.sleep(WATCH_S)
    return answer({"state": found})


@router.post("/tasks/{task}/park", response_model=models.State, summary="Let the task wait without privilege")
def park(house: HouseDep, proof: ProofDep, task: TaskId, _: Empty = None) -> Response:
    """For hours or days, within its profile's time: no call is allowed, its leases are taken back."""
    return answer({"state": holder.park(house, proof, task)})


@router.post("/tasks/{task}/unpark", response_model=models.State, summary="Let a parked task go on")
def unpark(house: HouseDep, proof: ProofDep, task: TaskId, _: Empty = None) -> Response:
    """If it could be opened now: agent, profile and policy are looked at again. Credentials are asked for anew."""
    return answer({"state": holder.unpark(house, proof, task)})


def handed(released: Released) -> dict[str, Json]:
    """A credential or a ticket, as its holder gets it."""
    return {
        "lease": released.lease,
        "target": released.target,
        "connection": dict(released.connection),
        "secret": released.secret.reveal(),
        "expires_ms": released.expires_ms,
        "delivery": released.delivery,
    }


def plan_json(entries: Sequence[models.PlanEntry]) -> list[Json]:
    """A plan as `flow` takes it."""
    return [cast("Json", entry.model_dump()) for entry in entries]
