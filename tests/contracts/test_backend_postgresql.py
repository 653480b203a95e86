"""The PostgreSQL connector holds to the contract, on 15 and on 18."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import pg

from flyball.testing.backend_contract import BackendContract


@pytest.mark.heavy
@pytest.mark.parametrize("target", pg.VERSIONS, indirect=True)
class TestPostgresql(BackendContract):
    @pytest.fixture
    def target(self, request: pytest.FixtureRequest) -> Iterator[pg.Site]:
        with pg.site(request.param) as site:
            yield site
