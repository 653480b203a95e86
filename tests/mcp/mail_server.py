"""A server made with the official SDK, over Streamable HTTP in both revisions: argv is the port. It prints every
`Authorization` that reaches it into the file that argv names next."""

from __future__ import annotations

import asyncio
import sys

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("mail", version="1")


@server.tool()
def mail_send(to: str, body: str) -> str:
    """Send it."""
    return f"sent to {to}"


@server.tool()
def pay(amount: float, note: str) -> str:
    """Pay it."""
    return f"paid {amount}"


@server.tool()
async def count(ctx: Context, upto: int) -> str:  # type: ignore[type-arg]
    """Count, with progress."""
    for at in range(upto):
        await ctx.report_progress(at + 1, upto)
        await asyncio.sleep(0.02)
    return f"counted to {upto}"


class Noting:
    """Writes down which Authorization came."""

    def __init__(self, app, file):  # type: ignore[no-untyped-def]
        self.app, self.file = app, file

    async def __call__(self, scope, receive, send):  # type: ignore[no-untyped-def]
        if scope["type"] == "http":
            found = dict(scope["headers"]).get(b"authorization", b"none")
            with open(self.file, "ab") as file:
                file.write(found + b"\n")
        await self.app(scope, receive, send)


app = Noting(server.streamable_http_app(), sys.argv[2])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
