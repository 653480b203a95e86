"""The task's routes on the wire: proofs, bad input, and the whole way from open to receipts."""

from __future__ import annotations

import httpx
import pytest
from tests.edges.conftest import INPUTS, Agent
from tests.server import RunningServer

SVID_LIFE = 3600


def problem(answer: httpx.Response, status: int, code: str = "") -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    members: dict[str, object] = answer.json()
    assert members["status"] == status
    assert members["type"] == f"urn:flyball:error:{members['code']}"
    assert not code or members["code"] == code
    return members


def test_from_open_to_receipts(server: RunningServer, agent: Agent) -> None:
    """Open, heartbeat, credential, delivered, end: and the end's receipt names the lease, `released`."""
    opened = agent.open()
    assert opened.status_code == 201
    assert opened.json()["token_type"] == "DPoP"
    assert opened.json()["credentials"] == ["orders"]
    beat = agent.post(f"/v1/tasks/{agent.task}/heartbeat")
    assert beat.status_code == 200
    assert beat.json()["state"] == "open"
    agent.token = beat.json()["token"]
    issued = agent.post(f"/v1/tasks/{agent.task}/credentials/orders")
    assert issued.status_code == 201, issued.text
    assert issued.json()["delivery"] == "released"
    lease = issued.json()["lease"]
    assert agent.post(f"/v1/leases/{lease}/delivered").status_code == 204
    shown = server.operator.get(f"/v1/tasks/{agent.task}").json()
    assert shown["leases"][0]["state"] == "delivered"
    assert issued.json()["secret"] not in str(shown)
    ended = agent.post(f"/v1/tasks/{agent.task}/end")
    assert ended.status_code == 200
    assert len(ended.json()["receipts"]) == 1
    again = agent.post(f"/v1/tasks/{agent.task}/end")
    assert again.json()["receipts"] == ended.json()["receipts"]
    assert agent.post(f"/v1/tasks/{agent.task}/heartbeat").status_code == 410
    assert issued.json()["secret"] not in server.log()
    assert agent.token not in server.log()


def test_a_task_token_without_its_proof_is_worth_nothing(agent: Agent) -> None:
    """A stolen token fails as a bearer token, with no proof, and with the thief's own key."""
    agent.open()
    url = f"{agent.server.control_url}/v1/tasks/{agent.task}/heartbeat"
    for headers in ({"Authorization": f"Bearer {agent.token}"}, {"Authorization": f"DPoP {agent.token}"}):
        problem(httpx.post(url, json={}, headers=headers), 401)
    thief = Agent(agent.server, token=agent.token, task=agent.task)
    problem(thief.post(f"/v1/tasks/{agent.task}/heartbeat"), 401, "dpop_key")


def test_a_proof_is_used_once(agent: Agent) -> None:
    """The same proof again is refused, though nothing else changed."""
    agent.open()
    path = f"/v1/tasks/{agent.task}/heartbeat"
    proof = agent.proof(path, token=agent.token)
    assert agent.post(path, DPoP=proof).status_code == 200
    problem(agent.post(path, DPoP=proof), 401, "dpop_replayed")


def test_two_proofs_are_refused(agent: Agent) -> None:
    """RFC 9449 section 4.3, check 1: exactly one DPoP header."""
    agent.open()
    path = f"/v1/tasks/{agent.task}/heartbeat"
    headers = [("Authorization", f"DPoP {agent.token}")]
    headers += [("DPoP", agent.proof(path, token=agent.token)) for _ in range(2)]
    answer = httpx.post(agent.server.control_url + path, json={}, headers=headers)
    problem(answer, 401, "dpop_header_count")


def test_a_proof_made_for_another_host_does_not_become_good_here(agent: Agent) -> None:
    """Writing the other host into `Host` does not help: the URL is this listener's own."""
    agent.open()
    path = f"/v1/tasks/{agent.task}/heartbeat"
    proof = agent.proof(path, token=agent.token, url=f"http://other.example{path}")
    problem(agent.post(path, DPoP=proof, Host="other.example"), 401, "dpop_htu")
    assert agent.post(path, Host=f"localhost:{agent.server.port}").status_code in (200, 401)


