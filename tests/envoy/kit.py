"""A Flyball that Envoy asks, an Envoy with the guide's configuration, and a server that tells what it got."""

from __future__ import annotations

import datetime
import http.server
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import httpx
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.server import ROOT, RunningServer
from tests.wait import until
from tests.wire import REFUNDS, Wire, svid

from flyball.demo.postgres import EmbeddedPostgres, free_port
from flyball.kernel.json import Json

ENVOY = ROOT / ".venv" / "bin" / "envoy"
GUIDE = ROOT / "docs" / "guides" / "envoy.md"
AGENT_SECRET = "an-agents-own-api-key"

BUNDLE = """
name: envoy-tests
version: "1"
owners: {desk: {contact: desk@flyball.dev}}
agents:
  refund-agent: {ids: ["spiffe://flyball.dev/agent/refund-agent"], owner: desk}
identity: {trust_domains: {flyball.dev: {dev: true}}}
resource_types: {invoice: null}
peps:
  envoy: {identity: {uid: UID}, actions: ["invoices.*", "events.*"], max_stream: 60s}
targets:
  billing:
    kind: memory
    accesses: {payer: {delivery: brokered, grants: [{action: invoices.release, on: ["*"]}]}}
actions:
  invoices.get:
    resource: invoice
    effect: read
    args: {id: string}
    http: [{request: "GET */v1/invoices/{id}", resource: "{id}", strip: [authorization]}]
  invoices.refund:
    resource: invoice
    effect: write
    args: {id: string, amount: decimal, key: string}
    http:
      - request: POST */v1/invoices/{id}/refunds
        resource: "{id}"
        args: {amount: body.amount, key: header.idempotency-key}
  invoices.release:
    resource: invoice
    effect: write
    args: {id: string}
    http: [{request: "DELETE */v1/invoices/{id}/hold", resource: "{id}", credential: {name: billing}}]
  events.watch:
    resource: invoice
    effect: read
    http: [{request: "GET */v1/events"}]
"""

PROFILE = """
profile: billing
purpose: Look at invoices and pay parts of them back
agents: [refund-agent]
time: {ttl: 10m, heartbeat: HEARTBEAT}
credentials: {billing: {target: billing, access: payer, ttl: 5m}}
allow:
  - action: invoices.get
    on: ["I-*"]
  - action: invoices.refund
    on: ["I-*"]
    where: {amount: {max: 50}}
  - actions: [invoices.release, events.watch]
    on: ["*"]
on_deviation: deny
"""


class EnvoyFlyball(RunningServer):
    """A running Flyball with a socket for Envoy. `change` edits its bundle before it is first read."""

    def __init__(
        self, home: Path, *, principal: str = "match", change: tuple[str, str] = ("", ""), heartbeat: str = "60s"
    ) -> None:
        self._change = change
        super().__init__(home, heartbeat=heartbeat)
        self.socket = home / "envoy.sock"
        more = f"ext_authz:\n  unix: {self.socket}\n  principal: {principal}\n"
        self.config.write_text(self.config.read_text() + more)

    def _write_bundle(self, postgres: EmbeddedPostgres | None, heartbeat: str, vouched: bool) -> None:
        bundle = self.home / "bundle"
        (bundle / "profiles").mkdir(parents=True)
        text = BUNDLE.replace("UID", str(os.getuid())).replace(*self._change)
        (bundle / "bundle.yaml").write_text(text)
        (bundle / "profiles" / "billing.yaml").write_text(PROFILE.replace("HEARTBEAT", heartbeat))

    def decided(self) -> list[dict[str, Json]]:
        """What was decided, of all tasks, in order."""
        found: list[dict[str, Json]] = []
        for state in ("open", "closed", "fenced"):
            told = self.operator.get("/v1/tasks", params={"state": state, "limit": 1000})
            for one in told.json().get("tasks", []) if told.status_code == 200 else []:
                found += self.operator.get(f"/v1/tasks/{one['task']}/story").json()["calls"]
        return found


class Agent(Wire):
    """An agent with a task of the bundle above."""

    def __init__(self, server: RunningServer, spiffe_id: str = REFUNDS) -> None:
        super().__init__(server)
        self.spiffe_id = spiffe_id

    def open(self, ticket: str = "") -> httpx.Response:
        """Open a task."""
        identity = svid(self.server, self.spiffe_id)
        headers = {"Authorization": f"Bearer {identity}", "DPoP": self.proof(self._url("/v1/tasks"))}
        answer = self._control.post("/v1/tasks", json={"profile": "billing", "inputs": {}}, headers=headers)
        assert answer.status_code == 201, answer.text
        self.task, self.token = answer.json()["task"], answer.json()["token"]
        return answer

    def connect(self, credential: str = "billing") -> httpx.Response:
        """Ask for a brokered credential."""
        path = f"/v1/tasks/{self.task}/connect"
        headers = {"Authorization": f"DPoP {self.token}", "DPoP": self.proof(self._url(path))}
        return self._control.post(path, json={"credential": credential}, headers=headers)

    @property
    def shown(self) -> dict[str, str]:
        return {"flyball-task": self.token}


@contextmanager
def agent_of(flyball: RunningServer) -> Iterator[Agent]:
    """An agent with an open task there, for the length of a `with` block."""
    made = Agent(flyball)
    made.open()
    yield made
    made.end()
    made.close()


