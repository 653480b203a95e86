"""What a gateway must keep as it is, message by message, in the newer revision: each point that no other test has."""

from __future__ import annotations

import asyncio

import pytest
from tests.mcp.inner import Inner, until

from flyball.edges.mcp import session
from flyball.edges.mcp.session import MAX_ASKED
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.checks import Ask
from flyball.enforcement.mcp.frames import Message, Object
from flyball.enforcement.mcp.pins import of_server


def test_a_servers_request_state_is_not_touched() -> None:
    """`requestState` byte for byte, the answers under their keys, a new id; the retry is decided again from scratch,
    and the unfinished result is told to nobody as a result."""

    async def work() -> None:
        inner = Inner()
        await inner.ask(1, "tools/call", name="t", arguments={"a": 1})
        asks = {
            "k": {"method": "elicitation/create", "params": {"mode": "form", "message": "m", "requestedSchema": {}}}
        }
        state = "AbC+/=\u00e9\\u0041 \n"
        told = await inner.answer(1, resultType="input_required", inputRequests=asks, requestState=state)
        assert told["result"] == {"resultType": "input_required", "inputRequests": asks, "requestState": state}
        assert inner.judge.told == []
        brought = {"k": {"action": "accept", "content": {"name": "x"}}}
        again = await inner.ask(
            2, "tools/call", name="t", arguments={"a": 1}, requestState=state, inputResponses=brought
        )
        assert again["params"]["requestState"] == state  # type: ignore[index,call-overload]
        assert again["params"]["inputResponses"] == brought  # type: ignore[index,call-overload]
        assert len(inner.judge.asked) == 2
        await inner.answer(2, resultType="complete", content=[{"type": "text", "text": "done"}])
        assert inner.judge.told == [("dec_2", "done")]

    asyncio.run(work())


def test_what_only_goes_on_holds_no_result() -> None:
    """A result that says that an input is wanted, or that an MCP task was made, is told to nobody: so it passes with
    what the protocol says there alone. One that calls itself something unknown is a result."""

    async def work() -> None:
        inner = Inner()
        smuggled = {"content": [{"type": "text", "text": "K-7"}], "structuredContent": {"id": "K-7"}, "more": "K-7"}
        state = {"status": "working", "createdAt": "t", "lastUpdatedAt": "t", "ttl": 1000, "pollInterval": 5}
        goes_on: list[Object] = [
            {"resultType": "input_required", "inputRequests": {"q": {"method": "roots/list"}}, "requestState": "s"},
            {"resultType": "task", "taskId": "modern", "statusMessage": "soon", **state},
            {"task": {"taskId": "older", **state}, "_meta": {"a": 1}},
        ]
        for number, one in enumerate(goes_on):
            await inner.ask(number, "tools/call", name="slow", arguments={})
            lies: Object = {**one, **smuggled}
            if isinstance(one.get("task"), dict):
                lies["task"] = {**one["task"], **smuggled}  # type: ignore[dict-item]
            assert (await inner.answer(number, **lies))["result"] == one
        await inner.ask(9, "tools/call", name="slow", arguments={})
        assert (await inner.answer(9, task="K-7", resultType="task", taskId="no-object"))["result"] == {
            "resultType": "task",
            "taskId": "no-object",
        }
        for number, method in enumerate(("tasks/get", "tasks/update", "tasks/cancel"), 10):
            await inner.ask(number, method, taskId="older")
            told = await inner.answer(
                number, resultType="complete", taskId="older", result="K-7", error=["K-7"], **state, **smuggled
            )  # type: ignore[arg-type]
            assert told["result"] == {"resultType": "complete", "taskId": "older", **state}
        assert inner.judge.told == []
        await inner.ask(20, "tools/call", name="slow", arguments={})
        assert (await inner.answer(20, resultType="odd", **smuggled))["result"] == {"resultType": "odd", **smuggled}
        assert [value for _, value in inner.judge.told] == [{"id": "K-7"}]

    asyncio.run(work())


def test_a_tasks_result_is_the_same_each_time() -> None:
    """Asked for again, the result of an MCP task passes without being told again; another one is withheld."""

    async def work() -> None:
        inner = Inner()
        await inner.ask(1, "tools/call", name="slow", arguments={})
        await inner.answer(1, task={"taskId": "job", "status": "working"})
        first: Object = {"content": [{"type": "text", "text": "K-7"}]}
        for number, method in enumerate(("tasks/result", "tasks/get", "tasks/result"), 2):
            await inner.ask(number, method, taskId="job")
            told: Object = first if method == "tasks/result" else {"status": "completed", "result": first}
            assert (await inner.answer(number, _meta={"n": number}, **told))["result"] == {
                **told,
                "_meta": {"n": number},
            }
        assert inner.judge.told == [("dec_1", "K-7")]
        await inner.ask(9, "tasks/result", taskId="job")
        other = await inner.answer(9, content=[{"type": "text", "text": "K-8"}])
        assert "result_not_recorded" in frames.dumps(other).decode()
        assert b"K-8" not in inner.client[-1]
        assert inner.judge.told == [("dec_1", "K-7")]

    asyncio.run(work())


