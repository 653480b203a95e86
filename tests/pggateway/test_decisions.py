"""Each statement is decided before it runs, and what is refused does not run."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from decimal import Decimal

import psycopg
import pytest
from psycopg import errors
from tests.pggateway.kit import GatewayServer, connect
from tests.wait import until

from flyball.demo.postgres import EmbeddedPostgres


def refused(connection: psycopg.Connection[tuple[object, ...]], statement: str, *values: object) -> str:
    """The reason code of a refusal; anything else fails."""
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        connection.execute(statement, values or None)  # type: ignore[arg-type]
    assert "refused by flyball" in str(caught.value), caught.value
    detail = caught.value.diag.message_detail or ""
    assert detail.startswith("reason="), detail
    return detail.removeprefix("reason=")


def test_denied(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """A denial is SQLSTATE 42501 with the reason and the decision, which stands in the records; the session goes on."""
    with server.task() as task, connect(task) as connection:
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            connection.execute("SELECT name, card_last4 AS marked_in_the_log FROM customers")
        assert "resource_not_in_profile" in str(caught.value)
        decision = str(caught.value).partition("(decision ")[2].partition(")")[0]
        assert connection.execute("SELECT 1").fetchone() == (1,)
        kept = [one for one in server.records(task.id) if json.dumps(one).find(decision) >= 0]
        assert '"deny"' in json.dumps(kept[0]), kept
        for statement, reason in (
            ("DELETE FROM refunds", "action_not_in_profile"),
            ("SELECT at FROM refunds; SELECT 1", "multiple_statements"),
            ("CREATE TABLE marked_in_the_log ()", "ddl"),
            ("SELECT pg_read_file('/etc/passwd')", "function_forbidden"),
            ("SET ROLE postgres", "pinned_setting"),
            ("SELECT lo_import('/etc/passwd')", "large_object"),
        ):
            with pytest.raises(psycopg.Error, match=f"refused by flyball: {reason}"):
                connection.execute(statement)
    log = postgres.log.read_text(errors="replace")
    assert "marked_in_the_log" not in log
    assert "pg_read_file" not in log


def test_values_are_arguments(server: GatewayServer) -> None:
    """A bound holds for literals and parameters, in text and binary; a value that the text does not say is refused."""
    insert = "INSERT INTO refunds (order_id, amount) VALUES (%s, %s)"
    with server.task() as task, connect(task) as connection:
        connection.execute(insert, [1042, Decimal("10.00")])
        connection.execute("INSERT INTO refunds (order_id, amount) VALUES (1042, 10.50)")
        connection.execute("INSERT INTO refunds (order_id, amount) VALUES (%b, %b)", [1042, Decimal("1.25")])
        assert refused(connection, insert, 1042, Decimal("120.01")) == "argument_out_of_bounds"
        assert refused(connection, insert, 1043, Decimal("1.00")) == "argument_out_of_bounds"
        assert (
            refused(connection, "INSERT INTO refunds (order_id, amount) VALUES (1042, 500)") == "argument_out_of_bounds"
        )
        for trick in (
            "VALUES (1042, 1 * 500)",
            "VALUES (1042, 1.00), (1042, 500)",
            "VALUES (1042, (SELECT max(amount) FROM orders))",
            "SELECT 1042, 500",
            "VALUES (1042, DEFAULT)",
            "VALUES (1042, NULL)",
        ):
            assert refused(connection, f"INSERT INTO refunds (order_id, amount) {trick}") == "argument_missing", trick
        connection.execute("PREPARE put AS INSERT INTO refunds (order_id, amount) VALUES (1042, $1)")
        assert refused(connection, "EXECUTE put(500)") == "argument_missing"
        # 10.00 + 10.50 + 1.25 are charged, and nothing that was refused.
        connection.execute(insert, [1042, Decimal("120.00")])
        assert refused(connection, insert, 1042, Decimal("10.00")) == "budget_spent"


def test_rows_confined(server: GatewayServer) -> None:
    """A bound on a read holds where the rows are surely confined to the value, and nowhere else."""
    with server.task("one-order") as task, connect(task) as connection:
        for fine in ("id = 1042", "id IN (1042)", "1042 = id AND name <> ''"):
            # Allowed by the gateway; the lease's own grants, which have no customers, are the second wall.
            with pytest.raises(errors.InsufficientPrivilege) as caught:
                connection.execute(f"SELECT name FROM customers WHERE {fine}")
            assert "permission denied for table customers" in str(caught.value)
        for trick, reason in (
            ("id = 1043", "argument_out_of_bounds"),
            ("id IN (1042, 1043)", "argument_missing"),
            ("id = 1042 OR true", "argument_missing"),
            ("NOT id = 1042", "argument_missing"),
            ("id >= 1042", "argument_missing"),
            ("id = 1042 + 1", "argument_missing"),
            ("EXISTS (SELECT 1 FROM customers c WHERE c.id = 1042)", "argument_missing"),
        ):
            assert refused(connection, f"SELECT name FROM customers WHERE {trick}") == reason, trick


def test_values_of_one_shape(server: GatewayServer) -> None:
    """Statements that differ in a constant alone are judged as one, and each is decided by its own constant."""
    with server.task("one-order") as task, server.task("one-order", order="1043") as other:
        with connect(task) as first, connect(other) as second:
            for _ in range(3):
                for connection, own, not_own in ((first, 1042, 1043), (second, 1043, 1042)):
                    for value in (own, f"'{own}'"):
                        with pytest.raises(errors.InsufficientPrivilege, match="permission denied for table customers"):
                            connection.execute(f"SELECT name FROM customers WHERE id = {value}")
                    for value in (not_own, f"'{not_own}'", f"'{own} '", f"{own}0", f"-{own}"):
                        reason = refused(connection, f"SELECT name FROM customers WHERE id = {value}")
                        assert reason in {"argument_out_of_bounds", "argument_missing"}, value


def test_several_tables_are_one_decision(server: GatewayServer) -> None:
    """A join is allowed whole or refused whole: what was refused with it is not recorded as allowed."""
    with server.task() as task, connect(task) as connection:
        connection.execute("SELECT o.id FROM orders o JOIN refunds r ON r.order_id = o.id")
        before = len(allowed(server, task.id))
        assert refused(connection, "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id") == (
            "resource_not_in_profile"
        )
        assert len(allowed(server, task.id)) == before


def allowed(server: GatewayServer, task: str) -> list[str]:
    """The resources of a task's allowed statements."""
    bodies = [one.get("body", one) for one in server.records(task)]
    return [str(body["resource"]) for body in bodies if isinstance(body, dict) and body.get("effect") == "allow"]


