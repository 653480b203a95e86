"""Pydantic AI: the toolset is guarded; a model that follows a script stands in for a real one."""

from __future__ import annotations

import asyncio

import shop
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.toolsets import FunctionToolset

import flyball_sdk
from flyball_sdk.adapters.pydantic_ai import guard


def script(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call the script's next tool; stop after the last."""
    at = sum(isinstance(one, ModelResponse) for one in messages)
    for part in messages[-1].parts:
        if isinstance(part, ToolReturnPart):
            shop.show(part.content)
    if at == len(shop.SCRIPT):
        return ModelResponse(parts=[TextPart("done")])
    name, args = shop.SCRIPT[at]
    return ModelResponse(parts=[ToolCallPart(name, args)])


async def main() -> None:
    """Run the agent once."""
    async with flyball_sdk.aio.task("support", inputs={"order": "O-1042"}) as task:
        tools = guard(task, FunctionToolset([shop.look_up, shop.refund]))
        agent = Agent(FunctionModel(script), toolsets=[tools])
        await agent.run("Where is my order, and my money?")
    shop.done()


asyncio.run(main())
