"""The OpenAI Agents SDK: the function tools are guarded; a model that follows a script stands in for a real one."""

from __future__ import annotations

import asyncio
import json

import shop
from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

import flyball_sdk
from flyball_sdk.adapters.openai_agents import guard

set_tracing_disabled(True)


class Script(Model):
    """Calls the script's tools one after the other."""

    def __init__(self) -> None:
        self.at = 0

    async def get_response(self, system_instructions, input, *rest, **more):  # type: ignore[no-untyped-def]
        """The next call; a text after the last."""
        for one in input if isinstance(input, list) else ():
            if one.get("type") == "function_call_output" and one["call_id"] == f"call-{self.at - 1}":
                shop.show(one["output"])
        if self.at == len(shop.SCRIPT):
            text = ResponseOutputText(type="output_text", text="done", annotations=[])
            said = ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[text])
            return ModelResponse(output=[said], usage=Usage(), response_id=None)
        name, args = shop.SCRIPT[self.at]
        call = ResponseFunctionToolCall(
            type="function_call", call_id=f"call-{self.at}", name=name, arguments=json.dumps(args)
        )
        self.at += 1
        return ModelResponse(output=[call], usage=Usage(), response_id=None)

    def stream_response(self, *rest, **more):  # type: ignore[no-untyped-def]
        """Not used here."""
        raise NotImplementedError


async def main() -> None:
    """Run the agent once."""
    look_up = function_tool(shop.look_up, strict_mode=False)
    refund = function_tool(shop.refund)
    async with flyball_sdk.aio.task("support", inputs={"order": "O-1042"}) as task:
        agent = Agent(name="support", model=Script(), tools=guard(task, [look_up, refund]))
        await Runner.run(agent, "Where is my order, and my money?")
    shop.done()


asyncio.run(main())
