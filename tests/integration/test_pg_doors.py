"""Every door: hot standbys (P8), PgBouncer, pinned servers; and what counts as a refusal."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests import pg
from tests.wait import until

from flyball.connectors.postgresql.backend import build
from flyball.connectors.postgresql.config import Door
from flyball.connectors.postgresql.wire import Wire, WireError
from flyball.credential.backend import DoorProbe, TargetUnavailable
from flyball.kernel.errors import ConfigError
from flyball.kernel.secret import Secret
from flyball.testing.backend_contract import Held

pytestmark = pytest.mark.heavy


@pytest.fixture(params=pg.VERSIONS)
def site(request: pytest.FixtureRequest) -> Iterator[pg.Site]:
    with pg.site(request.param) as found:
        yield found


def door(held: Held, name: str) -> DoorProbe:
    return next(door for door in held.probe().doors if door.door == name)


@pytest.fixture(scope="module", params=pg.VERSIONS)
def standby(request: pytest.FixtureRequest) -> Iterator[pg.Standby]:
    server, _, _ = pg.prepared(request.param)
    server.start()
    with pg.Standby(server) as found:
        yield found


class TestStandby:
    """A hot standby is a door like the primary."""

    @pytest.fixture
    def site(self, standby: pg.Standby) -> Iterator[pg.Site]:
        with pg.site(standby.version) as found:
            found.doors["replica"] = {"kind": "standby", "host": "127.0.0.1", "port": standby.port}
            yield found

    def session(self, site: pg.Site, held: Held, port: int) -> psycopg.Connection:
        client = until(lambda: site.login(held.plan, held.secret, port=port), what="the standby knows the role")
        if site.server.version == "15":
            client.connection.execute("SET ROLE writers")
        return client.connection

    def test_sessions_there_are_ended(self, site: pg.Site, standby: pg.Standby) -> None:
        """A session at the standby dies with the lease, and its door is tried and refuses."""
        held = Held(site).issue()
        reader = self.session(site, held, standby.port)
        reader.execute("SELECT count(*) FROM public.refunds")
        held.run("deny_login")
        outcome = site.backend().run("kill", held.plan, held.progress)
        assert outcome.observed["replica"] == {"sessions": 1}, "by the step, not only by the probe"
        held.revoke()
        report = held.probe()
        assert report.gone, report
        assert [found.door for found in report.doors] == ["primary", "replica"]
        with pytest.raises(psycopg.OperationalError):  # ended, and not merely refused
            reader.execute("SELECT count(*) FROM public.refunds")

    def test_a_paused_replay_keeps_it_from_verified(self, site: pg.Site, standby: pg.Standby) -> None:
        """With replay paused the revoked password still logs in there: the door says accepted, and nothing is proved
        until the standby has caught up. A session that came in meanwhile is ended by the probe that proves it."""
        held = Held(site).issue()
        self.session(site, held, standby.port)
        with psycopg.connect(standby.dsn(), autocommit=True) as boss:
            boss.execute("SELECT pg_wal_replay_pause()")
            try:
                held.revoke()
                late = site.login(held.plan, held.secret, port=standby.port)
                assert late is not None, "the reason for this test"
                report = held.probe()
                assert not report.gone
                assert door(held, "primary").verdict == "refused"
                assert door(held, "replica").verdict == "accepted"
            finally:
                boss.execute("SELECT pg_wal_replay_resume()")
        until(lambda: (found := held.probe()).gone and found, what="gone once replayed")
        with pytest.raises(psycopg.OperationalError):  # ended, and not merely refused
            late.connection.execute("SELECT count(*) FROM public.refunds")

    def test_a_refusal_by_a_standby_that_is_behind_is_no_proof(self, site: pg.Site, standby: pg.Standby) -> None:
        """Paused before the lease was made, the standby does not know the role: it refuses, and may let it in later."""
        with psycopg.connect(standby.dsn(), autocommit=True) as boss:
            boss.execute("SELECT pg_wal_replay_pause()")
            try:
                held = Held(site).issue()
                held.revoke()
                found = door(held, "replica")
                assert found.verdict == "inconclusive"
                assert "not replayed" in found.detail
            finally:
                boss.execute("SELECT pg_wal_replay_resume()")
        until(lambda: held.probe().gone, what="gone once replayed")

    def test_a_primary_s_door_that_leads_to_a_standby_is_no_proof(self, site: pg.Site, standby: pg.Standby) -> None:
        """A name that was turned to the standby, which has replayed all: not the door that was declared."""
        held = Held(site).issue()
        held.revoke()
        until(lambda: held.probe().gone, what="gone once replayed")
        site.doors["primary"] = {"host": "127.0.0.1", "port": standby.port}
        held.plan = site.backend().plan(held.spec)  # the lease's recipe names its doors
        found = door(held, "primary")
        assert found.verdict == "inconclusive"
        assert "leads to a standby" in found.detail

    def test_a_standby_that_is_down_keeps_it_from_verified(self, site: pg.Site, standby: pg.Standby) -> None:
        """The primary is not held up by it, the steps say what could not be searched, and the door proves nothing."""
        held = Held(site).issue()
        standby.shut_down()
        try:
            held.run("deny_login")
            outcome = site.backend().run("kill", held.plan, held.progress)
            assert any("replica" in weakness for weakness in outcome.weaknesses)
            held.run("disown")
            held.run("drop")
            assert door(held, "primary").verdict == "refused"
            assert door(held, "replica").verdict == "inconclusive"
            assert not held.probe().gone
        finally:
            standby.start()
        until(lambda: held.probe().gone, what="gone once it is back")


class TestPgBouncer:
    """A pooler is a door of its own, with clients that know nothing of a revocation."""

    @pytest.fixture(params=["session", "transaction"])
    def bouncer(self, request: pytest.FixtureRequest) -> Iterator[pg.PgBouncer]:
        server, _, _ = pg.prepared("15")
        server.start()
        with pg.PgBouncer(server, "shop", request.param) as found:
            yield found

    @pytest.fixture
    def site(self, bouncer: pg.PgBouncer) -> Iterator[pg.Site]:
        with pg.site("15") as found:
            found.doors["pool"] = {"kind": "pooler", "host": "127.0.0.1", "port": bouncer.port}
            yield found

    def test_a_pooled_client_loses_its_server(self, site: pg.Site, bouncer: pg.PgBouncer) -> None:
        """Its pooled session is ended at the server, a new one is refused, and both doors prove it."""
        held = Held(site).issue()
        pooled = site.login(held.plan, held.secret, port=bouncer.port)
        assert pooled is not None
        assert pooled.alive()
        assert door(held, "pool").verdict == "accepted"
        held.revoke()
        report = held.probe()
        assert report.gone, report
        assert not pooled.alive()
        assert site.login(held.plan, held.secret, port=bouncer.port) is None

    def test_a_pooler_without_its_server_is_no_proof(self, site: pg.Site, bouncer: pg.PgBouncer) -> None:
        """The control login through the same door fails too."""
        held = Held(site).issue()
        held.revoke()
        with site.down():
            assert not held.probe().gone
        until(lambda: held.probe().gone, what="gone once the pooler has its server back")


def test_too_many_connections_is_no_refusal(site: pg.Site) -> None:
    """The role's own connection limit refuses a login that is otherwise good: inconclusive, not refused."""
    config = site.config()
    config["accesses"] = {"writer": {"group": "writers", "connection_limit": 1}}
    backend = build("shop", config, site.clock, "dev")
    held = Held(site)
    held.progress.update(backend.issue(held.plan, held.secret).progress)
    held.login()
    (found,) = backend.probe(held.plan, held.progress, held.secret).doors
    assert found.verdict == "inconclusive"
    assert "53300" in found.detail
    held.revoke()
    assert held.probe().gone
    backend.close()


