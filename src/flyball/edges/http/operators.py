"""What operators call. Each route authenticates before it reads anything else (`OperatorRoute`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from flyball.edges.http import models, problems
from flyball.edges.http.deps import (
    DecisionId,
    Empty,
    HouseDep,
    LeaseId,
    NamePath,
    OperatorDep,
    OperatorPlaces,
    OperatorRoute,
    ProofDep,
    ReceiptId,
    TaskId,
    answer,
    ended_json,
)
from flyball.flow import approvals, bundles, end, labels, operate, story, targets
from flyball.flow.asks import RecordFilter
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json

router = APIRouter(prefix="/v1", route_class=OperatorRoute, tags=["operators"])

Limit = Annotated[int, Query(ge=1, le=1000)]
States = Annotated[list[Annotated[str, Query(max_length=32)]] | None, Query(max_length=16)]
NameQuery = Annotated[str | None, Query(pattern=models.NAME)]
TaskQuery = Annotated[str | None, Query(pattern=models.TASK)]
LeaseQuery = Annotated[str | None, Query(pattern=models.LEASE)]


@router.get("/tasks", response_model=models.TaskList, summary="Tasks, newest first")
def tasks(
    house: HouseDep, state: States = None, agent: NameQuery = None, owner: NameQuery = None, limit: Limit = 100
) -> Response:
    """Filter by state (several), agent, owner."""
    found: list[Json] = [*operate.tasks(house, states=state, agent=agent, owner=owner, limit=limit)]
    return answer({"tasks": found})


@router.get("/tasks/{task}", response_model=models.Anything, summary="One task")
def task(house: HouseDep, task: TaskId) -> Response:
    """With its inputs and who vouched for them, its leases and its last records."""
    return answer(operate.task(house, task))


@router.get("/tasks/{task}/story", response_model=models.Anything, summary="What one task has done so far")
def task_story(house: HouseDep, places: OperatorPlaces, task: TaskId) -> Response:
    """Inputs and their vouching, plan, calls with reasons, results with who can write their fields, labels, budgets."""
    with places.one():
        return answer(story.of_task(house, task))


@router.get("/approvals", response_model=models.ApprovalList, summary="What waits for a person")
def list_approvals(
    house: HouseDep, state: Annotated[str | None, Query(max_length=32)] = None, task: TaskQuery = None
) -> Response:
    """Of live tasks, oldest first; all states where none is named."""
    found: list[Json] = [*approvals.listed(house, task=task, state=state)]
    return answer({"approvals": found})


@router.post("/approvals/{decision}", response_model=models.Settled, summary="Approve or refuse one call")
def settle_approval(
    house: HouseDep, by: OperatorDep, proof: ProofDep, decision: DecisionId, ask: models.Settle
) -> Response:
    """Good for exactly that call, once. Never over the agent's own connection; a step-up can only be refused here."""
    return answer(approvals.settle(house, decision, ask.outcome, by=by, note=ask.note, shown=proof))


@router.post("/tasks/{task}/revoke", response_model=models.Ended, summary="Revoke a task")
def revoke_task(
    house: HouseDep, by: OperatorDep, places: OperatorPlaces, task: TaskId, ask: models.Revoke | None = None
) -> Response:
    """Fence it, and take back all that it holds. Answers once the fence is on disk, at the latest after `wait_ms`."""
    ask = ask or models.Revoke()
    with places.one():
        return answer(ended_json(end.revoke_task(house, task, by=by, reason=ask.reason, wait_ms=ask.wait_ms)))


@router.post("/tasks/{task}/suspend", response_model=models.Ended, summary="Suspend a task")
def suspend_task(house: HouseDep, by: OperatorDep, task: TaskId, ask: models.Reason | None = None) -> Response:
    """Refuse everything of it until it is resumed; its leases are taken back."""
    return answer(ended_json(end.suspend_task(house, task, by=by, reason=(ask or models.Reason()).reason)))


