"""One JSON-RPC message, read strictly, and written again with every number's own digits.

What two readers could read differently is refused: a name twice, text that is not UTF-8, NaN, numbers without end.
A frame that passes unchanged passes as its own bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

Value: TypeAlias = "bool | int | Decimal | float | str | list[Value] | dict[str, Value] | None"
Object: TypeAlias = dict[str, Value]
Id: TypeAlias = str | int

MAX_FRAME: Final = 4 << 20
"""Bytes of one message at most, either way."""
MAX_DEPTH: Final = 64
MAX_ID: Final = 256
_MAX_EXPONENT: Final = 400

PARSE, INVALID, UNKNOWN_METHOD, PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603


class Malformed(ValueError):
    """A frame that is no message. `code` is JSON-RPC's; `id` is the message's, where it could be read."""

    def __init__(self, text: str, code: int = INVALID, answer_to: Id | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.id = answer_to


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: a request (`method` and `id`), a notification (`method`), or a response (`id`)."""

    raw: bytes
    body: Object
    method: str
    id: Id | None

    @property
    def is_request(self) -> bool:
        """Whether an answer is owed."""
        return bool(self.method) and self.id is not None

    @property
    def is_response(self) -> bool:
        """Whether it answers something."""
        return not self.method

    @property
    def params(self) -> Object:
        """Its params, empty where there are none."""
        found = self.body.get("params")
        return found if isinstance(found, dict) else {}

    @property
    def meta(self) -> Object:
        """`params._meta`, empty where there is none."""
        found = self.params.get("_meta")
        return found if isinstance(found, dict) else {}

    @property
    def modern(self) -> bool:
        """Whether it is of a stateless revision: it says its protocol version itself."""
        return "io.modelcontextprotocol/protocolVersion" in self.meta

    @property
    def result(self) -> Object:
        """A response's result, empty where it has none."""
        found = self.body.get("result")
        return found if isinstance(found, dict) else {}


Message: TypeAlias = "bytes | Frame"
"""A message on its way: as bytes, or read already, so that nobody reads it twice."""


def raw_of(message: Message) -> bytes:
    """Its bytes."""
    return message.raw if isinstance(message, Frame) else message


def frame_of(message: Message) -> Frame:
    """It, read.

    Raises:
        Malformed: as `read`.
    """
    return message if isinstance(message, Frame) else read(message)


def remade(frame: Frame, body: Object) -> Frame:
    """A request or notification with another body of the same method; its id is the body's."""
    ident = body.get("id")
    return Frame(dumps(body), body, frame.method, ident if isinstance(ident, str | int) else None)


def read(raw: bytes) -> Frame:
    """Read one message.

    Raises:
        Malformed: it is none, or two readers could read it differently.
    """
    if len(raw) > MAX_FRAME:
        raise Malformed(f"a message has at most {MAX_FRAME} bytes", INVALID)
    try:
        body = loads(raw)
    except Malformed:
        raise
    except (ValueError, RecursionError) as fault:
        raise Malformed("the message is not JSON", PARSE) from fault
    if not isinstance(body, dict):
        raise Malformed("a message is one JSON object; batches are not taken")
    found = body.get("id")
    ident = found if isinstance(found, str | int) and not isinstance(found, bool) else None
    if isinstance(ident, str) and len(ident) > MAX_ID:
        raise Malformed(f"an id has at most {MAX_ID} characters")
    if body.get("jsonrpc") != "2.0":
        raise Malformed("`jsonrpc` is not 2.0", INVALID, ident)
    method = body.get("method")
    if method is not None:
        if not isinstance(method, str) or not 0 < len(method) <= 128:
            raise Malformed("`method` is not a name", INVALID, ident)
        if "result" in body or "error" in body:
            raise Malformed("a message is a request or an answer, not both", INVALID, ident)
        if "id" in body and ident is None:
            raise Malformed("an id is text or a whole number")
        if not isinstance(body.get("params", {}), dict):
            raise Malformed("`params` is not an object", PARAMS, ident)
        return Frame(raw, body, method, ident)
    if ("result" in body) == ("error" in body):
        raise Malformed("an answer has a result or an error", INVALID, ident)
    if ident is None and not ("error" in body and found is None):
        raise Malformed("an answer says what it answers", INVALID)
    if "result" in body and not isinstance(body["result"], dict):
        raise Malformed("a result is an object", INVALID, ident)
    if "error" in body and not isinstance(body["error"], dict):
        raise Malformed("an error is an object", INVALID, ident)
    return Frame(raw, body, "", ident)


def loads(raw: bytes) -> Value:
    """JSON, strictly.

    Raises:
        Malformed: a name twice, a depth or a number beyond bounds, not UTF-8.
        ValueError: no JSON.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Malformed("the message is not UTF-8", PARSE) from fault
    if _too_deep(text):
        raise Malformed(f"nested deeper than {MAX_DEPTH}", PARSE)
    value: Value = _READER.decode(text)
    return value


def _too_deep(text: str) -> bool:
    """Whether brackets are nested beyond the bound, looked at only where there are so many."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth, inside, escaped = 0, False, False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif char in "]}":
            depth -= 1
    return False


def _object(pairs: list[tuple[str, Value]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a name stands twice in one object", PARSE)
    return found


def _decimal(text: str) -> Decimal:
    exponent = text.lower().partition("e")[2]
    if len(text) > _MAX_EXPONENT or (exponent and abs(int(exponent)) > _MAX_EXPONENT):
        raise Malformed("a number is beyond bounds", PARSE)
    return Decimal(text)


def _constant(_text: str) -> Value:
    raise Malformed("NaN and Infinity are no JSON", PARSE)


# Made once: to make them anew for each message costs as much as the message.
_READER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_float=_decimal, parse_constant=_constant)
_WRITER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def dumps(value: Value) -> bytes:
    """`value` as one line of JSON, each number with its own digits."""
    try:
        return _WRITER.encode(value).encode()
    except TypeError:  # a Decimal stands in it, which the fast writer does not know
        return _text(value).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can escape and UTF-8 cannot hold
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def ordered(value: Value) -> Value:
    """The same value with every object's members in the order of their names."""
    if isinstance(value, dict):
        return {name: ordered(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [ordered(one) for one in value]
    return value


def _text(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{_text(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_text(inner) for inner in value) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, allow_nan=False)


def response(ident: Id | None, result: Object) -> bytes:
    """A response."""
    return dumps({"jsonrpc": "2.0", "id": ident, "result": result})


def error(ident: Id | None, code: int, message: str, data: Object | None = None) -> bytes:
    """An error response."""
    told: Object = {"code": code, "message": message}
    if data:
        told["data"] = data
    return dumps({"jsonrpc": "2.0", "id": ident, "error": told})


def notification(method: str, params: Object | None = None) -> bytes:
    """A notification."""
    return dumps({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})


def request(ident: Id, method: str, params: Object) -> bytes:
    """A request."""
    return dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
