"""One house for the tests of a worker that leave it as they found it, and places for those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.flow.kit import Live, Place

from flyball.audit.verify import verify_store


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Place(tmp_path_factory.mktemp("flow")).house() as live:
        live.watch()
        yield live


@pytest.fixture
def live(_shared: Live) -> Live:
    """A watched house. Tasks, leases and records of other tests may stand in it; no fault is armed."""
    for name in _shared.house.backends:
        assert not _shared.target(name).faults._armed
    return _shared


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A state directory of the test's own. Whatever was done to it, what is left verifies."""
    made = Place(tmp_path)
    yield made
    if made.config.store.exists():
        report = verify_store(made.config.store)
        assert report.findings == []