def test_an_answer_to_nothing_goes_nowhere() -> None:
    """A client answers what the server has asked, once; the server hears of no other answer."""

    async def work() -> None:
        inner = Inner()
        answer = frames.dumps({"jsonrpc": "2.0", "id": "q", "result": {"action": "accept"}})
        await inner.session.from_client(answer)
        assert inner.server == []
        await inner.answers(frames.request("q", "elicitation/create", {}))
        assert await inner.says(answer) == answer
        await inner.session.from_client(answer)
        assert inner.server == [answer]

    asyncio.run(work())


def test_a_servers_questions_are_bounded() -> None:
    """So many wait for the client at once; a further one, or one by a name that waits, is refused."""

    async def work() -> None:
        inner = Inner()

        async def refused(ident: int) -> None:
            await inner.session.from_server(frames.request(ident, "ping", {}))
            assert frames.read(inner.server.pop()).body["error"]["code"] == -32601  # type: ignore[index,call-overload]

        await inner.answers(frames.request(0, "ping", {}))
        await refused(0)
        for number in range(1, MAX_ASKED):
            await inner.answers(frames.request(number, "ping", {}))
        await refused(MAX_ASKED)
        assert len(inner.client) == MAX_ASKED
        await inner.says(frames.response(0, {}))
        await inner.answers(frames.request(MAX_ASKED, "ping", {}))

    asyncio.run(work())


def test_a_notification_that_nobody_knows_goes_nowhere() -> None:
    """What is not known does not pass; a server could take it for an order."""

    async def work() -> None:
        inner = Inner()
        await inner.session.from_client(frames.notification("notifications/of_another_kind", {"run": "rm"}))
        await inner.session.from_client(frames.notification("tools/call", {"name": "look"}))
        assert (inner.server, inner.client, inner.judge.asked) == ([], [], [])
        assert await inner.says(frames.notification("notifications/roots/list_changed")) is not None

    asyncio.run(work())


def test_what_was_allowed_before_the_fence_is_not_sent_after_it() -> None:
    """A decision that comes while the fence is still busy with other calls: it is refused, and the server hears of it
    neither as a call nor as a cancellation."""

    async def work() -> None:
        inner, asked, decided, free = Inner(), asyncio.Event(), asyncio.Event(), asyncio.Event()
        await inner.ask(1, "tools/call", name="slow", arguments={})
        check, send = inner.judge.check, inner.session._to_server

        async def slow_check(ask: Ask) -> str:
            asked.set()
            await decided.wait()
            return await check(ask)

        async def slow_send(message: Message) -> None:
            await free.wait()
            await send(message)

        inner.judge.check = slow_check  # type: ignore[method-assign]
        inner.session._to_server = slow_send
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "look", "arguments": {}}}
        await inner.session.from_client(frames.dumps(call))  # type: ignore[arg-type]
        await asked.wait()
        fence = asyncio.create_task(inner.session.stop("task_fenced"))
        await until(lambda: inner.session.over == "task_fenced")
        decided.set()
        await until(lambda: len(inner.client) == 1)
        free.set()
        await fence
        assert [frames.read(one).id for one in inner.client] == [2, 1]
        assert all(b"task_fenced" in one for one in inner.client)
        assert [frames.read(one).method for one in inner.server] == ["tools/call", "notifications/cancelled"]

    asyncio.run(work())


