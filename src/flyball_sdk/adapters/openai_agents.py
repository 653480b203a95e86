"""The OpenAI Agents SDK: `Agent(tools=guard(task, [refund, send_mail]))`. Needs the extra `openai-agents`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from agents import FunctionTool

from flyball_sdk.adapters import AnyTask, Guard, refusal
from flyball_sdk.errors import Denied

Invoke = Callable[[object, str], Awaitable[object]]


def guard(task: AnyTask, tools: Sequence[object], *, prefix: str = "") -> list[object]:
    """The same tools, each call checked before it runs and its result reported (cooperative).

    Args:
        task: the open task, of either kind.
        tools: function tools, as `@function_tool` makes them.
        prefix: stands before a tool's name in its action.

    Returns:
        Copies of the tools. A denial is the tool's output; `TaskLost` and `Unavailable` end the run.

    Raises:
        TypeError: one is no function tool: a hosted one runs elsewhere, and nothing here could hold it.
    """
    asks = Guard(task, prefix=prefix)
    return [_guarded(asks, tool) for tool in tools]


def _guarded(asks: Guard, tool: object) -> object:
    if not isinstance(tool, FunctionTool):
        raise TypeError(f"{type(tool).__name__} is no function tool: it does not run here, and cannot be guarded here")
    name, invoke = str(tool.name), tool.on_invoke_tool

    async def guarded(context: object, arguments: str) -> object:
        args = json.loads(arguments or "{}", parse_float=Decimal)
        try:
            return await asks.run(name, args if isinstance(args, dict) else {}, lambda: invoke(context, arguments))
        except Denied as denied:
            return refusal(denied)

    return replace(tool, on_invoke_tool=guarded)
