"""Clients as they are, through the gateway: psql, psycopg, asyncpg, SQLAlchemy."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine
from tests.pggateway.kit import GatewayServer, connect

from flyball.demo.postgres import EmbeddedPostgres, wheel_bin

PSQL = str(wheel_bin() / "psql")
RUN = ("run", "settle", "-i", "ticket=T-1042", "-i", "limit=120.00", "-i", "order=1042", "--")


def test_psql_under_run(server: GatewayServer) -> None:
    """`flyball run` hands psql a ticket by its own variables: it reads, looks at a table, writes, and is refused."""
    identity = server.svid()
    script = (
        "SELECT amount FROM orders WHERE id = 1042",
        "\\d public.orders",
        "INSERT INTO refunds (order_id, amount) VALUES (1042, 5.00)",
        "SELECT card_last4 FROM customers",
        "SELECT 'still here'",
    )
    words = [word for one in script for word in ("-c", one)]
    out = server.flyball(
        *RUN, "sh", "-c", '"$0" -X -A -t "$@" 2>&1; env | grep -c ^PGPASSWORD', PSQL, *words, code=None,
        FLYBALL_SVID=identity, FLYBALL_ADDR=server.control_url,
    )  # fmt: skip
    assert "61.90" in out, out
    assert "customer_id|integer" in out, out
    assert "INSERT 0 1" in out, out
    assert "refused by flyball: resource_not_in_profile (decision dec_" in out, out
    assert out.rstrip().endswith("still here\n0"), out


@pytest.fixture
def outside() -> Iterator[Path]:
    """psql with its libraries where other users get to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = Path(name)
        place.chmod(0o755)
        linked = subprocess.run(["ldd", PSQL], capture_output=True, text=True, check=True).stdout
        packages = next(one for one in Path(PSQL).resolve().parents if one.name == "site-packages")
        for one in (PSQL, *re.findall(r"=> (\S+site-packages\S+)", linked)):
            copy = place / os.path.relpath(one, packages)
            copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            shutil.copy(one, copy)
        yield place / Path(PSQL).resolve().relative_to(packages)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user cannot be had")
def test_psql_confined(server: GatewayServer, postgres: EmbeddedPostgres, outside: Path) -> None:
    """With `--confine` psql reaches the gateway and reads its password; the server behind the gateway it does not."""
    direct = f"host=127.0.0.1 port={postgres.port} user=flyball_admin dbname=orders"
    script = f'"$0" -X -A -t -c "SELECT amount FROM orders WHERE id = 1042" 2>&1; "$0" -X -c "SELECT 1" "{direct}" 2>&1'
    identity = {"FLYBALL_SVID": server.svid(), "FLYBALL_ADDR": server.control_url}
    confined = (*RUN[:-1], "--confine", "--read", str(outside.parents[3]), "--")
    out = server.flyball(*confined, "sh", "-c", script, str(outside), code=None, **identity)
    assert out.startswith("61.90\n"), out
    assert "Permission denied" in out, out


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user cannot be had")
def test_what_is_released_is_not_confined(server: GatewayServer) -> None:
    """Its target would be out of reach: a usage error, before anything runs."""
    identity = {"FLYBALL_SVID": server.svid(), "FLYBALL_ADDR": server.control_url}
    words = ("run", "released", *RUN[2:-1], "--confine", "--", "echo", "it ran")
    assert server.flyball(*words, code=2, **identity) == ""


def test_psycopg(server: GatewayServer) -> None:
    """psycopg: text and binary parameters, prepared statements, a server-side cursor, COPY out, a pipeline."""
    with server.task() as task, connect(task) as connection:
        for prepare in (None, True):
            for number in range(6):
                row = connection.execute("SELECT id FROM orders WHERE id = %s", [1042 + number], prepare=prepare)
                assert row.fetchone() == (1042 + number,)
        with connection.cursor(binary=True) as cursor:
            assert cursor.execute("SELECT amount FROM orders WHERE id = %b", [1042]).fetchone() is not None
        with connection.transaction(), connection.cursor(name="by_portion") as cursor:
            cursor.execute("SELECT id FROM orders ORDER BY id")
            assert len(cursor.fetchmany(10)) == 10
        with connection.cursor().copy("COPY orders (id) TO STDOUT") as copy:
            assert sum(1 for _ in copy.rows()) == 2000
        with connection.pipeline():
            found = [connection.execute("SELECT %s::int", [number]) for number in range(20)]
        assert [one.fetchone() for one in found] == [(number,) for number in range(20)]


def test_asyncpg(server: GatewayServer) -> None:
    """asyncpg describes its statements and sends binary parameters: their values are held against the profile."""

    async def run(dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            assert await connection.fetchval("SELECT count(*) FROM orders WHERE id > $1", 2990) == 9
            statement = await connection.prepare("INSERT INTO refunds (order_id, amount) VALUES ($1, $2)")
            await statement.fetch(1042, Decimal("7.50"))
            for order, amount in ((1042, Decimal("500.00")), (1043, Decimal("1.00"))):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="argument_out_of_bounds"):
                    await statement.fetch(order, amount)
            async with connection.transaction():
                portions = [row async for row in connection.cursor("SELECT id FROM orders ORDER BY id LIMIT 120")]
            assert len(portions) == 120
        finally:
            await connection.close()

    with server.task() as task:
        asyncio.run(run(task.connect("orders").dsn()))


def test_sqlalchemy(server: GatewayServer) -> None:
    """SQLAlchemy over psycopg and over asyncpg: a pool that resets sessions, reflection, an insert, a refusal."""

    def work(connection: sqlalchemy.Connection) -> None:
        tables = sqlalchemy.MetaData()
        orders = sqlalchemy.Table("orders", tables, autoload_with=connection, resolve_fks=False)
        assert {"id", "amount"} <= set(orders.columns.keys())
        found = connection.execute(sqlalchemy.select(orders.c.id).where(orders.c.id.in_([1042, 1043]))).all()
        assert len(found) == 2
        refunds = sqlalchemy.table("refunds", sqlalchemy.column("order_id"), sqlalchemy.column("amount"))
        connection.execute(refunds.insert().values(order_id=1042, amount=Decimal("2.00")))
        connection.commit()
        customers = sqlalchemy.table("customers", sqlalchemy.column("name"))
        # Over the extended protocol the server looks at the grants when it binds, before the gateway is asked to run.
        with pytest.raises(sqlalchemy.exc.DBAPIError, match=r"resource_not_in_profile|permission denied for table"):
            connection.execute(sqlalchemy.select(customers.c.name))
        connection.rollback()

    async def asynchronous(dsn: str) -> None:
        engine = create_async_engine(dsn)
        for _ in range(2):
            async with engine.connect() as connection:
                await connection.run_sync(work)
        await engine.dispose()

    with server.task() as task:
        ticket = task.connect("orders")
        engine = sqlalchemy.create_engine(ticket.dsn("postgresql+psycopg"))
        for _ in range(2):
            with engine.connect() as connection:
                work(connection)
        engine.dispose()
        asyncio.run(asynchronous(ticket.dsn("postgresql+asyncpg").partition("?")[0]))
