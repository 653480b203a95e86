"""Requests through a real Envoy: what passes, what does not, and what the server behind it never sees."""

from __future__ import annotations

import json
import socket

import httpx
import pytest
from tests.envoy.kit import AGENT_SECRET, Agent, Envoy, EnvoyFlyball, Upstream, behind, header

REFUND = "/v1/invoices/I-7/refunds"


def test_an_allowed_request_passes_without_the_tasks_token(envoy: Envoy, agent: Agent) -> None:
    """The server gets the request and the decision's name, not the client's own, nor token or stripped header."""
    told = envoy.client().get(
        "/v1/invoices/I-7", headers={**agent.shown, "authorization": "Bearer mine", "flyball-decision": "made-up"}
    )
    assert told.status_code == 200, told.text
    decision = told.headers["flyball-decision"]
    assert header(told, "flyball-decision") == [decision]
    assert decision != "made-up"
    assert header(told, "flyball-task") == header(told, "authorization") == []
    records = agent.server.operator.get(f"/v1/tasks/{agent.task}/story").json()["calls"]
    assert [(one["action"], one["effect"]) for one in records if one["action"] == "invoices.get"] == [
        ("invoices.get", "allow")
    ]


def test_a_body_and_a_header_are_arguments(envoy: Envoy, agent: Agent, upstream: Upstream) -> None:
    """An amount within the profile's bound passes, one beyond it is refused with the reason and the decision's id."""
    client = envoy.client(headers={**agent.shown, "idempotency-key": "k1"})
    assert client.post(REFUND, json={"amount": 49.5}).status_code == 200
    before = len(upstream.seen)
    told = client.post(REFUND, json={"amount": 51})
    problem = told.json()
    assert (told.status_code, told.headers["content-type"]) == (403, "application/problem+json")
    assert problem["type"] == "urn:flyball:error:argument_out_of_bounds"
    assert problem["decision"] == told.headers["flyball-decision"]
    assert agent.token not in told.text
    assert len(upstream.seen) == before


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("DELETE", "/v1/invoices/I-7", "action_unknown"),
        ("GET", "/v1/invoices/X-7", "resource_not_in_profile"),
        ("GET", "/v1/invoices/I-7?expand=all", "malformed"),
        ("GET", "/v2/invoices/I-7", "action_unknown"),
    ],
)
def test_what_the_bundle_does_not_name_is_refused_and_recorded(
    envoy: Envoy, agent: Agent, method: str, path: str, code: str
) -> None:
    """No route, no rule or an unnamed parameter: refused, with a decision on record."""
    told = envoy.client().request(method, path, headers=agent.shown)
    assert told.status_code in (400, 403)
    assert told.json()["type"] == f"urn:flyball:error:{code}"
    calls = agent.server.operator.get(f"/v1/tasks/{agent.task}/story").json()["calls"]
    assert calls[-1]["decision"] == told.headers["flyball-decision"]
    assert calls[-1]["effect"] == "deny"


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": 1, "to": "evil"}',
        b'{"amount": 1, "amount": 2}',
        b'{"amount": 1',
        b"[1]",
        b"amount=1",
        b'{"amount": "\xff"}',
    ],
)
def test_a_body_that_cannot_be_read_in_one_way_is_refused(envoy: Envoy, agent: Agent, body: bytes) -> None:
    """Unnamed members, repeated names, broken or other JSON, bytes that are no text: 400, and nothing upstream."""
    headers = {**agent.shown, "content-type": "application/json"}
    told = envoy.client().post(REFUND, content=body, headers=headers)
    assert (told.status_code, told.json()["type"]) == (400, "urn:flyball:error:malformed")


def test_a_body_beyond_envoys_limit_never_reaches_flyball(envoy: Envoy, agent: Agent) -> None:
    """Envoy hands over 64 KiB at most: 413."""
    told = envoy.client().post(REFUND, json={"amount": 1, "note": "x" * 70_000}, headers=agent.shown)
    assert told.status_code == 413


