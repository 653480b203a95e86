"""Clients that log in by mTLS: an X509-SVID of the task's own principal stands in the place of a ticket."""

from __future__ import annotations

import datetime
import ipaddress
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from tests.certified import certificate, pem
from tests.forked import running
from tests.pggateway.kit import GatewayServer
from tests.wait import until

import flyball_sdk
from flyball.demo.postgres import EmbeddedPostgres

AGENT = "spiffe://flyball.dev/agent/refund-agent"
COUNT = "SELECT count(*) FROM orders"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: the agent's own, and those that must not do."""
    made = tmp_path_factory.mktemp("svids")
    ca, strangers = certificate("ca", [], None), certificate("strangers", [], None)
    pem(made, "ca", ca)
    pem(made, "server", certificate("server", [], ca))
    pem(made, "agent", certificate("agent", [AGENT], ca))
    pem(made, "expired", certificate("expired", [AGENT], ca, expired=True))
    pem(made, "strangers-agent", certificate("agent", [AGENT], strangers))
    pem(made, "other-domain", certificate("other", ["spiffe://other.example/agent/refund-agent"], ca))
    pem(made, "other-agent", certificate("other", ["spiffe://flyball.dev/agent/other"], ca))
    pem(made, "two-names", certificate("two", [AGENT, "spiffe://flyball.dev/agent/other"], ca))
    pem(made, "other-instance", certificate("instance", [AGENT], ca))
    pem(made, "signer", certificate("signer", [AGENT], ca, signs=True))
    return made


def serving(home: Path, postgres: EmbeddedPostgres, folder: Path, domain: str) -> Iterator[GatewayServer]:
    """A server whose gateway takes certificates of that trust domain."""
    made = GatewayServer(
        home,
        postgres,
        f"listen: 127.0.0.1:0\ntls_cert: {folder}/server.pem\ntls_key: {folder}/server.key\ntls_ca: {folder}/ca.pem\n"
        f"client_ca: {folder}/ca.pem\nclient_trust_domain: {domain}",
    )
    with running(made):
        yield made


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres, folder: Path
) -> Iterator[GatewayServer]:
    """One that takes those of the agent's own trust domain."""
    yield from serving(tmp_path_factory.mktemp("mtls"), postgres, folder, "flyball.dev")


def words(task: flyball_sdk.Task, folder: Path, name: str | None, **more: object) -> dict[str, object]:
    """What a client says that logs in as the task itself, with that certificate or none."""
    said = {**task.connect("orders").kwargs(), "user": task.id, "sslcert": "", "sslkey": "", **more}
    said.pop("password")
    if name is not None:
        said |= {"sslcert": f"{folder}/{name}.pem", "sslkey": f"{folder}/{name}.key"}
    return {**said, "passfile": os.devnull}


def told(said: dict[str, object]) -> str:
    """Why a log-in is refused."""
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(**said)  # type: ignore[arg-type]
    return str(caught.value)


def test_an_svid_opens_its_own_task(server: GatewayServer, folder: Path) -> None:
    """User: the task's id; no password. Each statement is decided as ever, and the fence ends the session."""
    with server.task() as task:
        said = words(task, folder, "agent")
        with psycopg.connect(**said, autocommit=True) as connection:  # type: ignore[call-overload]
            assert connection.execute(COUNT).fetchone() == (2000,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="resource_not_in_profile"):
                connection.execute("SELECT name FROM customers")
            # Without a database's name it is the one that is lent.
            unnamed = psycopg.connect(**{**said, "dbname": ""})  # type: ignore[arg-type]
            unnamed.close()
            server.operator.post(f"/v1/tasks/{task.id}/revoke", json={"reason": "a test"}).raise_for_status()
            until(lambda: over(connection), 5, "the session ends with the task")
        assert "login_refused: certificate" in told(said)


def test_an_svid_is_its_principals_and_is_looked_at_once(server: GatewayServer, folder: Path, tmp_path: Path) -> None:
    """Limits: another instance of the agent, with a key of its own under the same SPIFFE ID, opens the task, too; a
    session outlives the certificate that opened it, which then opens no other."""
    with server.task() as task:
        psycopg.connect(**words(task, folder, "other-instance")).close()  # type: ignore[arg-type]
        pem(tmp_path, "brief", certificate("brief", [AGENT], authority(folder), lasts_s=3))
        said = words(task, tmp_path, "brief")
        with psycopg.connect(**said, autocommit=True) as connection:  # type: ignore[call-overload]
            until(lambda: refused(said), 20, "the certificate is over")
            assert connection.execute(COUNT).fetchone() == (2000,)


