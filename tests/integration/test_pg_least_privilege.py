"""What a lease role and Flyball's own role may not do (P7), and what a lease leaves behind (P6), on 15 and 18."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests import pg

from flyball.connectors.postgresql import setup
from flyball.connectors.postgresql.candidate import promote
from flyball.connectors.postgresql.config import Login
from flyball.connectors.postgresql.revoke import PREPARED, SELF_CHANGE, SET_ROLE
from flyball.credential.backend import TargetRefused, TargetUnavailable
from flyball.kernel.secret import Secret
from flyball.testing.backend_contract import Held

pytestmark = pytest.mark.heavy


@pytest.fixture(params=pg.VERSIONS)
def site(request: pytest.FixtureRequest) -> Iterator[pg.Site]:
    with pg.site(request.param) as found:
        yield found


def client_of(held: Held) -> pg.Client:
    client = held.login()
    assert isinstance(client, pg.Client)
    return client


def test_a_lease_is_no_wider_than_its_group(site: pg.Site) -> None:
    """It reads and writes what its group may, and nothing else; it makes no roles and gives nothing away."""
    held = Held(site).issue()
    client = client_of(held)
    assert client.alive()
    site.superuser()  # somebody to terminate
    for statement in (
        "SELECT * FROM public.customers",
        "CREATE ROLE more LOGIN",
        "GRANT writers TO flyball_admin",
        f"ALTER ROLE \"{held.plan.name}\" VALID UNTIL 'infinity'",
        f'ALTER ROLE "{held.plan.name}" CREATEROLE',
        "CREATE DATABASE mine",
        "SELECT * FROM pg_authid",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
        "COPY public.refunds TO PROGRAM 'true'",
    ):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidGrantOperation)):
            client.connection.execute(statement)
    held.revoke()
    assert held.probe().gone


def test_a_password_that_the_lease_changed_dies_with_it(site: pg.Site) -> None:
    """It may change its own password (PostgreSQL cannot forbid it): while it lives, the old password's refusal is no
    proof; the receipt says so; revoked, the new one is refused too."""
    held = Held(site).issue()
    changed = Secret("changed-by-the-agent")
    client_of(held).connection.execute(f"ALTER ROLE CURRENT_USER PASSWORD '{changed.reveal()}'")
    report = held.probe()
    assert [door.verdict for door in report.doors] == ["inconclusive"]
    assert not report.gone
    outcome = site.backend().run("deny_login", held.plan, held.progress)
    assert SELF_CHANGE in outcome.weaknesses
    assert (SET_ROLE in outcome.weaknesses) == (site.server.version == "15")
    held.revoke()
    assert held.probe().gone
    assert site.login(held.plan, changed) is None


def test_what_a_lease_owns_goes_to_the_graveyard_in_every_database(site: pg.Site) -> None:
    """Tables and functions in two databases change their owner and stay; the receipt lists them."""
    held = Held(site).issue()
    client_of(held).connection.execute("CREATE TABLE work.mine (a int)")
    client_of(held).connection.execute(
        "CREATE FUNCTION work.door() RETURNS bigint LANGUAGE sql SECURITY DEFINER "
        "AS 'SELECT count(*) FROM public.refunds'"
    )
    dsn = site.server.dsn(dbname="archive", user=held.plan.name, password=held.secret.reveal())
    with psycopg.connect(dsn, autocommit=True) as elsewhere:
        elsewhere.execute("CREATE TABLE work.mine_too (a int)")
    held.run("deny_login")
    held.run("kill")
    outcome = site.backend().run("disown", held.plan, held.progress)
    assert outcome.observed["count"] == 3
    assert {"o table work.mine", "o function work.door()", "o table work.mine_too"} <= set(outcome.observed["owned"])
    held.run("drop")
    assert held.probe().gone
    for database, names in (("shop", ["mine"]), ("archive", ["mine_too"])):
        look = site.superuser(database)
        owners = look.execute(
            "SELECT relname, relowner::regrole::text FROM pg_class WHERE relname LIKE 'mine%'"
        ).fetchall()
        assert owners == [(name, "flyball_graveyard") for name in names]
        look.execute("DROP TABLE IF EXISTS work.mine, work.mine_too")
        look.execute("DROP FUNCTION IF EXISTS work.door()")
    members = "SELECT count(*) FROM pg_auth_members WHERE member = 'flyball_graveyard'::regrole"
    assert site.superuser().execute(members).fetchone() == (0,)


def test_a_drop_that_meets_new_objects_disowns_again(site: pg.Site) -> None:
    """Something that the role owns turns up after the disown step: the drop deals with it."""
    held = Held(site).issue()
    held.run("deny_login")
    held.run("kill")
    held.run("disown")
    look = site.superuser()
    look.execute("CREATE TABLE work.late (a int)")
    look.execute(f'ALTER TABLE work.late OWNER TO "{held.plan.name}"')
    held.run("drop")
    assert held.probe().gone
    owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'late'"
    assert look.execute(owner).fetchone() == ("flyball_graveyard",)
    assert look.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (held.plan.name,)).fetchone() is None
    look.execute("DROP TABLE work.late")


def test_a_prepared_transaction_is_told(site: pg.Site) -> None:
    """A transaction that the role prepared outlives it; the receipt says so."""
    held = Held(site).issue()
    connection = client_of(held).connection
    gid = f"left-{site.server.port}"
    connection.execute(f"BEGIN; INSERT INTO public.refunds VALUES (3); PREPARE TRANSACTION '{gid}'")
    held.run("deny_login")
    held.run("kill")
    assert PREPARED in site.backend().run("disown", held.plan, held.progress).weaknesses
    held.run("drop")
    assert held.probe().gone
    site.superuser().execute(f"ROLLBACK PREPARED '{gid}'")


def test_our_own_role_is_least_privilege(site: pg.Site) -> None:
    """The shipped SQL gives no more than is needed, `inspect` sees that, and it reads no table."""
    facts = site.backend().inspect()
    assert facts["excess"] == []
    assert facts["missing"] == []
    password = site.admin_password
    dsn = site.server.dsn(dbname="shop", user="flyball_admin", password=password)
    with psycopg.connect(dsn, autocommit=True) as own:
        for statement in (
            "SELECT * FROM public.refunds",
            "SELECT * FROM public.customers",
            "SELECT rolpassword FROM pg_authid",
            "ALTER ROLE postgres NOLOGIN",
            "CREATE DATABASE ours",
            "SELECT pg_read_file('/etc/passwd')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                own.execute(statement)


def test_more_than_least_privilege_is_flagged(site: pg.Site) -> None:
    """Each attribute and membership beyond the need is named, and so is what is missing."""
    look = site.superuser()
    look.execute("ALTER ROLE flyball_admin CREATEDB BYPASSRLS REPLICATION")
    look.execute("GRANT pg_read_all_data TO flyball_admin")
    look.execute("REVOKE pg_signal_backend FROM flyball_admin")
    try:
        facts = site.backend().inspect()
        assert facts["excess"] == ["CREATEDB", "BYPASSRLS", "REPLICATION", "member of pg_read_all_data"]
        assert facts["missing"] == ["member of pg_signal_backend"]
        held = Held(site).issue()
        held.login()
        held.run("deny_login")
        with pytest.raises(TargetRefused):
            held.run("kill")
    finally:
        look.execute("REVOKE pg_read_all_data FROM flyball_admin")
        setup.apply(look, admin="flyball_admin", password=site.admin_password, groups=["writers"])
    assert site.backend().inspect()["excess"] == []
    held.revoke()
    assert held.probe().gone


def test_the_target_s_clock_ends_a_lease(site: pg.Site) -> None:
    """VALID UNTIL is the target's own time plus what is left of the lease, and never later."""
    held = Held(site, ttl_ms=120_000).issue()
    (left,) = site.superuser().execute(
        "SELECT extract(epoch FROM rolvaliduntil - now())::float8 FROM pg_roles WHERE rolname = %s", (held.plan.name,)
    ).fetchone() or (0.0,)
    assert 110 < left <= 120
    held.revoke()