def test_a_body_that_was_cut_is_refused(
    tmp_path_factory: pytest.TempPathFactory, flyball: EnvoyFlyball, upstream: Upstream, agent: Agent
) -> None:
    """Where Envoy hands over the beginning only, Flyball does not take it for the whole."""
    cut = {"max_request_bytes": 1024, "allow_partial_message": True, "pack_as_bytes": True}
    with behind(tmp_path_factory.mktemp("cut"), flyball, upstream, with_request_body=cut) as envoy:
        body = json.dumps({"amount": 1}) + " " * 2000
        headers = {**agent.shown, "content-type": "application/json"}
        told = envoy.client().post(REFUND, content=body, headers=headers)
        assert (told.status_code, told.json()["type"]) == (413, "urn:flyball:error:too_large")
        assert envoy.client().post(REFUND, json={"amount": 1}, headers=headers).status_code == 200


def test_a_body_that_envoy_does_not_hand_over_is_refused(
    tmp_path_factory: pytest.TempPathFactory, flyball: EnvoyFlyball, upstream: Upstream, agent: Agent
) -> None:
    """Without `with_request_body`, and with a client that says its body is whole: refused all the same."""
    with behind(tmp_path_factory.mktemp("unseen"), flyball, upstream, with_request_body=None) as envoy:
        for more in ({}, {"x-envoy-auth-partial-body": "false"}):
            told = envoy.client().post(REFUND, json={"amount": 1}, headers={**agent.shown, **more})
            assert told.status_code == 400, told.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1//invoices/I-7",
        "/v1/invoices/%2e%2e/invoices/I-7",
        "/v1/invoices/I-7%2frefunds",
        "/v1/invoices/../invoices/I-7",
        "/v1/invoices/I-7/..;/I-8",
        "/v1/invoices/%49-7%00",
        "/v1/invoices/I-7%252frefunds",
        "/v1/invoices\\I-7",
    ],
)
def test_path_tricks_are_refused_without_envoys_help(
    tmp_path_factory: pytest.TempPathFactory, flyball: EnvoyFlyball, upstream: Upstream, agent: Agent, path: str
) -> None:
    """An Envoy that normalises nothing: Flyball refuses each path that two servers could read differently."""
    plain = {"hcm_normalize_path": False, "hcm_path_with_escaped_slashes_action": "KEEP_UNCHANGED"}
    with behind(tmp_path_factory.mktemp("paths"), flyball, upstream, **plain) as envoy:
        before = len(upstream.seen)
        with socket.create_connection(("127.0.0.1", envoy.port), timeout=10) as conn:
            head = f"GET {path} HTTP/1.1\r\nhost: shop\r\nflyball-task: {agent.token}\r\nconnection: close\r\n\r\n"
            conn.sendall(head.encode("latin-1"))
            answer = b"".join(iter(lambda: conn.recv(65536), b""))
        assert b" 200 " not in answer.split(b"\r\n")[0]
        assert len(upstream.seen) == before


def test_the_tasks_token_twice_is_refused(envoy: Envoy, agent: Agent) -> None:
    """Two `flyball-task` headers, alike or not: 401, whatever their case."""
    for second in (agent.token, "other", ""):
        told = envoy.client().get("/v1/invoices/I-7", headers=[("flyball-task", agent.token), ("Flyball-Task", second)])
        assert told.status_code == 401, second
        assert told.headers["www-authenticate"] == "Flyball-Task"


def test_joined_headers_are_no_way_around(
    tmp_path_factory: pytest.TempPathFactory, flyball: EnvoyFlyball, upstream: Upstream, agent: Agent
) -> None:
    """An Envoy that joins headers with commas: two tokens are still refused, one passes."""
    with behind(tmp_path_factory.mktemp("joined"), flyball, upstream, encode_raw_headers=False) as envoy:
        two = [("flyball-task", agent.token), ("flyball-task", agent.token)]
        assert envoy.client().get("/v1/invoices/I-7", headers=two).status_code == 401
        assert envoy.client().get("/v1/invoices/I-7", headers=agent.shown).status_code == 200


@pytest.mark.parametrize("token", ["", "x.y.z", "Bearer x"])
def test_a_request_without_a_good_token_is_refused(envoy: Envoy, token: str) -> None:
    """No token, or one that is none: 401 with a reason, no task is guessed."""
    told = envoy.client().get("/v1/invoices/I-7", headers={"flyball-task": token} if token else {})
    assert (told.status_code, told.json()["type"]) == (401, "urn:flyball:error:invalid_token")


