"""A catalog that nobody could look at decides nothing, and what changed meanwhile is seen before the next decision."""

from __future__ import annotations

import psycopg
from psycopg import errors
from tests.pggateway.kit import GatewayServer, connect
from tests.wait import until

from flyball.demo.postgres import EmbeddedPostgres

NOTES = "SELECT note FROM order_notes LIMIT 1"
STALE = "58000 catalog_stale"  # a fault of ours


def answer(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> str:
    """`allowed`, or the SQLSTATE and reason code of the gateway's refusal."""
    try:
        connection.execute(statement)  # type: ignore[arg-type]
    except psycopg.Error as fault:
        if "refused by flyball" not in str(fault):
            raise
        return f"{fault.sqlstate} " + (fault.diag.message_detail or "").removeprefix("reason=")
    return "allowed"


def test_nobody_could_look(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """While the catalogs are locked no statement is decided by what they held before: `catalog_stale`. A view that was
    changed behind the lock is judged by what it is now from the first decision on."""
    with psycopg.connect(postgres.dsn(dbname="orders"), autocommit=True) as owner:
        owner.execute("CREATE VIEW order_notes AS SELECT id, note FROM orders")
        owner.execute("GRANT SELECT ON order_notes TO flyball_refunds_writer")
        owner.execute("CREATE TABLE hidden AS SELECT 'secret' AS note, 1 AS id")
        try:
            with server.task("wide") as task, connect(task) as connection:
                assert answer(connection, NOTES) == "allowed"
                with owner.transaction():
                    owner.execute("LOCK TABLE pg_catalog.pg_constraint IN ACCESS EXCLUSIVE MODE")
                    until(lambda: answer(connection, "SELECT 1") == STALE, 15, "the catalog is too old")
                    assert answer(connection, NOTES) == STALE
                    owner.execute("CREATE OR REPLACE VIEW order_notes AS SELECT id, note FROM hidden")
                seen: list[str] = []

                def decided() -> bool:
                    seen.append(answer(connection, NOTES))
                    return seen[-1] != STALE

                until(decided, 15, "the catalog is looked at again")
                assert seen[-1] == "42501 resource_not_in_profile", seen
                assert answer(connection, "SELECT count(*) FROM orders") == "allowed"
        finally:
            owner.execute("DROP VIEW IF EXISTS order_notes; DROP TABLE IF EXISTS hidden")


def test_a_prepared_statement_is_judged_by_what_is_now(server: GatewayServer, postgres: EmbeddedPostgres) -> None:
    """A new trigger and a new rule are seen by statements that were prepared before: none runs past them."""
    insert = "INSERT INTO refunds (order_id, amount) VALUES (1042, 1.00)"
    with psycopg.connect(postgres.dsn(dbname="orders"), autocommit=True) as owner:
        owner.execute("CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        try:
            with server.task() as task, connect(task) as connection:
                connection.execute(insert, prepare=True)
                for definition, reason in (
                    ("CREATE TRIGGER meddles BEFORE INSERT ON refunds EXECUTE FUNCTION meddle()", "trigger_not_listed"),
                    ("CREATE RULE elsewhere AS ON INSERT TO refunds DO ALSO NOTHING", "rule"),
                ):
                    owner.execute(definition)  # type: ignore[call-overload]
                    until(lambda reason=reason: refused_for(connection, insert) == reason, 3, reason)  # type: ignore[misc]
                    owner.execute("DROP TRIGGER IF EXISTS meddles ON refunds")
        finally:
            owner.execute("DROP RULE IF EXISTS elsewhere ON refunds; DROP TRIGGER IF EXISTS meddles ON refunds")
            owner.execute("DROP FUNCTION meddle()")


def refused_for(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> str:
    """The reason code of a prepared statement's refusal; empty where it ran."""
    try:
        connection.execute(statement, prepare=True)  # type: ignore[arg-type]
    except errors.InsufficientPrivilege as fault:
        return (fault.diag.message_detail or "").removeprefix("reason=")
    return ""
