"""Who is asked before a call passes: a task's governor, or, where nothing is governed, a recorder."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import flyball_sdk
from flyball.edges.mcp.plane import EVALUATION, RESULT, Plane
from flyball.enforcement.mcp import frames, results
from flyball.enforcement.mcp.checks import Ask
from flyball.enforcement.mcp.frames import Object, Value
from flyball.enforcement.mcp.results import Refusal
from flyball.kernel.errors import Unavailable

OVER = frozenset({"fenced", "closed"})
STILL = frozenset({"suspended", "parked"})
_PAUSE_S = 0.5


class Refused(Exception):
    """The call does not pass."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class Judge(Protocol):
    """Decides on calls and is told their results."""

    @property
    def task(self) -> str:
        """The task that it decides under; empty where there is none."""

    def shows(self, action: str) -> bool:
        """Whether a list may show what asks for this action."""

    async def check(self, ask: Ask) -> str:
        """Decide; the decision's id.

        Raises:
            Refused: it does not pass. Unavailable: nothing was decided, so it does not pass either.
        """

    async def note(self, ask: Ask) -> str:
        """Have a call that does not pass here put on record; the decision's id, empty where it is on none.

        Raises:
            FlyballError: it could not be.
        """

    async def report(self, decision: str, value: Value, *, size: int, ms: int) -> bool:
        """Tell the result of an allowed call, before anybody else gets it; False where one was told before.

        Raises:
            FlyballError: it was not taken.
        """


@dataclass(frozen=True, slots=True)
class Settings:
    """How tasks are opened: where Flyball is, who opens them, where and as whom we ask."""

    addr: str
    identity: flyball_sdk.Identity | None = None
    decisions: str = ""
    tls: ssl.SSLContext | None = None


class Governor:
    """One open task, and its checks. `on_over` is called when no call can be allowed any more, or
    for now; with an empty text when calls are decided again."""

    def __init__(self, task: flyball_sdk.aio.Task, plane: Plane, agent: str, actions: Mapping[str, str]) -> None:
        self._task = task
        self._plane = plane
        self._agent = agent
        self._actions = actions
        self.on_over: Callable[[str], None] = lambda _why: None
        self.last_call_s = time.monotonic()
        self._watching = asyncio.create_task(self._watch(), name="flyball watch")

    @classmethod
    async def begin(
        cls, settings: Settings, profile: str, inputs: Mapping[str, object], vouchers: Sequence[str] = ()
    ) -> Governor:
        """Open a task of a profile.

        Raises:
            flyball_sdk.FlyballError: it was not opened.
            ConfigError: the decision plane's address offers no way to show who we are.
        """
        task = flyball_sdk.aio.task(
            profile, inputs=inputs, vouchers=vouchers, addr=settings.addr, identity=settings.identity
        )
        await task.open()
        try:
            plane = Plane(settings.decisions or task.decision_plane, settings.tls)
            told = await task.actions()
        except BaseException:
            await task.end()
            raise
        actions = {str(one["action"]): str(one["resource_type"]) for one in told}
        return cls(task, plane, task.subject, actions)

    @property
    def task(self) -> str:
        """The task's id."""
        return self._task.id

    @property
    def state(self) -> str:
        """The task's state, as it was told last."""
        return self._task.state

    def shows(self, action: str) -> bool:
        """Whether the profile allows this action at all."""
        return action in self._actions

    async def check(self, ask: Ask) -> str:
        """See `Judge.check`."""
        self.last_call_s = time.monotonic()
        body = frames.dumps(
            {
                "subject": {"type": "agent", "id": self._agent},
                "action": {"name": ask.action, "properties": dict(ask.args)},
                "resource": {"type": self._actions.get(ask.action, "tool"), "id": ask.resource},
                "context": {"task": self._task.id},
            }
        )
        status, answer = await self._plane.post(EVALUATION, body, self._task.token.reveal())
        if status != 200:
            raise Unavailable("nothing was decided", code=_code(answer, status))
        context = answer.get("context")
        told = context if isinstance(context, dict) else {}
        effect, decision = _text(told, "effect"), _text(told, "id")
        if answer.get("decision") is True and effect == "allow" and decision:
            return decision
        reasons = told.get("reasons")
        first = reasons[0] if isinstance(reasons, list) and reasons else ""
        reason = _text(told, "reason") or (first if isinstance(first, str) else "") or "denied"
        raise Refused(Refusal(reason, decision, effect or "deny", _text(told, "approval")))

    async def note(self, ask: Ask) -> str:
        """See `Judge.note`."""
        try:
            return await self.check(ask)
        except Refused as refused:
            return refused.refusal.decision

    async def report(self, decision: str, value: Value, *, size: int, ms: int) -> bool:
        """See `Judge.report`."""
        body = frames.dumps(
            {"decision": decision, "result": results.within(value), "meta": {"bytes": size, "ms": max(0, ms)}}
        )
        status, answer = await self._plane.post(RESULT, body, self._task.token.reveal())
        if status not in (200, 409):  # 409: told before, on a connection that closed ahead of its answer
            raise Unavailable("the result was not taken", code=_code(answer, status))
        return status == 200

    async def credential(self, name: str, *, handover: str) -> flyball_sdk.aio.Credential:
        """A credential of the task's profile: the one in hand, or the next one past two thirds of its life.

        Raises:
            flyball_sdk.FlyballError: it was not given.
        """
        return await self._task.credential(name, handover=handover)

    async def park(self) -> str:
        """Let the task wait without privilege; its state.

        Raises:
            flyball_sdk.FlyballError: it may not.
        """
        return await self._task.park()

    async def unpark(self) -> str:
        """Let the parked task go on; its state.

        Raises:
            flyball_sdk.FlyballError: it may not.
        """
        return await self._task.unpark()

    async def end(self) -> None:
        """End the task and give its privilege back. What cannot be told is ended by the missing heartbeat."""
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        with contextlib.suppress(flyball_sdk.FlyballError):
            await self._task.end()
        self._plane.close()

    async def _watch(self) -> None:
        """Learn of a fence as soon as may be; the heartbeat tells it too, later."""
        known = "open"
        lost = asyncio.create_task(self._task.wait_lost())
        asked: asyncio.Task[str] | None = None
        try:
            while not lost.done():
                asked = asyncio.create_task(self._task.watch(known))
                asked.add_done_callback(_heard)  # it may end when nobody waits for it any more
                await asyncio.wait({asked, lost}, return_when=asyncio.FIRST_COMPLETED)
                if not asked.done():
                    asked.cancel()
                    continue
                try:
                    found = asked.result()
                except flyball_sdk.TaskLost:
                    break
                except flyball_sdk.FlyballError:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                if found in OVER:
                    break
                if found != known and (found in STILL or known in STILL):
                    self.on_over(f"task_{found}" if found in STILL else "")
                known = found
            self.on_over("task_fenced")
        finally:
            lost.cancel()
            if asked is not None:
                asked.cancel()


def _heard(asked: asyncio.Task[str]) -> None:
    if not asked.cancelled():
        asked.exception()


def _text(members: Object, name: str) -> str:
    found = members.get(name)
    return found if isinstance(found, str) else ""


def _code(answer: Object, status: int) -> str:
    return _text(answer, "type").rpartition(":")[2] or f"http_{status}"
