"""A task, synchronously: opened on entry, kept alive by a thread, ended on exit."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from flyball_sdk import _settings
from flyball_sdk._guards import Guards
from flyball_sdk._json import Json
from flyball_sdk._session import Answer, Request, Session, body_of, keeps_trying, report_body
from flyball_sdk._shared import CHECK_IDLE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, TRIES, denied, segment, waits
from flyball_sdk._transport import client, exchange
from flyball_sdk.credential import Credential, Ticket
from flyball_sdk.errors import FlyballError, TaskLost, Unavailable
from flyball_sdk.model import Decision, Reported, Secret

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("flyball_sdk")


class Task(Guards):
    """One run of a profile. Use it as a context manager; make it with `flyball_sdk.task`.

    Safe for many threads; not for a forked child, where every use raises `TaskLost`.

    Attributes:
        end_error: why ending on exit failed, if it did; the server then ends the task by its heartbeat.
    """

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
        self._lost = threading.Event()
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
        self._stop = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None
        self._control = client(self._session.control, timeout_s)
        self._check = self._control
        self._check_lock = threading.Lock()
        self._held: dict[str, Credential] = {}
        self._tickets: dict[str, Ticket] = {}
        self._held_lock = threading.Lock()

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
        """The task's state as the last heartbeat told it: open, frozen, suspended, parked; `ended`, `lost`."""
        if self._ended:
            return "ended"
        return "lost" if self._lost.is_set() else self._session.state

    @property
    def lost(self) -> bool:
        """Whether the task is over without our doing, or can no longer be kept alive."""
        return self._lost.is_set()

    def wait_lost(self, timeout_s: float | None = None) -> bool:
        """Wait until the task is lost, at most `timeout_s`; whether it is."""
        return self._lost.wait(timeout_s)

    def open(self) -> Self:
        """Open the task and start to keep it alive.

        Raises:
            ConfigError, Unauthenticated, Refused, InvalidRequest, Unavailable.
        """
        if self._pid or self._ended:
            raise TaskLost("a task is opened once", code="reopened", hint="make a new one")
        session = self._session
        token = _settings.identity_token(self._identity, over_unix=bool(session.control.uds))
        session.opened(self._send(lambda: session.open(self._body, token)))
        self._pid = os.getpid()
        if session.check != session.control:
            self._check = client(session.check, self._timeout_s, connections=1, idle_s=CHECK_IDLE_S)
        self._thread = threading.Thread(target=self._beat, name=f"flyball {self.id}", daemon=True)
        self._thread.start()
        return self

    def check(
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
        """Ask whether the task may do one action now.

        A check inside the agent's own process is *cooperation*: it keeps an honest agent within its
        intent and writes down what it did. What holds a dishonest one is enforced elsewhere: at the
        target by the lease's grants, at the gateway, at the broker.

        Args:
            action: for example `tool.refund`.
            resource_type, resource_id: what it is done to.
            raise_on_deny: raise `Denied` (the default), or return the decision, which is then false.
            wait_for_approval: seconds to wait where a person is asked, by asking again; 0 does not wait.
            args: the action's arguments, as the bundle declares them. Use `Decimal` for money.

        Raises:
            ApprovalRequired: a person is asked first; `reference` is what they answer.
            StepUpRequired: a voucher for this very call is needed first: see `step_up`.
            Denied: the answer was no.
            TaskLost: the task is over.
            Unavailable: there was no answer; do not act. The check may have been charged.
        """
        until, pause = time.monotonic() + wait_for_approval, FIRST_PAUSE_S
        while True:
            decision = self._ask(action, resource_type, resource_id, args, raise_on_deny=False)
            left = until - time.monotonic()
            if not waits(decision) or left <= 0:
                break
            self._lost.wait(min(pause, left))
            pause = min(pause * 2, LONGEST_PAUSE_S)
        if not decision and raise_on_deny:
            raise denied(action, decision)
        return decision

    def _ask(
        self, action: str, kind: str, which: str, args: Mapping[str, object], *, raise_on_deny: bool = True
    ) -> Decision:
        self.ensure_live()
        session = self._session
        with self._check_lock:  # one connection, which has seen our proof
            request = session.evaluate(action, kind, which, args)
            answer = self._exchange(request)
            if answer.status == 401:  # a new connection, or a clock that is off; nothing was decided
                session.learn_time(answer)
                request = session.evaluate(action, kind, which, args, proof=True)
                answer = self._exchange(request)
            decision = session.checked(request, answer)
        if not decision and raise_on_deny:
            raise denied(action, decision)
        return decision

    def credential(self, name: str, *, handover: str = "") -> Credential:
        """The credential `name` of the profile: the one in hand, or a new one past two thirds of its life.

        `handover` says how we hand the secret on, if we do: `memory`, `file` or `environment`. The
        lease's receipt will say it.

        Its receipt is acknowledged to the server; one that is not acknowledged is revoked there.

        Raises:
            TaskLost, Refused, InvalidRequest, Unavailable.
        """
        self.ensure_live()
        with self._held_lock:
            held = self._held.get(name)
            if held is not None and not held.due:
                return held
            session = self._session
            path = f"/v1/tasks/{session.task}/credentials/{segment(name)}"
            issued = session.issued(name, self._send(lambda: session.post(path)))
            self._acknowledge(issued.lease, {"handover": handover} if handover else {})
            self._held[name] = Credential(issued, self)
            return self._held[name]

    def connect(self, name: str) -> Ticket:
        """A ticket for the brokered credential `name`: the one in hand, or a new one past two thirds of its time.

        ``psycopg.connect(**task.connect("orders").kwargs())``, or its `dsn()`. The agent never holds the target's own
        secret; the gateway decides each statement against this task.

        Raises:
            TaskLost, Refused (`not_brokered`: ask for the credential itself), InvalidRequest, Unavailable.
        """
        self.ensure_live()
        with self._held_lock:
            held = self._tickets.get(name)
            if held is not None and not held.due:
                return held
            session = self._session
            issued = session.issued(name, self._send(lambda: session.connect(name, held.user if held else "")))
            self._tickets[name] = Ticket(issued, self)
            return self._tickets[name]

    def plan(self, entries: Sequence[Mapping[str, object]]) -> None:
        """Say which effects the task is for: `[{"action": …, "count": 2, "args": {…}}]`. It is held to them.

        Once, and before it reads what an outsider can write; better still, pass `plan=` when opening. It only
        narrows: reads, and everything else, stay as the profile has them.

        Raises:
            Refused, InvalidRequest, TaskLost, Unavailable.
        """
        self.ensure_live()
        session = self._session
        body = {"plan": [dict(entry) for entry in entries]}
        session.planned(self._send(lambda: session.post(f"/v1/tasks/{session.task}/plan", body)))

    def actions(self) -> tuple[dict[str, Json], ...]:
        """The actions that the task's profile allows at all, each with `action`, `resource_type` and `effect`.

        No permission: each call is decided by its arguments, budgets and origins.

        Raises:
            TaskLost, Unavailable.
        """
        self.ensure_live()
        session = self._session
        return session.listed(self._send(lambda: session.post(f"/v1/tasks/{session.task}/actions")))

    def park(self) -> str:
        """Let the task wait without privilege, for hours or days if its profile gives it that long; its new state.

        Its credentials are taken back, and no call is allowed until `unpark`. It is kept alive as before.

        Raises:
            Refused: it is not open now. TaskLost, Unavailable.
        """
        self._held.clear()
        self._tickets.clear()
        return self._stated("park", {})

    def unpark(self) -> str:
        """Let the parked task go on, if it could be opened now; its new state.

        Raises:
            Refused: agent, profile or policy say no now. TaskLost, Unavailable.
        """
        return self._stated("unpark", {})

    def watch(self, known: str = "open", wait_s: float = 5.0) -> str:
        """Wait until the task's state is another than `known`, at most `wait_s` seconds; its state then.

        A fence is seen so in some milliseconds, where a heartbeat would tell it later. Keep `wait_s` below the time
        that one request may take.

        Raises:
            TaskLost, Unavailable.
        """
        return self._stated("watch", {"state": known, "wait_ms": int(wait_s * 1000)})

    @property
    def subject(self) -> str:
        """The principal's name, empty before the task is open."""
        return self._session.subject

    @property
    def decision_plane(self) -> str:
        """Where the decision plane is, as the server told it: `http(s)://…` or `unix:/…`. For an enforcement point
        that holds a task for somebody else and asks on a connection of its own identity."""
        return self._session.check.address

    def _stated(self, what: str, body: Mapping[str, object]) -> str:
        self.ensure_live()
        session = self._session
        return session.stated(self._send(lambda: session.post(f"/v1/tasks/{session.task}/{what}", body)))

    def step_up(self, reference: str, voucher: str) -> None:
        """Bring somebody's signed word for the call that `StepUpRequired` was raised for; then check again.

        Args:
            reference: the error's `reference`.
            voucher: a JWS by an issuer that Flyball knows and that is no agent, whose claim `call` is the
                error's `digest`.

        Raises:
            Unauthenticated, Refused, InvalidRequest, TaskLost, Unavailable.
        """
        self.ensure_live()
        session = self._session
        body = {"decision": reference, "voucher": voucher}
        session.stepped_up(self._send(lambda: session.post(f"/v1/tasks/{session.task}/step-up", body)))

    def report(
        self,
        decision: Decision | str,
        result: object,
        *,
        labels: Sequence[str] = (),
        rows: int | None = None,
        bytes: int | None = None,  # noqa: A002 - the member's name on the wire
        ms: int | None = None,
    ) -> Reported:
        """Report what an allowed call returned. From here it is our own word: it is on record and charged, its
        labels count, and no rule takes a value from it. An enforcement point with an identity of its own
        reports at the decision plane instead.

        Args:
            decision: what `check` returned, or its id.
            result: the result, as JSON can hold it.
            labels: labels to add; none is ever taken away.
            rows, bytes, ms: what the call cost, where it is known.

        Raises:
            Refused: it was reported before, or the call was not allowed.
            TaskLost, InvalidRequest, Unavailable.
        """
        self.ensure_live()
        session = self._session
        body = report_body(decision, result, labels, rows=rows, bytes=bytes, ms=ms)
        return session.reported(self._send(lambda: session.post(f"/v1/tasks/{session.task}/result", body)))

    def child(
        self,
        *,
        inputs: Mapping[str, object] | None = None,
        plan: Sequence[Mapping[str, object]] | None = None,
        actions: Sequence[str] | None = None,
        allot: Mapping[str, object] | None = None,
    ) -> Task:
        """A task that this one delegates to, to be used in a `with` statement: never with more than is left here.

        It ends with this one at the latest. What it is allotted of the budgets is gone from this task at once,
        and what it did not use comes back at its end.

        Args:
            inputs: some of this task's inputs, with the same values; all of them when None.
            plan: the effects that it means to make.
            actions: no other actions than these.
            allot: what it gets of the budgets, by their names; all that is left when None.

        Raises:
            TaskLost: this task is over.
        """
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

    def end(self) -> tuple[dict[str, Json], ...]:
        """End the task and give its privilege back; returns the receipts (DSSE envelopes). Twice is once.

        Raises:
            Unavailable: the server could not be told; the missing heartbeat will end the task.
        """
        if self._ended or not self._pid or self._pid != os.getpid():
            return ()
        self._ended = True
        self._stop.set()
        session = self._session
        try:
            return self._insist(lambda: session.post(f"/v1/tasks/{session.task}/end"), session.ended)
        finally:
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join(timeout=self._timeout_s)
            self._held.clear()
            self._tickets.clear()
            self._control.close()
            self._check.close()

    def ensure_live(self) -> None:
        """Raise `TaskLost` if the task is over. Long work does well to call it between its steps."""
        if not self._pid or self._ended:
            raise TaskLost("the task is not open", code="not_open")
        if self._pid != os.getpid():
            raise TaskLost("a forked child has no task", code="forked", hint="open one in the child")
        if self._lost.is_set():
            why = self._why_lost
            raise TaskLost(why.detail if why else "the task is over", code=why.code if why else "lost") from why

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
        except FlyballError as failed:  # the work's own outcome is not to be hidden by this
            self.end_error = failed
            _log.warning("task %s could not be ended (%s); its heartbeat will end it", self.id, failed.code)

    # --- inside -------------------------------------------------------------------------------

    def _acknowledge(self, lease: str, told: Mapping[str, object]) -> None:
        session = self._session
        self._insist(lambda: session.post(f"/v1/leases/{lease}/delivered", told), session.delivered)

    def _insist(self, make: Callable[[], Request], read: Callable[[Answer], R]) -> R:
        """Send what counts once however often it comes, and read the answer; again without one, while there is time."""
        until_s = time.monotonic() + self._timeout_s
        for _ in range(TRIES - 1):
            try:
                return read(self._send(make))
            except Unavailable:
                if time.monotonic() >= until_s:
                    raise
        return read(self._send(make))

    def _beat(self) -> None:
        """The heartbeat's thread: renews the token, and notices when the task is over."""
        session = self._session
        path = f"/v1/tasks/{session.task}/heartbeat"
        try:
            while not self._stop.wait(session.beat_s):
                try:
                    session.heartbeaten(self._send(lambda: session.post(path)))
                except FlyballError as error:
                    self._why_lost = error
                    if not keeps_trying(error) or time.monotonic() >= session.token_until_s:
                        return
        finally:  # however it stops, unless it was told to: a heart that stopped in silence would be worse
            if not self._stop.is_set():
                self._lost.set()

    def _send(self, make: Callable[[], Request]) -> Answer:
        """Send a request to the control API; once more with a fresh proof where the first was refused."""
        answer = self._exchange(make())
        if answer.status == 401:
            self._session.learn_time(answer)
            answer = self._exchange(make())
        return answer

    def _exchange(self, request: Request) -> Answer:
        return exchange(self._check if request.check else self._control, request)
