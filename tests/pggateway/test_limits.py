"""What docs/limitations.md says that the PostgreSQL gateway does not see, tried line by line."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from tests.forked import running
from tests.pggateway.kit import GatewayServer, connect
from tests.wait import until

from flyball.demo.postgres import EmbeddedPostgres

#: Functions and triggers that somebody has put on the list, and a rule that wants a value from a result.
LISTED = "        gateway: {functions: [public.card], triggers: [public.hundredfold]}\n"
FOUND = "where: {amount: {max: $inputs.limit}, order_id: {as: id, from: [result(sql.select).id]}}"


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[GatewayServer]:
    """A server whose bundle has these; what `sql.select` returns is declared."""
    made = GatewayServer(tmp_path_factory.mktemp("listed"), postgres)
    manifest, profile = made.home / "bundle" / "bundle.yaml", made.home / "bundle" / "profiles" / "plain.yaml"
    text = manifest.read_text().replace("    database: orders\n", f"    database: orders\n{LISTED[4:]}", 1)
    manifest.write_text(
        text.replace(
            "columns: strings, id: string}", 'columns: strings, id: string}, returns: [{id: "id by org, bought"}]'
        )
    )
    text = profile.read_text()
    profile.write_text(text.replace("where: {amount: {max: $inputs.limit}, order_id: $inputs.order}", FOUND))
    with running(made):
        yield made


@contextlib.contextmanager
def owner_of(postgres: EmbeddedPostgres, make: str, drop: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The database's owner, with something of his own made, and dropped afterwards."""
    with psycopg.connect(postgres.dsn(dbname="orders"), autocommit=True) as owner:
        owner.execute(make)  # type: ignore[arg-type]
        try:
            yield owner
        finally:
            owner.execute(drop)  # type: ignore[arg-type]


def counted(connection: psycopg.Connection[tuple[object, ...]], table: str) -> int:
    """Rows of a table, as the database's owner sees them."""
    found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert found is not None
    return int(str(found[0]))


