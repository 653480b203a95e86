"""What the conformance suite takes for a client: the gateway, between it and a client of the SDK's. argv ends with the
suite's own server; before it stand the folder to work in, and the file of the caller's token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

home, token, url = Path(sys.argv[1]), Path(sys.argv[2]).read_text().strip(), sys.argv[3]
scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
FLYBALL = [sys.executable, "-m", "flyball", "mcp"]
CALLS = {
    "tools_call": ("add_numbers", {"a": 2, "b": 3}),
    "elicitation-sep1034-client-defaults": ("test_client_elicitation_defaults", {}),
    "sse-retry": ("test_reconnection", {}),
}


async def accept(_context: object, params: object) -> ElicitResult:
    """Take every default."""
    properties = params.requested_schema["properties"]  # type: ignore[attr-defined]
    return ElicitResult(action="accept", content={name: one["default"] for name, one in properties.items()})


async def work(gateway: str) -> None:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        transport = streamable_http_client(gateway, http_client=http)
        async with Client(transport, mode="legacy", elicitation_callback=accept) as client:
            begun = await client.call_tool("begin_task", {"profile": "parts"})
            assert not begun.is_error, begun
            await client.list_tools()
            if scenario in CALLS:
                result = await client.call_tool(*CALLS[scenario])
                assert not result.is_error, result
            await client.call_tool("end_task", {})


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
document = {"listen": f"127.0.0.1:{port}", "audience": os.environ["AUDIENCE"], "servers": {"cs": {"url": url}}}
(home / "servers.json").write_text(json.dumps(document))
pins = ("--pins", str(home / "pins.json"))
subprocess.run([*FLYBALL, "approve", "--yes", *pins, "--name", "cs", "--url", url], check=True)
process = subprocess.Popen([*FLYBALL, "serve", *pins, "--servers", str(home / "servers.json")])
try:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.02)
    asyncio.run(work(f"http://127.0.0.1:{port}/mcp/cs"))
finally:
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