def test_a_full_server_is_no_refusal(site: pg.Site) -> None:
    """Nobody gets in, the control login neither: inconclusive."""
    held = Held(site).issue()
    held.revoke()
    backend = site.raw_backend()
    kept: list[psycopg.Connection] = []
    try:
        while len(kept) < 200:
            dsn = site.server.dsn(dbname="shop", user="flyball_admin", password=site.admin_password)
            kept.append(psycopg.connect(dsn))
    except psycopg.OperationalError:
        report = backend.probe(held.plan, held.progress, held.secret)
        assert [found.verdict for found in report.doors] == ["inconclusive"]
        assert "53300" in report.doors[0].detail
    finally:
        for connection in kept:
            connection.close()
    until(lambda: held.probe().gone, what="gone once there is room")


def test_without_the_secret_a_role_that_is_there_is_no_proof(site: pg.Site) -> None:
    """Logins are denied, the secret is not held: some password was refused, and only the role's absence would tell."""
    held = Held(site).issue()
    held.run("deny_login")
    (found,) = held.probe(held=False).doors
    assert found.verdict == "inconclusive"
    assert "still exists" in found.detail
    held.revoke()
    assert held.probe(held=False).gone


def test_another_server_behind_the_door_is_no_proof(site: pg.Site) -> None:
    """The server that refuses must be the one that issued: by the identity it showed then, or the configured one."""
    held = Held(site).issue()
    held.revoke()
    assert held.probe().gone
    held.progress["system_identifier"] = "7000000000000000001"
    assert [found.verdict for found in held.probe().doors] == ["inconclusive"]
    held.progress.pop("system_identifier")
    assert [found.verdict for found in held.probe().doors] == ["inconclusive"]
    site.doors["primary"] = {"host": "127.0.0.1", "port": site.server.port, "system_identifier": "7000000000000000001"}
    other = Held(site)
    with pytest.raises(TargetUnavailable, match="another server"):
        other.issue()


