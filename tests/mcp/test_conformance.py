"""The protocol's own conformance suite (npm), against a reference server directly and through the shared gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.mcp.kit import NODE, NPM, McpServer, part
from tests.mcp.shared import listens
from tests.server import ISSUER, ROOT
from tests.wait import until

from flyball.demo.postgres import free_port

SUITE = NPM / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
HERE = ROOT / "tests" / "mcp"
SCENARIOS = [
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/2025-03-26-oauth-endpoint-fallback",
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
]
"""Every client scenario of the suite but two: `auth/cross-app-access-complete-flow` (an identity provider's token
exchange, which the gateway does not speak), and `auth/2025-03-26-oauth-metadata-backcompat`, whose metadata name an
issuer that is not where they were found: later revisions want that refused (RFC 8414, section 3.3)."""


@contextlib.contextmanager
def running(*words: str, port: int, env: dict[str, str] | None = None) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, *words], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: listens(port), 60, f"{words[0]} listens")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def passing(url: str, folder: Path) -> set[str]:
    """The scenarios of which every check passed."""
    folder.mkdir()
    done = subprocess.run(
        [str(NODE), str(SUITE), "server", "--url", url],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return set(re.findall(r"✓ ([a-z0-9-]+): \d+ passed, 0 failed", done.stdout))


async def begin(url: str, token: str) -> list[str]:
    """Begin the caller's task; the tools that it has then."""
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        async with Client(streamable_http_client(url, http_client=http), mode="legacy") as client:
            begun = await client.call_tool("begin_task", {"profile": "reference"})
            assert not begun.is_error, begun
            return [tool.name for tool in (await client.list_tools()).tools]


@pytest.mark.heavy
def test_what_passes_directly_passes_through_the_gateway(server: McpServer, tmp_path: Path) -> None:
    """Every server scenario that the reference server passes by itself, it passes behind the gateway: lists, calls of
    every content, progress, sampling, elicitation, resources, prompts, several streams, completions, rebinding."""
    part(NODE.exists() and SUITE.exists(), "the MCP conformance suite", "scripts/parts.sh installs it with npm")
    upstream, gateway, shim = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{upstream}/mcp"
    document = {
        "listen": f"127.0.0.1:{gateway}",
        "audience": ISSUER,
        "servers": {"ref": {"url": url}},
    }
    (tmp_path / "servers.json").write_text(json.dumps(document))
    token = server.svid("coder/suite", ISSUER)
    (tmp_path / "token").write_text(token)
    through = f"http://127.0.0.1:{gateway}/mcp/ref"
    serve = ("-m", "flyball", "mcp", "serve", "--servers", str(tmp_path / "servers.json"))
    with running(str(HERE / "reference_server.py"), str(upstream), port=upstream):
        directly = passing(url, tmp_path / "direct")
        assert len(directly) > 20
        server.flyball("mcp", "approve", "--yes", "--name", "ref", "--url", url)
        words = (str(HERE / "shim.py"), str(shim), f"http://127.0.0.1:{gateway}", str(tmp_path / "token"))
        with running(*serve, port=gateway, env=server.env), running(*words, port=shim):
            tools = asyncio.run(begin(through, token))
            assert "test_simple_text" in tools
            behind = passing(f"http://127.0.0.1:{shim}/mcp/ref", tmp_path / "through")
    assert directly - behind == set()


@pytest.mark.heavy
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_gateways_upstream_side_is_a_conforming_client(server: McpServer, tmp_path: Path, scenario: str) -> None:
    """Towards a server the gateway is a client: it greets, calls, carries a question back and its answer forth, and
    takes a broken stream up again at its last event, no sooner than the server asked for."""
    part(NODE.exists() and SUITE.exists(), "the MCP conformance suite", "scripts/parts.sh installs it with npm")
    token = server.svid(f"coder/{scenario.replace('/', '-')}", ISSUER)
    (tmp_path / "token").write_text(token)
    command = f"{sys.executable} {HERE / 'conformance_client.py'} {tmp_path} {tmp_path / 'token'}"
    done = subprocess.run(
        [str(NODE), str(SUITE), "client", "--scenario", scenario, "--timeout", "90000", "--command", command],
        cwd=tmp_path,
        env={**server.env, "AUDIENCE": ISSUER},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