class Upstream:
    """A server that answers with what it was sent."""

    def __init__(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _tell(self) -> None:
                body = self._body().decode(errors="replace")
                headers = [[name.lower(), value] for name, value in self.headers.items()]
                told = {"method": self.command, "path": self.path, "headers": headers, "body": body}
                upstream.seen.append(told)
                text = json.dumps(told).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length") or 0))
                found = b""
                while size := int(self.rfile.readline(), 16):
                    found += self.rfile.read(size + 2)[:size]
                self.rfile.readline()
                return found

            do_GET = do_POST = do_PUT = do_DELETE = _tell

            def log_message(self, *args: object) -> None:
                """Silent."""

        upstream = self
        self.seen: list[dict[str, Json]] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def header(told: httpx.Response, name: str) -> list[str]:
    """The values of a header that the server behind Envoy got."""
    return [value for own, value in told.json()["headers"] if own == name]


def configuration(socket: Path, upstream: int, port: int, admin: int) -> dict[str, Json]:
    """The guide's configuration, with these places instead of its own."""
    text = next(one for one in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.S) if "static_resources" in one)
    text = text.replace("path: ext_authz.sock", f"path: {socket}")
    text = text.replace("port_value: 10000", f"port_value: {port}").replace(
        "port_value: 8080", f"port_value: {upstream}"
    )
    found: dict[str, Json] = yaml.safe_load(text)
    found["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}}
    return found


class Envoy:
    """A real Envoy. `change` edits the guide's configuration (the whole, the connection manager, the filter)."""

    def __init__(
        self, home: Path, socket: Path, upstream: int, *, tls: Certificates | None = None, **change: Json
    ) -> None:
        self.port, self.admin = free_port(), free_port()
        self.home = home
        config = configuration(socket, upstream, self.port, self.admin)
        listener = config["static_resources"]["listeners"][0]  # type: ignore[index,call-overload]
        chain = listener["filter_chains"][0]  # type: ignore[index,call-overload]
        manager = chain["filters"][0]["typed_config"]  # type: ignore[index,call-overload]
        manager.update({key.removeprefix("hcm_"): value for key, value in change.items() if key.startswith("hcm_")})  # type: ignore[union-attr]
        guard = manager["http_filters"][0]["typed_config"]  # type: ignore[index,call-overload]
        guard.update({key: value for key, value in change.items() if not key.startswith("hcm_")})  # type: ignore[union-attr]
        if tls is not None:
            chain["transport_socket"] = tls.downstream()  # type: ignore[index,call-overload]
        self._file = home / "envoy.yaml"
        self._file.write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "envoy.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(ENVOY), "-c", str(self._file), "--log-level", "warning", "--use-dynamic-base-id"],
                stdout=log,
                stderr=log,
            )
        until(self._ready, 30, "Envoy is ready")

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.home / "envoy.log").read_text()
        with suppress(httpx.HTTPError):
            clusters = httpx.get(f"http://127.0.0.1:{self.admin}/clusters", timeout=2).text
            return "flyball::" in clusters and "failed_active_hc" not in clusters
        return False

    def stat(self, name: str) -> int:
        """A counter of Envoy's."""
        text = httpx.get(f"http://127.0.0.1:{self.admin}/stats", params={"filter": name}, timeout=5).text
        return sum(int(line.rsplit(": ", 1)[1]) for line in text.splitlines() if ": " in line)

    def healthy(self) -> bool:
        """Whether Envoy's health check finds Flyball serving."""
        clusters = httpx.get(f"http://127.0.0.1:{self.admin}/clusters", timeout=5).text
        return any("flyball::" in line and "health_flags::healthy" in line for line in clusters.splitlines())

    def client(self, **more: object) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20, **more)  # type: ignore[arg-type]

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)


class Listening(Protocol):
    """A server of this machine."""

    port: int


@contextmanager
def behind(home: Path, flyball: EnvoyFlyball, upstream: Listening, **change: object) -> Iterator[Envoy]:
    """An Envoy in front of the server, asking that Flyball."""
    home.mkdir(parents=True, exist_ok=True)
    envoy = Envoy(home, flyball.socket, upstream.port, **change)  # type: ignore[arg-type]
    try:
        envoy.start()
        yield envoy
    finally:
        envoy.stop()


class Certificates:
    """An authority, and certificates of workloads by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of a test")])
        self.authority = self._write("ca", self._make(self._name, self._key.public_key(), None), self._key)

    def _make(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, spiffe: str | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(
            now + datetime.timedelta(days=1)
        )
        made = made.add_extension(x509.BasicConstraints(ca=spiffe is None, path_length=None), critical=True)
        if spiffe is not None:
            names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe), x509.DNSName("localhost")]
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return made.sign(self._key, hashes.SHA256())

    def of(self, name: str, spiffe: str) -> tuple[str, str]:
        """Certificate and key of a workload, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._write(name, self._make(subject, key.public_key(), spiffe), key)

    def _write(self, name: str, made: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[str, str]:
        pem, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return str(pem), str(secret)

    def downstream(self) -> dict[str, Json]:
        """Envoy's side: it demands a client's certificate of this authority."""
        pem, key = self.of("envoy", "spiffe://flyball.dev/envoy")
        kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
        common: dict[str, Json] = {
            "tls_certificates": [{"certificate_chain": {"filename": pem}, "private_key": {"filename": key}}],
            "validation_context": {"trusted_ca": {"filename": self.authority[0]}},
        }
        told: dict[str, Json] = {"@type": kind, "require_client_certificate": True, "common_tls_context": common}
        return {"name": "envoy.transport_sockets.tls", "typed_config": told}