def test_a_door_that_asks_for_no_password_is_no_proof(site: pg.Site) -> None:
    """A pg_hba that trusts lets anybody in: the control login proves nothing there."""
    hba = site.server.data / "pg_hba.conf"
    kept = hba.read_text()
    held = Held(site).issue()
    held.revoke()
    try:
        hba.write_text("host all all 127.0.0.1/32 trust\n")
        site.superuser().execute("SELECT pg_reload_conf()")
        until(lambda: not held.probe().gone, what="the server has read its pg_hba")
        assert "without asking for a password" in held.probe().doors[0].detail
    finally:
        hba.write_text(kept)
        site.superuser().execute("SELECT pg_reload_conf()")
    until(lambda: held.probe().gone, what="the server has read its pg_hba again")


@pytest.fixture(scope="module")
def tls_server() -> Iterator[tuple[pg.Postgres, str]]:
    with pg.Postgres("15") as server:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for file, data in (("server.key", pem), ("server.crt", certificate.public_bytes(Encoding.PEM))):
            path = server.data / file
            path.touch(mode=0o600)
            path.write_bytes(data)
            server.give(path)
        server.configure({"ssl": "on"})
        server.restart()
        yield server, hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


@pytest.fixture(scope="module")
def tls_folder(tls_server: tuple[pg.Postgres, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    pg.prepare(tls_server[0], folder)
    return folder


class TestTls:
    """A certificate pinned by its fingerprint (PostgreSQL 15; the wheel's 18 is built without TLS)."""

    @pytest.fixture
    def site(self, tls_server: tuple[pg.Postgres, str], tls_folder: Path) -> Iterator[pg.Site]:
        found = pg.Site(tls_server[0], tls_folder, "")
        yield found
        found.close()

    @pytest.mark.parametrize("sslmode", ["require", "verify-full"])
    def test_the_pinned_certificate_proves(
        self, site: pg.Site, tls_server: tuple[pg.Postgres, str], sslmode: str
    ) -> None:
        """Issued, used and revoked over TLS; the refusal came from the server with that certificate."""
        site.doors["primary"] = {
            "host": "localhost",
            "port": tls_server[0].port,
            "sslmode": sslmode,
            "certificate_sha256": tls_server[1],
        }
        if sslmode != "require":
            site.doors["primary"] |= {"sslrootcert": str(tls_server[0].data / "server.crt")}
        held = Held(site).issue()
        assert held.login().alive()
        held.revoke()
        report = held.probe()
        assert report.gone, report

    def test_another_certificate_proves_nothing(self, site: pg.Site, tls_server: tuple[pg.Postgres, str]) -> None:
        """A refusal by whoever shows another certificate is inconclusive."""
        site.doors["primary"] = {
            "host": "127.0.0.1",
            "port": tls_server[0].port,
            "sslmode": "require",
            "certificate_sha256": "0" * 64,
        }
        held = Held(site).issue()
        held.revoke()
        (found,) = held.probe().doors
        assert found.verdict == "inconclusive"
        assert "another certificate" in found.detail

    def test_a_server_without_tls_is_not_talked_to(self) -> None:
        """No falling back to plain text."""
        server, _, _ = pg.prepared("18")
        server.start()
        with pytest.raises(WireError, match="does not speak TLS"):
            Wire(Door("d", "primary", "127.0.0.1", server.port, "shop", sslmode="require"), 5)


def test_production_asks_for_tls(site: pg.Site) -> None:
    """A door on another machine without TLS is refused in production, and fine in dev."""
    config = site.config()
    config["doors"] = {"primary": {"host": "db.example", "sslmode": "disable"}}
    build("shop", config, site.clock, "dev")
    with pytest.raises(ConfigError):
        build("shop", config, site.clock, "production")


def test_a_door_that_is_no_postgresql_says_so() -> None:
    """Something else listening there is an error in time, never a hang or a refusal."""
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(
            target=lambda: listener.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), daemon=True
        ).start()
        wire = Wire(Door("d", "primary", "127.0.0.1", listener.getsockname()[1], "shop"), 2)
        with pytest.raises(WireError):
            wire.login("u", Secret("p"), "shop")
