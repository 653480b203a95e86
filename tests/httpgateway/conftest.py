"""One server with an HTTP gateway for the tests of a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from tests.forked import running
from tests.httpgateway.kit import GatewayServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """A server whose gateway listens on loopback."""
    made = GatewayServer(tmp_path_factory.mktemp("gateway"))
    with contextlib.closing(made), running(made):
        yield made
    assert "sk_live" not in made.log()
