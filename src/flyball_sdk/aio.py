"""The same client for asyncio: `async with flyball_sdk.aio.task(...) as task:`.

What the classes and methods mean stands in `flyball_sdk`; here they are awaited. A task belongs to
the event loop that opened it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import httpx

from flyball_sdk import _settings, _shared
from flyball_sdk._guard import Asked, Resource, observed, say_cooperative, unwanted
from flyball_sdk._json import Json
from flyball_sdk._session import MAX_ANSWER, Answer, Issued, Request, Session, body_of, keeps_trying, report_body
from flyball_sdk._shared import FIRST_PAUSE_S, LONGEST_PAUSE_S, TRIES, denied, limits, segment, waits
from flyball_sdk.credential import CredentialData, TicketData
from flyball_sdk.errors import FlyballError, InvalidRequest, TaskLost, Unavailable
from flyball_sdk.model import Decision, Reported, Secret

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("flyball_sdk")


class Credential(CredentialData):
    """A credential of an asynchronous task."""

    def __init__(self, issued: Issued, owner: Task) -> None:
        super().__init__(issued)
        self._task = owner

    async def fresh(self) -> Credential:
        """This credential, or the next one once two thirds of its life are over; see `flyball_sdk.Credential`."""
        return await self._task.credential(self.name)


class Ticket(TicketData):
    """A ticket of an asynchronous task."""

    def __init__(self, issued: Issued, owner: Task) -> None:
        super().__init__(issued)
        self._task = owner

    async def fresh(self) -> Ticket:
        """This ticket, or the next one once two thirds of its time are over; see `flyball_sdk.Ticket`."""
        return await self._task.connect(self.name)


class Task:
    """One run of a profile; see `flyball_sdk.Task`."""

    def __init__(
        self,
        profile: str,
        *,
        inputs: Mapping[str, object] | None = None,
        plan: Sequence[Mapping[str, object]] | None = None,
        vouchers: Sequence[str] | None = None,
        parent: Task | str = "",
        actions: Sequence[str] | None = None,
        allot: Mapping[str, object] | None = None,
        addr: str | None = None,
        identity: _settings.Identity | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """Nothing is sent yet; see `flyball_sdk.task` for the arguments."""
        self._lost = asyncio.Event()
        self.end_error: FlyballError | None = None
        self.profile = profile
        self._body = body_of(
            profile,
            inputs=inputs,
            plan=plan,
            vouchers=vouchers,
            parent=parent if isinstance(parent, str) else parent.id,
            actions=actions,
            allot=allot,
        )
        self._addr = addr
        self._identity = identity
        self._session = Session(_settings.control_endpoint(addr))
        self._timeout_s = timeout_s
        self._why_lost: FlyballError | None = None
        self._pid = 0
        self._ended = False
        self._beating: asyncio.Task[None] | None = None
        self._control = _client(self._session.control, timeout_s)
        self._check = self._control
        self._check_lock = asyncio.Lock()
        self._held: dict[str, Credential] = {}
        self._tickets: dict[str, Ticket] = {}
        self._held_lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Task({self.id or 'not open'}, {self.state or 'new'})"

    @property
    def id(self) -> str:
        """The task's id, empty before it is open."""
        return self._session.task

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of the credentials that the profile offers, empty before it is open."""
        return self._session.credentials

    @property
    def brokered(self) -> tuple[str, ...]:
        """Those of `credentials` that a gateway holds: `connect` to them."""
        return self._session.brokered

    @property
    def token(self) -> Secret:
        """The task's token as it is now, for a tool that is an enforcement point of its own identity: it sends the
        token with its question (`Flyball-Task`). It is bound to our key, so nobody else can do anything with it."""
        return self._session.token

    @property
    def state(self) -> str:
        """The task's state as the last heartbeat told it; see `flyball_sdk.Task.state`."""
        if self._ended:
            return "ended"
        return "lost" if self._lost.is_set() else self._session.state

    @property
    def lost(self) -> bool:
        """Whether the task is over without our doing, or can no longer be kept alive."""
        return self._lost.is_set()

    async def wait_lost(self) -> None:
        """Wait until the task is lost."""
        await self._lost.wait()

    async def open(self) -> Self:
        """Open the task and start to keep it alive; see `flyball_sdk.Task.open`."""
        if self._pid or self._ended:
            raise TaskLost("a task is opened once", code="reopened", hint="make a new one")
        session = self._session
        # The identity may come from a file or a blocking call: not on the event loop.
        over_unix = bool(session.control.uds)
        token = await asyncio.to_thread(_settings.identity_token, self._identity, over_unix=over_unix)
        session.opened(await self._send(lambda: session.open(self._body, token)))
        self._pid = os.getpid()
        if session.check != session.control:
            self._check = _client(session.check, self._timeout_s, connections=1, idle_s=_shared.CHECK_IDLE_S)
        self._beating = asyncio.create_task(self._beat(), name=f"flyball {self.id}")
        return self

    async def _show(self) -> dict[str, Json]:
        """Whom our identity shows, without a task; see `whoami`."""
        token = await asyncio.to_thread(_settings.identity_token, self._identity, over_unix=False)
        try:
            return self._session.known(await self._send(lambda: self._session.shown("/v1/whoami", {}, token)))
        finally:
            await self._control.aclose()

    async def check(
        self,
        action: str,
        resource_type: str,
        resource_id: str,
        /,
        *,
        raise_on_deny: bool = True,
        wait_for_approval: float = 0.0,
        **args: object,
    ) -> Decision:
        """Ask whether the task may do one action now: cooperation, not enforcement; see `flyball_sdk.Task.check`."""
        until, pause = time.monotonic() + wait_for_approval, FIRST_PAUSE_S
        while True:
            decision = await self._ask(action, resource_type, resource_id, args, raise_on_deny=False)
            left = until - time.monotonic()
            if not waits(decision) or left <= 0:
                break
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_PAUSE_S)
        if not decision and raise_on_deny:
            raise denied(action, decision)
        return decision

    async def _ask(
        self, action: str, kind: str, which: str, args: Mapping[str, object], *, raise_on_deny: bool = True
    ) -> Decision:
        self.ensure_live()
        session = self._session
        async with self._check_lock:  # one connection, which has seen our proof
            request = session.evaluate(action, kind, which, args)
            answer = await self._exchange(request)
            if answer.status == 401:  # a new connection, or a clock that is off; nothing was decided
                session.learn_time(answer)
                request = session.evaluate(action, kind, which, args, proof=True)
                answer = await self._exchange(request)
            decision = session.checked(request, answer)
        if not decision and raise_on_deny:
            raise denied(action, decision)
        return decision

    def guard(
        self, action: str, *, resource: Resource, args: Collection[str] | None = None, observe: bool = True
    ) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
        """Decorate a coroutine function so that each call is checked and observed; see `flyball_sdk.Task.guard`."""

        def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            asked = Asked(function, action, resource, args)

            @functools.wraps(function)
            async def guarded(*positional: P.args, **named: P.kwargs) -> R:
                say_cooperative(self)
                decision = await self._ask(*asked.question(positional, named))
                result = await function(*positional, **named)
                if observe:
                    await self.observe(decision, result)
                return result

            return guarded

        return decorate

    async def credential(self, name: str, *, handover: str = "") -> Credential:
        """The credential `name` of the profile; see `flyball_sdk.Task.credential`."""
        self.ensure_live()
        async with self._held_lock:
            held = self._held.get(name)
            if held is not None and not held.due:
                return held
            session = self._session
            path = f"/v1/tasks/{session.task}/credentials/{segment(name)}"
            issued = session.issued(name, await self._send(lambda: session.post(path)))
            await self._acknowledge(issued.lease, {"handover": handover} if handover else {})
            self._held[name] = Credential(issued, self)
            return self._held[name]

    async def connect(self, name: str) -> Ticket:
        """A ticket for the brokered credential `name`; see `flyball_sdk.Task.connect`."""
        self.ensure_live()
        async with self._held_lock:
            held = self._tickets.get(name)
            if held is not None and not held.due:
                return held
            session = self._session
            issued = session.issued(name, await self._send(lambda: session.connect(name, held.user if held else "")))
            self._tickets[name] = Ticket(issued, self)
            return self._tickets[name]

    async def plan(self, entries: Sequence[Mapping[str, object]]) -> None:
        """See `flyball_sdk.Task.plan`."""
        self.ensure_live()
        session = self._session
        body = {"plan": [dict(entry) for entry in entries]}
        session.planned(await self._send(lambda: session.post(f"/v1/tasks/{session.task}/plan", body)))

    async def actions(self) -> tuple[dict[str, Json], ...]:
        """See `flyball_sdk.Task.actions`."""
        self.ensure_live()
        session = self._session
        return session.listed(await self._send(lambda: session.post(f"/v1/tasks/{session.task}/actions")))

    async def park(self) -> str:
        """See `flyball_sdk.Task.park`."""
        self._held.clear()
        self._tickets.clear()
        return await self._stated("park", {})

    async def unpark(self) -> str:
        """See `flyball_sdk.Task.unpark`."""
        return await self._stated("unpark", {})

    async def watch(self, known: str = "open", wait_s: float = 5.0) -> str:
        """See `flyball_sdk.Task.watch`."""
        return await self._stated("watch", {"state": known, "wait_ms": int(wait_s * 1000)})

    @property
    def subject(self) -> str:
        """The principal's name; see `flyball_sdk.Task.subject`."""
        return self._session.subject

    @property
    def decision_plane(self) -> str:
        """Where the decision plane is; see `flyball_sdk.Task.decision_plane`."""
        return self._session.check.address

    async def _stated(self, what: str, body: Mapping[str, object]) -> str:
        self.ensure_live()
        session = self._session
        return session.stated(await self._send(lambda: session.post(f"/v1/tasks/{session.task}/{what}", body)))

    async def step_up(self, reference: str, voucher: str) -> None:
        """See `flyball_sdk.Task.step_up`."""
        self.ensure_live()
        session = self._session
        body = {"decision": reference, "voucher": voucher}
        session.stepped_up(await self._send(lambda: session.post(f"/v1/tasks/{session.task}/step-up", body)))

    async def observe(self, decision: Decision, result: object) -> None:
        """See `flyball_sdk.Task.observe`."""
        try:
            await self.report(decision, observed(result))
        except InvalidRequest as fault:
            if not unwanted(fault):
                raise

    async def report(
        self,
        decision: Decision | str,
        result: object,
        *,
        labels: Sequence[str] = (),
        rows: int | None = None,
        bytes: int | None = None,  # noqa: A002 - the member's name on the wire
        ms: int | None = None,
    ) -> Reported:
        """See `flyball_sdk.Task.report`."""
        self.ensure_live()
        session = self._session
        body = report_body(decision, result, labels, rows=rows, bytes=bytes, ms=ms)
        return session.reported(await self._send(lambda: session.post(f"/v1/tasks/{session.task}/result", body)))

    def child(
        self,
        *,
        inputs: Mapping[str, object] | None = None,
        plan: Sequence[Mapping[str, object]] | None = None,
        actions: Sequence[str] | None = None,
        allot: Mapping[str, object] | None = None,
    ) -> Task:
        """See `flyball_sdk.Task.child`."""
        self.ensure_live()
        return Task(
            self.profile,
            inputs=inputs,
            plan=plan,
            parent=self,
            actions=actions,
            allot=allot,
            addr=self._addr,
            identity=self._identity,
            timeout_s=self._timeout_s,
        )

    async def end(self) -> tuple[dict[str, Json], ...]:
        """End the task and give its privilege back; see `flyball_sdk.Task.end`."""
        if self._ended or not self._pid or self._pid != os.getpid():
            return ()
        self._ended = True
        session = self._session
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        try:
            return await self._insist(lambda: session.post(f"/v1/tasks/{session.task}/end"), session.ended)
        finally:
            self._held.clear()
            self._tickets.clear()
            await self._control.aclose()
            await self._check.aclose()

    def ensure_live(self) -> None:
        """Raise `TaskLost` if the task is over. Long work does well to call it between its steps."""
        if not self._pid or self._ended:
            raise TaskLost("the task is not open", code="not_open")
        if self._pid != os.getpid():
            raise TaskLost("a forked child has no task", code="forked", hint="open one in the child")
        if self._lost.is_set():
            why = self._why_lost
            raise TaskLost(why.detail if why else "the task is over", code=why.code if why else "lost") from why

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await asyncio.shield(self.end())  # a cancelled block still gives its privilege back
        except FlyballError as failed:
            self.end_error = failed
            _log.warning("task %s could not be ended (%s); its heartbeat will end it", self.id, failed.code)

    # --- inside -------------------------------------------------------------------------------

    async def _acknowledge(self, lease: str, told: Mapping[str, object]) -> None:
        session = self._session
        await self._insist(lambda: session.post(f"/v1/leases/{lease}/delivered", told), session.delivered)

    async def _insist(self, make: Callable[[], Request], read: Callable[[Answer], R]) -> R:
        """Send what counts once however often it comes, and read the answer; again without one, while there is time."""
        until_s = time.monotonic() + self._timeout_s
        for _ in range(TRIES - 1):
            try:
                return read(await self._send(make))
            except Unavailable:
                if time.monotonic() >= until_s:
                    raise
        return read(await self._send(make))

    async def _beat(self) -> None:
        """The heartbeat: renews the token, and notices when the task is over."""
        session = self._session
        path = f"/v1/tasks/{session.task}/heartbeat"
        try:
            while True:
                await asyncio.sleep(session.beat_s)
                try:
                    session.heartbeaten(await self._send(lambda: session.post(path)))
                except FlyballError as error:
                    self._why_lost = error
                    if not keeps_trying(error) or time.monotonic() >= session.token_until_s:
                        return
        finally:  # however it stops, unless it was told to: a heart that stopped in silence would be worse
            if not self._ended:
                self._lost.set()

    async def _send(self, make: Callable[[], Request]) -> Answer:
        """Send a request to the control API; once more with a fresh proof where the first was refused."""
        answer = await self._exchange(make())
        if answer.status == 401:
            self._session.learn_time(answer)
            answer = await self._exchange(make())
        return answer

    async def _exchange(self, request: Request) -> Answer:
        client = self._check if request.check else self._control
        try:
            async with client.stream(
                request.method, request.url, headers=dict(request.headers), content=request.content
            ) as response:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER:
                        raise Unavailable("the server's answer is too large", code="answer")
                return Answer(response.status_code, bytes(content), response.headers.get("Date", ""))
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:  # RuntimeError: the client is closed
            raise Unavailable(f"Flyball cannot be reached ({type(error).__name__})", code="unreachable") from error


