"""Who comes in, and how sessions end: tickets, budgets spent mid-result, revocation, the lease's own end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from tests import pg
from tests.forked import running
from tests.pggateway.kit import GatewayServer, connect
from tests.wait import until

import flyball_sdk
from flyball.demo import certificates
from flyball.demo.postgres import EmbeddedPostgres

LONG = "SELECT a.id, repeat('x', 200) FROM orders a CROSS JOIN orders b"


def roles(postgres: EmbeddedPostgres) -> int:
    """How many roles of leases there are."""
    with psycopg.connect(postgres.dsn(dbname="orders")) as connection:
        row = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'fb\\_%'").fetchone()
        assert row is not None
        return int(row[0])


def test_ticket_is_no_credential(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """The target's secret is not to be had; the ticket opens the gateway alone, and shows its secret nowhere."""
    with server.task() as task:
        assert task.brokered == ("orders",)
        with pytest.raises(flyball_sdk.Refused) as caught:
            task.credential("orders")
        assert caught.value.code == "brokered"
        ticket = task.connect("orders")
        assert ticket.secret.reveal() not in repr(ticket) + str(ticket.connection)
        assert task.connect("orders") is ticket
        direct = {**ticket.kwargs(), "port": postgres.port}
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**direct)  # type: ignore[arg-type]
        held = [one for one in server.records(task.id) if "lease" in str(one)]
        assert any("'brokered'" in str(one) or '"brokered"' in str(one) for one in held), held
        connect(task).close()
        until(lambda: roles(postgres) == 1, 10, "one lease for all sessions, and those of others gone")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**ticket.kwargs())  # type: ignore[arg-type]
    until(lambda: roles(postgres) == 0, 5, "the lease is gone with its task")


def test_not_brokered(server: GatewayServer) -> None:
    """A credential that is handed out has no gateway before it."""
    with server.task("released") as task:
        assert task.brokered == ()
        with pytest.raises(flyball_sdk.Refused) as caught:
            task.connect("orders")
        assert caught.value.code == "not_brokered"
        with pytest.raises(flyball_sdk.FlyballError):
            task.connect("nothing")


def test_wrong_secrets(server: GatewayServer) -> None:
    """A wrong secret, an unknown ticket and another database are refused alike."""
    with server.task() as task:
        ticket = task.connect("orders").kwargs()
        for wrong in ({"password": "wrong"}, {"user": "task-nobody"}, {"dbname": "postgres"}, {"password": ""}):
            with pytest.raises(psycopg.OperationalError) as caught:
                psycopg.connect(**{**ticket, **wrong})  # type: ignore[arg-type]
            said = str(caught.value)
            assert "password authentication failed" in said or "no password supplied" in said, (wrong, said)
        psycopg.connect(**ticket).close()  # type: ignore[arg-type]


def test_rows_spent(server: GatewayServer) -> None:
    """A budget of rows ends the result when it is spent, and what was read before counts."""
    with server.task("few") as task:
        with connect(task) as connection:
            assert len(connection.execute("SELECT id FROM orders LIMIT 30").fetchall()) == 30
            with pytest.raises(psycopg.Error) as caught:
                connection.execute("SELECT id FROM orders")
            assert "budget_spent" in str(caught.value)
        with connect(task) as connection:
            with pytest.raises(psycopg.Error) as again:
                connection.execute("SELECT id FROM orders LIMIT 1")
            assert "budget_spent" in str(again.value)


def ends(task: flyball_sdk.Task, act: Callable[[], object]) -> float:
    """Seconds from `act` to the end of a result that was under way."""
    connection = connect(task)
    started, ended = threading.Event(), threading.Event()

    def read() -> None:
        try:
            with connection.cursor() as cursor:
                for number, _ in enumerate(cursor.stream(LONG)):
                    if number == 1000:
                        started.set()
        except psycopg.Error:
            ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert started.wait(20)
    began = time.monotonic()
    act()
    assert ended.wait(10), "the result went on"
    took = time.monotonic() - began
    reader.join()
    return took


def test_revoked_mid_result(server: GatewayServer) -> None:
    """An operator's revocation ends a result that is under way."""
    task = server.task()
    task.open()
    path = f"/v1/tasks/{task.id}/revoke"
    took = ends(task, lambda: server.operator.post(path, json={"reason": "a test"}).raise_for_status())
    assert took < 5
    task._tickets.clear()
    with pytest.raises(flyball_sdk.FlyballError):
        task.connect("orders")
    task.end()


def test_a_login_that_is_ended_beside_a_revocation_is_begun_again(
    server: GatewayServer, postgres: EmbeddedPostgres
) -> None:
    """On a busy machine the gateway's own login may hide for long enough to be ended with what somebody else's
    revocation ends; its client does not notice."""
    with server.task() as task, psycopg.connect(postgres.dsn(dbname="orders"), autocommit=True) as look:
        task.connect("orders")  # its lease is there before logins are slow
        with ThreadPoolExecutor(1) as threads:
            with pg.slow_logins(postgres, look):
                came = threads.submit(connect, task)
                for pid in until(lambda: pg.hiding(look), what="the gateway's login hides"):
                    look.execute("SELECT pg_terminate_backend(%s)", (pid,))
            with came.result() as connection:
                assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2000,)


def test_ended_mid_result(server: GatewayServer) -> None:
    """The holder's own end does too."""
    task = server.task()
    task.open()
    assert ends(task, task.end) < 5


