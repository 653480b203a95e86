"""Upstream credentials are leases of the task: given to the server, never to the client, taken back with the task."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.mcp.kit import McpServer, Raw, is_error, npm_server, raw_gateway, text_of
from tests.mcp.shared import listens, text
from tests.processes import children
from tests.server import ISSUER, ROOT, RunningServer, shop
from tests.wait import until

from flyball.demo.postgres import EmbeddedPostgres, free_port

pytestmark = pytest.mark.heavy
PROFILE = """
profile: report
purpose: Read orders through a server that has the task's own login
agents: [refund-agent]
time: {ttl: 15m, heartbeat: 60s}
credentials:
  orders: {access: refunds-writer, ttl: 5m}
allow:
  - {action: sql.select, on: [orders.public.orders, orders.public.refunds]}
  - {action: sql.insert, on: ["orders.public.refunds(order_id, amount)"], cooperative: true}
  - {action: query, where: {sql: {pattern: "SELECT .*"}}}
  - {action: db.query, where: {sql: {pattern: "SELECT .*"}}}
  - {action: crm.count}
on_deviation: deny
"""
ACTIONS = """
  query: {resource: tool, effect: read, args: {sql: string}}
  db.query: {resource: tool, effect: read, args: {sql: string}}
  crm.count: {resource: tool, effect: read, args: {upto: long}}
"""
LEASED = [sys.executable, str(ROOT / "tests" / "mcp" / "leased_server.py")]
GIVEN = ("--profile", "report", "--credential", "orders", "--env", "DATABASE_URI={dsn}")


class Server(McpServer):
    """A Flyball with the demo's bundle, a real database, and the gateway as an enforcement point."""

    def _write_bundle(self, postgres: EmbeddedPostgres | None, heartbeat: str, vouched: bool) -> None:
        RunningServer._write_bundle(self, postgres, heartbeat, vouched)
        manifest = self.home / "bundle" / "bundle.yaml"
        may = "actions: [query, db.query, crm.count], may_report: true"
        pep = f"peps:\n  mcp: {{identity: {{uid: {os.getuid()}}}, {may}}}\n"
        words = manifest.read_text().replace("peps:\n", pep, 1).replace("\nactions:\n", f"\nactions:{ACTIONS}", 1)
        manifest.write_text(words)
        (self.home / "bundle" / "profiles" / "report.yaml").write_text(PROFILE)

    @property
    def svid_file(self) -> Path:
        file = self.home / "agent.svid"
        file.write_text(self.svid("refund-agent"))
        return file


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with shop(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("leases"), postgres=postgres)
    try:
        running.start()
        yield running
    finally:
        running.kill(signal.SIGTERM)


def roles(postgres: EmbeddedPostgres) -> set[str]:
    with psycopg.connect(postgres.dsn()) as connection:
        found = connection.execute("SELECT rolname FROM pg_roles WHERE rolcanlogin").fetchall()
    return {str(one[0]) for one in found}


def told(client: Raw, ident: int) -> dict[str, object]:
    found: dict[str, object] = json.loads(text_of(client.call(ident, "query", sql="SELECT 1")))
    return found


def test_a_server_gets_the_tasks_lease_and_the_client_does_not(server: Server, postgres: EmbeddedPostgres) -> None:
    """It is in the server's environment, greeted once in each life; what the server tells of the secret is withheld;
    who the agent is, it does not get. With the task the login is gone."""
    before = roles(postgres)
    server.approve(*LEASED)
    with raw_gateway(server, *GIVEN, "--", *LEASED) as client:
        client.greet()
        first = told(client, 1)
        (login,) = roles(postgres) - before
        assert str(first["uri"]).startswith(f"postgresql://{login}:[withheld]@127.0.0.1:")
        assert first["svid"] is False
        assert (first["greeted"], told(client, 2)["pid"]) == (1, first["pid"])
    until(lambda: roles(postgres) == before, 20, "the lease went with the task")


def test_the_life_before_the_lease_ends(server: Server) -> None:
    """A server that ran before there was a task, or with an older lease, is there no more once it owes no answer."""
    server.approve(*LEASED)
    with raw_gateway(server, *GIVEN[2:], "--", *LEASED) as client:
        client.greet()
        (first,) = children(client.process.pid)
        client.call(0, "begin_task", profile="report")
        second = str(told(client, 1)["pid"])
        assert second != first
        until(lambda: children(client.process.pid) == [second], 20, "the first has ended")


def test_what_is_not_kept_from_everybody(server: Server) -> None:
    """Limitations, tried: whoever may read the server's process sees its lease, and what the server encodes in a way of
    its own reaches the client. It is a lease all the same: it goes with the task."""
    server.approve(*LEASED)
    with raw_gateway(server, *GIVEN, "--", *LEASED) as client:
        client.greet()
        seen = told(client, 1)
        environment = Path(f"/proc/{seen['pid']}/environ").read_bytes().split(b"\0")
        (uri,) = [one.partition(b"=")[2] for one in environment if one.startswith(b"DATABASE_URI=")]
        assert base64.b64decode(str(seen["coded"])) == uri
        assert b"[withheld]" not in uri
        psycopg.connect(uri.decode()).close()

    def refused() -> bool:
        try:
            psycopg.connect(uri.decode()).close()
        except psycopg.OperationalError:
            return True
        return False

    until(refused, 20, "the lease went with the task")


