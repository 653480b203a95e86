"""LangGraph and LangChain: `ToolNode(tools, **guard(task))`. Needs the extra `langgraph`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypedDict

from langchain_core.messages import ToolMessage

from flyball_sdk.adapters import AnyTask, Guard, refusal
from flyball_sdk.errors import Denied


class _Call(TypedDict):
    name: str
    args: dict[str, object]
    id: str


class _Request(Protocol):
    tool_call: _Call


class Wrappers(TypedDict):
    """The two arguments of a `ToolNode`."""

    wrap_tool_call: Callable[[_Request, Callable[[_Request], object]], object]
    awrap_tool_call: Callable[[_Request, Callable[[_Request], Awaitable[object]]], Awaitable[object]]


def guard(task: AnyTask, *, prefix: str = "") -> Wrappers:
    """Have every call of a tool node checked before it runs, and its result reported (cooperative).

    Args:
        task: the open task; one of `flyball_sdk.aio` for graphs that are run asynchronously alone.
        prefix: stands before a tool's name in its action.

    Returns:
        The arguments `wrap_tool_call` and `awrap_tool_call` of `langgraph.prebuilt.ToolNode`. A denial is a
        `ToolMessage` of status `error`; `TaskLost` and `Unavailable` end the run.
    """
    asks = Guard(task, prefix=prefix)

    def wrapped(request: _Request, execute: Callable[[_Request], object]) -> object:
        call = request.tool_call
        try:
            decision = asks.check(call["name"], call["args"])
        except Denied as denied:
            return _message(call, denied)
        result = execute(request)
        asks.tell(decision, _content(result))
        return result

    async def awrapped(request: _Request, execute: Callable[[_Request], Awaitable[object]]) -> object:
        call = request.tool_call
        results: list[object] = []

        async def tool() -> object:
            results.append(await execute(request))
            return _content(results[0])

        try:
            await asks.run(call["name"], call["args"], tool)
        except Denied as denied:
            return _message(call, denied)
        return results[0]

    return {"wrap_tool_call": wrapped, "awrap_tool_call": awrapped}


def _message(call: _Call, denied: Denied) -> object:
    return ToolMessage(content=refusal(denied), name=call["name"], tool_call_id=call["id"], status="error")


def _content(result: object) -> object:
    """What the tool said: the artifact where there is one, since that is the value; nothing of an error."""
    if not isinstance(result, ToolMessage) or result.status == "error":
        return None
    return result.content if result.artifact is None else result.artifact
