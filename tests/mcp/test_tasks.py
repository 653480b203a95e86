"""Tasks for clients that know none: begun and ended by tool, by idle time, by the client's going; parked in between."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from tests.mcp.kit import ODD, McpServer, Raw, is_error, raw_gateway, text_of
from tests.wait import until

from flyball.edges.mcp.desk import Desk
from flyball.edges.mcp.judge import Governor, Settings
from flyball.edges.mcp.session import Session
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp.frames import Message, Object, frame_of, raw_of, request


def names(client: Raw, ident: str) -> list[str]:
    return [one["name"] for one in client.ask(ident, "tools/list")["result"]["tools"]]  # type: ignore[index,call-overload]


def test_a_task_begins_and_ends_by_tool(server: McpServer) -> None:
    """Before it there are the gateway's own tools alone, and no call passes; with it the profile's tools; after it
    neither. The client is told each time that its list has changed."""
    before = set(server.tasks())
    with raw_gateway(server, "--", *ODD) as client:
        greeting = client.greet()["result"]
        assert greeting["capabilities"]["tools"] == {"listChanged": True}  # type: ignore[index,call-overload]
        assert names(client, "l1") == ["begin_task", "end_task", "park_task", "unpark_task"]
        assert "no_task" in text_of(client.call(1, "plain"))
        assert is_error(client.call(2, "begin_task", profile="no-such"))
        assert is_error(client.call(3, "begin_task", profile=7))
        assert "malformed" in text_of(client.call("long", "begin_task", profile="odd", inputs={"x": "y" * 20_000}))
        client.send_call(4, "begin_task", profile="odd", inputs={})
        assert client.read()["method"] == "notifications/tools/list_changed"
        assert not is_error(client.answer(4))
        (task,) = set(server.tasks()) - before
        assert "look" in names(client, "l2")
        assert text_of(client.call(5, "plain")) == "K-2"
        assert "task_open" in text_of(client.call(6, "begin_task", profile="odd"))
        assert not is_error(client.call(7, "end_task"))
        assert task not in server.tasks()
        assert "no_task" in text_of(client.call(8, "plain"))
        assert is_error(client.call(9, "end_task"))
        assert not is_error(client.call(10, "begin_task", profile="odd"))
        assert not is_error(client.call(11, "plain"))
    until(lambda: set(server.tasks()) <= before, 10, "the second task ended with its client")


def test_a_call_under_way_ends_with_its_task(server: McpServer, tmp_path: Path) -> None:
    """`end_task` and `park_task` refuse it to the client, and cancel it at the server."""
    log = tmp_path / "log"
    with raw_gateway(server, "--", *ODD, env={"ODD_LOG": str(log)}) as client:
        client.greet()
        for number, (tool, reason) in enumerate((("end_task", "no_task"), ("park_task", "task_parked")), 1):
            client.call(f"b{number}", "begin_task", profile="odd")
            client.send_call(f"w{number}", "wait", seconds=30)
            until(lambda n=number: log.read_bytes().count(b'"wait"') == n, 10, "the call arrived")  # type: ignore[misc]
            client.send_call(f"e{number}", tool)
            assert reason in text_of(client.answer(f"w{number}"))
            told = lambda n=number: log.read_bytes().count(b"notifications/cancelled") == n  # type: ignore[misc] # noqa: E731
            until(told, 10, "it was cancelled at the server")
            assert not is_error(client.answer(f"e{number}"))


def test_an_idle_task_ends(server: McpServer) -> None:
    """A task that asks for nothing for so long gives its privilege back, and a new one may begin."""
    before = set(server.tasks())
    with raw_gateway(server, "--idle", "0.5", "--", *ODD) as client:
        client.greet()
        client.call(1, "begin_task", profile="odd")
        until(lambda: set(server.tasks()) <= before, 20, "it ended by itself")
        assert is_error(client.call(2, "plain"))
        assert not is_error(client.call(3, "begin_task", profile="odd"))


def test_a_parked_task_has_no_privilege_and_is_looked_at_anew(server: McpServer) -> None:
    """Parked: no call, no tool in the list, and the task is kept; it is not ended as idle. Unparked, it goes on with
    its memory: what it had seen is still an origin."""
    before = set(server.tasks())
    with raw_gateway(server, "--idle", "1.5", "--", *ODD) as client:
        client.greet()
        client.call(1, "begin_task", profile="odd")
        client.call(2, "plain")
        assert not is_error(client.call(3, "park_task"))
        (task,) = set(server.tasks("parked")) - before
        assert "task_parked" in text_of(client.call(4, "plain"))
        with raw_gateway(server, "--idle", "1.5", "--", *ODD) as clock:
            clock.greet()
            clock.call(1, "begin_task", profile="odd")
            (other,) = set(server.tasks()) - before
            until(lambda: other not in server.tasks(), 20, "a task that is not parked is ended as idle")
        assert task in server.tasks("parked")
        assert names(client, "l1") == ["begin_task", "end_task", "park_task", "unpark_task"]
        assert not is_error(client.call(5, "unpark_task"))
        assert task in server.tasks("open")
        assert not is_error(client.call(6, "send", to="K-2", body="b"))


def test_a_task_is_not_idle_for_having_been_parked() -> None:
    """Its idle time begins when it goes on, however long it waited, and whatever the clock says meanwhile."""

    class Parked:
        """A task that was parked long ago, and takes several looks of the clock to go on."""

        task, state = "tsk_1", "parked"
        last_call_s = time.monotonic() - 3600
        on_over: Callable[[str], None]
        went_on_s = ended_s = 0.0

        async def unpark(self) -> str:
            self.state = "open"
            await asyncio.sleep(0.3)
            self.went_on_s = time.monotonic()
            return "open"

        async def end(self) -> None:
            self.ended_s = time.monotonic()

    async def work() -> None:
        async def nowhere(_message: Message) -> None:
            return

        parked = Parked()
        desk = Desk(Settings(""), cast("Governor", parked), idle_s=0.05, fixed=False)
        session = Session(None, Tools(None), to_client=nowhere, to_server=nowhere, local=desk.answer)
        desk.attach(session, nowhere)
        unpark = frame_of(request(1, "tools/call", {"name": "unpark_task", "arguments": {}}))
        answer = desk.answer(unpark)
        assert answer is not None
        assert (await answer)["isError"] is False
        while not parked.ended_s:
            await asyncio.sleep(0.01)
        assert parked.ended_s - parked.went_on_s >= 0.05
        await desk.close()

    asyncio.run(asyncio.wait_for(work(), 20))


def test_what_an_operator_suspended_the_holder_does_not_resume(server: McpServer) -> None:
    """`unpark` is for parked tasks alone."""
    before = set(server.tasks())
    with raw_gateway(server, "--", *ODD) as client:
        client.greet()
        client.call(1, "begin_task", profile="odd")
        (task,) = set(server.tasks()) - before
        server.operator.post(f"/v1/tasks/{task}/suspend", json={})
        assert "task_not_parked" in text_of(client.call(2, "unpark_task"))
        assert is_error(client.call(3, "plain"))


def test_a_call_of_the_gateways_own_tool_is_answered_though_the_task_is_over_before_it_is_looked_at() -> None:
    """What ends a task, or says how it stands, is not refused by the news that comes in the same moment."""
    told: list[bytes] = []

    async def to_client(message: Message) -> None:
        told.append(raw_of(message))

    async def nowhere(_message: Message) -> None:
        raise AssertionError("nothing of it is the server's")

    async def answered() -> Object:
        return {"content": []}

    async def work() -> None:
        tools = Tools(None, own=[{"name": "end_task"}])
        session = Session(None, tools, to_client=to_client, to_server=nowhere, local=lambda _frame: answered())
        await session.from_client(request(1, "tools/call", {"name": "end_task"}))
        await session.stop("task_suspended")
        async with asyncio.timeout(10):
            while not told:
                await asyncio.sleep(0)
        await session.close()

    asyncio.run(work())
    assert [json.loads(one) for one in told] == [{"jsonrpc": "2.0", "id": 1, "result": {"content": []}}]
