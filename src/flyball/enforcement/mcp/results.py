"""What a server's result tells the decision plane, and what a denial tells a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Frame, Id, Object, Value

DENIED: Final = 403
"""JSON-RPC code of a denial that cannot be a tool's result; application codes lie outside -32768…-32000."""
DECISION: Final = "dev.flyball/decision"
MAX_REPORT: Final = 900 << 10
"""Bytes of a result that are reported. Of a larger one only its size is: no rule finds a source in it."""


def reported(method: str, result: Object) -> Value:
    """The result as its fields are named in a tool sheet: structured content, else the text, else the texts.

    An error's text is the server's, in no field of the sheet: nothing of it is remembered.
    """
    if result.get("isError") is True:
        return None
    if method == "tools/call":
        if "structuredContent" in result:
            return result["structuredContent"]
        return _texts(result.get("content"))
    if method == "resources/read":
        return _texts(result.get("contents"))
    if method == "prompts/get":
        messages = result.get("messages")
        told: list[Value] = []
        for one in messages if isinstance(messages, list) else ():
            told.append(_texts([one.get("content")]) if isinstance(one, dict) else None)
        return told
    return result


def _texts(blocks: Value) -> Value:
    found: list[Value] = []
    for one in blocks if isinstance(blocks, list) else ():
        if not isinstance(one, dict):
            continue
        inner = one.get("resource")
        text = one.get("text", inner.get("text") if isinstance(inner, dict) else None)
        if isinstance(text, str):
            found.append(text)
        elif isinstance(one.get("uri"), str):
            found.append(one["uri"])
    return found[0] if len(found) == 1 else found


_TASK: Final = frozenset(
    {
        "taskId",
        "status",
        "statusMessage",
        "createdAt",
        "lastUpdatedAt",
        "ttl",
        "ttlMs",
        "pollInterval",
        "pollIntervalMs",
    }
)
_GOES_ON: Final = _TASK | {"_meta", "resultType", "inputRequests", "requestState", "task"}
_OF_TASK: Final = _GOES_ON | {"result", "error"}


def going_on(result: Object, *, of_task: bool) -> Object | None:
    """What a client gets of a result that says that the call goes on, because an input is wanted or an MCP task was
    made: what the protocol says there, and nothing else, since nobody is told of it. None where the call has ended.

    `of_task`: it answers a question about an MCP task, whose own result is then its `result`.
    """
    if not of_task and "task" not in result and result.get("resultType") not in ("input_required", "task"):
        return None
    known = _OF_TASK if of_task else _GOES_ON
    kept = {name: value for name, value in result.items() if name in known}
    for name in ("task", "result", "error"):
        if not isinstance(kept.get(name, {}), dict):
            del kept[name]
    made = kept.get("task")
    if isinstance(made, dict):
        kept["task"] = {name: value for name, value in made.items() if name in _TASK | {"_meta"}}
    return kept


def within(value: Value) -> Value:
    """The value where it is small enough to be reported, else nothing of it."""
    return value if len(frames.dumps(value)) <= MAX_REPORT else None


MEANING: Final = {
    "no_task": "no task has begun; the tool begin_task begins one",
    "task_fenced": "the task is over",
    "task_parked": "the task is parked and holds no privilege",
    "task_suspended": "the task is suspended by an operator",
    "task_frozen": "the task may only read from now on",
    "action_not_allowed": "the task's profile does not allow this action",
    "argument_out_of_bounds": "an argument is outside what the task may use",
    "origin_mismatch": "an argument does not come from where it may come from",
    "tool_not_approved": "this tool's definition was not approved by a person",
    "tool_changed": "this tool's definition has changed since a person approved it",
    "tool_unknown": "the server lists no such tool",
    "tool_headers": "the server wants headers for this tool that cannot be made",
    "tool_name": "this tool's name cannot be governed",
    "plane_unreachable": "nobody could decide on it",
    "result_not_recorded": "its result could not be recorded and is withheld",
}
"""What some reason codes mean, for a model. Nothing here says what would be allowed instead."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call did not pass: a reason code, the decision's id where there is one, and for whom it waits."""

    reason: str
    decision: str = ""
    effect: str = "deny"
    reference: str = ""

    @property
    def text(self) -> str:
        """For the model: what and why, and no recipe for another way."""
        of = f" Decision {self.decision}." if self.decision else ""
        if self.effect == "require_approval":
            return (
                f"Flyball: this call waits for a person, who is asked under the reference {self.reference}. It was not "
                "made. Nothing said over this connection answers it. Once it is approved, make the very same call."
            )
        if self.effect == "step_up":
            return (
                f"Flyball: this call needs a signed confirmation under the reference {self.reference}. It was not made."
            )
        means = MEANING.get(self.reason, "")
        told = f"{self.reason} ({means})" if means else self.reason
        made = "" if self.reason == "result_not_recorded" else " It was not made."
        return f"Flyball denied this call: {told}.{made}{of}"

    def _meta(self) -> Object:
        told: Object = {"effect": self.effect, "reason": self.reason, "decision": self.decision}
        if self.reference:
            told["reference"] = self.reference
        return {DECISION: told}

    def answer(self, frame: Frame) -> bytes:
        """The answer to a request that did not pass: a tool's result that says so, or an error."""
        if frame.method == "tools/call":
            return frames.response(frame.id, tool_result(self.text, modern=frame.modern, error=True, meta=self._meta()))
        return frames.error(frame.id, DENIED, self.text, self._meta())


def tool_result(text: str, *, modern: bool, error: bool = False, meta: Object | None = None) -> Object:
    """A tool's result of one text."""
    result: Object = {"content": [{"type": "text", "text": text}], "isError": error}
    if modern:
        result["resultType"] = "complete"
    if meta:
        result["_meta"] = meta
    return result


def cut(items: Sequence[Value], keep: Sequence[bool]) -> list[Value]:
    """Those to keep, in their order."""
    return [one for one, wanted in zip(items, keep, strict=True) if wanted]


def cancelled(ident: Id, reason: str) -> bytes:
    """The notification that a request is no longer wanted."""
    return frames.notification("notifications/cancelled", {"requestId": ident, "reason": reason})