async def whoami(identity: _settings.Identity, *, addr: str | None = None, timeout_s: float = 10.0) -> dict[str, Json]:
    """Whom a workload's token shows: `principal`, `agent`, `instance`. For a gateway that takes tokens of callers.

    Raises:
        Unauthenticated, Refused: the token does not hold, or its principal is no agent. Unavailable, ConfigError.
    """
    asking = Task("", addr=addr, identity=identity, timeout_s=timeout_s)
    return await asking._show()  # noqa: SLF001 - of this module


def _client(
    place: _settings.Endpoint, timeout_s: float, *, connections: int = 8, idle_s: float = _shared.CONTROL_IDLE_S
) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(
        uds=place.uds or None, verify=_settings.tls(place), limits=limits(connections, idle_s), trust_env=False
    )
    return httpx.AsyncClient(transport=transport, timeout=timeout_s, follow_redirects=False, trust_env=False)


def task(
    profile: str,
    *,
    inputs: Mapping[str, object] | None = None,
    plan: Sequence[Mapping[str, object]] | None = None,
    vouchers: Sequence[str] | None = None,
    parent: Task | str = "",
    actions: Sequence[str] | None = None,
    allot: Mapping[str, object] | None = None,
    addr: str | None = None,
    identity: _settings.Identity | None = None,
    timeout_s: float = 10.0,
) -> Task:
    """A task of `profile`, to be used in an `async with` statement; the arguments are `flyball_sdk.task`'s."""
    return Task(
        profile,
        inputs=inputs,
        plan=plan,
        vouchers=vouchers,
        parent=parent,
        actions=actions,
        allot=allot,
        addr=addr,
        identity=identity,
        timeout_s=timeout_s,
    )
