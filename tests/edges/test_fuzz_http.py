"""Every field of the control API, fuzzed by its own document (schemathesis), against a real server.

Nothing may answer 500, nothing undocumented, and nobody without a token may get through.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import content_type_conformance
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from tests.edges.conftest import Agent
from tests.server import RunningServer

from flyball.edges.http.openapi import text

pytestmark = pytest.mark.heavy
schema = schemathesis.openapi.from_dict(json.loads(text()))
FUZZ = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@schema.parametrize()
@FUZZ
def test_no_input_breaks_a_route(case: schemathesis.Case, server: RunningServer) -> None:
    """With the rights of an operator, an agent or nobody, any input gets a documented answer, never a 500."""
    tag = case.operation.definition.raw["tags"][0]
    headers = {}
    if tag == "operators":
        if case.method == "POST" and case.path.startswith("/v1/agents"):
            case.path_parameters["name"] = "nobody-" + str(case.path_parameters.get("name", ""))[:20]
        headers["Authorization"] = f"Bearer {server.admin_token}"
    elif case.path == "/v1/tasks":
        headers = {"Authorization": f"Bearer {server_svid(server)}", "DPoP": Agent(server).proof("/v1/tasks")}
    elif tag == "tasks" and "task" in case.path_parameters and not case.path.endswith("/end"):
        # The holder of a live task, so that the input gets past the token and into the rooms.
        agent = holder(server)
        case.path_parameters["task"] = agent.task
        path = urlsplit(case.as_transport_kwargs(base_url=server.control_url)["url"]).path
        headers = {"Authorization": f"DPoP {agent.token}", "DPoP": agent.proof(path, token=agent.token)}
    answer = case.call(base_url=server.control_url, headers=headers)
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    case.validate_response(answer, checks=checks)


_SVIDS: dict[int, str] = {}


def server_svid(server: RunningServer) -> str:
    """One token for all examples: issuing each anew would be most of the time."""
    if server.port not in _SVIDS:
        _SVIDS[server.port] = server.svid()
    return _SVIDS[server.port]


_HOLDERS: dict[int, Agent] = {}


def holder(server: RunningServer) -> Agent:
    """One agent with a live task for all examples; a new one when its task has ended."""
    agent = _HOLDERS.get(server.port)
    if agent is None or agent.post(f"/v1/tasks/{agent.task}/heartbeat").status_code != 200:
        agent = _HOLDERS[server.port] = Agent(server)
        assert agent.open().status_code == 201
    return agent