def test_a_task_is_not_another_tasks(agent: Agent) -> None:
    """A token names one task; another task's path is refused with it."""
    agent.open()
    other = Agent(agent.server)
    other.open()
    problem(agent.post(f"/v1/tasks/{other.task}/end"), 401, "task_mismatch")
    assert other.post(f"/v1/tasks/{other.task}/heartbeat").status_code == 200


def test_nothing_to_bind_to_is_refused(server: RunningServer) -> None:
    """An open over TCP that offers no key would make a bearer token; it is refused."""
    headers = {"Authorization": f"Bearer {server.svid()}"}
    body = {"profile": "settle-refund", "inputs": INPUTS}
    answer = httpx.post(f"{server.control_url}/v1/tasks", json=body, headers=headers)
    problem(answer, 401, "binding_missing")


def test_over_the_unix_socket_the_peer_is_the_binding(server: RunningServer) -> None:
    """There the kernel's word binds the token, which then is a Bearer token good on that socket alone."""
    path = str(server.state / "control.sock")
    body = {"profile": "settle-refund", "inputs": {**INPUTS, "ticket": "T-77"}}
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://localhost") as local:
        opened = local.post("/v1/tasks", json=body, headers={"Authorization": f"Bearer {server.svid()}"})
        assert opened.status_code == 201, opened.text
        assert opened.json()["token_type"] == "Bearer"
        token = {"Authorization": f"Bearer {opened.json()['token']}"}
        where = f"/v1/tasks/{opened.json()['task']}"
        assert local.post(f"{where}/heartbeat", json={}, headers=token).status_code == 200
        problem(httpx.post(f"{server.control_url}{where}/heartbeat", json={}, headers=token), 401)
        assert local.post(f"{where}/end", json={}, headers=token).status_code == 200


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"profile": "settle-refund", "inputs": {}, "admin": True}, "admin"),
        ({"profile": "x" * 64}, "profile"),
        ({"profile": 7}, "profile"),
        ({"inputs": {}}, "profile"),
        ({"profile": "settle-refund", "inputs": []}, "inputs"),
        ({"profile": "settle-refund", "inputs": {str(n): 1 for n in range(33)}}, "inputs"),
        ({"profile": "settle-refund", "vouchers": ["x" * 8193]}, "vouchers"),
        ([], "body"),
    ],
)
def test_what_is_not_of_the_documented_shape_is_400(agent: Agent, body: dict[str, object], where: str) -> None:
    """It says which field, and echoes no value."""
    members = problem(agent.open(body), 400, "invalid_input")
    assert where in str(members["errors"])


@pytest.mark.parametrize(
    ("content", "media", "code"),
    [
        (b"{", "application/json", "json_malformed"),
        (b'{"profile": "a", "profile": "b"}', "application/json", "json_malformed"),
        (b'{"profile": NaN}', "application/json", "json_malformed"),
        (b"[" * 9000, "application/json", "json_malformed"),
        (b'{"profile": "\\ud800"}', "application/json", "json_malformed"),
        (b"\xff\xfe", "application/json", "json_malformed"),
        (b"profile=a", "application/x-www-form-urlencoded", "media_type"),
        (b"{}", "text/plain", "media_type"),
        (b'{"profile": "' + b"x" * 70_000 + b'"}', "application/json", "body_too_large"),
    ],
)
def test_bodies_that_are_no_strict_json(agent: Agent, content: bytes, media: str, code: str) -> None:
    """400 or 413, each with its own code, never 500."""
    answer = httpx.post(
        f"{agent.server.control_url}/v1/tasks",
        content=content,
        headers={"Authorization": "Bearer x", "Content-Type": media, "DPoP": agent.proof("/v1/tasks")},
    )
    problem(answer, 413 if code == "body_too_large" else 400, code)