def test_a_real_database_server_works_by_a_lease(server: Server, postgres: EmbeddedPostgres) -> None:
    """PostgreSQL behind the protocol's own server for it: reads within the profile work, others are denied by the
    plane, and what the profile let through is still held by the login's own grants."""
    command = [
        "sh",
        "-c",
        'exec "$@" "${DATABASE_URI:-postgresql://nobody@127.0.0.1:1/none}"',
        "sh",
        *npm_server("postgres"),
    ]
    server.approve(*command)
    with raw_gateway(server, *GIVEN, "--", *command) as client:
        client.greet()
        assert '"n": "2000"' in text_of(client.call(1, "query", sql="SELECT count(*) AS n FROM orders"))
        denied = client.call(2, "query", sql="DELETE FROM orders")
        assert "argument_out_of_bounds" in text_of(denied)
        error = client.call(3, "query", sql="SELECT * FROM customers")
        assert "permission denied" in str(error)
        assert is_error(error) or "error" in error


def test_at_the_shared_gateway_each_task_has_its_own(
    server: Server, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Before the task there is none; with it the server is started anew with its lease, with the next task's again; at
    the end of each the login is gone."""
    before = roles(postgres)
    port = free_port()
    served = {"command": LEASED, "credential": "orders", "env": {"DATABASE_URI": "{dsn}"}}
    document = {"listen": f"127.0.0.1:{port}", "audience": ISSUER, "servers": {"db": served}}
    (tmp_path / "servers.json").write_text(json.dumps(document))
    server.approve(*LEASED, name="db")
    token = server.svid("refund-agent")

    async def work() -> None:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            transport = streamable_http_client(f"http://127.0.0.1:{port}/mcp/db", http_client=http)
            async with Client(transport, mode="legacy") as client:
                seen = []
                for _ in range(2):
                    begun = await client.call_tool("begin_task", {"profile": "report"})
                    assert not begun.is_error, text(begun)
                    seen.append(json.loads(text(await client.call_tool("query", {"sql": "SELECT 1"}))))
                    assert len(roles(postgres) - before) == 1
                    assert not (await client.call_tool("end_task", {})).is_error
                    until(lambda: roles(postgres) == before, 20, "the lease went with the task")
                assert seen[0]["uri"] != seen[1]["uri"]
                assert seen[0]["pid"] != seen[1]["pid"]

    with served_by(server, tmp_path, port):
        asyncio.run(work())


@contextlib.contextmanager
def served_by(server: Server, folder: Path, port: int) -> Iterator[None]:
    """The shared gateway for the folder's `servers.json`."""
    words = [sys.executable, "-m", "flyball", "mcp", "serve", "--servers", str(folder / "servers.json")]
    gateway = subprocess.Popen(words, env=server.env, cwd=server.home)
    try:
        until(lambda: listens(port), 60, "the gateway listens")
        yield
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(timeout=30)


@pytest.mark.parametrize("shown", ["none", "Bearer a-token-of-the-gateways-own"])
def test_a_lease_in_headers_comes_with_the_task(server: Server, tmp_path: Path, shown: str) -> None:
    """A server over HTTP is greeted, and asked for its list, before there is a task: without a header, or with the
    gateway's own token. With the task it sees the lease."""
    port, crm = free_port(), free_port()
    seen = tmp_path / "seen"
    place = f"http://127.0.0.1:{crm}/mcp"
    served: dict[str, object] = {"url": place, "credential": "orders", "headers": {"Authorization": "Bearer {secret}"}}
    if shown != "none":
        (tmp_path / "own.token").write_text(shown.removeprefix("Bearer "))
        served["bearer_file"] = "own.token"
    document = {"listen": f"127.0.0.1:{port}", "audience": ISSUER, "servers": {"crm": served}}
    (tmp_path / "servers.json").write_text(json.dumps(document))
    upstream = subprocess.Popen([sys.executable, str(ROOT / "tests/mcp/mail_server.py"), str(crm), str(seen)])
    token = server.svid("refund-agent")

    def since(line: int) -> set[str]:
        return set(seen.read_text().splitlines()[line:])

    async def work() -> None:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            transport = streamable_http_client(f"http://127.0.0.1:{port}/mcp/crm", http_client=http)
            async with Client(transport, mode="legacy") as client:
                await client.list_tools()
                assert since(0) == {shown}
                begun = await client.call_tool("begin_task", {"profile": "report"})
                assert not begun.is_error, text(begun)
                before = len(seen.read_text().splitlines())
                assert text(await client.call_tool("count", {"upto": 2})) == "counted to 2"
                (lease,) = since(before)
                assert lease not in ("none", shown)
                await client.call_tool("end_task", {})

    try:
        until(lambda: listens(crm), 60, "the server listens")
        server.flyball("mcp", "approve", "--yes", "--name", "crm", "--url", place)
        seen.write_text("")
        with served_by(server, tmp_path, port):
            asyncio.run(work())
    finally:
        upstream.kill()
        upstream.wait()
