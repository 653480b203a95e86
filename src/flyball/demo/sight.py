"""What the demo sees at the database, as its superuser: a login that Flyball does not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from flyball.demo import database
from flyball.demo.postgres import EmbeddedPostgres


class StageFault(Exception):
    """The demo cannot go on; `hint` says what to do."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint or "look at the logs in the demo's folder"


@dataclass(frozen=True, slots=True)
class Role:
    """A role of Flyball's as the database shows it."""

    name: str
    groups: tuple[str, ...]
    minutes_left: float


class Sight:
    """Looks at the embedded PostgreSQL."""

    def __init__(self) -> None:
        self._postgres: EmbeddedPostgres | None = None
        self._roles_seen: set[str] = set()

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The embedded server."""
        if self._postgres is None:
            raise StageFault("PostgreSQL is not running")
        return self._postgres

    @property
    def pg_port(self) -> int:
        """Its port."""
        return self.postgres.port

    @property
    def psql(self) -> Path:
        """Its own psql."""
        return self.postgres.bin / "psql"

    def _look(self, query: str, *values: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.postgres.dsn(dbname=database.DATABASE), autocommit=True) as connection:
            return list(connection.execute(sql.SQL(query), values))

    def pg_version(self) -> str:
        """As the server says it."""
        return str(self._look("SHOW server_version")[0][0])

    def count(self, query: str) -> int:
        """The one number that a query answers."""
        return int(str(self._look(query)[0][0]))

    def roles(self) -> list[Role]:
        """All roles of Flyball's that the database has now."""
        rows = self._look(
            "SELECT r.rolname, coalesce(string_agg(g.rolname, ','), ''), "
            "extract(epoch FROM r.rolvaliduntil - now()) / 60 "
            "FROM pg_roles r LEFT JOIN pg_auth_members m ON m.member = r.oid LEFT JOIN pg_roles g ON g.oid = m.roleid "
            "WHERE starts_with(r.rolname, 'fb_') GROUP BY r.rolname, r.rolvaliduntil"
        )
        found = [
            Role(str(n), tuple(str(g).split(",")), float(str(left if left is not None else 1e9))) for n, g, left in rows
        ]
        self._roles_seen |= {role.name for role in found}
        return found

    def all_lease_roles(self) -> Sequence[str]:
        """Every role of Flyball's that was ever seen here."""
        return sorted(self._roles_seen)

    def sessions(self, role: str) -> int:
        """Sessions that the database runs for a role, or for one that it can no longer name."""
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND (usename = %s OR (usesysid IS NOT NULL AND usename IS NULL))"
        )
        return int(str(self._look(query, role)[0][0]))

    def login(self, user: str, password: str) -> tuple[bool, str]:
        """Try a login over TCP; whether it worked, and what the server said."""
        try:
            dsn = self.postgres.dsn(dbname=database.DATABASE, user=user, password=password)
            with psycopg.connect(dsn) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as fault:
            text = str(fault).strip().splitlines()[-1]
            return False, text.partition("FATAL:")[2].strip() or text
        return True, "works"

    def psql_line(self, role: str, password: str) -> str:
        """What the viewer can paste."""
        return f"PGPASSWORD={password} {self.psql} -h 127.0.0.1 -p {self.pg_port} -U {role} {database.DATABASE}"
