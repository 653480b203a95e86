"""Every route is tried by a stranger; the open ones are a committed list."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from tests.server import RunningServer

from flyball.edges.http.app import bare_app
from flyball.edges.http.describe import document
from flyball.edges.http.openapi import text

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = {
    "task": "tsk_local_01k0000000000000000000000a",
    "lease": "lea_local_01k0000000000000000000000a",
    "receipt": "rcp_local_01k0000000000000000000000a",
    "decision": "dec_local_01k0000000000000000000000a_1_1",
    "name": "refund-agent",
    "change": "suspend",
}
BODIES = {
    "/v1/tasks": {"profile": "settle-refund", "inputs": {}},
    "/v1/tasks/{task}/result": {"decision": SAMPLES["decision"], "result": {"rows": 1}},
    "/v1/tasks/{task}/connect": {"credential": "orders"},
    "/v1/tasks/{task}/plan": {"plan": [{"action": "tool.refund"}]},
    "/v1/tasks/{task}/watch": {"state": "open", "wait_ms": 0},
    "/v1/tasks/{task}/step-up": {"decision": SAMPLES["decision"], "voucher": "x.y.z"},
    "/v1/approvals/{decision}": {"outcome": "approve"},
}


def routes() -> list[tuple[str, str]]:
    found = []
    for path, item in document(bare_app())["paths"].items():  # type: ignore[union-attr]
        found += [(method.upper(), path) for method in item]  # type: ignore[union-attr]
    return sorted(found, key=lambda one: (one[1], one[0]))


def open_routes() -> list[str]:
    lines = (ROOT / "api" / "open_routes.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_committed_document_is_the_apps() -> None:
    """api/openapi.json is what the code says; `python -m flyball.edges.http.openapi` writes it anew."""
    assert (ROOT / "api" / "openapi.json").read_text() == text()


def test_the_document_hides_no_route(server: RunningServer) -> None:
    """What the app serves and what the document lists are the same: FastAPI's own pages are off."""
    for path in ("/docs", "/redoc", "/openapi.json", "/"):
        assert httpx.get(server.control_url + path).status_code == 404


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_stranger_is_refused_everywhere_else(server: RunningServer, method: str, path: str) -> None:
    """Without a token: 401, a problem document with a challenge, and no word on whether the thing exists."""
    url = server.control_url + path.format(**SAMPLES)
    body = BODIES.get(path) if method == "POST" else None
    for headers in ({}, {"Authorization": "Bearer fba_" + "x" * 43}, {"Authorization": "DPoP x.y.z"}):
        answer = httpx.request(method, url, json=body, headers=headers)
        if f"{method} {path}" in open_routes():
            assert answer.status_code == 200
            continue
        assert (
            answer.status_code in (401, 404)
            if "/leases/" in path and "delivered" in path
            else (answer.status_code == 401)
        ), answer.text
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["type"].startswith("urn:flyball:error:")
        if answer.status_code == 401:
            assert "DPoP" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("line", open_routes())
def test_the_open_routes_exist(line: str) -> None:
    """The list names no route that is gone."""
    method, _, path = line.partition(" ")
    assert (method, path) in routes()


def test_operators_routes_read_nothing_of_a_stranger(server: RunningServer) -> None:
    """A stranger with a malformed body still gets 401: nothing was looked at."""
    url = f"{server.control_url}/v1/agents/refund-agent/revoke"
    answer = httpx.post(url, content=b"{not json", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def test_an_agents_token_is_no_operators(server: RunningServer) -> None:
    """A workload's own valid token opens no operator's route."""
    headers = {"Authorization": f"Bearer {server.svid()}"}
    assert httpx.get(f"{server.control_url}/v1/tasks", headers=headers).status_code == 401


def test_two_authorization_headers_are_refused(server: RunningServer) -> None:
    """Two readers could take two different ones."""
    headers = [("Authorization", f"Bearer {server.admin_token}"), ("Authorization", "Bearer other")]
    answer = httpx.get(f"{server.control_url}/v1/status", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "authorization_repeated"


def test_the_document_is_whole() -> None:
    """Every operation names its errors and, where it has one, its security."""
    paths = json.loads(text())["paths"]
    for path, item in paths.items():
        for method, operation in item.items():
            is_open = f"{method.upper()} {path}" in open_routes()
            assert ("security" in operation) is not is_open
            assert "422" not in operation["responses"] or path == "/v1/bundle"
            assert "400" in operation["responses"]
