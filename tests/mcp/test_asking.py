"""A call that waits for a person: what the client is asked, and that no answer of its own settles anything."""

from __future__ import annotations

import asyncio
import re

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult
from tests.mcp.shared import MODERN, Shared, text

from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.asking import Asking
from flyball.enforcement.mcp.frames import Frame, Malformed, Object
from flyball.enforcement.mcp.results import Refusal

CAPABLE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}, "form": {}}},
}
PAY = {"name": "pay", "arguments": {"amount": 20, "note": "rent"}}


def asked(shared: Shared, token: str, meta: object = CAPABLE, **params: object) -> httpx.Response:
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {**PAY, **params, "_meta": meta}}
    named = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/call", "Mcp_Name": str(params.get("name", "pay"))}
    return shared.post("mail", token, message, **named)


def begun(shared: Shared, instance: str) -> str:
    token = shared.token(instance)
    answer = asked(shared, token, name="begin_task", arguments={"profile": "shared"})
    assert "has begun" in answer.text, answer.text
    return token


def test_a_client_that_accepts_everything_gets_nothing_by_it(shared: Shared) -> None:
    """The SDK's client, told to accept whatever it is asked: it opens the page, says so, and the call is still not made
    until an operator has answered; then that very call is, once."""
    opened: list[str] = []

    async def accept(_context: object, params: object) -> ElicitResult:
        opened.append(params.url)  # type: ignore[attr-defined]
        return ElicitResult(action="accept")

    async def work() -> None:
        token = shared.token("accepts")
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            transport = streamable_http_client(f"{shared.url}/mcp/mail", http_client=http)
            async with Client(transport, mode="auto", elicitation_callback=accept) as client:
                assert not (await client.call_tool("begin_task", {"profile": "shared"})).is_error
                waits = await client.call_tool("pay", PAY["arguments"])  # type: ignore[arg-type]
                assert waits.is_error
                assert "waits for a person" in text(waits)
                assert len(opened) == 1
                reference = opened[0].rpartition("/")[2]
                assert reference in text(waits)
                shared.server.flyball("approve", reference)
                paid = await client.call_tool("pay", PAY["arguments"])  # type: ignore[arg-type]
                assert text(paid) == "paid 20.0"
                assert (await client.call_tool("pay", PAY["arguments"])).is_error  # type: ignore[arg-type]
                await client.call_tool("end_task", {})

    asyncio.run(work())


def test_the_page_settles_nothing(shared: Shared) -> None:
    """It says how an operator answers; it takes no word, needs no login, and holds nothing of the call or the user."""
    token = begun(shared, "page")
    result = asked(shared, token).json()["result"]
    assert result["resultType"] == "input_required"
    (question,) = result["inputRequests"].values()
    assert question["method"] == "elicitation/create"
    assert question["params"]["mode"] == "url"
    page = httpx.get(question["params"]["url"])
    assert page.status_code == 200
    reference = result["_meta"]["dev.flyball/decision"]["reference"]
    assert f"flyball approve {reference}" in page.text
    assert "rent" not in page.text
    assert "script" not in page.headers["content-security-policy"]
    assert httpx.post(question["params"]["url"]).status_code == 405
    assert httpx.get(f"{shared.url}/approvals/%3Cb%3E").status_code == 404
    still = asked(shared, token, requestState=result["requestState"], inputResponses={}).json()["result"]
    assert still["isError"] is True


def test_a_state_is_for_its_call_alone(shared: Shared) -> None:
    """Brought with another argument, changed, or by another caller's task it is refused; a client that cannot open
    pages, or does not say so, gets a plain result, as every client of the older revision does."""
    token = begun(shared, "state")
    state = asked(shared, token).json()["result"]["requestState"]
    other = asked(shared, token, requestState=state, arguments={"amount": 21, "note": "rent"})
    assert (other.status_code, other.json()["error"]["code"]) == (200, -32602)
    changed = state[:-1] + ("0" if state[-1] != "0" else "1")
    assert asked(shared, token, requestState=changed).json()["error"]["code"] == -32602
    assert asked(shared, begun(shared, "other-state"), requestState=state).json()["error"]["code"] == -32602
    plain = {**CAPABLE, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    result = asked(shared, token, plain).json()["result"]
    assert result["resultType"] == "complete"
    assert re.search(r"waits for a person.*reference", str(result["content"]))


def call(**params: object) -> Frame:
    body: Object = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**PAY, **params, "_meta": CAPABLE}}  # type: ignore[dict-item]
    return frames.read(frames.dumps(body))


def test_a_state_runs_out_and_a_servers_own_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour; and what a server gave its client to bring along passes as it is, with the answers to its questions."""
    asking = Asking("https://x.example/{reference}")
    refusal = Refusal("approval_needed", "dec_1", "require_approval", "dec_1")
    told = frames.read(asking.question(call(), refusal, "tsk_1") or b"")
    state = told.result["requestState"]
    back = asking.returned(call(requestState=state, inputResponses={"a": {}}), "tsk_1")
    assert back is not None
    assert set(back.params) == {"name", "arguments", "_meta"}
    assert asking.returned(call(requestState="a server's", inputResponses={"a": {}}), "tsk_1") is None
    with pytest.raises(Malformed):
        Asking("https://x.example/{reference}").returned(call(requestState=state), "tsk_1")
    until = re.findall(r"\d{8,}", state)[0]
    with pytest.raises(Malformed):  # it says itself how long it holds, and nobody else
        asking.returned(call(requestState=state.replace(until, str(int(until) + 1))), "tsk_1")
    monkeypatch.setattr("flyball.enforcement.mcp.asking.time.time", lambda: 1e12)
    with pytest.raises(Malformed):
        asking.returned(call(requestState=state), "tsk_1")


@pytest.mark.parametrize("effect", ["deny", "step_up", "", "allow"])
def test_nobody_is_asked_about_what_no_person_answers(effect: str) -> None:
    """A denial is one; a page to open would say that somebody could allow it."""
    asking = Asking("https://x.example/{reference}")
    assert asking.question(call(), Refusal("origin_mismatch", "dec_1", effect, "dec_1"), "tsk_1") is None
    assert Asking("").question(call(), Refusal("approval_needed", "dec_1", "require_approval", "dec_1"), "t") is None
