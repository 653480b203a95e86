"""A server with the PostgreSQL gateway before a real PostgreSQL that logs every statement it is sent."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psycopg
from tests.forked import ForkedServer
from tests.server import ADMIN_PASSWORD, CONTROL_PASSWORD
from tests.wire import svid

import flyball_sdk
from flyball.demo import database
from flyball.demo.postgres import EmbeddedPostgres

INPUTS: dict[str, object] = {"ticket": "T-1042", "limit": "120.00", "order": "1042"}

MANIFEST = """
    name: pg
    version: "1"
    owners: {{payments: {{contact: payments@flyball.dev}}}}
    agents: {{refund-agent: {{ids: ["spiffe://flyball.dev/agent/refund-agent"], owner: payments}}}}
    identity: {{trust_domains: {{flyball.dev: {{dev: true}}}}}}
    resource_types: {{table: }}
    access_classes: {{default: {{risk: high, record: durable}}}}
    actions:
      sql.select: {{resource: table, effect: read, args: {{columns: strings, id: string}}}}
      sql.insert: {{resource: table, effect: write, args: {{columns: strings, amount: decimal, order_id: string}}}}
      sql.update: {{resource: table, effect: write, args: {{columns: strings, amount: decimal, row_order_id: string}}}}
      sql.delete: {{resource: table, effect: write, args: {{order_id: string}}}}
      sql.catalog: {{resource: table, effect: read}}
    peps:
      postgresql-gateway: {{identity: {{gateway: postgresql}}, actions: [sql.*], may_report: true}}
    targets:
      orders:
        kind: postgresql
        database: orders
        admin: {{user: flyball_admin, password_file: orders-admin.password}}
        doors: {{primary: {{host: 127.0.0.1, port: {port}}}}}
        accesses:
          writer:
            group: flyball_refunds_writer
            delivery: brokered
            connection_limit: 50
            grants:
              - {{action: sql.select, on: [orders.public.orders, orders.public.refunds]}}
              - {{action: sql.insert, on: ["orders.public.refunds(order_id, amount)"]}}
          holder:
            group: flyball_refunds_writer
            grants:
              - {{action: sql.select, on: [orders.public.orders, orders.public.refunds]}}
              - {{action: sql.insert, on: ["orders.public.refunds(order_id, amount)"]}}
"""
PROFILE = """
    profile: {name}
    purpose: Settle one customer refund from a ticket
    agents: [refund-agent]
    inputs:
      ticket: {{type: string, pattern: "T-[0-9]+"}}
      limit: {{type: decimal, min: 0.01, max: 200}}
      order: {{type: string, pattern: "[0-9]+"}}
    time: {{ttl: 15m, heartbeat: 30s}}
    credentials:
      orders: {{access: writer, ttl: 5m}}
    allow:
      {more}
      - {{action: sql.select, on: [orders.public.orders]{rows}}}
      - {{action: sql.select, on: [orders.public.refunds]}}
      - action: sql.insert
        on: ["orders.public.refunds(order_id, amount)"]
        where: {{amount: {{max: $inputs.limit}}, order_id: $inputs.order}}
        budget: {{amount: 150}}
    on_deviation: {reaction}
"""
CATALOG = "- {action: sql.catalog}"
WIDE = "- {action: sql.select, on: [orders.public.customers, orders.public.order_notes, orders.public.fresh]}"
ONE_ORDER = "- {action: sql.select, on: [orders.public.customers], where: {id: $inputs.order}}"
PROFILES = {
    "settle": PROFILE.format(name="settle", more=CATALOG, rows="", reaction="deny"),
    "plain": PROFILE.format(name="plain", more="", rows="", reaction="deny"),
    "strict": PROFILE.format(name="strict", more="", rows="", reaction="revoke"),
    "few": PROFILE.format(name="few", more="", rows=", budget: {rows: 50}", reaction="deny"),
    "wide": PROFILE.format(name="wide", more=WIDE, rows="", reaction="deny"),
    "one-order": PROFILE.format(name="one-order", more=ONE_ORDER, rows="", reaction="deny"),
    "released": PROFILE.format(name="released", more="", rows="", reaction="deny")
    .replace("access: writer", "access: holder")
    .replace("budget: {amount: 150}", "budget: {amount: 150}\n        cooperative: true"),
}


class GatewayServer(ForkedServer):
    """A `flyball serve` with the gateway on; `more` stands in its section of the configuration."""

    def __init__(self, home: Path, postgres: EmbeddedPostgres, more: str = "listen: 127.0.0.1:0") -> None:
        # Several may be before one PostgreSQL at once.
        super().__init__(home, postgres=postgres, issuer=f"https://{secrets.token_hex(4)}.flyball.test.internal")
        with self.config.open("a") as file:
            file.write("postgresql_gateway:\n" + "".join(f"  {line}\n" for line in more.splitlines()))

    def _write_bundle(self, postgres: EmbeddedPostgres | None, heartbeat: str, vouched: bool) -> None:
        assert postgres is not None
        bundle = self.home / "bundle"
        (bundle / "profiles").mkdir(parents=True)
        (bundle / "bundle.yaml").write_text(dedent(MANIFEST).format(port=postgres.port))
        for name, text in PROFILES.items():
            (bundle / "profiles" / f"{name}.yaml").write_text(dedent(text))
        password = self.home / "orders-admin.password"
        password.touch(mode=0o600)
        password.write_text(ADMIN_PASSWORD)

    def task(self, profile: str = "settle", **inputs: object) -> flyball_sdk.Task:
        """A task of the SDK's, not yet open."""
        return flyball_sdk.task(
            profile, inputs={**INPUTS, **inputs}, addr=self.control_url, identity=lambda: svid(self)
        )

    def records(self, task: str) -> list[dict[str, object]]:
        """A task's records, as an operator sees them."""
        answer = self.operator.get("/v1/records", params={"task": task, "limit": 1000})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, object]] = answer.json()["records"]
        return found


def connect(task: flyball_sdk.Task, **more: object) -> psycopg.Connection[tuple[object, ...]]:
    """A session through the gateway, as any psycopg user opens one."""
    return psycopg.connect(**task.connect("orders").kwargs(), autocommit=True, **more)  # type: ignore[arg-type]


@contextlib.contextmanager
def logging_shop(home: Path) -> Iterator[EmbeddedPostgres]:
    """The demo's shop in a PostgreSQL that writes down every statement."""
    postgres = EmbeddedPostgres(home, settings={"log_statement": "all"})
    postgres.start()
    try:
        database.prepare(postgres, admin_password=ADMIN_PASSWORD, control_password=CONTROL_PASSWORD)
        yield postgres
    finally:
        postgres.stop()
