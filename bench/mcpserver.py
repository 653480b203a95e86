"""A trivial MCP server: one tool that answers at once. `python -m bench.mcpserver` speaks on its standard streams,
`python -m bench.mcpserver PORT` over Streamable HTTP (no sessions, JSON answers), on loopback."""

from __future__ import annotations

import asyncio
import json
import sys

TOOL = {
    "name": "orders_read",
    "description": "Read one order.",
    "inputSchema": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
}
MODERN = {"resultType": "complete"}


def answer(line: bytes) -> bytes:
    """The answer to one message; empty where none is owed."""
    message = json.loads(line)
    method, ident, params = message.get("method"), message.get("id"), message.get("params") or {}
    if ident is None:
        return b""
    result: dict[str, object] = {**MODERN}
    if method == "initialize":
        info = {"name": "trivial", "version": "1"}
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    elif method == "tools/list":
        result |= {"tools": [TOOL], "ttlMs": 0, "cacheScope": "private"}
    elif method == "tools/call":
        told = {"order_id": params["arguments"]["order_id"], "state": "paid"}
        result |= {"content": [{"type": "text", "text": json.dumps(told)}], "structuredContent": told}
    return json.dumps({"jsonrpc": "2.0", "id": ident, "result": result}).encode()


def stdio() -> None:
    """One message a line, until there are no more."""
    for line in sys.stdin.buffer:
        told = answer(line)
        if told:
            sys.stdout.buffer.write(told + b"\n")
            sys.stdout.buffer.flush()


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            told = answer(await reader.readexactly(length))
            status = b"200 OK" if told else b"202 Accepted"
            writer.write(
                b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(told))
                + told
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def http(port: int) -> None:
    """The same over HTTP."""
    server = await asyncio.start_server(_connection, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(http(int(sys.argv[1])))
    else:
        stdio()
