"""HTTP through the gateway: requests/s beside Envoy and nginx as plain reverse proxies, and a fence amid a stream.

The API is nginx, too: it answers at once. It shares a core with what stands before it, and the generator has the other:
so for both peers alike the API's work is in the figure, and each one's own processor time stands beside it.
"""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import flyball_sdk
from bench import envoy, load, machine, setting
from bench.families.http import generator_note, in_turns
from bench.gateway import Place, answers, private, serving
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
                _nginx(home / "peer", PROXY, api=api, key=KEY) as nginx,
                envoy.proxy(home / "envoy", api, KEY) as plain,
                _flyball(home / "durable", api, events, "durable") as durable,
                _flyball(home / "buffered", api, events, "buffered") as buffered,
            ):
                _throughput(context, durable, buffered, nginx=nginx, plain=plain)
        if context.wants("http-gateway-fence"):
            with _flyball(home / "fence", api, events, "durable") as place:
                _fence(context, place)


def _throughput(
    context: Context, durable: Place, buffered: Place, *, nginx: tuple[int, int], plain: tuple[int, int]
) -> None:
    with durable.task() as first, buffered.task() as second:
        senders = [_sender(place, task) for place, task in ((durable, first), (buffered, second))]

        def proxy(name: str, at: tuple[int, int]) -> Callable[[float], Measured]:
            return lambda seconds: load.run(_plan(f"127.0.0.1:{at[0]}", "/refunds", [], seconds, at[1]), name=name)

        a, b = in_turns(context, "durable", senders[0], proxy("Envoy", plain))
        c, d = in_turns(context, "durable", senders[0], proxy("nginx", nginx))
        e, f = in_turns(context, "buffered", senders[1], proxy("Envoy", plain))

    def ratio(ours: list[Measured], theirs: list[Measured]) -> float:
        return median([one.per_s for one in ours]) / median([one.per_s for one in theirs])

    cpu = [median([one.server_cpu_us for one in runs]) for runs in (a, b, d)]
    note = (
        f"POST of a small JSON body, {CONNECTIONS} connections of one task; decided on its fields, durable first, the "
        f"key put in, the answer searched for it. Beside nginx, in turns with it: {ratio(c, d):.3f} of "
        f"{median([one.per_s for one in d]):,.0f}/s. With buffered records {ratio(e, f):.2f} of Envoy. CPU of the "
        f"proxy alone: {cpu[0]:.0f} µs a request, Envoy {cpu[1]:.0f}, nginx {cpu[2]:.0f}. {generator_note(a, b)}"
    )
    ours, theirs = [one.per_s for one in a], [one.per_s for one in b]
    context.add(
        row(
            "http-gateway-throughput",
            ours,
            "requests/s",
            peer="Envoy",
            peers=theirs,
            note=note,
            buffered=round(ratio(e, f), 3),
            beside_nginx=round(ratio(c, d), 3),
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
        place.revoke(task.id)
        reader.join(10)
    task.end()
    if not ended:
        raise BenchError("the stream went on after the fence")
    return (ended[0] - began) * 1000


def _no_stream(heard: bytes) -> bytes:
    raise BenchError(f"no stream came: {heard[-400:]!r}")


def _flyball(home: Path, api: int, events: int, record: str) -> AbstractContextManager[Place]:
    """A `flyball serve` whose decisions are recorded `durable` first or `buffered`."""
    key = private(home / "api.key", KEY)
    manifest = BUNDLE.format(
        agent=setting.AGENT, domain=setting.TRUST_DOMAIN, record=record, key=key, api=api, events=events
    )
    section = "http_gateway:\n  listen: 127.0.0.1:0\n  workers: 1\n"
    return serving(home, manifest=manifest, profile="call", text=PROFILE, section=section)


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
        answers(f"http://127.0.0.1:{port}/", home / "nginx.log")
        yield port, process.pid
    finally:
        machine.end(process)


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