def test_deviation_mid_result(server: GatewayServer) -> None:
    """A deviation that revokes ends every session of the task, from within the decision."""
    task = server.task("strict")
    task.open()
    other = connect(task)

    def deviate() -> None:
        with pytest.raises(psycopg.Error):
            other.execute("SELECT name FROM customers")

    assert ends(task, deviate) < 1
    with pytest.raises(psycopg.Error):
        other.execute("SELECT 1")
    task.end()


def test_lease_revoked_alone(server: GatewayServer) -> None:
    """A lease that is revoked alone ends its sessions; the task goes on, and gets the next one."""
    with server.task() as task:
        lease = task.connect("orders").lease
        path = f"/v1/leases/{lease}/revoke"
        assert ends(task, lambda: server.operator.post(path, json={"reason": "a test"}).raise_for_status()) < 5
        task._tickets.clear()
        assert task.connect("orders").lease != lease
        with connect(task) as connection:
            assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2000,)


def test_revoked_while_the_target_hangs(tmp_path: Path, postgres: EmbeddedPostgres) -> None:
    """A lease that is revoked ends its sessions before the target is asked for anything: here it never is."""
    server = GatewayServer(tmp_path / "home", postgres)
    server.start(FLYBALL_FAULTS="revoke.before_step:hang")
    task = server.task()
    try:
        task.open()
        path = f"/v1/leases/{task.connect('orders').lease}/revoke"
        asked = {"reason": "a test", "wait_ms": 0}
        assert ends(task, lambda: server.operator.post(path, json=asked).raise_for_status()) < 5
    finally:
        server.kill()
        server.start()  # what hung is taken up again
        task.end()
        server.kill(signal.SIGTERM)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[GatewayServer]:
    """A server whose gateway takes TLS and a Unix socket, with tickets of a second."""
    folder = tmp_path_factory.mktemp("tls")
    certificates.make(folder / "tls", "spiffe://flyball.dev/tool/none")
    made = GatewayServer(
        folder / "home",
        postgres,
        f"listen: 127.0.0.1:0\ntls_cert: {folder}/tls/server.pem\ntls_key: {folder}/tls/server.key\n"
        f"tls_ca: {folder}/tls/ca.pem\nunix: {folder}/.s.PGSQL.6543\nticket: 1s",
    )
    with running(made):
        yield made


def test_tls_and_socket(secure: GatewayServer) -> None:
    """Over TCP the gateway proves itself and takes nothing in clear; on its Unix socket TLS is not needed."""
    with secure.task() as task:
        ticket = task.connect("orders").kwargs()
        assert ticket["sslmode"] == "verify-full"
        with psycopg.connect(**ticket) as connection:  # type: ignore[arg-type]
            assert connection.pgconn.ssl_in_use
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(**{**ticket, "sslmode": "disable", "password": task.connect("orders").secret.reveal()})  # type: ignore[arg-type]
        assert "tls_required" in str(caught.value)
        fresh = task.connect("orders").kwargs()
        folder = str(Path(str(fresh["sslrootcert"])).parent.parent)
        words = {"host": folder, "port": 6543, "sslmode": "disable", "sslrootcert": ""}
        with psycopg.connect(**{**fresh, **words}) as connection:  # type: ignore[arg-type]
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_ticket_runs_out(secure: GatewayServer) -> None:
    """A ticket whose time is over opens nothing; sessions that are open go on; the next one has the same user."""
    with secure.task() as task:
        ticket = task.connect("orders")
        with psycopg.connect(**ticket.kwargs()) as connection:  # type: ignore[arg-type]
            until(lambda: ticket.due and opens_nothing(ticket), 5, "the ticket runs out")
            assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2000,)
        fresh = ticket.fresh()
        assert fresh.secret.reveal() != ticket.secret.reveal()
        psycopg.connect(**fresh.kwargs()).close()  # type: ignore[arg-type]


def opens_nothing(ticket: flyball_sdk.Ticket) -> bool:
    """Whether the gateway refuses a ticket."""
    try:
        psycopg.connect(**ticket.kwargs()).close()  # type: ignore[arg-type]
    except psycopg.OperationalError as fault:
        return "password authentication failed" in str(fault)
    return False


def test_restart(tmp_path: Path, postgres: EmbeddedPostgres) -> None:
    """A restart ends every session and ticket; a task that goes on gets a new lease, and the old one is taken back."""
    server = GatewayServer(tmp_path / "home", postgres)
    server.start()
    try:
        with server.task() as task:
            first = task.connect("orders")
            connection = connect(task)
            server.kill()
            with pytest.raises(psycopg.Error):
                connection.execute("SELECT 1")
            server.start()
            until(lambda: opens_nothing_at(first), 5, "the old ticket opens nothing")
            task._tickets.clear()
            second = task.connect("orders")
            assert second.lease != first.lease
            until(lambda: lease_state(server, first.lease) == "verified", 10, "the old lease is taken back")
            with connect(task) as connection:
                assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2000,)
    finally:
        server.kill(signal.SIGTERM)


def lease_state(server: GatewayServer, lease: str) -> str:
    """Where a lease stands."""
    found = server.operator.get("/v1/leases", params={"limit": 100}).json()["leases"]
    return next((str(one["state"]) for one in found if one["lease"] == lease), "")


def opens_nothing_at(ticket: flyball_sdk.Ticket) -> bool:
    """Whether nobody lets a ticket in, the gateway being there or not."""
    try:
        psycopg.connect(**ticket.kwargs()).close()  # type: ignore[arg-type]
    except psycopg.OperationalError:
        return True
    return False
