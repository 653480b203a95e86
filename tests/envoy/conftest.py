"""One Flyball, one Envoy and one server behind it for the tests of a worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.envoy.kit import Agent, Envoy, EnvoyFlyball, Upstream, agent_of, behind


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """A server that tells what it got."""
    made = Upstream()
    yield made
    made.close()


@pytest.fixture(scope="session")
def flyball(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoyFlyball]:
    """A Flyball with the bundle of these tests."""
    made = EnvoyFlyball(tmp_path_factory.mktemp("flyball"))
    made.start()
    yield made
    made.kill(signal.SIGTERM)


@pytest.fixture(scope="session")
def envoy(tmp_path_factory: pytest.TempPathFactory, flyball: EnvoyFlyball, upstream: Upstream) -> Iterator[Envoy]:
    """An Envoy with the guide's configuration."""
    with behind(tmp_path_factory.mktemp("envoy"), flyball, upstream) as made:
        yield made


@pytest.fixture
def agent(flyball: EnvoyFlyball) -> Iterator[Agent]:
    """An agent with an open task."""
    with agent_of(flyball) as made:
        yield made