@router.post("/tasks/{task}/resume", response_model=models.Ended, summary="Resume a task")
def resume_task(house: HouseDep, by: OperatorDep, task: TaskId, ask: models.Reason | None = None) -> Response:
    """Let a suspended or frozen task go on. It asks for its credentials anew."""
    return answer(ended_json(end.resume_task(house, task, by=by, reason=(ask or models.Reason()).reason)))


@router.post("/agents/{name}/revoke", response_model=models.Ended, summary="Revoke every task of an agent")
def revoke_agent(
    house: HouseDep, by: OperatorDep, places: OperatorPlaces, name: NamePath, ask: models.Revoke | None = None
) -> Response:
    """The agent may open new ones; suspend it to stop that too."""
    ask = ask or models.Revoke()
    with places.one():
        return answer(ended_json(end.revoke_agent(house, name, by=by, reason=ask.reason, wait_ms=ask.wait_ms)))


_STATES = {"suspend": "suspended", "resume": "active", "quarantine": "quarantined"}


@router.post("/agents/{name}/fresh", response_model=models.Anything, summary="Say that an agent's instances are fresh")
def fresh_agent(house: HouseDep, by: OperatorDep, name: NamePath, ask: models.Reason | None = None) -> Response:
    """What earlier instances have touched follows no later task. Refused while the agent has tasks."""
    return answer(labels.fresh(house, name, by=by, reason=(ask or models.Reason()).reason))


@router.post("/agents/{name}/{change}", response_model=models.Ended, summary="Suspend, resume or quarantine an agent")
def change_agent(
    house: HouseDep,
    by: OperatorDep,
    places: OperatorPlaces,
    name: NamePath,
    change: Literal["suspend", "resume", "quarantine"],
    ask: models.Revoke | None = None,
) -> Response:
    """Anything but `resume` ends the agent's tasks and refuses new ones."""
    ask = ask or models.Revoke()
    with places.one():
        ended = end.set_agent_state(house, name, _STATES[change], by=by, reason=ask.reason, wait_ms=ask.wait_ms)
    return answer(ended_json(ended))


@router.post("/owners/{name}/revoke", response_model=models.Ended, summary="Revoke every task of an owner's agents")
def revoke_owner(
    house: HouseDep, by: OperatorDep, places: OperatorPlaces, name: NamePath, ask: models.Revoke | None = None
) -> Response:
    """All of them, at once."""
    ask = ask or models.Revoke()
    with places.one():
        return answer(ended_json(end.revoke_owner(house, name, by=by, reason=ask.reason, wait_ms=ask.wait_ms)))


@router.get("/leases", response_model=models.LeaseList, summary="Leases, oldest first")
def leases(
    house: HouseDep,
    state: States = None,
    task: TaskQuery = None,
    agent: NameQuery = None,
    target: NameQuery = None,
    limit: Limit = 100,
) -> Response:
    """Filter by state (several), task, agent, target. No secret is shown."""
    found: list[Json] = [*operate.leases(house, states=state, task=task, agent=agent, target=target, limit=limit)]
    return answer({"leases": found})


@router.post("/leases/{lease}/revoke", response_model=models.Ended, summary="Revoke one lease")
def revoke_lease(
    house: HouseDep, by: OperatorDep, places: OperatorPlaces, lease: LeaseId, ask: models.Revoke | None = None
) -> Response:
    """Its task goes on without it."""
    ask = ask or models.Revoke()
    with places.one():
        return answer(ended_json(end.revoke_lease(house, lease, by=by, reason=ask.reason, wait_ms=ask.wait_ms)))


@router.get("/receipts", response_model=models.ReceiptList, summary="Receipts, newest last")
def receipts(house: HouseDep, task: TaskQuery = None, lease: LeaseQuery = None, limit: Limit = 100) -> Response:
    """Signed evidence of revocations: the DSSE envelope, and its payload decoded."""
    found: list[Json] = [*operate.receipts(house, task=task, lease=lease, limit=limit)]
    return answer({"receipts": found})


