"""Results over the decision edge: whose word it is, what is taken, and that it is durable before the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from tests.edges.authzen_kit import EVALUATION, Holder, Running, call, running

from flyball.kernel.json import Json

RESULT = "/access/v1/result"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("results")) as edge:
        yield edge


@pytest.fixture(scope="module")
def gateway(edge: Running) -> Iterator[httpx.Client]:
    """The enforcement point on the Unix socket, known by its user."""
    with edge.client(unix=True) as client:
        yield client


@pytest.fixture
def task(edge: Running) -> str:
    return edge.open("jkt:" + Holder().jkt)


def shown(edge: Running, task: str, **change: Json) -> dict[str, str]:
    """The task's token, as an enforcement point shows it."""
    return {"Flyball-Task": edge.token(task, {"jkt": Holder().jkt}, **change)}


def asked(edge: Running, gateway: httpx.Client, task: str) -> str:
    """The id of an allowed decision."""
    answer = gateway.post(EVALUATION, json=call(task), headers=shown(edge, task)).json()
    assert answer["decision"] is True
    return str(answer["context"]["id"])


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of problem details."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, str(answer.json()["type"]).rsplit(":", 1)[1]


def test_a_report_is_durable_when_it_is_answered_and_taken_once(
    edge: Running, gateway: httpx.Client, task: str
) -> None:
    """The answer says which result it is; the record and what it seals are there; the same report again is a 409."""
    body: dict[str, Json] = {"decision": asked(edge, gateway, task), "result": [{"id": 1}], "meta": {"ms": 5}}
    answer = gateway.post(RESULT, json=body, headers=shown(edge, task))
    assert answer.status_code == 200
    assert answer.json() == {"full": False, "kept": 0, "result": 1, "self_reported": False}
    record = edge.records("result_reported")[-1]
    assert (record["task"], record["pep"], record["decision"]) == (task, "gateway", body["decision"])
    ((sealed,),) = edge.writer.query("SELECT sealed FROM record WHERE kind = 'result_reported' AND task = ?", (task,))
    assert isinstance(sealed, bytes)
    again = gateway.post(RESULT, json=body, headers=shown(edge, task))
    assert problem(again) == (409, "already_reported")


def test_only_an_enforcement_point_with_the_tasks_token_reports(
    edge: Running, gateway: httpx.Client, task: str
) -> None:
    """The agent's own token is not enough here, no token is none, and another task's names no decision of it."""
    body: dict[str, Json] = {"decision": asked(edge, gateway, task), "result": {}}
    assert problem(gateway.post(RESULT, json=body)) == (403, "pep_task_proof")
    wrong = shown(edge, task, sub="spiffe://dev.test/agents/another")
    assert problem(gateway.post(RESULT, json=body, headers=wrong)) == (403, "task_mismatch")
    other = edge.open("jkt:" + Holder().jkt)
    assert problem(gateway.post(RESULT, json=body, headers=shown(edge, other))) == (404, "decision_unknown")
    holder = Holder()
    mine = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(mine, {"jkt": holder.jkt})
    with edge.client() as agent:
        headers = {"Authorization": f"DPoP {token}", "DPoP": holder.proof(edge.url + RESULT, token)}
        assert problem(agent.post(RESULT, json=body, headers=headers)) == (403, "pep_may_not_report")
        assert problem(agent.post(RESULT, json=body)) == (401, "invalid_token")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"decision":"d"}',
        '{"decision":1,"result":{}}',
        '{"decision":"d","result":{},"more":1}',
        '{"decision":"d","decision":"e","result":{}}',
        '{"decision":"d","result":{"a":1,"a":2}}',
        '{"decision":"d","result":' + "[" * 40 + "]" * 40 + "}",
    ],
)
def test_what_is_no_report_is_refused(edge: Running, gateway: httpx.Client, task: str, text: str) -> None:
    """Strict JSON: no name twice, nothing unknown, nothing deep."""
    headers = {**shown(edge, task), "Content-Type": "application/json"}
    assert problem(gateway.post(RESULT, content=text, headers=headers)) == (400, "malformed")


def test_results_may_be_larger_than_questions_and_no_larger_than_a_mebibyte(
    edge: Running, gateway: httpx.Client, task: str
) -> None:
    """An inbox fits; what the plane would not read is a 413."""
    headers = shown(edge, task)
    large: dict[str, Json] = {"decision": asked(edge, gateway, task), "result": ["x" * 1000] * 900}
    assert gateway.post(RESULT, json=large, headers=headers).status_code == 200
    larger: dict[str, Json] = {"decision": asked(edge, gateway, task), "result": ["x" * 1000] * 1100}
    assert problem(gateway.post(RESULT, json=larger, headers=headers)) == (413, "too_large")


def test_what_is_said_of_a_result_is_read_strictly(edge: Running, gateway: httpx.Client, task: str) -> None:
    """A mistake in `meta` takes nothing: the report can be made again."""
    body: dict[str, Json] = {"decision": asked(edge, gateway, task), "result": {}}
    for meta in ({"rows": -1}, {"labels": ["two words"]}, {"x": 1}, []):
        answer = gateway.post(RESULT, json={**body, "meta": meta}, headers=shown(edge, task))
        assert problem(answer) == (400, "malformed"), json.dumps(meta)
    meta_too: dict[str, Json] = {**body, "meta": {"labels": ["pii"], "rows": 3}}
    assert gateway.post(RESULT, json=meta_too, headers=shown(edge, task)).status_code == 200
    assert "pii" in edge.records("result_reported")[-1]["labels"]  # type: ignore[operator]


def test_the_route_takes_post_only(edge: Running, gateway: httpx.Client, task: str) -> None:
    """As the other routes do."""
    answer = gateway.get(RESULT, headers=shown(edge, task))
    assert problem(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
