"""One target as its steps see it: configuration, connections, clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyball.connectors.postgresql.config import Config, Door
from flyball.connectors.postgresql.pool import Bounded, Pool
from flyball.plugin.v1 import Clock, Json


@dataclass(frozen=True, slots=True)
class Target:
    """What every step needs."""

    config: Config
    pool: Pool
    clock: Clock

    @property
    def standbys(self) -> Sequence[Door]:
        """The hot standbys."""
        return [door for door in self.config.doors if door.kind == "standby"]


@dataclass(frozen=True, slots=True)
class Role:
    """A lease's role as it stands at a server. `name` may not be the planned one: somebody may have renamed it."""

    oid: int
    name: str
    can_login: bool


def known_oid(progress: Mapping[str, Json]) -> int:
    """The role's OID if an earlier step learned it, else 0. Names pass, OIDs stay (P2)."""
    oid = progress.get("oid", 0)
    return oid if isinstance(oid, int) and not isinstance(oid, bool) else 0


def find_roles(connection: Bounded, name: str, oid: int) -> list[Role]:
    """The lease's role by its name, and by its OID under whatever name."""
    rows = connection.execute(
        "SELECT oid::bigint, rolname::text, rolcanlogin FROM pg_roles WHERE rolname = %s OR oid = %s::oid",
        (name, oid),
    ).fetchall()
    return [Role(int(row[0]), str(row[1]), bool(row[2])) for row in rows]
