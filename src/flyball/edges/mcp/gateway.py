"""`flyball mcp -- COMMAND…`: one server on standard streams, behind Flyball, for as long as the client is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from flyball.edges.mcp.conversation import Link
from flyball.edges.mcp.desk import Desk
from flyball.edges.mcp.judge import Governor, Settings
from flyball.edges.mcp.leased import Leased, Lender, Wanted
from flyball.edges.mcp.session import CALL_S, Session
from flyball.edges.mcp.stdio import Child, Standard
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp.asking import Asking
from flyball.enforcement.mcp.pins import Pins

log = structlog.get_logger("flyball.mcp")
NO_WALL = (
    "cooperative: whoever may start this command may start the server without it. Over standard streams Flyball "
    "decides on what comes this way and is no wall"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a gateway on standard streams is to do.

    `profile` empty: tasks begin with the tool `begin_task`. `idle_s` ends a task that asked for nothing for so long;
    0: never.
    """

    command: Sequence[str]
    settings: Settings
    pins: Pins | None
    profile: str = ""
    inputs: Mapping[str, object] = field(default_factory=dict)
    vouchers: Sequence[str] = ()
    prefix: str = ""
    idle_s: float = 0.0
    call_s: float = CALL_S
    approvals_url: str = ""
    wanted: Wanted | None = None


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a server: without who the agent is, or who we are."""
    drop = {"FLYBALL_SVID", "FLYBALL_SVID_FILE", "FLYBALL_PEP_CERT", "FLYBALL_PEP_KEY"}
    return {name: value for name, value in environment.items() if name not in drop}


async def run(plan: Plan) -> int:
    """Serve until the client goes; the exit code.

    Raises:
        ConfigError, flyball_sdk.FlyballError: it could not begin.
    """
    governor: Governor | None = None
    if plan.profile:
        governor = await Governor.begin(plan.settings, plan.profile, plan.inputs, plan.vouchers)
        say(f"task {governor.task} of profile {plan.profile}. {NO_WALL}")
    else:
        say(f"no task yet: the client begins one with the tool begin_task. {NO_WALL}")
    desk = Desk(
        plan.settings,
        governor,
        idle_s=plan.idle_s,
        fixed=bool(plan.profile),
        note=lambda why: say(f"the task is over ({why}); calls are refused"),
    )
    try:
        wanted = plan.wanted
        if wanted is None:
            link: Link = await Child.start(plan.command, clean(os.environ))
        else:
            link = await Leased.start(plan.command, clean(os.environ), Lender(wanted, lambda: desk.governor))
        try:
            return await serve(
                link, await Standard.open(), Tools(plan.pins, prefix=plan.prefix, own=desk.tools), desk, plan
            )
        finally:
            await link.end()
    finally:
        await desk.close()


async def serve(child: Link, client: Standard, tools: Tools, desk: Desk, plan: Plan) -> int:
    """Carry messages until one side goes."""
    session = Session(
        desk.governor,
        tools,
        to_client=client.send,
        to_server=child.send,
        local=desk.answer,
        call_s=plan.call_s,
        asking=Asking(plan.approvals_url),
    )

    desk.attach(session, client.send)
    return await carry(session, child, client)


async def carry(session: Session, child: Link, client: Standard) -> int:
    """Messages both ways until the client goes, or a signal comes; a server that ends leaves its client told."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with contextlib.suppress(ValueError, NotImplementedError):
            loop.add_signal_handler(number, stopped.set)

    async def from_client() -> None:
        async for line in client.messages():
            await session.from_client(line)

    async def from_server() -> None:
        async for line in child.messages():
            await session.from_server(line)
        log.warning("the server has ended")
        await session.server_gone()

    ends = [asyncio.create_task(stopped.wait()), asyncio.create_task(from_client())]
    upstream = asyncio.create_task(from_server())
    try:
        done, _ = await asyncio.wait({*ends, upstream}, return_when=asyncio.FIRST_COMPLETED)
        if upstream in done and not any(one.done() for one in ends):
            # The client is answered, and gone soon: nothing can be served any more.
            upstream.result()
            return 1
        for one in done:
            one.result()
        return 0
    finally:
        for one in (*ends, upstream):
            one.cancel()
        await asyncio.gather(*ends, upstream, return_exceptions=True)
        await session.close()


def say(text: str) -> None:
    """One line on stderr, which clients show as the server's log."""
    sys.stderr.write(f"flyball mcp: {text}\n")
    sys.stderr.flush()
