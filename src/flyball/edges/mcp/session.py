"""One client's conversation with one server, with every call decided on its way.

What passes unchanged passes as its own bytes; what is not known does not pass. For each request that is governed:
the question is asked and its record durable, then the request goes on; its result is told to the decision plane, and
then the client gets it. When the task is over, what is under way is cancelled at the server and refused to the client.

Memory is bounded: `MAX_FLIGHTS` requests of at most `frames.MAX_FRAME` bytes, and the small tables beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from flyball.edges.mcp.judge import Judge, Refused
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import checks, frames, results
from flyball.enforcement.mcp.asking import Asking
from flyball.enforcement.mcp.checks import Ask
from flyball.enforcement.mcp.frames import INTERNAL, INVALID, UNKNOWN_METHOD, Frame, Id, Malformed, Message, Object
from flyball.enforcement.mcp.pins import fingerprint
from flyball.enforcement.mcp.results import Refusal
from flyball.kernel.errors import FlyballError

MAX_FLIGHTS: Final = 128
MAX_ASKED: Final = 64
MAX_TASKS: Final = 1024
CALL_S: Final = 600.0
"""Seconds that a server may take for one request."""
log = structlog.get_logger("flyball.mcp")

Send = Callable[[Message], Awaitable[None]]
Local = Callable[[Frame], Awaitable[Object] | None]
"""Answers calls of the gateway's own tools; None for a tool that is none of them."""


@dataclass(slots=True)
class Flight:
    """A client's request under way."""

    frame: Frame
    decision: str = ""
    began_s: float = field(default_factory=time.monotonic)
    sent: bool = False
    unwanted: bool = False
    ours: bool = False
    work: asyncio.Task[None] | None = None
    late: asyncio.TimerHandle | None = None