def test_the_password_is_in_no_statement(site: pg.Site) -> None:
    """The server logs every statement here: it finds the verifier, never the password."""
    held = Held(site).issue()
    text = site.server.log.read_text(errors="replace")
    assert held.plan.name in text
    assert held.secret.reveal() not in text
    held.revoke()


class TestRotation:
    """Our own password: durable first, verified, promoted; whatever a crash leaves is found out."""

    @pytest.fixture
    def own(self, site: pg.Site, tmp_path: Path) -> pg.Site:
        file = tmp_path / "admin"
        file.touch(mode=0o600)
        file.write_text(site.admin_password)
        site.folder = tmp_path
        return site

    @pytest.fixture(autouse=True)
    def _put_back(self, site: pg.Site) -> Iterator[None]:
        yield
        with psycopg.connect(site.server.dsn(dbname="shop"), autocommit=True) as connection:
            setup.apply(connection, admin="flyball_admin", password=site.admin_password, groups=["writers"])

    def test_it_goes_on_with_the_new_one(self, own: pg.Site) -> None:
        """The file holds another password, private, which works; the old one does not."""
        backend = own.raw_backend()
        held = Held(own).issue()
        backend.rotate_admin()
        file = own.folder / "admin"
        assert file.read_text().strip() != own.admin_password
        assert file.stat().st_mode & 0o777 == 0o600
        assert not (own.folder / "admin.next").exists()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(own.server.dsn(dbname="shop", user="flyball_admin", password=own.admin_password))
        held.revoke()
        assert held.probe().gone

    def test_a_crash_after_the_change_is_found_out(self, own: pg.Site) -> None:
        """The server knows the new password, the file does not: the next connection promotes the candidate."""
        os.close(os.open(own.folder / "admin.next", os.O_CREAT | os.O_WRONLY, 0o600))
        (own.folder / "admin.next").write_text("the-new-one\n")
        own.superuser().execute("ALTER ROLE flyball_admin PASSWORD 'the-new-one'")
        assert list(own.backend().inventory(own.issuer)) == []
        assert (own.folder / "admin").read_text() == "the-new-one\n"

    def test_a_crash_before_the_change_is_found_out(self, own: pg.Site) -> None:
        """A candidate that the server never took is discarded by the next rotation, which then goes through."""
        os.close(os.open(own.folder / "admin.next", os.O_CREAT | os.O_WRONLY, 0o600))
        (own.folder / "admin.next").write_text("never-taken\n")
        own.raw_backend().rotate_admin()
        assert "never-taken" not in (own.folder / "admin").read_text()
        assert list(own.backend().inventory(own.issuer)) == []

    def test_a_rejected_password_is_discarded(self, own: pg.Site) -> None:
        """The server says no: the old one stays and works."""
        own.superuser().execute("ALTER ROLE flyball_admin SET default_transaction_read_only = on")
        try:
            with pytest.raises((TargetRefused, TargetUnavailable)):
                own.raw_backend().rotate_admin()
        finally:
            own.superuser().execute("ALTER ROLE flyball_admin RESET default_transaction_read_only")
        assert not (own.folder / "admin.next").exists()
        assert (own.folder / "admin").read_text() == own.admin_password
        assert list(own.backend().inventory(own.issuer)) == []

    def test_promoting_is_a_rename(self, own: pg.Site) -> None:
        """The candidate takes the file's place whole."""
        login = Login("u", own.folder / "admin")
        login.candidate.write_text("x")
        promote(login)
        assert login.password_file.read_text() == "x"
