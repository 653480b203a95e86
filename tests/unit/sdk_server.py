"""A small real server that speaks the control API and AuthZEN, for the client's tests.

It verifies identities, task tokens and DPoP proofs with the server's own code, so a client that
passes here proves itself as the real one demands.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
import time
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flyball.identity import dpop, task_token
from flyball.identity.dev import DevDomain
from flyball.identity.replay import ReplayCache
from flyball.identity.resolve import IdentityConfig, Resolver
from flyball.identity.token_keys import TokenKeys
from flyball.kernel.clock import SystemClock
from flyball.kernel.errors import FlyballError, Gone, InvalidInput, Unauthenticated
from flyball.kernel.ids import task_id

ISSUER = "https://flyball.test"


class Flyball:
    """The server's state, and the switches that a test turns."""

    def __init__(self, directory):
        self.clock = SystemClock()
        self.dev = DevDomain.open(directory / "dev", mode="development", clock=self.clock)
        config = IdentityConfig(issuer=ISSUER, trust_domains={"flyball.dev": self.dev.bundle_path}, mode="development")
        self.resolver = Resolver(config, clock=self.clock)
        self.keys = TokenKeys.generate()
        self.replay = ReplayCache(self.clock)
        self.base = ""
        self.heartbeat_ms = 300
        self.life_s = 120
        self.credential_life_ms = 60_000
        self.tasks = {}  # id → "open", "ended", …
        self.requests = []  # (path, had a proof, connection number)
        self.bodies = []
        self.leases = {}  # id → delivered?
        self.decide = lambda body: {"decision": True, "context": {"effect": "allow", "id": "dec_1"}}
        self.fault = None  # path → None or (status, problem members)
        self.hang = threading.Event()  # set: connections are closed without an answer
        self.unanswered = []  # the end of a path, for each request that is carried out and gets no answer
        self.drop_checks = False  # close the connection after each check
        self.answers = {}  # path suffix → members that replace the answer's
        self.date = None
        self.check_endpoints = None
        self.closed = 0  # connections that this side has closed

    def svid(self, path="agent/refund"):
        return self.dev.issue(f"spiffe://flyball.dev/{path}", ISSUER)

    def token(self, task, thumbprint, principal="spiffe://flyball.dev/agent/refund"):
        now = self.clock.wall_ms()
        return task_token.mint(
            self.keys,
            issuer=ISSUER,
            task=task,
            principal=principal,
            binding=f"jkt:{thumbprint}",
            now_ms=now,
            expires_ms=now + self.life_s * 1000,
        )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = False

    def setup(self):
        super().setup()
        with self.server.lock:
            self.server.connections += 1
            self.connection_number = self.server.connections
        self.bound = set()

    def finish(self):
        super().finish()
        with contextlib.suppress(OSError):  # the client may have closed first
            self.connection.shutdown(socket.SHUT_WR)
        with self.server.lock:
            self.server.flyball.closed += 1

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return self.server.flyball.date or super().date_time_string(timestamp)

    def do_POST(self):
        flyball = self.server.flyball
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            flyball.requests.append((self.path, "DPoP" in self.headers, self.connection_number))
        if flyball.hang.is_set():
            self.close_connection = True
            return
        fault = flyball.fault(self.path) if flyball.fault else None
        if fault:
            self.reply(fault[0], fault[1])
            return
        try:
            body = json.loads(raw, parse_float=Decimal)
            flyball.bodies.append((self.path, body, raw))
            status, answer = self.route(body)
        except FlyballError as error:
            self.reply(error.status, {"type": f"urn:flyball:error:{error.code}", "detail": error.detail})
            return
        for suffix, members in flyball.answers.items():
            if self.path.endswith(suffix):
                answer = {**answer, **members}
        for suffix in flyball.unanswered:
            if self.path.endswith(suffix):
                flyball.unanswered.remove(suffix)
                self.close_connection = True
                return
        self.reply(status, answer)
        if flyball.drop_checks and self.path.startswith("/access"):
            self.close_connection = True

    def route(self, body):
        flyball, parts = self.server.flyball, self.path.strip("/").split("/")
        if self.path == "/v1/tasks":
            return self.open(body)
        if self.path == "/access/v1/evaluation":
            token = self.holder(check=True)
            if body["context"]["task"] != token.task or body["subject"]["id"] != token.principal:
                return 200, {"decision": False, "context": {"effect": "deny", "reasons": ["task_mismatch"]}}
            return 200, flyball.decide(body)
        token = self.holder()
        if parts[1] == "leases":
            flyball.leases[parts[2]] = True
            return 204, {}
        if parts[2] != token.task:
            raise InvalidInput("another task's token")
        if flyball.tasks.get(token.task) != "open":
            raise Gone("the task has ended", code="task_fenced")
        if parts[3] == "heartbeat":
            fresh = flyball.token(token.task, token.jkt)
            return 200, {
                "token": fresh,
                "expires_in": flyball.life_s,
                "state": "open",
                "next_ms": flyball.heartbeat_ms,
            }
        if parts[3] == "plan":
            return 204, {}
        if parts[3] == "step-up":
            return 200, {"decision": body["decision"], "task": token.task, "outcome": "approved"}
        if parts[3] == "result":
            return 200, {"result": 3, "kept": 0, "self_reported": True, "full": False}
        if parts[3] == "credentials":
            if parts[4] != "orders":
                raise InvalidInput("no such credential", code="credential_unknown")
            lease = f"lea_local_{len(flyball.leases)}"
            flyball.leases[lease] = False
            connection = {"host": "db.test", "port": 5432, "user": "fb_x", "database": "shop", "sslmode": "require"}
            expires_ms = flyball.clock.wall_ms() + flyball.credential_life_ms
            members = {"lease": lease, "connection": connection, "secret": "s3cr:et\\/ü"}
            return 201, members | {"delivery": "released", "expires_ms": expires_ms}
        flyball.tasks[token.task] = "ended"
        return 200, {"receipts": [{"payloadType": "application/vnd.flyball.receipt+json"}]}

    def open(self, body):
        flyball = self.server.flyball
        scheme, _, svid = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise Unauthenticated("show a token", code="token_missing")
        principal = flyball.resolver.authenticate(svid)
        shown = self.proof()
        task = task_id("local", flyball.clock.wall_ms())
        flyball.tasks[task] = "open"
        return 201, {
            "task": task,
            "token": flyball.token(task, shown.thumbprint, principal.id),
            "token_type": "DPoP",
            "expires_in": flyball.life_s,
            "heartbeat_ms": flyball.heartbeat_ms,
            "hard_end_ms": flyball.clock.wall_ms() + 900_000,
            "credentials": ["orders"],
            "check_endpoints": flyball.check_endpoints or [],
        }

    def proof(self, **binding):
        flyball = self.server.flyball
        return dpop.verify_proof(
            self.headers.get_all("DPoP") or [],
            method="POST",
            url=f"{self.server.scheme}://{self.headers['Host']}{self.path}",
            clock=flyball.clock,
            replay=flyball.replay,
            **binding,
        )

    def holder(self, *, check=False):
        flyball = self.server.flyball
        scheme, _, raw = self.headers.get("Authorization", "").partition(" ")
        if scheme != "DPoP":
            raise Unauthenticated("show the task token")
        token = task_token.verify(raw, keys=flyball.keys, issuer=ISSUER, clock=flyball.clock)
        if check and raw in self.bound and "DPoP" not in self.headers:
            return token
        shown = self.proof(access_token=raw, thumbprint=token.jkt)
        task_token.require_binding(token, proof=shown.thumbprint)
        self.bound.add(raw)
        return token

    def reply(self, status, members):
        data = b"" if status == 204 else json.dumps(members).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class _TcpServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that refuses our certificate is no error of ours."""


@contextmanager
def serving(directory, *, unix=False, tls=None):
    """A running server; `flyball.base` is its address. `tls`: a server-side context for `localhost`."""
    flyball = Flyball(directory)
    if unix:
        path = directory / "s"
        server = _UnixServer(str(path), Handler)
        flyball.base = f"unix:{path}"
    else:
        server = _TcpServer(("127.0.0.1", 0), Handler)
        flyball.base = f"http://127.0.0.1:{server.server_address[1]}"
    server.scheme = "http"
    if tls is not None:
        server.scheme = "https"
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        flyball.base = f"https://localhost:{server.server_address[1]}"
    server.flyball, server.lock, server.connections = flyball, threading.Lock(), 0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield flyball
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def until(condition, timeout_s=10.0):
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)