def test_another_login_goes_around(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """Who has a login of the server's own is asked nothing, and stands in no record."""
    with server.task() as task, connect(task):
        with psycopg.connect(postgres.dsn(dbname="orders"), autocommit=True) as around:
            assert counted(around, "customers") > 0
        assert "customers" not in str(server.records(task.id))


def test_types_of_a_table_without_a_rule_are_learnt_and_its_rows_are_not(server: GatewayServer) -> None:
    """A statement that will be denied is parsed by the server; here its own grants refuse it then."""
    with server.task() as task, connect(task) as connection:
        wire = connection.pgconn
        wire.prepare(b"probe", b"SELECT id, name FROM customers WHERE id = $1")
        told = wire.describe_prepared(b"probe")
        assert [told.ftype(0), told.fname(1)] == [23, b"name"]
        answer = wire.exec_prepared(b"probe", [b"1"])
        assert answer.ntuples == 0
        assert b"permission denied for table customers" in answer.error_message


def test_rows_that_were_rolled_back_are_spent(server: GatewayServer) -> None:
    """A budget of 50 rows counts what passed, whatever became of the transaction; an aggregate is one row."""
    with server.task("few") as task, connect(task) as connection:
        assert counted(connection, "orders") > 50
        connection.execute("BEGIN")
        assert len(connection.execute("SELECT id FROM orders LIMIT 40").fetchall()) == 40
        connection.execute("ROLLBACK")
        with pytest.raises(psycopg.Error, match="budget_spent"):
            connection.execute("SELECT id FROM orders LIMIT 40").fetchall()


def test_a_statement_that_the_server_refused_stays_charged(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """The server's own error reaches the client and tells of its data; the budget of 150 is spent for it."""
    insert = "INSERT INTO refunds (order_id, amount) VALUES (1077, 100.00)"
    with psycopg.connect(postgres.dsn(dbname="orders"), autocommit=True) as owner:
        owner.execute("ALTER TABLE refunds ADD CONSTRAINT closed CHECK (order_id <> 1077)")
        try:
            with server.task(order="1077") as task, connect(task) as connection:
                with pytest.raises(errors.CheckViolation, match="closed"):
                    connection.execute(insert)
                with pytest.raises(errors.InsufficientPrivilege, match="budget_spent"):
                    connection.execute(insert)
        finally:
            owner.execute("ALTER TABLE refunds DROP CONSTRAINT closed")


def test_what_the_statement_does_not_name_is_filled_all_the_same(
    server: GatewayServer, postgres: EmbeddedPostgres
) -> None:
    """Defaults are the server's: the grant and the rule name two columns, and four have values."""
    with server.task() as task, connect(task) as connection:
        connection.execute("INSERT INTO refunds (order_id, amount) VALUES (1042, 1.00)")
        with psycopg.connect(postgres.dsn(dbname="orders"), autocommit=True) as owner:
            row = owner.execute("SELECT * FROM refunds ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    assert len(row) == 4
    assert None not in row


def test_what_a_listed_function_does_is_not_named(
    server: GatewayServer, listed: GatewayServer, postgres: EmbeddedPostgres
) -> None:
    """With its owner's rights it reads a table that neither the profile nor the grants have, and no record says so. A
    function that is not on the list is refused."""
    make = (
        "CREATE FUNCTION card(n int) RETURNS text SECURITY DEFINER LANGUAGE sql "
        "AS 'SELECT card_last4 FROM customers WHERE id = n'"
    )
    with owner_of(postgres, make, "DROP FUNCTION card"):
        with server.task() as task, connect(task) as connection, pytest.raises(psycopg.Error, match="function_"):
            connection.execute("SELECT card(7) FROM orders LIMIT 1")
        with listed.task() as task, connect(task) as connection:
            assert connection.execute("SELECT card(7) FROM orders LIMIT 1").fetchone() == ("0259",)
            assert "customers" not in str(listed.records(task.id))


def test_what_a_listed_trigger_stores_is_not_what_was_decided(
    server: GatewayServer, listed: GatewayServer, postgres: EmbeddedPostgres
) -> None:
    """An amount within its bound is stored a hundred times as high. A trigger that is not on the list is refused."""
    make = (
        "CREATE FUNCTION hundredfold() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN NEW.amount := NEW.amount * 100; RETURN NEW; END';"
        "CREATE TRIGGER hundredfold BEFORE INSERT ON refunds FOR EACH ROW EXECUTE FUNCTION hundredfold()"
    )
    drop = "DROP TRIGGER hundredfold ON refunds; DROP FUNCTION hundredfold"
    insert = "INSERT INTO refunds (order_id, amount) VALUES (1042, 2.00)"
    with owner_of(postgres, make, drop) as owner:
        with server.task() as task, connect(task) as connection, pytest.raises(psycopg.Error, match="trigger"):
            connection.execute(insert)
        with listed.task() as task, connect(task) as connection:
            connection.execute(insert)
        row = owner.execute("SELECT amount FROM refunds ORDER BY id DESC LIMIT 1").fetchone()
        assert row is not None
        assert str(row[0]) == "200.00"


def test_rows_are_counted_and_not_read(listed: GatewayServer) -> None:
    """A value that was read a moment ago comes from nowhere, though `returns` names its column; the record of the
    result holds nothing of it. The column's labels are on the task, whatever came back."""
    with listed.task("plain", order="1042") as task, connect(task) as connection:
        assert connection.execute("SELECT id FROM orders WHERE id = 1042").fetchone() == (1042,)
        with pytest.raises(errors.InsufficientPrivilege, match="origin_mismatch"):
            connection.execute("INSERT INTO refunds (order_id, amount) VALUES (1042, 1.00)")
        story = listed.operator.get(f"/v1/tasks/{task.id}/story").json()
        assert {one["label"] for one in story["labels"] if one["from"] == "sql.select"} == {"org", "bought"}
        assert [(one["result"], one["kept"], one["value"]) for one in story["results"]] == [(1, 0, [])]


def test_a_statement_that_waits_was_decided_before(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """Its record is there while it waits for a lock; a fence ends it, the lock being held all the while."""
    ended: list[str] = []
    task = server.task()
    task.open()
    connection = connect(task)

    def wait() -> None:
        try:
            connection.execute("SELECT count(*) FROM refunds")
        except psycopg.Error as fault:
            ended.append(str(fault))

    with psycopg.connect(postgres.dsn(dbname="orders")) as owner:
        owner.execute("LOCK TABLE refunds IN ACCESS EXCLUSIVE MODE")
        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: "orders.public.refunds" in str(server.records(task.id)), 10, "it is decided")
        assert not ended
        server.operator.post(f"/v1/tasks/{task.id}/revoke", json={"reason": "a test"}, timeout=30).raise_for_status()
        waiting.join(10)
        assert len(ended) == 1
        owner.rollback()
    task.end()


def test_an_error_tells_that_a_key_is_there(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """The server's own words reach the client: a row that the task may write is one that somebody else has."""
    make = "DELETE FROM refunds; CREATE UNIQUE INDEX once ON refunds (order_id)"
    with owner_of(postgres, make, "DROP INDEX once") as owner:
        owner.execute("INSERT INTO refunds (order_id, amount) VALUES (1042, 1.00)")
        with server.task() as task, connect(task) as connection:
            with pytest.raises(errors.UniqueViolation) as told:
                connection.execute("INSERT INTO refunds (order_id, amount) VALUES (1042, 1.00)")
            assert told.value.diag.message_detail == "Key (order_id)=(1042) already exists."


@contextlib.contextmanager
def tapped() -> Iterator[socket.socket]:
    """A packet socket on `lo`."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap:
        tap.bind(("lo", 0))
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        tap.settimeout(2)
        yield tap


def passed(tap: socket.socket, until_seen: bytes) -> bytes:
    """What went by, up to these words."""
    seen = b""
    with contextlib.suppress(TimeoutError):
        while until_seen not in seen:
            seen += tap.recv(65536)
    assert until_seen in seen
    return seen


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to read what passes on the loopback interface")
def test_in_clear_statements_and_rows_are_seen_and_the_secret_is_not(server: GatewayServer) -> None:
    """Beside a session without TLS. The answer that handed the ticket over, in clear too, holds its secret."""
    with server.task() as task:
        with tapped() as tap:
            secret = task.connect("orders").secret.reveal().encode()
            passed(tap, secret)
        with tapped() as tap:
            with connect(task) as connection:
                row = connection.execute("SELECT 'asked-in-clear', note FROM orders WHERE id = 1043").fetchone()
            assert row is not None
            seen = passed(tap, b"archive@outside.example")
            assert b"asked-in-clear" in seen
            assert secret not in seen


def test_what_is_not_spoken(server: GatewayServer) -> None:
    """Each is refused with its reason, and the session goes on. Of several statements in one string those pass that
    lead the session back to its start, as pools of drivers send them."""
    with server.task() as task, connect(task) as connection:
        for statement, reason in (
            ("LISTEN x", "notify"),
            ("NOTIFY x", "notify"),
            ("PREPARE TRANSACTION 'x'", "two_phase"),
            ("COMMIT PREPARED 'x'", "two_phase"),
            ("CREATE TABLE t ()", "ddl"),
            ("CREATE TEMP TABLE t ()", "ddl"),
            ("SELECT 1 INTO TEMP t", "ddl"),
            ("SELECT 1; SELECT 2", "multiple_statements"),
        ):
            with pytest.raises(psycopg.Error, match=f"refused by flyball: {reason}"):
                connection.execute(statement)  # type: ignore[arg-type]
        connection.execute("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL")
        assert connection.execute("SELECT 1").fetchone() == (1,)
        for more, reason in (
            ({"options": "-c work_mem=1MB"}, "startup_options"),
            ({"replication": "database"}, "replication"),
        ):
            with pytest.raises(psycopg.OperationalError, match=f"login_refused: {reason}"):
                connect(task, **more)
        reached = task.connect("orders").kwargs()
        with socket.create_connection((str(reached["host"]), int(str(reached["port"]))), timeout=10) as raw:
            raw.sendall(struct.pack("!II", 8, 80877104))
            assert raw.recv(1) == b"N"
