"""What routes are given: the house, the caller's proof, a place among the slow ones; and how they answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Body, Depends, Path, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flyball.edges.http import models, strict_json
from flyball.edges.http.proofs import authorization_of, proof_of
from flyball.flow import operate
from flyball.flow.asks import Ended, Proof
from flyball.flow.house import House
from flyball.kernel.errors import InvalidInput, Unavailable
from flyball.kernel.json import Json

AGENT_PLACES = 32
OPERATOR_PLACES = 32
WATCH_PLACES = 256
THREADS = 128
"""Threads for handlers. More than both kinds of slow places, so that heartbeats always find one."""


class Places:
    """How many slow requests of a kind may run at once; one more is refused, not queued."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place for the time of the block.

        Raises:
            Unavailable: `busy`.
        """
        if not self._free.acquire(blocking=False):
            raise Unavailable("too many requests of this kind are under way", code="busy", hint="try again shortly")
        try:
            yield
        finally:
            self._free.release()


class StrictRoute(APIRoute):
    """A route whose body is read by `strict_json`, and must say that it is JSON."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI): the body is read strictly here, and handed on as plain JSON again."""
        request = Request(scope, receive)
        await self.admit(request)
        body = await request.body()
        if body:
            media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media != "application/json":
                raise InvalidInput("the body must be `application/json`", code="media_type")
            body = json.dumps(strict_json.loads(body)).encode()

        async def again() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        await super().handle(scope, again, send)

    async def admit(self, request: Request) -> None:
        """Refuse what need not be read. Any caller is let through here."""


class OperatorRoute(StrictRoute):
    """A route for operators: nothing of a stranger's request is looked at but its `Authorization`."""

    async def admit(self, request: Request) -> None:
        """Let an operator through, and remember who it is.

        Raises:
            Unauthenticated: no operator's token.
        """
        house: House = request.app.state.house
        shown = authorization_of(request)
        request.state.operator = await run_in_threadpool(operate.authenticate, house, shown)


async def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


async def _proof(request: Request) -> Proof:
    return proof_of(request, request.app.state.public_url)


async def _operator(request: Request) -> str:
    return str(request.state.operator)


async def _agent_place(request: Request) -> Places:
    places: Places = request.app.state.agent_places
    return places


async def _watchers(request: Request) -> Places:
    places: Places = request.app.state.watchers
    return places


async def _stopping(request: Request) -> Callable[[], bool]:
    state = request.app.state
    return lambda: bool(state.stopping)


async def _operator_place(request: Request) -> Places:
    places: Places = request.app.state.operator_places
    return places


HouseDep = Annotated[House, Depends(_house)]
ProofDep = Annotated[Proof, Depends(_proof)]
OperatorDep = Annotated[str, Depends(_operator)]
AgentPlaces = Annotated[Places, Depends(_agent_place)]
Watchers = Annotated[Places, Depends(_watchers)]
Stopping = Annotated[Callable[[], bool], Depends(_stopping)]
OperatorPlaces = Annotated[Places, Depends(_operator_place)]
TaskId = Annotated[str, Path(pattern=models.TASK)]
LeaseId = Annotated[str, Path(pattern=models.LEASE)]
ReceiptId = Annotated[str, Path(pattern=models.RECEIPT)]
DecisionId = Annotated[str, Path(pattern=models.DECISION)]
NamePath = Annotated[str, Path(pattern=models.NAME)]
Empty = Annotated[models.Nothing | None, Body()]


def answer(value: Json, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(json.dumps(value), status_code=status, media_type="application/json")


def nothing() -> Response:
    """204."""
    return Response(status_code=204)


def ended_json(ended: Ended) -> dict[str, Json]:
    """What an end or revocation set going."""
    receipts: list[Json] = [dict(one) for one in ended.receipts]
    return {
        "tasks": list(ended.tasks),
        "receipts": receipts,
        "pending": list(ended.pending),
        "unmet": list(ended.unmet),
    }
