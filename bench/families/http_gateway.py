"""HTTP through the gateway: requests/s beside nginx as a plain reverse proxy, and what a fence takes to close a stream.

The API is nginx, too: it answers at once. It shares a core with what stands before it, and the generator has the other:
so for both peers alike the API's work is in the figure, and each one's own processor time stands beside it.
"""

from __future__ import annotations

import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

import flyball_sdk
from bench import load, machine, setting
from bench.families.http import generator_note, in_turns
from bench.load import Measured
from bench.measure import SERVER_CORE, BenchError, Context, median, percentile, row
from flyball.demo.postgres import free_port

CONNECTIONS = 32
KEY = "sk_bench_0123456789abcdef"
ANSWER = '{"ok":true,"order":"O-1042","state":"refunded"}'
BUNDLE = """
name: http-gateway
version: "1"
owners: {{shop: {{contact: shop@example.com}}}}
agents: {{bench-agent: {{ids: ["{agent}"], owner: shop}}}}
identity: {{trust_domains: {{{domain}: {{dev: true}}}}}}
resource_types: {{api: }}
access_classes:
  default: {{risk: high, record: durable}}
  reading: {{risk: low, record: {record}}}
actions:
  create_refund: {{resource: api, effect: write, class: reading, args: {{order_id: string, amount: decimal}}}}
  http.get: {{resource: api, effect: read, class: reading}}
peps: {{gateway: {{identity: {{gateway: http}}, actions: [create_refund, http.get]}}}}
targets:
  api:
    kind: http
    url: http://127.0.0.1:{api}
    secret_file: {key}
    gateway:
      inject: bearer
      networks: [127.0.0.1]
      operations: [{{method: POST, path: /refunds, action: create_refund}}]
    accesses: {{use: {{delivery: brokered, grants: [{{action: http.get, on: [api/*]}}]}}}}
  events:
    kind: http
    url: http://127.0.0.1:{events}
    gateway: {{inject: none, networks: [127.0.0.1]}}
    accesses: {{use: {{delivery: brokered, grants: [{{action: http.get, on: [events/*]}}]}}}}
"""
PROFILE = """
profile: call
purpose: Call the API
agents: [bench-agent]
time: {ttl: 1h, heartbeat: 5m}
credentials: {api: {access: use}, events: {access: use}}
allow:
  - {action: create_refund, on: [api/refunds], where: {order_id: {pattern: "O-[0-9]+"}, amount: {max: 500}}}
  - {action: http.get, on: [api/*, events/*]}
on_deviation: deny
"""
NGINX = """
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  {http}
}}
"""
API = """server {{ listen 127.0.0.1:{port}; default_type application/json; location / {{ return 200 '{answer}'; }} }}"""
PROXY = """
  upstream api {{ server 127.0.0.1:{api}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {key}";
    }}
  }}
"""


def run(context: Context) -> None:
    """Throughput, fence."""
    load.build()
    with (
        setting.fresh("http-gateway") as home,
        _nginx(home / "api", API, answer=ANSWER) as (api, _),
        _events() as events,
    ):
        if context.wants("http-gateway-throughput"):
            with (
                _nginx(home / "peer", PROXY, api=api, key=KEY) as peer,
                _flyball(home / "durable", api, events, "durable") as durable,
                _flyball(home / "buffered", api, events, "buffered") as buffered,
            ):
                _throughput(context, durable, buffered, peer)
        if context.wants("http-gateway-fence"):
            with _flyball(home / "fence", api, events, "durable") as place:
                _fence(context, place)


def _throughput(context: Context, durable: Place, buffered: Place, peer: tuple[int, int]) -> None:
    with durable.task() as first, buffered.task() as second:
        senders = [_sender(place, task) for place, task in ((durable, first), (buffered, second))]

        def nginx(seconds: float) -> Measured:
            return load.run(_plan(f"127.0.0.1:{peer[0]}", "/refunds", [], seconds, peer[1]), name="nginx")

        a, b = in_turns(context, "durable", senders[0], nginx)
        c, d = in_turns(context, "buffered", senders[1], nginx)
    early = median([one.per_s for one in c]) / median([one.per_s for one in d])
    ours_us, theirs_us = median([one.server_cpu_us for one in a]), median([one.server_cpu_us for one in b])
    note = (
        f"POST of a small JSON body, {CONNECTIONS} connections of one task; decided on its fields, durable first, the "
        f"key put in, the answer searched for it. CPU of the proxy alone: {ours_us:.0f} µs a request, nginx "
        f"{theirs_us:.0f}. "
        f"With buffered records {early:.2f} of nginx. {generator_note(a, b)}"
    )
    ours, theirs = [one.per_s for one in a], [one.per_s for one in b]
    context.add(
        row(
            "http-gateway-throughput",
            ours,
            "requests/s",
            peer="nginx",
            peers=theirs,
            note=note,
            buffered=round(early, 3),
        )
    )


def _sender(place: Place, task: flyball_sdk.Task) -> Callable[[float], Measured]:
    ticket = task.connect("api")
    addr = ticket.base_url.removeprefix("http://").partition("/")[0]
    headers = [f"Authorization: Bearer {ticket.secret.reveal()}"]
    return lambda seconds: load.run(_plan(addr, "/api/refunds", headers, seconds, place.pid), name="flyball-http")


