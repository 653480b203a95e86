"""What docs/limitations.md says that the PostgreSQL gateway does not see, tried line by line."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors
from tests.pggateway.kit import GatewayServer, connect

from flyball.demo.postgres import EmbeddedPostgres


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
