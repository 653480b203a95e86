"""One server with an HTTP gateway for the tests of a worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.httpgateway.kit import GatewayServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """A server whose gateway listens on loopback."""
    made = GatewayServer(tmp_path_factory.mktemp("gateway"))
    made.start()
    try:
        yield made
    finally:
        made.kill(signal.SIGTERM)
        made.close()
        assert made.exit_code == 0, made.log()
        assert "sk_live" not in made.log()
