"""A server with the HTTP gateway before real APIs."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from tests.forked import ForkedServer
from tests.httpgateway.api import KEY, Api, Sockets, certificate
from tests.wire import svid

import flyball_sdk
from flyball.demo.postgres import EmbeddedPostgres

INPUTS: dict[str, object] = {"limit": "120.00"}
MANIFEST = """
    name: http
    version: "1"
    owners: {{payments: {{contact: payments@flyball.dev}}}}
    agents: {{refund-agent: {{ids: ["spiffe://flyball.dev/agent/refund-agent"], owner: payments}}}}
    identity: {{trust_domains: {{flyball.dev: {{dev: true}}}}}}
    resource_types: {{api: }}
    access_classes: {{default: {{risk: high, record: durable}}}}
    actions:
      http.get: {{resource: api, effect: read, args: {{to: string}}}}
      read_order:
        resource: api
        effect: read
        args: {{order_id: string, limit: long}}
        returns: {{id: id by org, amount: number by org, note: text by outside}}
      create_refund: {{resource: api, effect: write, args: {{order_id: string, amount: decimal, note: string}}}}
    peps:
      http-gateway: {{identity: {{gateway: http}}, actions: [http.*, read_order, create_refund], may_report: true}}
    targets:
      crm:
        kind: http
        url: http://127.0.0.1:{crm}/v1
        secret_file: api.key-of-a-test
        gateway:
          inject: bearer
          networks: [127.0.0.1]
          openapi: openapi/crm.yaml
          operations: [{{method: POST, path: /refunds, action: create_refund}}]
        accesses: &no
      secure:
        kind: http
        url: https://localhost:{secure}/v1
        secret_file: api.key-of-a-test
        ca_file: {ca}
        gateway: {{inject: bearer, networks: [127.0.0.1, "::1"], intercept: true}}
        accesses: &no
      sockets:
        kind: http
        url: http://127.0.0.1:{sockets}
        secret_file: api.key-of-a-test
        gateway: {{inject: bearer, networks: [127.0.0.1]}}
        accesses: &no
      inside:
        kind: http
        url: http://localhost:{crm}
        gateway: {{inject: none}}
        accesses: &no
"""
ACCESSES = "accesses: {use: {delivery: brokered, grants: [{action: http.get, on: [%s/echo]}]}}"
OPENAPI = """
    openapi: 3.1.0
    info: {title: CRM, version: "1"}
    paths:
      /orders/{order_id}:
        get:
          operationId: read_order
          parameters: [{name: order_id, in: path, required: true, schema: {type: string}}]
"""
PROFILE = """
    profile: settle
    purpose: Settle one customer refund
    agents: [refund-agent]
    inputs:
      limit: {type: decimal, min: 0.01, max: 200}
    time: {ttl: 15m, heartbeat: 30s}
    credentials:
      crm: {access: use, ttl: 5m}
      secure: {access: use, ttl: 5m}
      sockets: {access: use, ttl: 5m}
      inside: {access: use, ttl: 5m}
    allow:
      - {action: http.get, on: [crm/echo, crm/stream, crm/redirect]}
      - {action: http.get, on: [secure/echo, sockets/echo, inside/echo]}
      - action: read_order
        on: ["crm/orders/{order_id}"]
        where: {order_id: {pattern: "O-[0-9]+"}}
      - action: create_refund
        on: [crm/refunds]
        where:
          order_id: {as: id, from: [result(read_order).id]}
          amount: {max: $inputs.limit}
          note: {free: 200}
        budget: {calls: 2}
    on_deviation: deny
"""


class GatewayServer(ForkedServer):
    """A `flyball serve` with the HTTP gateway on, before three APIs that are there and one inside."""

    def __init__(self, home: Path, *, tls: bool = False) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.crm = Api()
        self.ca, chain, key = certificate(home, "localhost")
        self.secure = Api((chain, key))
        self.sockets = Sockets()
        super().__init__(home)
        with self.config.open("a") as file:
            file.write("http_gateway:\n  listen: 127.0.0.1:0\n")
            if tls:
                file.write(f"  host: localhost\n  tls_cert: {chain}\n  tls_key: {key}\n  tls_ca: {self.ca}\n")

    def _write_bundle(self, postgres: EmbeddedPostgres | None, heartbeat: str, vouched: bool) -> None:
        bundle = self.home / "bundle"
        for folder in ("profiles", "openapi"):
            (bundle / folder).mkdir(parents=True)
        text = dedent(MANIFEST).format(
            crm=self.crm.port, secure=self.secure.port, sockets=self.sockets.port, ca=self.ca
        )
        for name in ("crm", "secure", "sockets", "inside"):
            text = text.replace("accesses: &no", ACCESSES % name, 1)
        (bundle / "bundle.yaml").write_text(text)
        (bundle / "openapi" / "crm.yaml").write_text(dedent(OPENAPI))
        (bundle / "profiles" / "settle.yaml").write_text(dedent(PROFILE))
        key = self.home / "api.key-of-a-test"
        key.touch(mode=0o600)
        key.write_text(KEY + "\n")

    def close(self) -> None:
        """The APIs end."""
        for one in (self.crm, self.secure, self.sockets):
            one.close()

    def task(self, **inputs: object) -> flyball_sdk.Task:
        """A task of the SDK's, not yet open."""
        return flyball_sdk.task(
            "settle", inputs={**INPUTS, **inputs}, addr=self.control_url, identity=lambda: svid(self)
        )

    def records(self, task: str) -> list[dict[str, object]]:
        """A task's records, as an operator sees them."""
        answer = self.operator.get("/v1/records", params={"task": task, "limit": 1000})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, object]] = answer.json()["records"]
        return found
