"""What the conformance suite takes for a client: the gateway, between it and a client of the SDK's, and the person who
logs in where the server wants OAuth. argv ends with the suite's own server; before it stand the folder to work in, and
the file of the caller's token."""

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
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from flyball.demo.postgres import free_port
from flyball.edges.cli.main import run

home, token, url = Path(sys.argv[1]), Path(sys.argv[2]).read_text().strip(), sys.argv[3]
scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
SERVERS, PINS, LOGINS = home / "servers.json", home / "pins.json", home / "logins"
AUTH = scenario.startswith("auth/")
CALLS = {
    "tools_call": ("add_numbers", {"a": 2, "b": 3}),
    "elicitation-sep1034-client-defaults": ("test_client_elicitation_defaults", {}),
    "sse-retry": ("test_reconnection", {}),
}
LOGINS_AT_MOST = 2
"""How often the person of this test logs in: once, and once more when a call wants more."""


def oauth() -> dict[str, str]:
    """The member `oauth` of the server: what the suite says that we are registered with."""
    if scenario == "auth/basic-cimd":
        return {"client_metadata_url": "https://conformance-test.local/client-metadata.json"}
    if "client_id" not in context:
        return {}
    found = {"client_id": context["client_id"], "issuer": issuer()}
    if "private_key_pem" in context:
        private(home / "client.key", context["private_key_pem"])
        found["client_key_file"] = "client.key"
    elif "client_secret" in context:
        private(home / "client.secret", context["client_secret"])
        found["client_secret_file"] = "client.secret"
    if scenario.startswith("auth/client-credentials"):
        found["grant"] = "client_credentials"
    return found


def issuer() -> str:
    """The authorization server that the server names: its operator knows it."""
    base = url.removesuffix("/mcp")
    for place in (f"{base}/.well-known/oauth-protected-resource/mcp", f"{base}/.well-known/oauth-protected-resource"):
        answer = httpx2.get(place)
        if answer.status_code == 200:
            return str(answer.json()["authorization_servers"][0])
    raise SystemExit("the server does not say who its authorization server is")


def private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def flyball(*words: str) -> None:
    """`flyball mcp …`, in this process: each start of another takes a second, and this is done 24 times."""
    if run(["mcp", *words]) != 0:
        raise SystemExit(f"flyball mcp {words[0]} failed")


def log_in() -> None:
    """A person whose browser follows where it is sent."""
    browser = home / "browser"
    browser.write_text(f"#!{sys.executable}\nimport sys, httpx2\nhttpx2.get(sys.argv[1], follow_redirects=True)\n")
    browser.chmod(0o700)
    os.environ["BROWSER"] = str(browser)
    flyball("login", "cs", "--servers", str(SERVERS), "--logins", str(LOGINS), "--wait", "30")


async def accept(_context: object, params: object) -> ElicitResult:
    """Take every default."""
    properties = params.requested_schema["properties"]  # type: ignore[attr-defined]
    return ElicitResult(action="accept", content={name: one["default"] for name, one in properties.items()})


async def work(gateway: str) -> bool:
    """Whether every call was answered."""
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        transport = streamable_http_client(gateway, http_client=http)
        async with Client(transport, mode="legacy", elicitation_callback=accept) as client:
            begun = await client.call_tool("begin_task", {"profile": "parts"})
            assert not begun.is_error, begun
            listed = await client.list_tools()
            calls = [CALLS[scenario]] if scenario in CALLS else []
            if AUTH:
                own = {"begin_task", "end_task", "park_task", "unpark_task"}
                calls = [(tool.name, {}) for tool in listed.tools if tool.name not in own]
            try:
                for name, arguments in calls:
                    result = await client.call_tool(name, arguments)
                    assert AUTH or not result.is_error, result
            except MCPError:
                if not AUTH:
                    raise
                return False
            finally:
                await client.call_tool("end_task", {})
            return True


port = free_port()
server = {"url": url, **({"oauth": oauth()} if AUTH else {})}
document = {"listen": f"127.0.0.1:{port}", "audience": os.environ["AUDIENCE"], "servers": {"cs": server}}
SERVERS.write_text(json.dumps(document))
by_person = AUTH and not scenario.startswith("auth/client-credentials")
kept = ("--pins", str(PINS), "--logins", str(LOGINS), "--servers", str(SERVERS))
if by_person:
    log_in()
flyball("approve", "--yes", *kept, "--name", "cs")
process = subprocess.Popen([sys.executable, "-m", "flyball", "mcp", "serve", *kept])
try:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.02)
    for _ in range(LOGINS_AT_MOST):
        if asyncio.run(work(f"http://127.0.0.1:{port}/mcp/cs")) or not by_person:
            break
        log_in()
finally:
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
