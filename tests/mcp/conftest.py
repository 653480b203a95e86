"""One Flyball for the tests of the MCP gateway."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.mcp.kit import ODD, McpServer
from tests.mcp.shared import Shared, shared_gateway

from flyball.edges.mcp.oauth.logins import Logins


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpServer]:
    """A running Flyball; the odd server's tools are approved as they are when it is well-behaved."""
    running = McpServer(tmp_path_factory.mktemp("mcp"), heartbeat="60s")
    try:
        running.start()
        running.approve(*ODD)
        yield running
    finally:
        running.kill(signal.SIGTERM)


@pytest.fixture(scope="session")
def shared(server: McpServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A running shared gateway."""
    with shared_gateway(server, tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    """Where logins at servers that want OAuth are kept; nobody has logged in yet."""
    return Logins(tmp_path / "logins")