def _plan(addr: str, path: str, headers: list[str], seconds: float, pid: int) -> dict[str, object]:
    body = '{"order_id": "O-@@@@@@@@@@", "amount": 20.50}'
    connections = [{"requests": [{"headers": headers, "body": body}]} for _ in range(CONNECTIONS)]
    return {
        "addr": addr, "path": path, "allow": '"ok":true', "connections": connections, "seconds": seconds, "warm_s": 1.0,
        "stamp": "@@@@@@@@@@", "stamp_from": time.time_ns() // 1000 % 10**8 * 10, "server_pids": [pid],
    }  # fmt: skip


def _fence(context: Context, place: Place) -> None:
    """From the request that revokes to the end of the client's connection, in the middle of a stream."""
    count = context.count(100, 5)
    took = [_closed_ms(place) for _ in range(count)]
    note = f"{count} tasks revoked while a stream of events was under way; the request on its way to Flyball is in it."
    context.add(row("http-gateway-fence", took, "ms", of=percentile(took, 0.99), note=note))


def _closed_ms(place: Place) -> float:
    task = place.task()
    task.open()
    ticket = task.connect("events")
    host, _, port = ticket.base_url.removeprefix("http://").partition("/")[0].partition(":")
    with socket.create_connection((host, int(port))) as stream:
        head = f"GET /events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ticket.secret.reveal()}\r\n\r\n"
        stream.sendall(head.encode())
        heard = b""
        while b"tick" not in heard:
            heard += stream.recv(65_536) or _no_stream(heard)
        ended: list[float] = []

        def read() -> None:
            with suppress(OSError):
                while stream.recv(65_536):
                    pass
            ended.append(time.monotonic())

        reader = threading.Thread(target=read)
        reader.start()
        began = time.monotonic()
        with place.operator() as operator:
            operator.post(f"/v1/tasks/{task.id}/revoke", json={"reason": "bench"}).raise_for_status()
        reader.join(10)
    task.end()
    if not ended:
        raise BenchError("the stream went on after the fence")
    return (ended[0] - began) * 1000


def _no_stream(heard: bytes) -> bytes:
    raise BenchError(f"no stream came: {heard[-400:]!r}")


class Place:
    """One Flyball with the gateway, its tasks, and its operator."""

    def __init__(self, home: Path, control: str, svid: str, pid: int) -> None:
        self._home, self._control, self._svid, self.pid = home, control, svid, pid

    def task(self) -> flyball_sdk.Task:
        """A task, not yet open."""
        return flyball_sdk.task("call", addr=f"http://{self._control}", identity=lambda: self._svid)

    def operator(self) -> httpx.Client:
        """Its operator."""
        token = (self._home / "state" / "admin.token").read_text().strip()
        return httpx.Client(base_url=f"http://{self._control}", headers={"Authorization": f"Bearer {token}"})


@contextmanager
def _flyball(home: Path, api: int, events: int, record: str) -> Iterator[Place]:
    """A `flyball serve` whose decisions are recorded `durable` first or `buffered`."""
    (home / "bundle" / "profiles").mkdir(parents=True)
    key = home / "api.key"
    key.touch(mode=0o600)
    key.write_text(KEY)
    manifest = BUNDLE.format(
        agent=setting.AGENT, domain=setting.TRUST_DOMAIN, record=record, key=key, api=api, events=events
    )
    (home / "bundle" / "bundle.yaml").write_text(manifest)
    (home / "bundle" / "profiles" / "call.yaml").write_text(PROFILE)
    (home / "state").mkdir(mode=0o700)
    control = f"127.0.0.1:{free_port()}"
    (home / "flyball.yaml").write_text(
        f"mode: dev\nissuer: {setting.ISSUER}\nstate_dir: {home}/state\nbundle: {home}/bundle\n"
        f'control:\n  listen: {control}\n  unix: ""\n'
        f'decision:\n  listen: 127.0.0.1:0\n  unix: ""\n'
        f"http_gateway:\n  listen: 127.0.0.1:0\n  workers: 1\n"
        f"dev:\n  dir: {home}/dev\n  trust_domain: {setting.TRUST_DOMAIN}\n"
        f"log: {{level: warning}}\n"
    )
    svid = setting.Setting(home, control).svid()
    log = home / "flyball.log"
    words = [sys.executable, "-m", "flyball", "serve", "--config", str(home / "flyball.yaml")]
    process = machine.start(words, core=SERVER_CORE, log=log)
    try:
        _answers(f"http://{control}/v1/health", log)
        yield Place(home, control, svid, process.pid)
    finally:
        machine.end(process)


@contextmanager
def _nginx(home: Path, http: str, **words: object) -> Iterator[tuple[int, int]]:
    """An nginx in the foreground: its port, and the process id of its worker."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise BenchError("nginx is not there; `scripts/parts.sh --bench` installs it where this user may")
    home.mkdir(parents=True)
    port = free_port()
    text = NGINX.format(home=home, http=http.format(port=port, **words))
    (home / "nginx.conf").write_text(text)
    line = [found, "-p", str(home), "-c", str(home / "nginx.conf"), "-g", "daemon off; master_process off;"]
    process = machine.start(line, core=SERVER_CORE, log=home / "out.log")
    try:
        _answers(f"http://127.0.0.1:{port}/", home / "nginx.log")
        yield port, process.pid
    finally:
        machine.end(process)


def _answers(url: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=1).status_code == 200:
                return
        time.sleep(0.02)
    raise BenchError(f"{url} does not answer: {log.read_text(errors='replace')[-800:] if log.exists() else ''}")


@contextmanager
def _events() -> Iterator[int]:
    """An API that streams events until its client leaves."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Quiet."""

        def do_GET(self) -> None:
            """One stream."""
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"data: tick\n\n")
                    time.sleep(0.002)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
