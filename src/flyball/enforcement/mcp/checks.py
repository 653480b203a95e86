"""From a client's message to what is asked of the decision plane, and which methods pass at all.

- `tools/call` asks for the action of the tool's name, on the resource of that name, with the call's arguments.
- `resources/read` and `resources/subscribe` ask for `mcp.resource_read` with `uri`; `prompts/get` for
  `mcp.prompt_get` with `name` and `arguments`; `completion/complete` for `mcp.complete` with `ref`, `name`, `value`.
- Tools whose names begin with `mcp.` are shown to nobody and called by nobody: they would be taken for these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flyball.enforcement.mcp.frames import PARAMS, Frame, Malformed, Object, Value

RESERVED: Final = "mcp."
READ, PROMPT, COMPLETE = "mcp.resource_read", "mcp.prompt_get", "mcp.complete"
UNAPPROVED: Final = "mcp.unapproved"
"""Asked where a tool's definition is not the approved one, so that it stands on record. No bundle declares it: it is
denied, and is no deviation of the agent's."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")

HANDSHAKE: Final = frozenset({"initialize", "server/discover"})
PLAIN: Final = frozenset({"ping", "logging/setLevel", "resources/unsubscribe"})
LISTS: Final = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
GOVERNED: Final = frozenset(
    {"tools/call", "resources/read", "resources/subscribe", "prompts/get", "completion/complete"}
)
OF_TASKS: Final = frozenset({"tasks/get", "tasks/result", "tasks/cancel", "tasks/update"})
LISTEN: Final = "subscriptions/listen"
FROM_CLIENT: Final = frozenset(
    {
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
    }
)
FROM_SERVER: Final = frozenset({"ping", "sampling/createMessage", "elicitation/create", "roots/list"})
"""Requests that a server of the older revision may make of a client."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What the decision plane is asked for one message."""

    action: str
    resource: str
    args: Mapping[str, Value]
    tool: str = ""


def ask_of(frame: Frame) -> Ask:
    """The question for a governed request, decided on its body alone.

    Raises:
        Malformed: its params are not what the method wants.
    """
    params = frame.params
    if frame.method == "tools/call":
        name = _text(frame, params, "name")
        arguments = params.get("arguments")
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            raise Malformed("`arguments` is not an object", PARAMS, frame.id)
        return Ask(name, name, arguments, tool=name)
    if frame.method in ("resources/read", "resources/subscribe"):
        uri = _text(frame, params, "uri")
        return Ask(READ, uri, {"uri": uri})
    if frame.method == "prompts/get":
        name = _text(frame, params, "name")
        arguments = params.get("arguments")
        return Ask(PROMPT, name, {"name": name, "arguments": arguments if isinstance(arguments, dict) else {}})
    ref, argument = params.get("ref"), params.get("argument")
    if not isinstance(ref, dict) or not isinstance(argument, dict):
        raise Malformed("`ref` and `argument` are objects", PARAMS, frame.id)
    of = ref.get("name", ref.get("uri"))
    if not isinstance(of, str):
        raise Malformed("`ref` names nothing", PARAMS, frame.id)
    return Ask(COMPLETE, of, {"ref": of, "name": argument.get("name"), "value": argument.get("value")})


def listened(frame: Frame) -> list[Ask]:
    """The questions for a `subscriptions/listen`: news of a resource are a reading of it.

    Raises:
        Malformed: its params are not what the method wants.
    """
    wanted = frame.params.get("notifications")
    uris = wanted.get("resourceSubscriptions") if isinstance(wanted, dict) else None
    if uris is None:
        return []
    if not isinstance(uris, list) or len(uris) > 64 or not all(isinstance(one, str) for one in uris):
        raise Malformed("`resourceSubscriptions` is a list of at most 64 URIs", PARAMS, frame.id)
    return [Ask(READ, str(one), {"uri": one}) for one in uris]


def listened_tasks(frame: Frame) -> list[str]:
    """The MCP tasks that a `subscriptions/listen` wants news of."""
    wanted = frame.params.get("notifications")
    found = wanted.get("taskIds") if isinstance(wanted, dict) else None
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def sound(name: str) -> bool:
    """Whether a tool's name can be an action's: else nothing could allow it, and it might be taken for another."""
    return _NAME.fullmatch(name) is not None and not name.lower().startswith(RESERVED)


def _text(frame: Frame, params: Object, member: str) -> str:
    found = params.get(member)
    if not isinstance(found, str) or not 0 < len(found) <= 4096:
        raise Malformed(f"`{member}` is not a text", PARAMS, frame.id)
    return found