def test_a_credential_is_put_in_and_the_clients_own_never_passes(envoy: Envoy, agent: Agent) -> None:
    """Refused before the task has connected it. Then the server gets the lease's secret, and no agent does."""
    client = envoy.client(headers={**agent.shown, "authorization": f"Bearer {AGENT_SECRET}"})
    told = client.put("/v1/invoices/I-7/paid")
    assert (told.status_code, told.json()["type"]) == (403, "urn:flyball:error:credential_not_lent")
    connected = agent.connect()
    assert connected.status_code == 201, connected.text
    assert (connected.json()["delivery"], connected.json()["secret"]) == ("brokered", "")
    told = client.put("/v1/invoices/I-7/paid")
    assert told.status_code == 200, told.text
    [value] = header(told, "authorization")
    assert value.startswith("Bearer ")
    assert len(value) > 20
    assert AGENT_SECRET not in told.text
    secret = value.removeprefix("Bearer ")
    assert secret not in connected.text
    assert secret not in json.dumps(agent.server.operator.get(f"/v1/tasks/{agent.task}/story").json())


def test_a_fence_refuses_the_next_request(envoy: Envoy, agent: Agent) -> None:
    """On a connection that is kept, the request after the fence is refused, and the credential is gone with it."""
    client = envoy.client(headers=agent.shown)
    assert agent.connect().status_code == 201
    assert client.put("/v1/invoices/I-7/paid").status_code == 200
    agent.server.flyball("task", "revoke", agent.task, "--yes", code=None)
    ended = agent.server.operator.get(f"/v1/tasks/{agent.task}").json()
    assert ended["state"] != "open", ended
    for told in (client.put("/v1/invoices/I-7/paid"), client.get("/v1/invoices/I-7")):
        assert told.status_code == 403, told.text
        assert told.json()["type"].rsplit(":", 1)[1] in ("task_fenced", "task_unknown", "credential_not_lent")


def test_a_stolen_token_of_another_task_gives_only_that_tasks_rights(envoy: Envoy, agent: Agent) -> None:
    """What is decided is decided for the token's task: its record names it."""
    told = envoy.client().get("/v1/invoices/I-9", headers=agent.shown)
    calls = agent.server.operator.get(f"/v1/tasks/{agent.task}/story").json()["calls"]
    assert calls[-1]["decision"] == told.headers["flyball-decision"]


def test_an_upgrade_passes_only_where_its_end_is_stated(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, envoy: Envoy, agent: Agent
) -> None:
    """With `max_stream` an upgrade is decided like another request; without it there is none."""
    asks = {"connection": "Upgrade", "upgrade": "websocket"}
    told = envoy.client().get("/v1/events", headers={**agent.shown, **asks})
    assert told.status_code != 403 or "stream_unbounded" not in told.text
    other = EnvoyFlyball(tmp_path_factory.mktemp("unbounded"), change=(", max_stream: 60s", ""))
    other.start()
    try:
        second = Agent(other)
        second.open()
        with behind(
            tmp_path_factory.mktemp("unbounded-envoy"),
            other,
            upstream,
            hcm_upgrade_configs=[{"upgrade_type": "websocket"}],
        ) as strict:
            told = strict.client().get("/v1/events", headers={**second.shown, **asks})
            assert (told.status_code, told.json()["type"]) == (403, "urn:flyball:error:stream_unbounded")
            assert strict.client().get("/v1/events", headers=second.shown).status_code == 200
    finally:
        other.kill()


def test_a_stated_stream_is_told_as_what_is_not_enforced(flyball: EnvoyFlyball) -> None:
    """`flyball validate` says that a stream may outlive its fence, and by how much."""
    told = flyball.flyball("validate", str(flyball.home / "bundle"))
    assert "60000 ms" in " ".join(told.split())


def test_httpx_is_no_part_of_the_proof() -> None:
    """The client of these tests sends what it is told: a header given twice goes out twice."""
    request = httpx.Request("GET", "http://x/", headers=[("a", "1"), ("A", "2")])
    assert request.headers.get_list("a") == ["1", "2"]
