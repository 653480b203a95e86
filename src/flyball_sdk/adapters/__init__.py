"""Tools of agent frameworks, checked before they run and observed afterwards.

One module for each framework: `langgraph`, `openai_agents`, `pydantic_ai`; a plain function takes `Task.guard`. A
tool's action is its name (with `prefix` before it), its resource the tool itself, as the MCP gateway has it: one
profile serves both. A denial becomes a result that the model can read; the tool does not run.

All of this is **cooperative**: it runs inside the agent's own process, which could leave it out. It keeps an honest
agent within its intent. What holds a dishonest one is enforced at the gateway, the broker and the target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from flyball_sdk import aio
from flyball_sdk._guard import say_cooperative
from flyball_sdk._json import text
from flyball_sdk._task import Task
from flyball_sdk.errors import ApprovalRequired, Denied, StepUpRequired
from flyball_sdk.model import Decision

R = TypeVar("R")
AnyTask = Task | aio.Task

__all__ = ["AnyTask", "Guard", "refusal"]


class Guard:
    """What an adapter asks for a call of a tool, and tells of its result."""

    def __init__(self, task: AnyTask, *, prefix: str = "") -> None:
        """`prefix` stands before a tool's name in its action: `shop.` makes of `refund` the action `shop.refund`."""
        self._task = task
        self._prefix = prefix
        self._kinds: dict[str, str] | None = None

    def check(self, name: str, args: Mapping[str, object]) -> Decision:
        """Ask whether a tool may run, with a synchronous task.

        Raises:
            Denied: it may not. TaskLost, Unavailable: as `Task.check`.
            TypeError: the task is one of `flyball_sdk.aio`.
        """
        task = self._synchronous()
        say_cooperative(task)
        if self._kinds is None:
            self._kinds = _kinds(task.actions())
        return task._ask(*self._question(name), args)  # noqa: SLF001 - of this package; args may have any names

    def tell(self, decision: Decision, result: object) -> None:
        """See `Task.observe`."""
        self._synchronous().observe(decision, result)

    async def run(self, name: str, args: Mapping[str, object], tool: Callable[[], Awaitable[R]]) -> R:
        """Check, run the tool, report; with a task of either kind.

        Raises:
            Denied: it may not run, and did not. TaskLost, Unavailable, Refused: as `Task.check` and `Task.observe`.
        """
        task = self._task
        if isinstance(task, Task):
            decision = await asyncio.to_thread(self.check, name, args)
            result = await tool()
            await asyncio.to_thread(self.tell, decision, result)
            return result
        say_cooperative(task)
        if self._kinds is None:
            self._kinds = _kinds(await task.actions())
        decision = await task._ask(*self._question(name), args)  # noqa: SLF001 - of this package
        result = await tool()
        await task.observe(decision, result)
        return result

    def _question(self, name: str) -> tuple[str, str, str]:
        action = self._prefix + name
        return action, (self._kinds or {}).get(action, "tool"), name

    def _synchronous(self) -> Task:
        if not isinstance(self._task, Task):
            raise TypeError("a synchronous call wants a task of flyball_sdk.task, not of flyball_sdk.aio")
        return self._task


def refusal(denied: Denied) -> str:
    """What a model is told of a call that did not run: a reason code and the decision's id, and no recipe."""
    if isinstance(denied, ApprovalRequired):
        return (
            f"Flyball: this call waits for a person, who is asked under the reference {denied.reference}. It was not "
            "made. Once it is approved, make the very same call."
        )
    if isinstance(denied, StepUpRequired):
        return (
            f"Flyball: this call needs a signed confirmation under the reference {denied.reference}. It was not made."
        )
    of = f" Decision {denied.decision}." if denied.decision else ""
    return f"Flyball denied this call: {denied.reason}. It was not made.{of}"


def _kinds(told: tuple[Mapping[str, object], ...]) -> dict[str, str]:
    return {text(one, "action"): text(one, "resource_type") for one in told}  # type: ignore[arg-type]
