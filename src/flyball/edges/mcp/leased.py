"""What a server is given to work with: a lease of the task's, put into its environment or into our requests' headers.

The client never sees it. It is the task's own credential: issued when a call needs it, renewed when it is due, taken
back with the task. A server on standard streams gets it by being started with it, so it is started anew for each lease,
and greeted again as the client had greeted it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import flyball_sdk
from flyball.edges.mcp.judge import Governor
from flyball.edges.mcp.remote import QUEUED, Shown
from flyball.edges.mcp.stdio import Child
from flyball.edges.mcp.withheld import Withheld
from flyball.enforcement.mcp import checks, frames
from flyball.enforcement.mcp.frames import Frame, Id, Message
from flyball.kernel.errors import Unavailable

GREET_S: Final = 30.0
_AGAIN: Final = "flyball:again"
_PART: Final = re.compile(r"\{(dsn|secret|user|host|port|database)\}")


@dataclass(frozen=True, slots=True)
class Lent:
    """A credential as it is put in place: which lease it is, and what goes where."""

    lease: str
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A credential of the profile, and where it goes: names of variables or headers, each with a template in which
    `{dsn}`, `{secret}`, `{user}`, `{host}`, `{port}` and `{database}` stand for its parts. `handover` is what its
    receipt says of that."""

    credential: str
    places: Mapping[str, str]
    handover: str = "environment"


class Lender:
    """Gives one server what it wants of the task there is, and keeps it from the client."""

    def __init__(self, wanted: Wanted, governor: Callable[[], Governor | None]) -> None:
        self._wanted = wanted
        self._governor = governor
        self._withheld = Withheld()

    async def lend(self) -> Lent | None:
        """The task's lease, put in place; None while there is no task.

        Raises:
            Unavailable: it was not given.
        """
        governor, wanted = self._governor(), self._wanted
        if governor is None:
            return None
        try:
            held = await governor.credential(wanted.credential, handover=wanted.handover)
        except flyball_sdk.FlyballError as fault:
            raise Unavailable(fault.detail, code=fault.code, hint=fault.hint) from fault
        secret = held.secret.reveal()
        self._withheld.add(secret)
        parts = {name: str(held.connection.get(name, "")) for name in ("user", "host", "port", "database")}
        parts |= {"secret": secret, "dsn": held.dsn() if "host" in held.connection else ""}
        filled = {place: _PART.sub(lambda part: parts[part[1]], text) for place, text in wanted.places.items()}
        return Lent(held.lease, filled)

    def shown(self, otherwise: Shown) -> Shown:
        """Headers for a server over HTTP: the lease's, and before there is a task what is shown otherwise."""

        async def headers() -> Mapping[str, str]:
            lent = await self.lend()
            return await otherwise() if lent is None else lent.values

        return headers

    def hide(self, raw: bytes) -> bytes:
        """What a server says, without the secret that it was given."""
        return self._withheld.hide(raw)


class _Run:
    """One life of the server, with the requests that it still owes an answer."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.owed: set[Id] = set()
        self.asked: set[Id] = set()


class Leased:
    """A server on standard streams that is started anew for each lease. The one from before goes on until it has
    answered what it was asked."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], lender: Lender) -> None:
        self._command = command
        self._environment = environment
        self._lender = lender
        self._runs: list[_Run] = []
        self._lease = ""
        self._hello: Frame | None = None
        self._greeted = False
        self._turning = asyncio.Lock()
        self._arrived: asyncio.Queue[Message | None] = asyncio.Queue(QUEUED)
        self._work: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str], lender: Lender) -> Leased:
        """Start it, with the lease where there is a task already.

        Raises:
            ConfigError: it cannot be run. Unavailable: the lease was not given.
        """
        link = cls(command, environment, lender)
        await link._turn(await lender.lend())
        return link

    async def send(self, message: Message) -> None:
        """Send one message; before a call, see that the server has the lease in force.

        Raises:
            OSError: it has ended. Unavailable: it could not be given its lease, or not be started with it.
        """
        frame = frames.frame_of(message)
        if frame.method == "initialize":
            self._hello = frame
        elif frame.method == "notifications/initialized":
            self._greeted = True
        elif frame.method in checks.GOVERNED:
            await self._fresh()
        run = self._runs[-1]
        if frame.is_request and frame.id is not None:
            run.owed.add(frame.id)
        elif frame.is_response and frame.id is not None:
            run = next((one for one in self._runs if frame.id in one.asked), run)
        elif frame.method == "notifications/cancelled":
            wanted = frame.params.get("requestId")
            run = next((one for one in self._runs if wanted in one.owed), run)
        await run.child.send(message)

    async def messages(self) -> AsyncIterator[Message]:
        """What it says, until it ends."""
        while (one := await self._arrived.get()) is not None:
            yield one

    async def end(self) -> None:
        """End it, in all its lives."""
        for task in list(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await asyncio.gather(*(run.child.end() for run in self._runs))
        with contextlib.suppress(asyncio.QueueFull):
            self._arrived.put_nowait(None)

    # --- inside -------------------------------------------------------------------------------

    async def _fresh(self) -> None:
        async with self._turning:
            lent = await self._lender.lend()
            if (lent.lease if lent else "") != self._lease:
                await self._turn(lent)

    async def _turn(self, lent: Lent | None) -> None:
        """Start the server with this lease, and let the one from before finish."""
        child = await Child.start(self._command, {**self._environment, **(lent.values if lent else {})})
        if self._hello is not None:
            try:
                async with asyncio.timeout(GREET_S):
                    await self._greet(child, self._hello)
            except (TimeoutError, OSError) as fault:
                await child.end()
                raise Unavailable("the server does not start with its credential", code="server") from fault
        run = _Run(child)
        self._runs.append(run)
        self._lease = lent.lease if lent else ""
        self._spawn(self._pump(run))
        for old in [one for one in self._runs[:-1] if not one.owed]:
            self._spawn(old.child.end())

    async def _greet(self, child: Child, hello: Frame) -> None:
        await child.send(frames.remade(hello, {**hello.body, "id": _AGAIN}))
        async for line in child.messages():
            with contextlib.suppress(frames.Malformed):
                if frames.read(line).id == _AGAIN:
                    break
        if self._greeted:
            await child.send(frames.notification("notifications/initialized"))

    async def _pump(self, run: _Run) -> None:
        async for line in run.child.messages():
            message: Message = self._lender.hide(line)
            with contextlib.suppress(frames.Malformed):
                message = frame = frames.frame_of(message)
                if frame.is_response and frame.id is not None:
                    run.owed.discard(frame.id)
                elif frame.is_request and frame.id is not None:
                    run.asked.add(frame.id)
            await self._arrived.put(message)
            if run is not self._runs[-1] and not run.owed:
                self._spawn(run.child.end())
        if run is self._runs[-1]:
            await self._arrived.put(None)
        else:
            self._runs.remove(run)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
