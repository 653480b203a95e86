"""The implementations that may fill each port, by name. One entry here, and one import, add one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flyball.connectors.http.backend import build as http
from flyball.connectors.memory.backend import build as memory
from flyball.connectors.postgresql.backend import build as postgresql
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json
from flyball.plugin.v1 import Backend, Clock

Factory = Callable[[str, Mapping[str, Json], Clock, str], Backend]
"""(target's name, its configuration, clock, mode `dev` or `production`) → a backend."""

CONNECTORS: Mapping[str, Factory] = {
    "postgresql": postgresql,
    "http": http,
    "memory": memory,
}


def connector(kind: str) -> Factory:
    """The connector of that kind.

    Raises:
        ConfigError: there is none.
    """
    found = CONNECTORS.get(kind)
    if found is None:
        known = ", ".join(sorted(CONNECTORS))
        raise ConfigError(f"there is no connector {kind!r}", code="connector_unknown", hint=f"one of {known}")
    return found
