"""The shared gateway: Streamable HTTP in front of a server on standard streams and one over HTTP, both revisions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from tests.mcp.shared import INITIALIZE, LEGACY, META, MODERN, Shared, text
from tests.server import ISSUER
from tests.wait import until

from flyball.kernel.json import Json


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_one_task_over_two_servers_in_both_revisions(shared: Shared, mode: str) -> None:
    """The SDK's client, unchanged, at two servers at once: what the one returned is the origin of the other's argument,
    since the caller has one task. Progress streams through. The gateway's own token goes to the server, no client's."""

    async def work() -> None:
        token = shared.token(f"two-{mode}")
        async with shared.client("odd", token, mode) as odd, shared.client("mail", token, mode) as mail:
            assert (await mail.list_tools()).tools[0].name == "begin_task"
            early = await mail.call_tool("mail_send", {"to": "K-1", "body": "b"})
            assert early.is_error
            begun = await odd.call_tool("begin_task", {"profile": "shared"})
            assert not begun.is_error, text(begun)
            nowhere = await mail.call_tool("mail_send", {"to": "K-1", "body": "b"})
            assert nowhere.is_error
            assert "origin" in text(nowhere)
            assert not (await odd.call_tool("look", {"what": "x"})).is_error
            sent = await mail.call_tool("mail_send", {"to": "K-1", "body": "b"})
            assert text(sent) == "sent to K-1"
            seen: list[float] = []

            async def progress(at: float, _total: float | None, _message: str | None) -> None:
                seen.append(at)

            counted = await mail.call_tool("count", {"upto": 5}, progress_callback=progress)
            assert text(counted) == "counted to 5"
            assert seen == [1, 2, 3, 4, 5]
            assert not (await mail.call_tool("end_task", {})).is_error
            assert (await odd.call_tool("plain", {})).is_error

    asyncio.run(work())
    assert set(shared.seen.read_text().split("\n")) <= {"Bearer the-gateways-own-token", "none", ""}


def test_callers_share_no_task(shared: Shared) -> None:
    """Another instance of the agent has no task because this one has; and this one's other process has the same."""

    async def work() -> None:
        first, second = shared.token("one"), shared.token("other")
        async with (
            shared.client("odd", first) as a,
            shared.client("odd", second) as b,
            shared.client("odd", first) as c,
        ):
            assert not (await a.call_tool("begin_task", {"profile": "shared"})).is_error
            assert "no_task" in text(await b.call_tool("plain", {}))
            results = await asyncio.gather(*(one.call_tool("plain", {}) for one in (a, c) * 5))
            assert [text(one) for one in results] == ["K-2"] * 10
            await c.call_tool("end_task", {})

    asyncio.run(work())


def test_the_fence_reaches_a_call_under_way(shared: Shared) -> None:
    """Revoked: the call's stream ends with a refusal; what comes is refused; a new task may begin."""

    async def work() -> None:
        async with shared.client("odd", shared.token("fenced")) as client:
            before = set(shared.server.tasks())
            await client.call_tool("begin_task", {"profile": "shared"})
            (task,) = set(shared.server.tasks()) - before
            waiting = asyncio.create_task(client.call_tool("wait", {"seconds": 60}))
            done = lambda: any(one["action"] == "odd.wait" for one in shared.server.calls(task))  # noqa: E731
            await asyncio.to_thread(until, done, 20, "the call is under way")
            await asyncio.to_thread(shared.server.operator.post, f"/v1/tasks/{task}/revoke", json={})
            refused = await asyncio.wait_for(waiting, 10)
            assert "task_fenced" in text(refused)
            assert "task_fenced" in text(await client.call_tool("plain", {}))
            assert not (await client.call_tool("begin_task", {"profile": "shared"})).is_error
            await client.call_tool("end_task", {})

    asyncio.run(work())


