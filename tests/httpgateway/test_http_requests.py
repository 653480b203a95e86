"""Each request is decided before it goes upstream, on the real decision plane; the key is the gateway's alone."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import httpx
import pytest
from tests.httpgateway.api import KEY
from tests.httpgateway.kit import GatewayServer
from tests.wait import until

import flyball_sdk


def client(task: flyball_sdk.Task, credential: str = "crm") -> httpx.Client:
    """An API client as any other, with the gateway as the API."""
    ticket = task.connect(credential)
    return httpx.Client(base_url=ticket.base_url, headers=ticket.headers(), timeout=20, trust_env=False)


def reason(answer: httpx.Response) -> str:
    """The reason code of a refusal, which is problem details."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found: str = answer.json()["reason"]
    assert answer.json()["type"] == f"urn:flyball:error:{found}"
    return found


def test_key_swapped_and_masked(server: GatewayServer) -> None:
    """An allowed request reaches the API with its key; the agent sees neither the key nor anything that echoes it."""
    with server.task() as task, client(task) as api:
        ticket = task.connect("crm")
        assert KEY not in json.dumps(dict(ticket.connection))
        assert ticket.secret.reveal() != KEY
        answer = api.get("/echo")
        assert answer.status_code == 200, answer.text
        assert KEY not in answer.text
        assert "*" * len(KEY) in answer.text
        method, target, headers, _ = server.crm.seen.requests[-1]
        assert (method, target, headers["authorization"]) == ("GET", "/v1/echo", f"Bearer {KEY}")
        assert ticket.secret.reveal() not in str(headers)
        decided = [one for one in server.records(task.id) if "crm/echo" in json.dumps(one)]
        assert decided
        assert KEY not in json.dumps(server.records(task.id))


def test_denied(server: GatewayServer) -> None:
    """What the profile does not allow is 403 with the reason and the decision, and never reaches the API."""
    with server.task() as task, client(task) as api:
        before = len(server.crm.seen.requests)
        answer = api.get("/admin")
        assert (answer.status_code, reason(answer)) == (403, "resource_not_in_profile")
        decision = answer.json()["decision"]
        assert any(decision in json.dumps(one) and "deny" in json.dumps(one) for one in server.records(task.id))
        assert reason(api.delete("/orders/O-1")) == "action_unknown"
        assert reason(api.get("/orders/X-1")) == "argument_out_of_bounds"
        assert reason(api.get("/orders/O-1", params={"debug": "1"})) == "argument_unknown"
        assert reason(api.get("/nowhere/../admin".replace("..", "%2e%2e"))) == "ambiguous_path"
        assert len(server.crm.seen.requests) == before


def test_body_and_origins(server: GatewayServer) -> None:
    """A body's fields are arguments: bounded, and from where the profile says. What a read returned counts as reported
    before the agent has it."""
    with server.task() as task, client(task) as api:
        refund = {"order_id": "O-1042", "amount": 20.5, "note": "sorry"}
        assert reason(api.post("/refunds", json=refund)) == "origin_mismatch"
        order = api.get("/orders/O-1042", params={"limit": 3})
        assert order.status_code == 200, order.text
        assert KEY not in order.text
        answer = api.post("/refunds", json=refund)
        assert answer.status_code == 200, answer.text
        assert json.loads(server.crm.seen.requests[-1][3]) == refund
        assert reason(api.post("/refunds", json={**refund, "amount": 120.01})) == "argument_out_of_bounds"
        assert reason(api.post("/refunds?amount=1", json=refund)) == "ambiguous_argument"
        assert reason(api.post("/refunds", content=b"{}")) == "body_not_understood"
        assert api.post("/refunds", json=refund).status_code == 200
        assert reason(api.post("/refunds", json=refund)) == "budget_spent"
        reported = [one for one in server.records(task.id) if "result" in str(one.get("kind"))]
        assert reported


def test_redirects_and_addresses(server: GatewayServer) -> None:
    """A redirect to another host is refused; an address inside that the bundle does not name is not connected to."""
    with server.task() as task, client(task) as api:
        answer = api.get("/redirect", params={"to": "http://evil.example/"})
        assert (answer.status_code, reason(answer)) == (502, "redirect_refused")
        answer = api.get("/redirect", params={"to": "/v1/echo"})
        assert (answer.status_code, answer.headers["location"]) == (302, "/crm/echo")
        assert api.get("/redirect", params={"to": "/v1/echo"}, follow_redirects=True).status_code == 200
        before = len(server.crm.seen.requests)
        with client(task, "inside") as inside:
            answer = inside.get("/echo")
            assert (answer.status_code, reason(answer)) == (403, "address_refused")
        assert len(server.crm.seen.requests) == before


def test_tickets(server: GatewayServer) -> None:
    """A ticket opens its own task, and nothing once the task has ended; a wrong one opens nothing."""
    with server.task() as task, client(task) as api:
        ticket = task.connect("crm")
        assert api.get("/echo").status_code == 200
        name = str(ticket.connection["user"])
        for wrong in ("x", f"{name}.wrong", ticket.secret.reveal()[:-1]):
            answer = httpx.get(f"{ticket.base_url}/echo", headers={"Authorization": f"Bearer {wrong}"}, trust_env=False)
            assert (answer.status_code, reason(answer)) == (401, "no_ticket")
    answer = httpx.get(f"{ticket.base_url}/echo", headers=ticket.headers(), trust_env=False)
    assert (answer.status_code, reason(answer)) == (401, "no_ticket")


def test_not_handed_out(server: GatewayServer) -> None:
    """The key itself is not to be had: the credential is brokered."""
    with server.task() as task, pytest.raises(flyball_sdk.Refused) as caught:
        task.credential("crm")
    assert caught.value.code == "brokered"


def test_stream_ends_on_fence(server: GatewayServer) -> None:
    """A stream of events flows while the task lives; the fence closes it, and its connection at the API."""
    with server.task() as task, client(task) as api:
        with api.stream("GET", "/stream") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "data: tick"
            assert server.crm.seen.open_streams == 1
            server.flyball("revoke", "--task", task.id)
            with pytest.raises(httpx.HTTPError):
                list(lines)
        until(lambda: server.crm.seen.open_streams == 0, 5, "the API's side of the stream is closed")
        receipts = server.flyball("task", "show", task.id)
        assert KEY not in receipts


def test_store_that_fails(server: GatewayServer) -> None:
    """Where the record cannot be made durable the request does not go upstream: 503, a fault of ours."""
    with server.task() as task, client(task) as api:
        assert api.get("/echo").status_code == 200
        before = len(server.crm.seen.requests)
        with contextlib.closing(sqlite3.connect(server.state / "store.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = api.get("/echo")
            other.execute("ROLLBACK")
        assert (answer.status_code, reason(answer)) == (503, "record_failed")
        assert len(server.crm.seen.requests) == before
        assert api.get("/echo").status_code == 200
