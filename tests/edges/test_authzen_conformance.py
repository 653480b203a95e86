"""AuthZEN 1.0: the certification scenario, the todo interop decisions, and the batch rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.edges.authzen_kit import EVALUATION, EVALUATIONS, Running, running

from flyball.kernel.json import Json

DATA = Path(__file__).parents[1] / "conformance" / "authzen"
CASES = json.loads((DATA / "certification-cases.json").read_text())
TODO = json.loads((DATA / "todo-decisions.json").read_text())
ALICE = {"type": "user", "id": "alice"}
RECORD = {"type": "record", "id": "record-1"}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("authzen"), public_url="https://pdp.flyball.test") as edge:
        yield edge


@pytest.fixture(scope="module")
def pep(edge: Running) -> Iterator[httpx.Client]:
    """An enforcement point that may assert subjects, known by its Unix user."""
    with edge.client(unix=True) as client:
        yield client


@pytest.mark.parametrize("case", CASES["positive"], ids=lambda case: str(case["name"]))
def test_certification_decisions(pep: httpx.Client, case: dict[str, Json]) -> None:
    """Each rule of the scenario, asked twice: the same decision both times."""
    for _ in range(2):
        answer = pep.post(str(case["endpoint"]), json=case["request"])
        assert answer.status_code == case["status"]
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["decision"] == case["expected"]["decision"]  # type: ignore[index,call-overload]


@pytest.mark.parametrize("case", CASES["negative"], ids=lambda case: str(case["name"]))
def test_certification_errors(pep: httpx.Client, case: dict[str, Json]) -> None:
    """What is malformed is a 400 and no decision."""
    content = str(case["raw_body"]) if "raw_body" in case else json.dumps(case["request"])
    answer = pep.post(str(case["endpoint"]), content=content, headers={"Content-Type": str(case["content_type"])})
    assert answer.status_code == case["status"]
    assert "decision" not in answer.json()


@pytest.mark.parametrize("case", TODO["evaluation"])
def test_todo_decisions(pep: httpx.Client, case: dict[str, Json]) -> None:
    """The interop scenario's single decisions."""
    assert pep.post(EVALUATION, json=case["request"]).json()["decision"] is case["expected"]


@pytest.mark.parametrize("case", TODO["evaluations"])
def test_todo_batches(pep: httpx.Client, case: dict[str, Json]) -> None:
    """The interop scenario's batches, in the request's order."""
    answers = pep.post(EVALUATIONS, json=case["request"]).json()["evaluations"]
    assert [{"decision": one["decision"]} for one in answers] == case["expected"]


def batch(pep: httpx.Client, items: object, semantic: str | None = None, **top: object) -> httpx.Response:
    """A batch about alice and record-1 unless an item says otherwise."""
    body: dict[str, object] = {"subject": ALICE, "resource": RECORD, "action": {"name": "read"}, **top}
    if items is not None:
        body["evaluations"] = items
    if semantic is not None:
        body["options"] = {"evaluations_semantic": semantic, "other": [1]}
    return pep.post(EVALUATIONS, json=body)


READ: dict[str, object] = {}
SOFT = {"action": {"name": "delete", "properties": {"soft": True}}}
HARD = {"action": {"name": "delete", "properties": {"soft": False}}}


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        (None, [True, False, True, False]),
        ("execute_all", [True, False, True, False]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_a_batch_stops_as_its_semantic_says(pep: httpx.Client, semantic: str | None, expected: list[bool]) -> None:
    """Results run up to and including the one that stopped the batch."""
    answers = batch(pep, [READ, HARD, SOFT, HARD], semantic).json()["evaluations"]
    assert [one["decision"] for one in answers] == expected


def test_permit_on_first_permit_passes_over_denials_and_errors(pep: httpx.Client) -> None:
    """Neither a denial nor a malformed item is a permit."""
    answers = batch(pep, [HARD, {"action": {}}, READ, HARD], "permit_on_first_permit").json()["evaluations"]
    assert [one["decision"] for one in answers] == [False, False, True]


def test_an_unknown_semantic_is_refused(pep: httpx.Client) -> None:
    """What would be executed is not guessed."""
    for semantic in ("EXECUTE_ALL", "", "first"):
        assert batch(pep, [READ], semantic).status_code == 400


def test_a_batch_without_items_is_one_evaluation(pep: httpx.Client) -> None:
    """`evaluations` missing or empty: the answer is a plain decision."""
    for items in (None, []):
        answer = batch(pep, items)
        assert answer.status_code == 200
        assert answer.json()["decision"] is True
        assert "evaluations" not in answer.json()


def test_an_items_error_is_its_own(pep: httpx.Client) -> None:
    """A malformed item is not permitted, says so, and changes no other item."""
    items = [READ, {"subject": {"type": "user"}}, "text", {"resource": {"type": "nothing", "id": "1"}}, SOFT]
    answer = batch(pep, items)
    assert answer.status_code == 200
    answers = answer.json()["evaluations"]
    assert [one["decision"] for one in answers] == [True, False, False, False, True]
    assert [one["context"]["error"]["status"] for one in answers[1:4]] == [400, 400, 403]


def test_a_default_is_replaced_whole(pep: httpx.Client) -> None:
    """An item's `subject` without properties does not inherit those of the default."""
    admin = {"type": "user", "id": "bob", "properties": {"role": "admin"}}
    items = [READ, {"subject": {"type": "user", "id": "bob"}}]
    answers = batch(pep, items, subject=admin, action={"name": "write"}).json()["evaluations"]
    assert [one["decision"] for one in answers] == [True, False]


def test_a_batch_that_is_malformed_as_a_whole_is_refused(pep: httpx.Client) -> None:
    """`evaluations` that is no array, options that are no object, too many items: 400."""
    assert batch(pep, {"a": 1}).status_code == 400
    assert batch(pep, [READ], options=[]).status_code == 400
    assert batch(pep, [READ] * 257).status_code == 400
    assert len(batch(pep, [READ] * 256).json()["evaluations"]) == 256


def test_the_request_id_comes_back(pep: httpx.Client) -> None:
    """On decisions and on errors, unchanged; none is made up."""
    body = {"subject": ALICE, "resource": RECORD, "action": {"name": "read"}}
    for sent in (body, {}):
        answer = pep.post(EVALUATION, json=sent, headers={"X-Request-ID": 'a "b"; {c}'})
        assert answer.headers["x-request-id"] == 'a "b"; {c}'
    assert "x-request-id" not in pep.post(EVALUATION, json=body).headers


def test_metadata_names_https_endpoints_under_the_public_url(edge: Running, pep: httpx.Client) -> None:
    """Discovery, open to all; only what is served is named."""
    for client in (pep, edge.client()):
        found = client.get("/.well-known/authzen-configuration")
        assert found.status_code == 200
        assert found.headers["content-type"] == "application/json"
        assert found.json() == {
            "policy_decision_point": "https://pdp.flyball.test",
            "access_evaluation_endpoint": "https://pdp.flyball.test" + EVALUATION,
            "access_evaluations_endpoint": "https://pdp.flyball.test" + EVALUATIONS,
        }


def test_every_decision_is_recorded_before_its_answer(edge: Running, pep: httpx.Client) -> None:
    """The answer's id stands in the chain, with what was decided."""
    answer = pep.post(EVALUATION, json={"subject": ALICE, "resource": RECORD, "action": {"name": "read"}}).json()
    (record,) = [one for one in edge.records() if one["decision"] == answer["context"]["id"]]
    assert record["effect"] == "allow"
    assert record["pep"] == "gateway"