def test_a_list_that_changed_is_read_anew_before_the_next_call() -> None:
    """What the server says has changed is known no more: a definition that is another than the approved one is found
    by the gateway's own look, and one that is as it was passes."""

    async def work() -> None:
        approved: Object = {"name": "look", "description": "looks", "inputSchema": {"type": "object"}}
        inner = Inner(tools=Tools(of_server([approved], None)))

        async def listed(tool: Object) -> None:
            await until(lambda: any(b"tools/list" in one for one in inner.server))
            asked = frames.read(inner.server.pop())
            assert str(asked.id).startswith("flyball:")
            await inner.session.from_server(frames.response(asked.id, {"tools": [tool]}))

        async def call(number: int) -> None:
            call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "look"}}
            await inner.session.from_client(frames.dumps(call))  # type: ignore[arg-type]

        await call(1)
        await listed(approved)
        await until(lambda: bool(inner.server))
        assert frames.read(inner.server.pop()).id == 1
        await inner.session.from_server(frames.notification("notifications/tools/list_changed"))
        inner.client.clear()
        await call(2)
        await listed({**approved, "description": "looks, and sends it away"})
        await until(lambda: bool(inner.client))
        assert b"tool_changed" in inner.client[-1]
        assert inner.server == []
        await inner.session.from_server(frames.notification("notifications/tools/list_changed"))
        await call(3)
        await listed(approved)
        await until(lambda: bool(inner.server))
        assert frames.read(inner.server.pop()).id == 3

    asyncio.run(work())


def test_of_an_error_nothing_is_remembered() -> None:
    """Its text is the server's own and in no field of the sheet; that there was an answer is told."""

    async def work() -> None:
        inner = Inner()
        await inner.ask(1, "tools/call", name="look", arguments={})
        await inner.answer(1, isError=True, content=[{"type": "text", "text": "K-7"}], structuredContent={"id": "K-7"})
        assert inner.judge.told == [("dec_1", None)]

    asyncio.run(work())


def test_mcp_tasks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten: nobody here has started them any more."""
    monkeypatch.setattr(session, "MAX_TASKS", 2)

    async def work() -> None:
        inner = Inner()
        for number in range(3):
            await inner.ask(number, "tools/call", name="slow", arguments={})
            await inner.answer(number, task={"taskId": f"job-{number}", "status": "working"})
        get = {"jsonrpc": "2.0", "id": 9, "method": "tasks/get", "params": {"taskId": "job-0"}}
        assert await inner.says(frames.dumps(get)) is None  # type: ignore[arg-type]
        assert b"no such task" in inner.client[-1]
        for number in (1, 2):
            assert await inner.ask(f"get-{number}", "tasks/get", taskId=f"job-{number}")

    asyncio.run(work())


def test_tasks_of_the_extension() -> None:
    """A task that a call started: its state, its questions, their answers and its end pass, and its result counts
    under the call's decision; `tasks/list` does not exist, and a name that no call here started is unknown."""

    async def work() -> None:
        inner = Inner()
        await inner.ask(1, "tools/call", name="slow", arguments={})
        task = {"taskId": "job", "status": "working", "ttlMs": 60000, "createdAt": "t", "lastUpdatedAt": "t"}
        await inner.answer(1, resultType="task", **task)  # type: ignore[arg-type]
        assert inner.judge.told == []
        await inner.ask(2, "tasks/get", taskId="job")
        await inner.answer(2, resultType="complete", **{**task, "status": "input_required"}, inputRequests={})  # type: ignore[arg-type]
        await inner.ask(3, "tasks/update", taskId="job", inputResponses={})
        await inner.answer(3, resultType="complete")
        assert inner.judge.told == []
        await inner.ask(4, "tasks/get", taskId="job")
        ended = {"content": [{"type": "text", "text": "K-7"}]}
        await inner.answer(4, resultType="complete", **{**task, "status": "completed"}, result=ended)  # type: ignore[arg-type]
        assert inner.judge.told == [("dec_1", "K-7")]
        await inner.ask(5, "tasks/cancel", taskId="job")
        await inner.answer(5, resultType="complete")
        for method, params in (("tasks/list", {}), ("tasks/get", {"taskId": "other"})):
            sent = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
            assert await inner.says(frames.dumps(sent)) is None  # type: ignore[arg-type]
            assert "error" in frames.read(inner.client[-1]).body
            inner.client.clear()
        assert len(inner.judge.asked) == 1

    asyncio.run(work())