def test_second_wall(server: GatewayServer) -> None:
    """Where a profile allows more than the lease was granted, the server itself refuses."""
    with server.task("wide") as task, connect(task) as connection:
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            connection.execute("SELECT name FROM customers")
        assert "permission denied" in str(caught.value)
        assert "flyball" not in str(caught.value)


def test_catalog(server: GatewayServer) -> None:
    """The catalog is read where the profile says so; where not, asking is no deviation of the task's."""
    query = "SELECT relname FROM pg_catalog.pg_class LIMIT 1"
    with server.task("strict") as task, connect(task) as connection:
        assert refused(connection, query) == "catalog"
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with server.task("settle") as task, connect(task) as connection:
        assert connection.execute(query).fetchone() is not None
        assert refused(connection, "SELECT rolpassword FROM pg_catalog.pg_authid") == "catalog_secret"


def test_definitions_that_change(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """What others define is seen: a new table at once, a view that reads another table within the stated second."""
    with psycopg.connect(postgres.dsn(dbname="orders"), autocommit=True) as owner:
        owner.execute("CREATE VIEW order_notes AS SELECT id, note FROM orders")
        owner.execute("GRANT SELECT ON order_notes TO flyball_refunds_writer")
        try:
            with server.task("wide") as task, connect(task) as connection:
                connection.execute("SELECT note FROM order_notes LIMIT 1", prepare=True)
                owner.execute("CREATE TABLE fresh (n int)")
                owner.execute("GRANT SELECT ON fresh TO flyball_refunds_writer")
                connection.execute("SELECT n FROM fresh")
                owner.execute("CREATE TABLE hidden AS SELECT 'secret' AS note, 1 AS id")
                owner.execute("CREATE OR REPLACE VIEW order_notes AS SELECT id, note FROM hidden")
                until_refused(connection, "SELECT note FROM order_notes LIMIT 1")
        finally:
            owner.execute("DROP VIEW IF EXISTS order_notes; DROP TABLE IF EXISTS fresh, hidden")


def until_refused(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> None:
    """Run it until the gateway refuses it; two seconds are the stated one and a look's length."""

    def now_refused() -> bool:
        try:
            connection.execute(statement, prepare=True)  # type: ignore[arg-type]
        except errors.InsufficientPrivilege as fault:
            return "refused by flyball" in str(fault)
        return False

    until(now_refused, 2, "the changed view is judged by what it is now")


def test_store_that_fails(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """Where the record cannot be made durable the statement does not go upstream: a fault of ours, SQLSTATE 58000."""
    with server.task() as task, connect(task) as connection:
        connection.execute("SELECT count(*) FROM refunds")
        with contextlib.closing(sqlite3.connect(server.state / "store.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(psycopg.Error, match="record_failed") as caught:
                connection.execute("SELECT 4711 AS not_upstream, id FROM orders")
            other.execute("ROLLBACK")
        assert caught.value.sqlstate == "58000"
        assert "not_upstream" not in postgres.log.read_text(errors="replace")
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2000,)
