"""The shared gateway as a process, in front of the odd server and one over HTTP."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.mcp.kit import ODD, McpServer
from tests.server import ISSUER, ROOT
from tests.wait import until

from flyball.demo.postgres import free_port

MODERN, LEGACY = "2026-07-28", "2025-11-25"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@dataclass
class Shared:
    """The running gateway."""

    url: str
    server: McpServer
    seen: Path
    """Every Authorization that the server over HTTP got."""
    log: Path
    """Every message that the odd server got."""

    audience: str = ISSUER
    """Whom tokens are to be for, beside Flyball itself."""

    def token(self, instance: str, agent: str = "coder", audience: str = "", ttl_s: int = 3600) -> str:
        return self.server.svid(f"{agent}/{instance}", audience or [ISSUER, self.audience], ttl_s)

    @contextlib.asynccontextmanager
    async def client(self, name: str, token: str, mode: str = "auto") -> AsyncIterator[Client]:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            transport = streamable_http_client(f"{self.url}/mcp/{name}", http_client=http)
            async with Client(transport, mode=mode) as client:  # type: ignore[arg-type]
                yield client

    def post(self, name: str, token: str, message: object, **headers: str) -> httpx.Response:
        sent = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
        sent |= {key.replace("_", "-"): value for key, value in headers.items()}
        return httpx.post(f"{self.url}/mcp/{name}", json=message, headers=sent, timeout=60)

    def delete(self, name: str, token: str, session: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {token}", "Mcp-Session-Id": session}
        return httpx.delete(f"{self.url}/mcp/{name}", headers=sent, timeout=60)


@contextlib.contextmanager
def shared_gateway(server: McpServer, home: Path, audience: str = ISSUER, **lower: int) -> Iterator[Shared]:
    """It, for the length of a `with` block. `lower` are bounds (`front.MAX_CONVERSATIONS` as
    `front__MAX_CONVERSATIONS`) that are too high to be reached in a test."""
    port, mail = free_port(), free_port()
    (home / "mail.token").write_text("the-gateways-own-token")
    document = {
        "listen": f"127.0.0.1:{port}",
        "audience": audience,
        "authorization_servers": ["https://idp.example"],
        "origins": ["https://app.example"],
        "servers": {
            "odd": {"command": ODD},
            "mail": {"url": f"http://127.0.0.1:{mail}/mcp", "bearer_file": "mail.token"},
        },
    }
    (home / "servers.json").write_text(json.dumps(document))
    seen = home / "seen"
    (home / "odd.log").touch()
    upstream = subprocess.Popen([sys.executable, str(ROOT / "tests/mcp/mail_server.py"), str(mail), str(seen)])
    gateway = None
    try:
        until(lambda: listens(mail), 60, "the mail server listens")
        server.approve(*ODD, name="odd")
        server.flyball("mcp", "approve", "--yes", "--name", "mail", "--url", f"http://127.0.0.1:{mail}/mcp")
        gateway = subprocess.Popen(
            [sys.executable, *_started(lower), "mcp", "serve", "--servers", str(home / "servers.json")],
            env={**server.env, "ODD_LOG": str(home / "odd.log")},
            cwd=home,
        )
        until(lambda: listens(port), 60, "the gateway listens")
        yield Shared(f"http://127.0.0.1:{port}", server, seen, home / "odd.log", audience)
    finally:
        if gateway is not None:
            gateway.send_signal(signal.SIGTERM)
            assert gateway.wait(timeout=30) is not None
        upstream.kill()
        upstream.wait()


def _started(lower: dict[str, int]) -> list[str]:
    if not lower:
        return ["-m", "flyball"]
    lines = ["import importlib, runpy"]
    for bound, value in lower.items():
        module, _, name = bound.partition("__")
        lines.append(f"importlib.import_module('flyball.edges.mcp.{module}').{name} = {value}")
    return ["-c", "\n".join([*lines, "runpy.run_module('flyball', run_name='__main__', alter_sys=True)"])]


def text(result: object) -> str:
    """The text of a tool's result, as the SDK's client gives it."""
    return "".join(one.text for one in result.content)  # type: ignore[attr-defined]