def test_subscriptions() -> None:
    """News of a resource are a reading of it and decided so; of MCP tasks, their caller's alone. What the server sends
    on the subscription passes as it is, and so does its end."""

    async def work() -> None:
        inner = Inner()
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["note://open/1"]}
        await inner.ask("sub", "subscriptions/listen", notifications=wanted)  # type: ignore[arg-type]
        assert [(one.action, one.args) for one in inner.judge.asked] == [
            ("mcp.resource_read", {"uri": "note://open/1"})
        ]
        meta = {"io.modelcontextprotocol/subscriptionId": "sub"}
        for method in ("notifications/subscriptions/acknowledged", "notifications/resources/updated"):
            news = frames.notification(method, {"uri": "note://open/1", "_meta": meta})  # type: ignore[dict-item]
            assert await inner.answers(news) == news
        ended = await inner.answer("sub", resultType="complete", _meta=meta)  # type: ignore[arg-type]
        assert ended["id"] == "sub"
        inner.client.clear()
        stranger = {"notifications": {"taskIds": ["somebody-else-s"]}}
        sent = {"jsonrpc": "2.0", "id": "s2", "method": "subscriptions/listen", "params": stranger}
        assert await inner.says(frames.dumps(sent)) is None  # type: ignore[arg-type]
        assert frames.read(inner.client[-1]).body["error"]["code"] == 403  # type: ignore[index,call-overload]
        for uris in ([f"note://{one}" for one in range(65)], "note://open/1", [1]):
            many = {"notifications": {"resourceSubscriptions": uris}}
            sent = {"jsonrpc": "2.0", "id": "s3", "method": "subscriptions/listen", "params": many}
            assert await inner.says(frames.dumps(sent)) is None  # type: ignore[arg-type]
            assert frames.read(inner.client[-1]).body["error"]["code"] == -32602  # type: ignore[index,call-overload]
        assert len(inner.judge.asked) == 1

    asyncio.run(work())


def test_cursors_are_opaque_and_an_empty_one_is_one() -> None:
    """A page's cursor passes both ways as it is; a filtered page keeps its order and its `nextCursor`."""

    async def work() -> None:
        inner = Inner()
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("zeta", "alpha", "mcp.x", "mid")]
        asked = await inner.ask(1, "tools/list")
        assert "cursor" not in asked["params"]  # type: ignore[operator]
        page = await inner.answer(1, tools=tools, nextCursor="", ttlMs=5, cacheScope="public", other={"kept": 1.50})  # type: ignore[arg-type]
        result = page["result"]
        assert [one["name"] for one in result["tools"]] == ["zeta", "alpha", "mid"]  # type: ignore[index,call-overload]
        assert (result["nextCursor"], result["cacheScope"], result["ttlMs"]) == ("", "private", 5)  # type: ignore[index,call-overload]
        assert result["other"] == {"kept": frames.loads(b"1.50")}  # type: ignore[index,call-overload]
        asked = await inner.ask(2, "tools/list", cursor="")
        assert asked["params"]["cursor"] == ""  # type: ignore[index,call-overload]

    asyncio.run(work())


def test_a_server_that_hangs_is_given_up() -> None:
    """After its time the request is cancelled at the server and answered with the reason; a late answer goes nowhere,
    and the id is free again."""

    async def work() -> None:
        inner = Inner(call_s=0.02)
        await inner.ask(1, "tools/call", name="t", arguments={})
        async with asyncio.timeout(5):
            while not inner.client:
                await asyncio.sleep(0.005)
        error = frames.read(inner.client[0]).body["error"]
        assert error == {"code": -32603, "message": "the server did not answer in time"}
        assert frames.read(inner.server[-1]).body["method"] == "notifications/cancelled"
        await inner.session.from_server(b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}')
        assert len(inner.client) == 1
        assert inner.judge.told == []
        inner.client.clear()
        await inner.ask(1, "tools/call", name="t", arguments={})

    asyncio.run(work())


@pytest.mark.parametrize("when", ["before it was decided", "while the server works", "while it is told"])
def test_a_cancelled_request_is_answered_by_nobody(when: str) -> None:
    """Whenever the client takes it back, it gets no answer; what is at the server is cancelled there, what is not yet
    never gets there, and a result that has come all the same is on record."""

    async def work() -> None:
        inner = Inner()
        gate = asyncio.Event()
        check, report = inner.judge.check, inner.judge.report

        async def slow_check(ask):  # type: ignore[no-untyped-def]
            if when == "before it was decided":
                await gate.wait()
            return await check(ask)

        async def slow_report(decision, value, *, size, ms):  # type: ignore[no-untyped-def]
            if when == "while it is told":
                await gate.wait()
            return await report(decision, value, size=size, ms=ms)

        inner.judge.check, inner.judge.report = slow_check, slow_report  # type: ignore[method-assign]
        call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}'
        await inner.session.from_client(call)
        if when != "before it was decided":
            await until(lambda: bool(inner.server))
        if when == "while it is told":
            await inner.session.from_server(b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}')
        cancel = frames.notification("notifications/cancelled", {"requestId": 1})
        await inner.session.from_client(cancel)
        gate.set()
        for _ in range(50):
            await asyncio.sleep(0)
        assert inner.client == []
        arrived = [frames.read(one).method for one in inner.server]
        assert arrived == ([] if when == "before it was decided" else ["tools/call", "notifications/cancelled"])
        assert len(inner.judge.told) == (1 if when == "while it is told" else 0)

    asyncio.run(work())
