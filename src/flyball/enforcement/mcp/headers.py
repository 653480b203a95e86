"""The headers that mirror a message of the stateless revision, held against its body (Streamable HTTP, 2026-07-28).

What is decided is always the body. A header that says otherwise is refused, so that nobody on the way can have been
shown another call than the one that is made.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from flyball.enforcement.mcp.frames import Frame, Object, Value

MISMATCH: Final = -32020
_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_PARAM: Final = "mcp-param-"
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


def name_of(frame: Frame) -> str | None:
    """What `Mcp-Name` mirrors; None where the method has no such header."""
    member = "taskId" if frame.method.startswith("tasks/") else _NAMED.get(frame.method)
    found = frame.params.get(member) if member else None
    return found if isinstance(found, str) else None


def mirrored(frame: Frame, schema: Object | None = None) -> dict[str, str]:
    """The headers for a message that we send. `schema` is the tool's, whose annotations name arguments to mirror."""
    version = frame.meta.get(_VERSION)
    headers = {"MCP-Protocol-Version": str(version), "Mcp-Method": frame.method}
    name = name_of(frame)
    if name is not None:
        headers["Mcp-Name"] = encoded(name)
    arguments = frame.params.get("arguments")
    for header, value in _annotated(schema or {}, arguments if isinstance(arguments, dict) else {}):
        if isinstance(value, bool):
            headers[f"Mcp-Param-{header}"] = "true" if value else "false"
        elif isinstance(value, str | int):
            headers[f"Mcp-Param-{header}"] = encoded(str(value))
    return headers


def sound(schema: Value) -> bool:
    """Whether a tool's `x-mcp-header` annotations can be kept: each a header's name, once, of a text, a whole number
    or a truth value. A client drops a tool where they cannot."""
    seen: set[str] = set()

    def fits(one: Value, *, outermost: bool = False) -> bool:
        if not isinstance(one, dict):
            return True
        header = one.get("x-mcp-header")
        if header is not None:
            if outermost or not isinstance(header, str) or not _TOKEN.fullmatch(header) or header.lower() in seen:
                return False
            if one.get("type") not in ("string", "integer", "boolean"):
                return False
            seen.add(header.lower())
        inner = one.get("properties")
        return all(fits(each) for each in inner.values()) if isinstance(inner, dict) else True

    return fits(schema, outermost=True)


def encoded(text: str) -> str:
    """A header's value: plain where that is safe, else as `=?base64?…?=`."""
    plain = text.isascii() and text.isprintable() and text == text.strip() and not text.startswith("=?")
    return text if plain and text else f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def decoded(value: str) -> str | None:
    """What a header's value stands for; None where it is no such value."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def mismatch(frame: Frame, headers: Mapping[str, str], schema: Object | None = None) -> str:
    """What in the headers (names in lower case) is missing, or is not what the body says; empty where all is well.

    `schema` is the tool's input schema, whose `x-mcp-header` annotations name the arguments that are mirrored.
    """
    wanted = {"mcp-protocol-version": frame.meta.get(_VERSION), "mcp-method": frame.method}
    name = name_of(frame)
    if name is not None:
        wanted["mcp-name"] = name
    for header, value in wanted.items():
        if header not in headers:
            return f"{header} is missing"
        if decoded(headers[header]) != value:
            return f"{header} is not what the body says"
    arguments = frame.params.get("arguments")
    told = _annotated(schema or {}, arguments if isinstance(arguments, dict) else {})
    found = {header.lower(): value for header, value in told}
    for header, argument in found.items():
        shown = headers.get(_PARAM + header)
        if argument is None:
            if shown is not None:
                return f"{_PARAM}{header} mirrors what is not there"
        elif shown is None:
            return f"{_PARAM}{header} is missing"
        elif not _same(decoded(shown), argument):
            return f"{_PARAM}{header} is not what the body says"
    return ""


def _annotated(schema: Object, arguments: Object) -> list[tuple[str, Value]]:
    properties = schema.get("properties")
    found: list[tuple[str, Value]] = []
    for name, one in properties.items() if isinstance(properties, dict) else ():
        if not isinstance(one, dict):
            continue
        header = one.get("x-mcp-header")
        value = arguments.get(name)
        if isinstance(header, str):
            found.append((header, value))
        found += _annotated(one, value if isinstance(value, dict) else {})
    return found


def _same(shown: str | None, argument: Value) -> bool:
    if shown is None:
        return False
    if isinstance(argument, bool):
        return shown == ("true" if argument else "false")
    if isinstance(argument, int | Decimal):
        try:
            return Decimal(shown) == Decimal(argument)
        except ArithmeticError:
            return False
    return shown == argument
