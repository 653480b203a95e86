"""One PostgreSQL and one server with a gateway for the tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.forked import running
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
    with running(made):
        yield made