@pytest.mark.parametrize("revision", [MODERN, LEGACY])
def test_a_client_that_hangs_up(shared: Shared, revision: str) -> None:
    """In the newer revision that cancels the call at the server. In the older it does not: the client takes the
    response up again."""
    token = shared.token(f"hangs-up-{revision}")
    meta: dict[str, Json] = {"_meta": META} if revision == MODERN else {}
    headers = {"MCP-Protocol-Version": revision}

    def call(ident: str, name: str, arguments: dict[str, Json]) -> dict[str, Json]:
        params = {"name": name, "arguments": arguments, **meta}
        return {"jsonrpc": "2.0", "id": ident, "method": "tools/call", "params": params}

    if revision == LEGACY:
        greeted = shared.post("odd", token, INITIALIZE)
        headers["Mcp-Session-Id"] = greeted.headers["mcp-session-id"]

    def named(name: str) -> dict[str, str]:
        return {**headers, "Mcp-Method": "tools/call", "Mcp-Name": name} if meta else headers

    assert shared.post("odd", token, call("b", "begin_task", {"profile": "shared"}), **named("begin_task")).is_success
    before = shared.log.read_text().count("notifications/cancelled")
    sent = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream", **named("wait")}
    body = call("w", "wait", {"seconds": 2})
    with httpx.stream("POST", f"{shared.url}/mcp/odd", json=body, headers=sent, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
    cancelled = lambda: shared.log.read_text().count("notifications/cancelled") > before  # noqa: E731
    if revision == MODERN:
        until(cancelled, 10, "the call is cancelled at the server")
    else:
        assert "K-2" in shared.post("odd", token, call("p", "plain", {}), **named("plain")).text  # it has waited
        assert not cancelled()
    shared.post("odd", token, call("e", "end_task", {}), **named("end_task"))


def test_a_message_of_several_lines_is_one_to_the_server(shared: Shared) -> None:
    """JSON may be laid out as it likes over HTTP; on standard streams a line is a message."""
    token = shared.token("lines")
    greeted = shared.post("odd", token, INITIALIZE)
    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    sent["Mcp-Session-Id"] = greeted.headers["mcp-session-id"]
    told = {
        "jsonrpc": "2.0",
        "method": "notifications/roots/list_changed",
        "params": {"_meta": {"of": "several lines"}},
    }
    answer = httpx.post(f"{shared.url}/mcp/odd", content=json.dumps(told, indent=2), headers=sent)
    assert answer.status_code == 202
    until(lambda: "several lines" in shared.log.read_text(), 10, "it has come")
    (line,) = [one for one in shared.log.read_text().splitlines() if "several lines" in one]
    assert json.loads(line) == told


def test_a_token_that_runs_out_is_one_no_more(shared: Shared) -> None:
    """Though it was proved before its end, and Flyball would take it a moment longer."""
    token = shared.token("brief", ttl_s=4)
    status = lambda: shared.post("odd", token, {}).status_code  # noqa: E731
    assert status() == 400  # an empty message, of a caller that is known
    until(lambda: status() == 401, 20, "it is refused")


def test_a_token_is_asked_for_on_every_request(shared: Shared) -> None:
    """RFC 9728: the 401 says where the metadata is, and that says who gives tokens. A token for somebody else, one
    that nobody signed, one that ran out and one in the query are none; it says nothing of which it was."""
    odd = f"{shared.url}/mcp/odd"
    answer = httpx.post(odd, json={})
    assert answer.status_code == 401
    place = f"{shared.url}/.well-known/oauth-protected-resource/mcp/odd"
    assert f'resource_metadata="{place}"' in answer.headers["www-authenticate"]
    told = httpx.get(place).json()
    assert (told["resource"], told["authorization_servers"]) == (odd, ["https://idp.example"])
    good = shared.token("auth")
    head, claims, _ = good.split(".")
    for bad in (shared.token("auth", audience="https://other.example"), f"{head}.{claims}.AAAA", "x", "a.b.c", "é"):
        sent = {"Authorization": b"Bearer " + bad.encode()}
        assert httpx.post(odd, json={}, headers=sent).status_code == 401  # type: ignore[arg-type]
    assert httpx.post(f"{odd}?access_token={good}", json={}).status_code == 401
    stranger = shared.server.svid("nobody", ISSUER)
    assert shared.post("odd", stranger, {}).status_code == 401
    assert shared.post("none", good, {}).status_code == 404


def test_origins_and_methods(shared: Shared) -> None:
    """A page of another origin is refused; one that was named may speak. The newer revision knows POST alone."""
    token = shared.token("origins")
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert shared.post("odd", token, ping, Origin="https://evil.example").status_code == 403
    assert shared.post("odd", token, ping, Origin="https://app.example").status_code == 400  # no session named
    sent = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{shared.url}/mcp/odd", headers=sent).status_code == 405
    assert httpx.put(f"{shared.url}/mcp/odd", headers=sent).status_code == 405
    assert httpx.post(f"{shared.url}/mcp/odd", content="{}", headers=sent).status_code == 415
    assert shared.post("odd", token, [ping]).status_code == 400
    assert shared.post("odd", token, ping, Host="evil.example").status_code == 421


def test_a_session_is_its_callers(shared: Shared) -> None:
    """The older revision's session id is no authentication: with another's token it is not there, nor after DELETE."""
    mine, other = shared.token("mine"), shared.token("theirs")
    greeted = shared.post("odd", mine, INITIALIZE)
    assert greeted.status_code == 200
    session = greeted.headers["mcp-session-id"]
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    assert shared.post("odd", mine, ping, Mcp_Session_Id=session).json() == {"jsonrpc": "2.0", "id": 2, "result": {}}
    assert shared.post("odd", other, ping, Mcp_Session_Id=session).status_code == 404
    assert shared.post("mail", mine, ping, Mcp_Session_Id=session).status_code == 404
    assert (
        shared.post(
            "odd", mine, {"jsonrpc": "2.0", "method": "notifications/initialized"}, Mcp_Session_Id=session
        ).status_code
        == 202
    )
    ended = httpx.delete(
        f"{shared.url}/mcp/odd", headers={"Authorization": f"Bearer {mine}", "Mcp-Session-Id": session}
    )
    assert ended.status_code == 204
    assert shared.post("odd", mine, ping, Mcp_Session_Id=session).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"MCP_Protocol_Version": LEGACY, "Mcp_Method": "tools/call", "Mcp_Name": "mail_send"},
        {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/list", "Mcp_Name": "mail_send"},
        {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/call", "Mcp_Name": "count"},
        {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/call"},
        {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/call", "Mcp_Name": "=?base64?!?="},
    ],
)
def test_a_header_that_says_otherwise_is_refused(shared: Shared, headers: dict[str, str]) -> None:
    """The body is what is decided; whoever looked at the headers alone must have seen the same."""
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "mail_send", "arguments": {}, "_meta": META},
    }
    answer = shared.post("mail", shared.token("headers"), call, **headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32020


def test_the_newer_revisions_statuses_and_scopes(shared: Shared) -> None:
    """An unknown method is a 404; lists are private to this caller; a result says that it is complete."""
    token = shared.token("modern")

    def post(method: str, **params: object) -> httpx.Response:
        message = {"jsonrpc": "2.0", "id": "x", "method": method, "params": {**params, "_meta": META}}
        return shared.post("mail", token, message, MCP_Protocol_Version=MODERN, Mcp_Method=method)

    assert post("tools/steal").status_code == 404
    discovered = post("server/discover").json()["result"]
    assert MODERN in discovered["supportedVersions"]
    assert discovered["cacheScope"] == "private"
    listed = post("tools/list").json()
    assert listed["id"] == "x"
    assert listed["result"]["cacheScope"] == "private"
    assert listed["result"]["resultType"] == "complete"


def test_a_file_of_servers_is_read_strictly(shared: Shared, tmp_path: Path) -> None:
    """Unknown members, both or neither of command and url, plain http elsewhere, no servers, open doors without TLS."""
    good = {"command": ["true"]}
    for document in (
        {},
        {"servers": {}},
        {"servers": {"A": good}},
        {"servers": {"a": {**good, "url": "https://x.example"}}},
        {"servers": {"a": {}}},
        {"servers": {"a": {"url": "http://x.example/mcp"}}},
        {"servers": {"a": good}, "sevrers": {}},
        {"servers": {"a": good}, "listen": "0.0.0.0:1"},
        {"servers": {"a": good}, "listen": "x"},
        {"servers": {"a": good}, "approvals_url": "http://x.example/{reference}"},
        {"servers": {"a": good}, "approvals_url": "https://x.example/"},
    ):
        file = tmp_path / "s.json"
        file.write_text(json.dumps(document))
        shared.server.flyball("mcp", "serve", "--servers", str(file), code=1)