def test_a_plan_is_held_to_and_a_malformed_one_opens_nothing(agent: Agent) -> None:
    """Entries of the documented shape only; `actions` and `allot` are for children."""
    for plan in (
        ["tool.refund"],
        [{"count": 1}],
        [{"action": "tool.refund", "count": 0}],
        [{"action": "x", "more": 1}],
    ):
        problem(agent.open({"profile": "settle-refund", "inputs": INPUTS, "plan": plan}), 400, "invalid_input")
    for more in ({"actions": ["tool.refund"]}, {"allot": {"calls": "1"}}):
        problem(agent.open({"profile": "settle-refund", "inputs": INPUTS, **more}), 400, "parent_missing")
    planned = agent.open({"profile": "settle-refund", "inputs": INPUTS, "plan": [{"action": "tool.refund"}]})
    assert planned.status_code == 201, planned.text
    path = f"/v1/tasks/{agent.task}/plan"
    problem(agent.post(path, {"plan": [{"action": "tool.refund"}]}), 409, "plan_exists")
    other = Agent(agent.server)
    other.open()
    assert other.post(f"/v1/tasks/{other.task}/plan", {"plan": []}).status_code == 204
    problem(other.post(path, {"plan": []}), 401, "task_mismatch")


def test_a_child_on_the_wire(agent: Agent) -> None:
    """Opened by its parent's own token with its proof; it ends with its parent."""
    agent.open()
    body = {"profile": "settle-refund", "parent": agent.task}
    headers = {"Authorization": f"DPoP {agent.token}", "DPoP": agent.proof("/v1/tasks", token=agent.token)}
    answer = httpx.post(f"{agent.server.control_url}/v1/tasks", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    child = Agent(agent.server, key=agent.key, task=answer.json()["task"], token=answer.json()["token"])
    assert child.post(f"/v1/tasks/{child.task}/heartbeat").status_code == 200
    bare = {"Authorization": f"DPoP {agent.token}"}
    problem(httpx.post(f"{agent.server.control_url}/v1/tasks", json=body, headers=bare), 401)
    stranger = Agent(agent.server)
    problem(stranger.open({**body, "parent": "tsk_local_01k0000000000000000000000a"}), 403, "parent_not_held")
    assert agent.post(f"/v1/tasks/{agent.task}/end").json()["unmet"] == []
    problem(child.post(f"/v1/tasks/{child.task}/heartbeat"), 410)


def test_no_route_and_no_method(server: RunningServer) -> None:
    """404 and 405 are problem documents too, and 405 says what is taken."""
    problem(httpx.get(f"{server.control_url}/v1/nothing"), 404, "route_unknown")
    answer = httpx.delete(f"{server.control_url}/v1/health")
    problem(answer, 405, "method_unknown")
    assert "GET" in answer.headers["allow"]


def test_an_unknown_profile_and_one_that_is_not_ours_look_the_same(agent: Agent) -> None:
    """Whether a profile exists is not told to those who may not run it."""
    members = problem(agent.open({"profile": "no-such-profile", "inputs": {}}), 403)
    assert "no-such-profile" not in str(members["detail"])


def test_an_operator_revokes(server: RunningServer, agent: Agent) -> None:
    """The operator's lever ends the task with its receipt; the holder is told that it is gone."""
    agent.open()
    agent.post(f"/v1/tasks/{agent.task}/credentials/orders")
    answer = server.operator.post(f"/v1/tasks/{agent.task}/revoke", json={"reason": "a drill"})
    assert answer.status_code == 200
    assert len(answer.json()["receipts"]) == 1
    assert answer.json()["pending"] == []
    problem(agent.post(f"/v1/tasks/{agent.task}/heartbeat"), 410)


@pytest.mark.parametrize("path", ["/v1/tasks/{}/revoke", "/v1/tasks/{}/suspend", "/v1/agents/nobody/suspend"])
def test_operators_are_told_of_what_is_unknown(server: RunningServer, path: str) -> None:
    """404 with a hint."""
    answer = server.operator.post(path.format("tsk_local_01k0000000000000000000000a"), json={})
    assert problem(answer, 404)["hint"]


def test_a_bad_bundle_is_refused_with_its_findings(server: RunningServer) -> None:
    """422 with file and line of every finding; the running bundle stays in force."""
    before = server.status()["bundle"]
    manifest = server.home / "bundle" / "bundle.yaml"
    good = manifest.read_text()
    try:
        manifest.write_text(good + "\nunknown_field: true\n")
        members = problem(server.operator.post("/v1/bundle", json={}), 422)
        assert "unknown_field" in str(members["diagnostics"])
        assert server.status()["bundle"] == before
    finally:
        manifest.write_text(good)
    assert server.operator.post("/v1/bundle", json={}).status_code == 200
