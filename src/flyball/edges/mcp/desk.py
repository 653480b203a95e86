"""Where tasks begin and end for a client that knows no tasks: the gateway's own tools, and idle time.

`begin_task` opens a task of a profile; `end_task` gives its privilege back; `park_task` and `unpark_task` let it wait
for hours or days without any. They are Flyball's tasks, the root of all authority; MCP's tasks are long calls in one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import flyball_sdk
from flyball.edges.mcp.judge import Governor, Settings
from flyball.edges.mcp.session import Send, Session
from flyball.enforcement.mcp import checks, frames, results
from flyball.enforcement.mcp.frames import Frame, Object
from flyball.kernel.errors import FlyballError

MAX_INPUT = 16_384
_TICK_S = 0.25

BEGIN: Object = {
    "name": "begin_task",
    "description": (
        "Begin a Flyball task before using the other tools. Name the profile for the work at hand and give its inputs. "
        "The tools that the profile allows appear afterwards. Not to be confused with MCP tasks."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "profile": {"type": "string", "description": "The profile's name."},
            "inputs": {"type": "object", "description": "The profile's inputs, by name.", "additionalProperties": True},
            "vouchers": {"type": "array", "items": {"type": "string"}, "description": "Signed words for inputs."},
        },
        "required": ["profile"],
        "additionalProperties": False,
    },
}
_NOTHING: Object = {"type": "object", "properties": {}, "additionalProperties": False}
END: Object = {
    "name": "end_task",
    "description": "End the Flyball task as soon as its work is done. Its privilege is taken back.",
    "inputSchema": _NOTHING,
}
PARK: Object = {
    "name": "park_task",
    "description": "Let the Flyball task wait for hours or days, without privilege; no call is allowed meanwhile.",
    "inputSchema": _NOTHING,
}
UNPARK: Object = {
    "name": "unpark_task",
    "description": "Let the parked Flyball task go on. Whether it may is looked at anew.",
    "inputSchema": _NOTHING,
}
CHANGED = frames.notification("notifications/tools/list_changed")


class Desk:
    """The task of one client, whichever servers it speaks to. `fixed`: its profile was named at the start, and it
    offers no tools for tasks. `note` is told why a task is over, or may not go on for now."""

    def __init__(
        self,
        settings: Settings,
        governor: Governor | None,
        *,
        idle_s: float,
        fixed: bool,
        note: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self.governor = governor
        self.tools: tuple[Object, ...] = () if fixed else (BEGIN, END, PARK, UNPARK)
        self._settings = settings
        self._idle_s = idle_s
        self._lock = asyncio.Lock()
        self._note = note
        self._sessions: list[tuple[Session, Send]] = []
        self._idling = False
        self._background: set[asyncio.Task[None]] = set()

    def attach(self, session: Session, to_client: Send) -> None:
        """From here on the session's calls are decided under the task there is."""
        self._sessions.append((session, to_client))
        session.judge = self.governor
        if self.governor is not None:
            self._listen(self.governor)
        if self._idle_s and not self._idling:
            self._idling = True
            self._spawn(self._idle())

    def detach(self, session: Session) -> None:
        """The session is gone."""
        self._sessions = [one for one in self._sessions if one[0] is not session]

    def answer(self, frame: Frame) -> Awaitable[Object] | None:
        """See `session.Local`."""
        name = frame.params.get("name")
        if frame.method != "tools/call" or not self.tools or name not in {str(one["name"]) for one in self.tools}:
            return None
        return self._answer(frame, str(name))

    async def _answer(self, frame: Frame, name: str) -> Object:
        arguments = checks.ask_of(frame).args
        async with self._lock:
            try:
                told = await {"begin_task": self._begin, "end_task": self._end}.get(name, self._wait)(
                    name, dict(arguments)
                )
            except (flyball_sdk.FlyballError, FlyballError) as fault:
                text = f"Flyball: {fault.detail} [{fault.code}]"
                return results.tool_result(text, modern=frame.modern, error=True)
        return results.tool_result(told, modern=frame.modern)

    async def _begin(self, _name: str, arguments: Object) -> str:
        if self.governor is not None and not any(session.over for session, _ in self._sessions):
            raise FlyballError("a task is under way", code="task_open")
        profile, inputs, vouchers = arguments.get("profile"), arguments.get("inputs"), arguments.get("vouchers")
        if not isinstance(profile, str) or not isinstance(inputs, dict | None) or not isinstance(vouchers, list | None):
            raise FlyballError("`profile` is a name, `inputs` an object, `vouchers` a list", code="malformed")
        if len(frames.dumps(inputs)) > MAX_INPUT:
            raise FlyballError("the inputs are too long", code="malformed")
        await self._drop()
        signed = [str(one) for one in vouchers or ()]
        governor = await Governor.begin(self._settings, profile, dict(inputs or {}), signed)
        self.governor = governor
        for session, _ in self._sessions:
            session.judge, session.over = governor, ""
        self._listen(governor)
        await self._changed()
        return (
            f"Task {governor.task} of profile {profile} has begun. List the tools again. Call end_task when it is done."
        )

    async def _end(self, _name: str, _arguments: Object) -> str:
        if self.governor is None:
            raise FlyballError("no task has begun", code="no_task")
        task = self.governor.task
        await self._finish("no_task")
        return f"Task {task} has ended. Its privilege was taken back."

    async def _wait(self, name: str, _arguments: Object) -> str:
        governor = self.governor
        if governor is None:
            raise FlyballError("no task has begun", code="no_task")
        if name == "park_task":
            state = await governor.park()
            await self._stop("task_parked")
        else:
            state = await governor.unpark()
            governor.last_call_s = time.monotonic()  # it was no idler while it was parked
            for session, _ in self._sessions:
                session.over = ""
        await self._changed()
        return f"Task {governor.task} is {state}."

    async def close(self) -> None:
        """The client has gone: end the task."""
        for one in list(self._background):
            one.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self.governor is not None:
            self.governor.on_over = lambda _why: None
            await self.governor.end()

    # --- inside -------------------------------------------------------------------------------

    async def _finish(self, why: str) -> None:
        await self._stop(why)
        for session, _ in self._sessions:
            session.judge = None
        await self._drop()
        await self._changed()

    async def _drop(self) -> None:
        if self.governor is not None:
            governor, self.governor = self.governor, None
            governor.on_over = lambda _why: None
            await governor.end()

    def _listen(self, governor: Governor) -> None:
        def over(why: str) -> None:
            if self.governor is governor:
                self._spawn(self._tell(why))

        governor.on_over = over

    async def _tell(self, why: str) -> None:
        if why:
            self._note(why)
            await self._stop(why)
        else:
            for session, _ in self._sessions:
                session.over = ""
        await self._changed()

    async def _stop(self, why: str) -> None:
        await asyncio.gather(*(session.stop(why) for session, _ in self._sessions))

    async def _changed(self) -> None:
        if self.tools:
            await asyncio.gather(*(send(CHANGED) for _, send in self._sessions))

    async def _idle(self) -> None:
        """End a task that asked for nothing for so long. A parked one waits as long as its profile lets it."""
        while True:
            await asyncio.sleep(min(_TICK_S, self._idle_s))
            if self._is_idle():
                async with self._lock:
                    if self._is_idle():  # what the lock was waited for may have been its going on
                        with contextlib.suppress(FlyballError, flyball_sdk.FlyballError):
                            await self._finish("task_idle")

    def _is_idle(self) -> bool:
        governor = self.governor
        if governor is None or governor.state == "parked":
            return False
        return time.monotonic() - governor.last_call_s >= self._idle_s

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