class Session:
    """Between a client and a server. `judge` None: no task has begun, and only the gateway's own tools answer."""

    def __init__(
        self,
        judge: Judge | None,
        tools: Tools,
        *,
        to_client: Send,
        to_server: Send,
        local: Local = lambda _frame: None,
        call_s: float = CALL_S,
        asking: Asking | None = None,
    ) -> None:
        self.judge = judge
        self.tools = tools
        self.over = ""
        """Why no call is allowed any more, or for now; empty while calls are decided one by one."""
        self._to_client = to_client
        self._to_server = to_server
        self._local = local
        self._call_s = call_s
        self._asking = asking or Asking("")
        self._flights: dict[Id, Flight] = {}
        self._asked: set[Id] = set()
        self._own: dict[Id, asyncio.Future[Object]] = {}
        self._own_count = 0
        self._mcp_tasks: dict[str, str] = {}
        self._telling = asyncio.Lock()
        self._told: dict[str, str] = {}
        self._workers: set[asyncio.Task[None]] = set()

    # --- from the client ----------------------------------------------------------------------

    async def from_client(self, message: Message) -> None:
        """Take one message of the client's."""
        try:
            frame = frames.frame_of(message)
        except Malformed as fault:
            await self._to_client(frames.error(fault.id, fault.code, fault.text))
            return
        if frame.is_response:
            if frame.id in self._asked:
                self._asked.discard(frame.id)
                await self._to_server(frame)
        elif not frame.is_request:
            await self._notified(frame)
        elif frame.id in self._flights or (isinstance(frame.id, str) and frame.id.startswith("flyball:")):
            await self._to_client(frames.error(frame.id, INVALID, "this id is in use"))
        elif len(self._flights) >= MAX_FLIGHTS:
            text = f"more than {MAX_FLIGHTS} requests at once"
            await self._to_client(frames.error(frame.id, INTERNAL, text))
        else:
            await self._requested(frame)

    async def _notified(self, frame: Frame) -> None:
        if frame.method not in checks.FROM_CLIENT:
            return
        if frame.method == "notifications/cancelled":
            ident = frame.params.get("requestId")
            flight = self._flights.get(ident) if isinstance(ident, str | int) else None
            if flight is None:
                return
            if not flight.sent:  # it is still being decided: it never leaves, and nobody waits for its answer
                self._land(flight)
                return
            flight.unwanted = True  # its id stays taken until the server is done with it, and is told to nobody
        await self._to_server(frame)

    async def _requested(self, frame: Frame) -> None:
        assert frame.id is not None
        flight = Flight(frame)
        method = frame.method
        if method in checks.HANDSHAKE or method in checks.PLAIN:
            self._flights[frame.id] = flight
            await self._send(flight)
        elif method in checks.LISTS:
            self._flights[frame.id] = flight
            await self._list(flight)
        elif method in checks.GOVERNED or method in checks.OF_TASKS or method == checks.LISTEN:
            self._flights[frame.id] = flight
            flight.ours = self.tools.is_own(frame)  # known before anything else runs: see `stop`
            flight.work = self._spawn(self._govern(flight))
        else:
            await self._to_client(frames.error(frame.id, UNKNOWN_METHOD, f"{method[:64]!r} does not pass here"))

    async def _list(self, flight: Flight) -> None:
        frame = flight.frame
        if self.judge is not None and not self.over:
            await self._send(flight)
        elif frame.method == "tools/list":
            await self._answer(flight, frames.response(frame.id, self.tools.own_list(frame)))
        else:
            await self._answer(flight, Refusal(self.over or "no_task").answer(frame))

    async def _govern(self, flight: Flight) -> None:
        """Decide on one request, and send it on or refuse it."""
        frame = flight.frame
        try:
            own = self._local(frame)
            flight.ours = own is not None  # what ends a task is not refused because the task is over
            if own is not None:
                await self._answer(flight, frames.response(frame.id, await own))
                return
            await self._decide(flight)
            if self.over:
                raise Refused(Refusal(self.over, flight.decision))
            await self._send(flight)
        except Malformed as fault:
            await self._answer(flight, frames.error(frame.id, fault.code, fault.text))
        except Refused as refused:
            # Asked once. Whoever made the call again, before anybody has answered, is told so in plain words.
            task = self.judge.task if self.judge is not None else ""
            asked = self._asking.question(frame, refused.refusal, task) if flight.frame is frame else None
            await self._answer(flight, asked or refused.refusal.answer(frame))
        except FlyballError as fault:  # a fault of ours is no decision, and no allow either
            log.warning("a call was not decided", method=frame.method, code=fault.code)
            await self._answer(flight, Refusal(fault.code).answer(frame))

    async def _decide(self, flight: Flight) -> None:
        frame, judge = flight.frame, self.judge
        if self.over:
            raise Refused(Refusal(self.over))
        if judge is None:
            raise Refused(Refusal("no_task"))
        if frame.method in checks.OF_TASKS:
            flight.decision = self._task_decision(frame)
            return
        if frame.method == checks.LISTEN:
            for ask in checks.listened(frame):
                await judge.check(self.tools.named(ask))
            for one in checks.listened_tasks(frame):
                if one not in self._mcp_tasks:
                    raise Refused(Refusal("task_unknown"))
            return
        flight.frame = self._asking.returned(frame, judge.task) or frame
        ask = checks.ask_of(frame)
        if ask.tool:
            await self._approved(judge, ask, frame)
        flight.decision = await judge.check(self.tools.named(ask))

    async def _approved(self, judge: Judge, ask: Ask, frame: Frame) -> None:
        """Raise unless the tool's definition, as the server tells it now, is the one that a person approved."""
        if self.tools.pinned and not self.tools.seen:
            await self.refresh(frame)
        why = self.tools.objection(ask.tool)
        if why:
            log.warning("a call of a tool that is not approved", tool=ask.tool[:64], reason=why)
            raise Refused(Refusal(why, await judge.note(self.tools.unapproved(ask, why))))

    def _task_decision(self, frame: Frame) -> str:
        """The decision under which an MCP task was started; a task of somebody else's is not known here."""
        ident = frame.params.get("taskId")
        if not isinstance(ident, str) or ident not in self._mcp_tasks:
            raise Malformed("no such task", frames.PARAMS, frame.id)
        return self._mcp_tasks[ident]

    # --- from the server ----------------------------------------------------------------------

    async def from_server(self, message: Message) -> None:
        """Take one message of the server's. One that is none, or answers nothing, is dropped."""
        try:
            frame = frames.frame_of(message)
        except Malformed as fault:
            log.warning("the server sent what is no message", why=fault.text)
            lost = self._flights.get(fault.id) if fault.id is not None else None
            if lost is not None and lost.sent:
                text = "the server's answer could not be read"
                await self._answer(lost, frames.error(lost.frame.id, INTERNAL, text))
            return
        if frame.is_response:
            await self._responded(frame)
        elif frame.is_request:
            await self._asked_by_server(frame)
        else:
            if frame.method == "notifications/tools/list_changed":
                self.tools.forget()
            await self._to_client(frame)

    async def _asked_by_server(self, frame: Frame) -> None:
        assert frame.id is not None
        if frame.method not in checks.FROM_SERVER or len(self._asked) >= MAX_ASKED or frame.id in self._asked:
            await self._to_server(frames.error(frame.id, UNKNOWN_METHOD, "not passed on"))
            return
        self._asked.add(frame.id)
        await self._to_client(frame)

    async def _responded(self, frame: Frame) -> None:
        own = self._own.pop(frame.id, None) if frame.id is not None else None
        if own is not None:
            if not own.done():
                own.set_result(frame.result)
            return
        flight = self._flights.get(frame.id) if frame.id is not None else None
        if flight is None or not flight.sent or flight.work is not None:
            return  # an answer to nothing, or a second one
        if "error" in frame.body:
            await self._answer(flight, frame)
        elif flight.decision:
            flight.work = self._spawn(self._report(flight, frame))
        elif flight.frame.method in checks.LISTS or flight.frame.method in checks.HANDSHAKE:
            shown = self.tools.shown(flight.frame, frame.result, self.judge)
            await self._answer(flight, frames.dumps({**frame.body, "result": shown}))
        else:
            await self._answer(flight, frame)

    async def _report(self, flight: Flight, frame: Frame) -> None:
        """Tell the plane what came back; then, and only then, the client."""
        result, method, answer = frame.result, flight.frame.method, frame
        self._remember_task(result, flight.decision)
        of_task = method in checks.OF_TASKS
        kept = None if method == "tasks/result" else results.going_on(result, of_task=of_task)
        if kept is not None and kept != result:
            answer = frames.read(frames.dumps({**frame.body, "result": kept}))
        ended = result if kept is None else kept.get("result")
        judge = self.judge
        try:
            if isinstance(ended, dict) and judge is not None:
                await self._tell(judge, flight, ended, len(frame.raw))
        except FlyballError as fault:
            log.warning("a result could not be recorded, and is withheld", code=fault.code, decision=flight.decision)
            await self._answer(flight, Refusal("result_not_recorded", flight.decision).answer(flight.frame))
            return
        await self._answer(flight, answer)

    async def _tell(self, judge: Judge, flight: Flight, ended: Object, size: int) -> None:
        """Tell one result. An MCP task's may be asked for again: it is told once, and is the same each time.

        Raises:
            FlyballError: it was not taken.
        """
        method = flight.frame.method
        ms = int((time.monotonic() - flight.began_s) * 1000)
        if method not in checks.OF_TASKS:
            await judge.report(flight.decision, results.reported(method, ended), size=size, ms=ms)
            return
        async with self._telling:
            same = fingerprint(ended)
            if self._told.get(flight.decision) == same:
                return
            if not await judge.report(flight.decision, results.reported("tools/call", ended), size=size, ms=ms):
                raise FlyballError("another result was told of this task before", code="already_reported")
            if len(self._told) >= MAX_TASKS:
                self._told.pop(next(iter(self._told)))
            self._told[flight.decision] = same

    def _remember_task(self, result: Object, decision: str) -> None:
        told = result.get("task") if isinstance(result.get("task"), dict) else result
        ident = told.get("taskId") if isinstance(told, dict) else None
        if isinstance(ident, str) and ident not in self._mcp_tasks:
            if len(self._mcp_tasks) >= MAX_TASKS:
                self._mcp_tasks.pop(next(iter(self._mcp_tasks)))
            self._mcp_tasks[ident] = decision

    # --- its own requests ---------------------------------------------------------------------

    async def ask(self, method: str, params: Object, *, within_s: float = 30.0) -> Object:
        """Ask the server something for ourselves; its result, empty where it answered with an error.

        Raises:
            TimeoutError: it did not answer.
        """
        self._own_count += 1
        ident = f"flyball:{self._own_count}"
        future: asyncio.Future[Object] = asyncio.get_running_loop().create_future()
        self._own[ident] = future
        try:
            await self._to_server(frames.request(ident, method, params))
            return await asyncio.wait_for(future, within_s)
        finally:
            self._own.pop(ident, None)

    async def refresh(self, like: Frame) -> None:
        """Read all the server's tools anew; `like` is a request whose revision ours is to have."""
        cursor: object = None
        with contextlib.suppress(TimeoutError):
            for _ in range(self.tools.MAX_PAGES):
                params: Object = {"_meta": _meta_of(like)} if like.modern else {}
                if isinstance(cursor, str):
                    params["cursor"] = cursor
                page = await self.ask("tools/list", params)
                self.tools.see(page)
                cursor = page.get("nextCursor")
                if not isinstance(cursor, str):
                    self.tools.seen = True
                    return

    # --- the ends -----------------------------------------------------------------------------

    async def stop(self, why: str) -> None:
        """No call is allowed any more: cancel what is under way at the server, refuse it to the client."""
        self.over = why
        for flight in [one for one in self._flights.values() if not one.ours and (one.decision or one.work)]:
            ident = flight.frame.id
            if flight.sent and ident is not None:
                with contextlib.suppress(OSError):
                    await self._to_server(results.cancelled(ident, "the task is over"))
            await self._answer(flight, Refusal(why, flight.decision).answer(flight.frame))

    async def server_gone(self) -> None:
        """The server has ended: whatever waits for it is told so."""
        for flight in list(self._flights.values()):
            if flight.sent:
                await self._answer(flight, frames.error(flight.frame.id, INTERNAL, "the server has ended"))
        for future in self._own.values():
            if not future.done():
                future.set_result({})

    async def close(self) -> None:
        """Drop everything."""
        for worker in list(self._workers):
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for flight in list(self._flights.values()):
            self._land(flight)

    # --- inside -------------------------------------------------------------------------------

    async def _send(self, flight: Flight) -> None:
        flight.sent = True
        flight.work = None
        loop = asyncio.get_running_loop()
        if flight.frame.method != checks.LISTEN:
            flight.late = loop.call_later(self._call_s, lambda: self._spawn(self._too_late(flight)))
        try:
            await self._to_server(flight.frame)
        except OSError:
            await self._answer(flight, frames.error(flight.frame.id, INTERNAL, "the server has ended"))

    async def _too_late(self, flight: Flight) -> None:
        ident = flight.frame.id
        if ident is None or self._flights.get(ident) is not flight or flight.work is not None:
            return
        with contextlib.suppress(OSError):
            await self._to_server(results.cancelled(ident, "no answer in time"))
        await self._answer(flight, frames.error(ident, INTERNAL, "the server did not answer in time"))

    async def _answer(self, flight: Flight, message: Message) -> None:
        """The one answer of a request: a second one, from whoever lost the race, goes nowhere."""
        ident = flight.frame.id
        if ident is None or self._flights.get(ident) is not flight:
            return
        self._land(flight)
        if not flight.unwanted:
            await self._to_client(message)

    def _land(self, flight: Flight) -> None:
        ident = flight.frame.id
        if ident is not None and self._flights.get(ident) is flight:
            del self._flights[ident]
        if flight.late is not None:
            flight.late.cancel()
        if flight.work is not None and flight.work is not asyncio.current_task():
            flight.work.cancel()

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._workers.add(task)
        task.add_done_callback(self._workers.discard)
        return task


def _meta_of(frame: Frame) -> Object:
    """The revision and capabilities of a request, for ours beside it."""
    kept = ("io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities")
    return {name: frame.meta[name] for name in kept if name in frame.meta}
