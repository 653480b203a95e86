"""The same steps as a lease's at PostgreSQL, by hand: what is physically possible with psycopg.

Run as `python -m bench.rawpg`; reads one JSON line {dsn, user, password, group, seconds, threads},
prints one. Each thread holds one connection of the same least-privilege role and repeats: create
the role, grant, comment; NOLOGIN; kill its sessions, look for hidden ones; look for what it owns;
drop it; look for sessions again; a control login, the old password refused, one more look. No
intent, record, receipt or recovery: a crash in between leaves a role behind.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time

import psycopg
from psycopg import sql

from flyball.connectors.postgresql import scram
from flyball.kernel.secret import Secret

_VISIBLE = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE usesysid = %s::oid AND backend_type = 'client backend'
"""
_HIDDEN = """
SELECT l.pid FROM pg_locks l WHERE l.locktype = 'virtualxid' AND l.pid <> pg_backend_pid()
   AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.pid = l.pid)
UNION SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND usesysid IS NULL
"""
_OWNED = """
SELECT coalesce(d.datname::text, ''), count(*)
  FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
 WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s::oid
   AND s.classid <> 'pg_auth_members'::regclass
 GROUP BY 1
"""
_SETTINGS = "-c search_path=pg_catalog -c synchronous_commit=local -c statement_timeout=5000 -c lock_timeout=1000"


class Raw:
    """The work of one thread."""

    def __init__(self, words: dict[str, str]) -> None:
        self._host = {"host": "127.0.0.1", "port": words["port"], "dbname": "orders"}
        self._admin = {"user": words["user"], "password": words["password"]}
        self._group = sql.Identifier(words["group"])
        self._connection = self._connect(**self._admin)

    def _connect(self, user: str, password: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            **self._host, user=user, password=password, autocommit=True, options=_SETTINGS, prepare_threshold=2
        )

    def cycle(self) -> None:
        """One lease, issued and revoked and proved gone."""
        name, password = f"raw_{secrets.token_hex(13)}", secrets.token_urlsafe(24)
        oid = self._issue(name, password)
        self._revoke(name, oid)
        self._prove(name, password, oid)

    def _issue(self, name: str, password: str) -> int:
        role = sql.Identifier(name)
        statement = sql.SQL(
            "CREATE ROLE {0} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
            "PASSWORD {1} VALID UNTIL {2} CONNECTION LIMIT 64; "
            "GRANT {3} TO {0} WITH ADMIN FALSE, INHERIT TRUE, SET FALSE; COMMENT ON ROLE {0} IS {4}; "
            "SELECT oid::bigint FROM pg_roles WHERE rolname = {5}"
        ).format(
            role, sql.Literal(scram.verifier(Secret(password))), sql.Literal("2099-01-01 00:00:00+00"), self._group,
            sql.Literal(json.dumps({"raw": name})), sql.Literal(name),
        )  # fmt: skip
        cursor = self._connection.execute(statement)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        assert row is not None
        return int(str(row[0]))

    def _revoke(self, name: str, oid: int) -> None:
        run = self._connection.execute
        run(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(name)))
        self._kill(oid)
        run(_HIDDEN).fetchall()
        assert not run(_OWNED, (oid,)).fetchall()
        run(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
        self._kill(oid)
        run(_HIDDEN).fetchall()

    def _kill(self, oid: int) -> None:
        while self._connection.execute(_VISIBLE, (oid,)).fetchall():
            time.sleep(0.001)

    def _prove(self, name: str, password: str, oid: int) -> None:
        with self._connect(**self._admin) as control:
            try:
                self._connect(name, password).close()
            except psycopg.OperationalError as error:
                refused = "authentication failed" in str(error)
            else:
                refused = False
            assert refused, "the old password is not refused"
            row = control.execute(
                "SELECT (SELECT system_identifier FROM pg_control_system()), "
                "(SELECT count(*) FROM pg_roles WHERE oid = %s::oid), "
                "(SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s::oid)",
                (oid, oid),
            ).fetchone()
            assert row is not None
            assert (row[1], row[2]) == (0, 0)


def main() -> int:
    """Measure, and print what was measured."""
    words = json.loads(sys.stdin.readline())
    until = time.monotonic() + float(words["seconds"])
    took: list[float] = []
    failures: list[str] = []

    def work() -> None:
        raw = Raw(words)
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                raw.cycle()
            except Exception as error:
                failures.append(repr(error))
                raw = Raw(words)
            else:
                took.append(time.monotonic() - began)

    began = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(int(words["threads"]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.monotonic() - began
    took.sort()
    p50 = took[len(took) // 2] * 1000 if took else 0.0
    print(json.dumps({"per_s": len(took) / wall, "p50_ms": p50, "failed": len(failures), "failures": failures[:3]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
