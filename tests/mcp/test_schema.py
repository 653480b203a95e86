"""The protocol's own examples and schemas: what they hold passes as it is, and what we say ourselves fits them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tests.mcp.inner import MODERN, Inner

from flyball.edges.mcp.desk import BEGIN, END, PARK, UNPARK
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import checks, frames, results
from flyball.enforcement.mcp.asking import Asking
from flyball.enforcement.mcp.frames import Object
from flyball.enforcement.mcp.results import Refusal

HERE = Path(__file__).resolve().parents[1] / "conformance" / "mcp"
EXAMPLES = [json.loads(line) for line in (HERE / "examples-2026-07-28.jsonl").read_text().splitlines()]
SCHEMAS = {name: json.loads((HERE / f"schema-{name}.json").read_text()) for name in ("2026-07-28", "2025-11-25")}
METHODS = checks.GOVERNED | checks.PLAIN | frozenset(checks.LISTS) | {checks.LISTEN}


def fits(kind: str, value: object, revision: str = "2026-07-28") -> None:
    """Fails where a value is not of this kind."""
    schema = {**SCHEMAS[revision], "$ref": f"#/$defs/{kind}"}
    errors = [f"{list(one.path)}: {one.message}" for one in Draft202012Validator(schema).iter_errors(value)]
    assert not errors, errors


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: f"{one['type']}-{one['name']}")
def test_an_example_is_read_and_written_as_it_is(example: dict[str, object]) -> None:
    """Every member, every number's digits."""
    fits(str(example["type"]), example["value"])
    raw = json.dumps(example["value"]).encode()
    assert json.loads(frames.dumps(frames.loads(raw))) == example["value"]


@pytest.mark.parametrize(
    "example", [one for one in EXAMPLES if one["value"].get("method") in METHODS], ids=lambda one: str(one["name"])
)
def test_an_examples_request_reaches_the_server_as_its_own_bytes(example: dict[str, dict[str, object]]) -> None:
    """With an id of either kind."""
    for ident in (7, "seven"):
        raw = json.dumps({"jsonrpc": "2.0", **example["value"], "id": ident}).encode()

        async def work(raw: bytes = raw) -> None:
            inner = Inner()
            assert await inner.says(raw) == raw, inner.client

        asyncio.run(work())


RESULTS = [one for one in EXAMPLES if str(one["type"]) in ("CallToolResult", "GetPromptResult", "ReadResourceResult")]


@pytest.mark.parametrize("example", RESULTS, ids=lambda one: str(one["name"]))
def test_an_examples_result_reaches_the_client_as_its_own_bytes(example: dict[str, object]) -> None:
    """Structured content beside the texts, annotations, and what nobody here knows."""
    raw = json.dumps({"jsonrpc": "2.0", "id": 7, "result": example["value"], "x.example": [1.50]}).encode()

    async def work() -> None:
        inner = Inner()
        await inner.ask(7, "tools/call", name="t", arguments={})
        assert await inner.answers(raw) == raw
        assert [decision for decision, _ in inner.judge.told] == ["dec_1"]

    asyncio.run(work())


def request(method: str, **params: object) -> frames.Frame:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": MODERN}}
    return frames.read(json.dumps(body).encode())


def test_what_we_say_ourselves_fits_the_schemas() -> None:
    """Denials of tools and of others, the gateway's own tools, a call that waits, cancellations, errors."""
    call = request("tools/call", name="t")
    refusal = Refusal("origin_mismatch", "dec_1")
    denied = frames.read(refusal.answer(call)).body
    fits("CallToolResultResponse", denied)
    fits("CallToolResult", results.tool_result("no", modern=False, error=True), "2025-11-25")
    fits("JSONRPCErrorResponse", frames.read(refusal.answer(request("resources/read", uri="a:b"))).body)
    own: Object = Tools(None, own=(BEGIN, END, PARK, UNPARK)).own_list(request("tools/list"))
    fits("ListToolsResult", own)
    fits("ListToolsResult", {"tools": own["tools"]}, "2025-11-25")
    able: Object = {**MODERN, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}
    waiting = frames.read(frames.dumps({**call.body, "params": {"name": "t", "_meta": able}}))
    asked = Asking("https://f.example/{reference}").question(
        waiting, Refusal("approval_needed", "dec_1", "require_approval", "dec_1"), "tsk_1"
    )
    assert asked is not None
    told = frames.read(asked).result
    fits("InputRequiredResult", told)
    (one,) = told["inputRequests"].values()  # type: ignore[union-attr]
    fits("ElicitRequestURLParams", one["params"])  # type: ignore[index,call-overload]
    fits("CancelledNotification", json.loads(results.cancelled(1, "over")))
