"""What stands at the target under our name with no lease behind it is found and taken back, with a record."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from tests.server import ISSUER, RunningServer, shop
from tests.wait import until

from flyball.connectors.postgresql import names
from flyball.demo import database

ORPHAN = names.role(ISSUER, "lea_local_01kb0000000000000000000000")
FOREIGN = names.role("https://another.flyball.internal", "lea_local_01kb0000000000000000000001")


@pytest.mark.heavy
def test_orphan_role_is_dropped_and_recorded_while_another_issuers_role_stays(tmp_path: Path) -> None:
    """A role of ours without a lease, past the grace period, goes the ordinary path; another's is left alone."""
    with shop(tmp_path / "pg") as postgres:
        server = RunningServer(tmp_path / "flyball", postgres=postgres)
        with server.config.open("a") as config:
            config.write("timing:\n  sweep: 1s\n  sweep_grace: 1s\n")
        dsn = postgres.dsn(dbname=database.DATABASE, user=database.ADMIN_USER, password="admin-password-of-a-test")
        with psycopg.connect(dsn, autocommit=True) as admin:
            for role in (ORPHAN, FOREIGN):
                admin.execute(
                    sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(
                        sql.Identifier(role), sql.Identifier(database.GROUP)
                    )
                )
        try:
            server.start()
            with psycopg.connect(postgres.dsn(), autocommit=True) as look:

                def roles() -> set[str]:
                    ours = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'fb_')"
                    return {row[0] for row in look.execute(ours)}

                until(lambda: ORPHAN not in roles(), 30)
                assert roles() == {FOREIGN}
            until(lambda: bool(server.operator.get("/v1/records", params={"kind": "orphan"}).json()["records"]), 10)
        finally:
            server.kill()
