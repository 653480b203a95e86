"""Pydantic AI: `Agent(model, toolsets=[guard(task, FunctionToolset([refund]))])`. Needs the extra `pydantic-ai`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_ai.toolsets import AbstractToolset, WrapperToolset

from flyball_sdk.adapters import AnyTask, Guard, refusal
from flyball_sdk.errors import Denied


def guard(task: AnyTask, toolset: AbstractToolset, *, prefix: str = "") -> AbstractToolset:
    """The same tools, each call checked before it runs and its result reported (cooperative).

    Args:
        task: the open task, of either kind.
        toolset: any toolset: functions', an MCP server's, several combined.
        prefix: stands before a tool's name in its action.

    Returns:
        A toolset around it. A denial is the tool's return value; `TaskLost` and `Unavailable` end the run.
    """
    return _Guarded(toolset, Guard(task, prefix=prefix))


@dataclass
class _Guarded(WrapperToolset):  # type: ignore[misc,explicit-any]  # the library's types are not looked at here
    guard: Guard

    async def call_tool(self, name: str, tool_args: Mapping[str, object], ctx: object, tool: object) -> object:
        """Check, call, report."""
        try:
            return await self.guard.run(name, tool_args, lambda: self.wrapped.call_tool(name, tool_args, ctx, tool))
        except Denied as denied:
            return refusal(denied)