@pytest.mark.parametrize("signed", ["ed25519", "rsa-pss", "rsa"])
def test_which_certificates_a_log_in_can_be_bound_to(tmp_path: Path, postgres: EmbeddedPostgres, signed: str) -> None:
    """Limits: the gateway's certificate is its own, signed so. Where no hash is defined for that, a client that insists
    on a bound log-in is refused, and one that does not is let in."""
    key = ed25519.Ed25519PrivateKey.generate() if signed == "ed25519" else rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(hours=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = built.add_extension(address, critical=False)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH) if signed == "rsa-pss" else None
    made = built.sign(key, None if signed == "ed25519" else hashes.SHA256(), rsa_padding=pss)
    whole = made.public_bytes(Encoding.PEM)
    (tmp_path / "server.pem").write_bytes(whole)
    (tmp_path / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "ca.pem").write_bytes(whole)
    places = {"tls_cert": "server.pem", "tls_key": "server.key", "tls_ca": "ca.pem"}
    more = "\n".join(["listen: 127.0.0.1:0", *(f"{one}: {tmp_path / file}" for one, file in places.items())])
    server = GatewayServer(tmp_path / "home", postgres, more)
    with running(server), server.task() as task:
        ticket = task.connect("orders").kwargs()
        psycopg.connect(**ticket, channel_binding="prefer").close()  # type: ignore[arg-type]
        insists = {**ticket, "channel_binding": "require"}
        if signed == "rsa":
            psycopg.connect(**insists).close()  # type: ignore[arg-type]
        else:
            assert "channel binding is required" in told(insists)


def authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The folder's authority, to sign with."""
    key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()), key


def refused(said: dict[str, object]) -> bool:
    """Whether a log-in is refused now."""
    try:
        psycopg.connect(**said).close()  # type: ignore[arg-type]
    except psycopg.OperationalError:
        return True
    return False


def over(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether a session has ended."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def test_psql(server: GatewayServer, folder: Path) -> None:
    """psql as it is, by its own variables."""
    psql = Path("/usr/lib/postgresql/15/bin/psql")
    if not psql.exists():
        pytest.skip("no psql with TLS here")
    with server.task() as task:
        said = words(task, folder, "agent")
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE", "sslmode": "PGSSLMODE"}
        names |= {"sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "sslrootcert": "PGSSLROOTCERT"}
        env = {"PATH": "/usr/bin:/bin", "PGPASSFILE": os.devnull} | {names[n]: str(said[n]) for n in names}
        done = subprocess.run(
            [str(psql), "-XAtw", "-c", COUNT], env=env, capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.stdout.strip(), done.returncode) == ("2000", 0), done.stderr


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("expired", "certificate expired"),
        ("strangers-agent", "unknown ca"),
        ("other-domain", "login_refused: certificate"),
        ("other-agent", "login_refused: certificate"),
        ("two-names", "login_refused: certificate"),
        ("signer", "login_refused: certificate"),
        (None, "no password supplied"),
    ],
)
def test_certificates_that_do_not_do(server: GatewayServer, folder: Path, name: str | None, why: str) -> None:
    """One that is over, of another authority, another trust domain, another agent, with two names, of a key that signs
    certificates, and none at all: refused, the task being there and lent all the while."""
    with server.task() as task:
        psycopg.connect(**words(task, folder, "agent")).close()  # type: ignore[arg-type]
        assert why in told(words(task, folder, name))


def test_an_authority_of_another_domain(tmp_path: Path, postgres: EmbeddedPostgres, folder: Path) -> None:
    """Authorities speak for their own trust domain: one of another domain cannot name this one's agents."""
    for server in serving(tmp_path, postgres, folder, "other.example"):
        with server.task() as task:
            assert "login_refused: certificate" in told(words(task, folder, "agent"))


def test_tasks_and_databases_that_are_not_there(server: GatewayServer, folder: Path) -> None:
    """Another agent's task, one that is not there, a database that is not lent: refused alike. So is a ticket's name
    that nobody holds, as it is without a certificate."""
    with server.task() as task:
        said = words(task, folder, "agent")
        for wrong in ({"user": "tsk_local_01m8bge94q0", "dbname": "orders"}, {"dbname": "another"}):
            assert "login_refused: certificate" in told({**said, **wrong})
        assert "password authentication failed" in told({**said, "user": "task-nobody", "password": "x"})


def test_a_ticket_still_asks_for_its_secret(server: GatewayServer, folder: Path) -> None:
    """A certificate beside a ticket's name proves nothing: the secret does."""
    with server.task() as task:
        ticket = task.connect("orders").kwargs()
        shown = {"sslcert": f"{folder}/agent.pem", "sslkey": f"{folder}/agent.key"}
        psycopg.connect(**{**ticket, **shown}).close()  # type: ignore[arg-type]
        assert "password authentication failed" in told({**ticket, **shown, "password": "wrong"})


def test_channel_binding(server: GatewayServer) -> None:
    """A client that insists on a log-in bound to the TLS connection gets one."""
    with server.task() as task:
        ticket = task.connect("orders").kwargs()
        with psycopg.connect(**{**ticket, "channel_binding": "require"}) as connection:  # type: ignore[arg-type]
            assert connection.execute("SELECT 1").fetchone() == (1,)
