"""One caller's conversation over HTTP: whose message goes on which stream, and what a client leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx
import pytest
from tests.mcp.inner import MODERN, Allowing, until
from tests.mcp.shared import INITIALIZE, LEGACY, Shared

from flyball.edges.mcp.conversation import Conversation
from flyball.edges.mcp.streams import KEPT, QUEUED, Stream
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.asking import Asking
from flyball.enforcement.mcp.frames import Message, Value


class Wire:
    """A server that says what a test says."""

    def __init__(self) -> None:
        self.got: list[frames.Frame] = []
        self.says: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, message: Message) -> None:
        self.got.append(frames.frame_of(message))

    async def messages(self) -> AsyncIterator[Message]:
        while (one := await self.says.get()) is not None:
            yield one

    async def end(self) -> None:
        await self.says.put(None)


def talk(ident: str = "") -> tuple[Conversation, Wire]:
    wire = Wire()
    desk = SimpleNamespace(answer=lambda _frame: None, attach=lambda *_: None, detach=lambda *_: None)
    made = Conversation(ident, SimpleNamespace(desk=desk), "s", wire, Tools(None), Asking(""))  # type: ignore[arg-type]
    made.session.judge = Allowing()
    return made, wire


def call(ident: Value = 1, token: Value = "p") -> frames.Frame:
    params = {"name": "t", "_meta": {**MODERN, "progressToken": token}}
    return frames.read(frames.request(ident, "tools/call", params))  # type: ignore[arg-type]


def test_two_of_one_callers_processes_may_use_the_same_names() -> None:
    """The same id and the same progress token, twice at once: each gets its own progress and its own answer, under
    its own names; upstream they are told apart."""

    async def work() -> None:
        made, wire = talk()
        first, second = made.ask(call()), made.ask(call())
        await until(lambda: len(wire.got) == 2)
        inner = [one.id for one in wire.got]
        assert inner == [one.meta["progressToken"] for one in wire.got]
        assert inner[0] != inner[1]
        for name in reversed(inner):
            assert isinstance(name, str)
            await wire.says.put(frames.notification("notifications/progress", {"progressToken": name, "progress": 1}))
            await wire.says.put(frames.response(name, {"content": [{"type": "text", "text": name}]}))
        for stream, name in ((first, inner[0]), (second, inner[1])):
            progress, answer = frames.read(await stream.get() or b""), frames.read(await stream.get() or b"")
            assert progress.params["progressToken"] == "p"
            assert answer.id == 1
            assert answer.result["content"] == [{"type": "text", "text": name}]
            assert stream.over
        await made.close()

    asyncio.run(work())


@pytest.mark.parametrize(("ident", "cancels"), [("", True), ("session", False)])
def test_a_client_that_vanishes(ident: str, cancels: bool) -> None:
    """In the newer revision that cancels at the server; in the older it does not: it may come back for the answer."""

    async def work() -> None:
        made, wire = talk(ident)
        stream = made.ask(call())
        await until(lambda: len(wire.got) == 1)
        made.leave(stream)
        for _ in range(20):
            await asyncio.sleep(0)
        told = [one.params for one in wire.got if one.method == "notifications/cancelled"]
        assert [one["requestId"] for one in told] == ([stream.inner] if cancels else [])
        assert made.busy is not cancels
        await made.close()

    asyncio.run(work())


def test_a_stream_keeps_a_little_and_waits_for_a_slow_reader() -> None:
    """So many unread messages, then whoever writes waits; so many that were read are kept, and no more."""

    async def work() -> None:
        stream = Stream()
        for at in range(QUEUED):
            await stream.put(b"%d" % at)
        more = asyncio.ensure_future(stream.put(b"one more", last=True))
        await asyncio.sleep(0)
        assert not more.done()
        assert await stream.get() == b"0"
        await more
        for _ in range(KEPT + 8):
            await stream.get()
        assert not stream.back(1)
        assert stream.back(stream.read - 5)
        assert await stream.get(turn=0) is None  # the reader from before
        assert await stream.get(turn=1) == b"36"
        stream.close()

    asyncio.run(work())


def test_progress_and_answer_in_one_moment() -> None:
    """Both are there before anybody reads: the first that is read is not the last, and not answered as the result."""

    async def work() -> None:
        stream = Stream()
        await stream.put(b"progress")
        await stream.put(b"answer", last=True)
        assert await stream.get() == b"progress"
        assert not stream.over
        assert await stream.get() == b"answer"
        assert stream.over
        assert await stream.get() is None

    asyncio.run(work())


def test_a_lost_stream_is_taken_up_again(shared: Shared) -> None:
    """The older revision: a client that lost its stream names the last event that it got, and gets what followed, the
    answer with it; another session's streams are not there for it."""
    token = shared.token("resumes")
    greeted = shared.post("mail", token, INITIALIZE)
    session = {"Mcp_Session_Id": greeted.headers["mcp-session-id"], "MCP_Protocol_Version": LEGACY}
    shared.post("mail", token, {"jsonrpc": "2.0", "method": "notifications/initialized"}, **session)
    begin = {"name": "begin_task", "arguments": {"profile": "shared"}}
    shared.post("mail", token, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": begin}, **session)
    count = {"name": "count", "arguments": {"upto": 30}, "_meta": {"progressToken": "p"}}
    sent = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
    sent |= {name.replace("_", "-"): value for name, value in session.items()}
    url = f"{shared.url}/mcp/mail"
    message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": count}
    with httpx.stream("POST", url, json=message, headers=sent, timeout=30) as lost:
        event = next(line for line in lost.iter_lines() if line.startswith("id: "))
    with httpx.stream("GET", url, headers={**sent, "Last-Event-ID": event[4:]}, timeout=30) as again:
        assert again.status_code == 200
        rest = [line for line in again.iter_lines() if line.startswith("data: ")]
    assert '"id":2' in rest[-1]
    assert "counted to 30" in rest[-1]
    seen = [line for line in rest if "notifications/progress" in line]
    assert [f'"progress":{at}' in line or f'"progress":{at}.0' in line for at, line in enumerate(seen, 2)].count(
        False
    ) == 0
    end = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "end_task"}}
    shared.post("mail", token, end, **session)
