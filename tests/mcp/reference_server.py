"""What the protocol's conformance suite expects of a server, made with the official SDK; argv is the port."""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    Completion,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
server = MCPServer("reference", version="1")


def resource(uri: str, words: str) -> EmbeddedResource:
    inner = TextResourceContents(uri=uri, mime_type="text/plain", text=words)
    return EmbeddedResource(type="resource", resource=inner)


@server.tool(structured_output=False)
def test_simple_text() -> str:
    """A text."""
    return "This is a simple text response for testing."


@server.tool(structured_output=False)
def test_image_content() -> ImageContent:
    """An image."""
    return ImageContent(type="image", data=PNG, mime_type="image/png")


@server.tool(structured_output=False)
def test_audio_content() -> AudioContent:
    """A sound."""
    return AudioContent(type="audio", data=WAV, mime_type="audio/wav")


@server.tool(structured_output=False)
def test_embedded_resource() -> EmbeddedResource:
    """A resource."""
    return resource("test://embedded-resource", "This is an embedded resource content.")


@server.tool(structured_output=False)
def test_multiple_content_types() -> list[Any]:
    """Several."""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        ImageContent(type="image", data=PNG, mime_type="image/png"),
        resource("test://mixed-content-resource", '{"test":"data","value":123}'),
    ]


@server.tool(structured_output=False)
async def test_tool_with_logging(ctx: Context) -> str:  # type: ignore[type-arg]
    """Log messages."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message(level="info", data=words, related_request_id=ctx.request_id)
        await asyncio.sleep(0.05)
    return "Tool with logging executed successfully"


@server.tool(structured_output=False)
def test_error_handling() -> str:
    """An error."""
    raise ValueError("This tool intentionally returns an error for testing")


@server.tool(structured_output=False)
async def test_tool_with_progress(ctx: Context) -> str:  # type: ignore[type-arg]
    """Progress."""
    for at in (0, 50, 100):
        await ctx.report_progress(at, 100, f"Completed step {at} of 100")
        await asyncio.sleep(0.05)
    return "done"


@server.tool(structured_output=False)
async def test_sampling(prompt: str, ctx: Context) -> str:  # type: ignore[type-arg]
    """Ask the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    answer = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {getattr(answer.content, 'text', '')}"


class Answer(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


@server.tool(structured_output=False)
async def test_elicitation(message: str, ctx: Context) -> str:  # type: ignore[type-arg]
    """Ask the user."""
    answer = await ctx.elicit(message, Answer)
    return f"User response: {answer.action}"


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """Bytes."""
    return base64.b64decode(PNG)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:  # noqa: A002 - as the template names it
    """A template."""
    return f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'


@server.prompt()
def test_simple_prompt() -> str:
    """A prompt."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.completion()
async def complete(ref: Any, argument: Any, context: Any) -> Completion:
    """Completions."""
    return Completion(values=[f"{argument.value}a", f"{argument.value}b"], total=2, has_more=False)


assert BlobResourceContents is not None
server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