@router.get("/receipts/{receipt}", response_model=models.Anything, summary="One receipt")
def receipt(house: HouseDep, receipt: ReceiptId) -> Response:
    """The DSSE envelope, and its payload decoded."""
    return answer(operate.receipt(house, receipt))


@router.get("/decisions/{decision}", response_model=models.Anything, summary="Why a decision came out as it did")
def decision(house: HouseDep, decision: DecisionId) -> Response:
    """Rule, bounds, policies, and the arguments while the task's key lives."""
    return answer(operate.why(house, decision))


@router.get("/records", response_model=models.RecordList, summary="Records, newest last")
def records(
    house: HouseDep,
    kind: States = None,
    task: TaskQuery = None,
    since_ms: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
    limit: Limit = 100,
) -> Response:
    """Filter by kind (several), task and time. What is sealed stays sealed."""
    wanted = RecordFilter(frozenset(kind or ()), task, since_ms, limit)
    found: list[Json] = [*operate.records(house, wanted)]
    return answer({"records": found})


@router.get("/targets", response_model=models.TargetList, summary="The targets, looked at now")
def list_targets(house: HouseDep, places: OperatorPlaces) -> Response:
    """Whether each answers, who Flyball is there, and when its own login was last rotated."""
    with places.one():
        found: list[Json] = [*targets.listed(house)]
    return answer({"targets": found})


@router.post("/targets/{name}/rotate", response_model=models.Rotated, summary="Rotate Flyball's own login at a target")
def rotate_target(
    house: HouseDep, by: OperatorDep, places: OperatorPlaces, name: NamePath, ask: models.Reason | None = None
) -> Response:
    """A new secret, verified before the old one is let go. Leases and their sessions are not touched."""
    with places.one():
        return answer(targets.rotate(house, name, by=by, reason=(ask or models.Reason()).reason))


@router.post(
    "/targets/{name}/adopt", response_model=models.Adopted, summary="Take back what a lost store left at a target"
)
def adopt_target(
    house: HouseDep, by: OperatorDep, places: OperatorPlaces, name: NamePath, ask: models.Adopt
) -> Response:
    """All of that store and our issuer that stands there now, with its sessions; nothing while its Flyball works."""
    with places.one():
        return answer(targets.adopt(house, name, ask.store, by=by, reason=ask.reason))


@router.get("/status", response_model=models.Anything, summary="How the house stands")
def status(house: HouseDep, places: OperatorPlaces) -> Response:
    """`ok` is false while anything is quarantined, unreachable or over-privileged, or certificates cannot be used."""
    with places.one():
        return answer(operate.status(house))


@router.get("/metrics", response_class=PlainTextResponse, summary="The same, counted, as Prometheus text")
def metrics(house: HouseDep) -> Response:
    """Text format 0.0.4."""
    return PlainTextResponse(operate.metrics(house), media_type="text/plain; version=0.0.4")


@router.post("/bundle", response_model=models.Anything, summary="Read the bundle's folder anew")
def bundle(request: Request, house: HouseDep, by: OperatorDep, places: OperatorPlaces, _: Empty = None) -> Response:
    """Validates it and puts it in force; a bad one is refused with its findings, and the running one stays."""
    try:
        with places.one():
            return answer(bundles.activate(house, None, by=by))
    except ConfigError as fault:
        found: Sequence[_Finding] = getattr(fault, "diagnostics", ())
        listed: list[Json] = [one.as_json() for one in found]
        return problems.problem(
            422,
            fault.code,
            fault.detail,
            hint=fault.hint,
            request_id=problems.id_of(request),
            extra={"diagnostics": listed},
        )


class _Finding(Protocol):
    as_json: Callable[[], dict[str, Json]]
