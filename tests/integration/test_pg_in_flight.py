"""A role whose making was left running at the server by a killed process is not taken for absent."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest
from tests.server import ADMIN_PASSWORD, ISSUER, shop
from tests.wait import until

from flyball.connectors.postgresql import names
from flyball.connectors.postgresql.backend import build
from flyball.demo import database
from flyball.kernel.clock import SystemClock
from flyball.plugin.v1 import LeaseSpec

LEASE = "lea_local_01kb0000000000000000000007"


@pytest.mark.heavy
def test_revoke_of_an_intent_waits_for_a_statement_that_still_makes_the_role(tmp_path: Path) -> None:
    """The first step, finding no role, waits while a session of ours is making it, and then denies it."""
    with shop(tmp_path / "pg") as postgres:
        password = tmp_path / "admin.password"
        password.touch(mode=0o600)
        password.write_text(ADMIN_PASSWORD)
        config = {
            "kind": "postgresql",
            "database": database.DATABASE,
            "admin": {"user": database.ADMIN_USER, "password_file": str(password)},
            "doors": {"primary": {"host": "127.0.0.1", "port": postgres.port}},
            "accesses": {"refunds-writer": {"group": database.GROUP}},
        }
        clock = SystemClock()
        backend = build("orders", config, clock, "dev")
        now = clock.wall_ms()
        plan = backend.plan(LeaseSpec(LEASE, "tsk_x", ISSUER, "refunds-writer", now, now + 60_000))
        assert plan.name == names.role(ISSUER, LEASE)
        dsn = postgres.dsn(dbname=database.DATABASE, user=database.ADMIN_USER, password=ADMIN_PASSWORD)
        slow = f"SELECT pg_sleep(1); CREATE ROLE {plan.name} LOGIN PASSWORD 'left-behind' IN ROLE {database.GROUP}"

        def left_behind() -> None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(slow)  # type: ignore[call-overload]

        maker = threading.Thread(target=left_behind)
        maker.start()
        with psycopg.connect(postgres.dsn(), autocommit=True) as look:
            asleep = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(1)%'"
            until(lambda: look.execute(asleep).fetchone() != (0,))
            done = backend.run("deny_login", plan, {})
            maker.join()
            row = look.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (plan.name,)).fetchone()
        assert done.observed["role"] == "denied"
        assert row == (False,)
