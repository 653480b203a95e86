"""What `--confine` refuses before it starts anything; the walls are in tests/confine."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.edges.cli.confine import Confinement, Grants
from flyball.edges.cli.errors import CliError


def test_a_gateway_on_a_unix_socket_is_out_of_reach() -> None:
    """A file is not in the network of its own, so psql could not find the gateway: that is said, with what to do."""
    with pytest.raises(CliError, match="Unix socket only") as refused:
        Confinement(Grants(), {"PGHOST": "/run/flyball", "PGPORT": "5432"}, Path(), None)
    assert refused.value.hint == "set postgresql_gateway.listen"
