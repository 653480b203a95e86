"""Headers that mirror a message are held against its body, the arguments among them."""

from __future__ import annotations

import pytest
from tests.mcp.inner import Allowing

from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import frames, headers
from flyball.enforcement.mcp.frames import Object
from flyball.enforcement.mcp.pins import Pins, fingerprint

CALL = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"region":"eu west",'
    b'"amount":1.50,"at":{"deep":true}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}'
)
GOOD = {
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "pay",
    "mcp-param-region": "=?base64?ZXUgd2VzdA==?=",
    "mcp-param-amount": "1.5",
    "mcp-param-deep": "true",
}
SCHEMA: Object = {
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "amount": {"type": "number", "x-mcp-header": "Amount"},
        "absent": {"type": "string", "x-mcp-header": "Absent"},
        "at": {"type": "object", "properties": {"deep": {"type": "boolean", "x-mcp-header": "Deep"}}},
    }
}


def test_headers_that_say_the_same_pass() -> None:
    """Encoded or plain, numbers as numbers; what nobody annotated is nobody's mirror."""
    frame = frames.read(CALL)
    assert headers.mismatch(frame, {**GOOD, "mcp-param-other": "x"}, SCHEMA) == ""
    assert headers.mismatch(frame, {**GOOD, "mcp-param-region": "eu west"}, SCHEMA) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"mcp-method": "tools/list"},
        {"mcp-name": "Pay"},
        {"mcp-protocol-version": "2025-11-25"},
        {"mcp-param-region": "us"},
        {"mcp-param-region": "=?base64?%%?="},
        {"mcp-param-amount": "15"},
        {"mcp-param-amount": "one"},
        {"mcp-param-deep": "True"},
        {"mcp-param-absent": "x"},
        *({name: None} for name in GOOD),
    ],
)
def test_headers_that_say_otherwise_are_told(change: dict[str, str | None]) -> None:
    """One that differs, one that is missing, one for an argument that is not there."""
    shown = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    assert headers.mismatch(frames.read(CALL), shown, SCHEMA)


@pytest.mark.parametrize("text", ["plain", "with space", " led", "=?base64?x?=", "ümläut", "", "a\nb"])
def test_any_text_survives_a_header(text: str) -> None:
    """What is not safe as it is goes encoded, and comes back."""
    value = headers.encoded(text)
    assert value.isascii()
    assert value.isprintable()
    assert headers.decoded(value) == text


@pytest.mark.parametrize(
    ("properties", "good"),
    [
        ({"a": {"type": "string", "x-mcp-header": "Region"}}, True),
        ({"a": {"properties": {"b": {"type": "boolean", "x-mcp-header": "Deep"}}}}, True),
        ({"a": {"type": "number", "x-mcp-header": "Amount"}}, False),
        ({"a": {"type": "string", "x-mcp-header": "a b"}}, False),
        ({"a": {"type": "string", "x-mcp-header": "a\r\nAuthorization"}}, False),
        ({"a": {"type": "string", "x-mcp-header": ""}}, False),
        ({"a": {"type": "string", "x-mcp-header": 7}}, False),
        ({"a": {"type": "string", "x-mcp-header": "R"}, "b": {"type": "string", "x-mcp-header": "r"}}, False),
    ],
)
def test_annotations_that_cannot_be_kept_take_their_tool_away(properties: Object, good: bool) -> None:
    """Each a header's name, once, of a text, a whole number or a truth value; the tool is neither shown nor called."""
    tool: Object = {"name": "t", "inputSchema": {"type": "object", "properties": properties}}
    assert headers.sound(tool["inputSchema"]) is good
    tools = Tools(Pins({"t": fingerprint(tool)}))
    listing = frames.read(frames.request(1, "tools/list", {}))
    shown = tools.shown(listing, {"tools": [tool]}, Allowing())
    assert bool(shown["tools"]) is good
    assert tools.objection("t") == ("" if good else "tool_headers")
