"""One PostgreSQL and one server with a gateway for the tests of a worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.pggateway.kit import GatewayServer, logging_shop

from flyball.demo.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that logs every statement."""
    with logging_shop(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[GatewayServer]:
    """A server whose gateway listens on loopback."""
    made = GatewayServer(tmp_path_factory.mktemp("gateway"), postgres)
    made.start()
    try:
        yield made
    finally:
        made.kill(signal.SIGTERM)
        assert made.exit_code == 0, made.log()
