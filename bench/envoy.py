"""Envoy that asks for each request, Flyball or OPA, and answers itself; and Envoy as a plain reverse proxy."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.load import CONNECTIONS
from bench.measure import CACHE, GENERATOR_CORE, ROOT, TREE, BenchError
from flyball.demo.postgres import free_port

BINARY = TREE / ".venv" / "bin" / "envoy"
BODY = '{"order_id":"O-1042","amount":84.50}'
_LATENCY = re.compile(r"^\s+(50|99)(?:\.\d+)?%\s+([\d.]+)(us|ms|s)$", re.M)
_UNITS = {"us": 1.0, "ms": 1000.0, "s": 1_000_000.0}
_FILTER = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
_HTTP2 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


@dataclass(frozen=True)
class Load:
    """What one run of the generator measured."""

    per_s: float
    p50_us: float
    p99_us: float


def flyball_filter(socket: Path) -> tuple[dict[str, object], dict[str, object]]:
    """The filter that asks Flyball over gRPC, and its cluster."""
    return _grpc(socket, {"encode_raw_headers": True}, {"pack_as_bytes": True})


def opa_grpc_filter(socket: Path) -> tuple[dict[str, object], dict[str, object]]:
    """The filter that asks OPA's plugin over gRPC, as its documentation writes it, and its cluster."""
    return _grpc(socket, {}, {})


def _grpc(
    socket: Path, more: dict[str, object], body: dict[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    guard: dict[str, object] = {
        "@type": _FILTER,
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "judge"}, "timeout": "5s"},
        "with_request_body": {"max_request_bytes": 65536, **body},
        **more,
    }
    protocol = {"@type": _HTTP2, "explicit_http_config": {"http2_protocol_options": {}}}
    cluster = _cluster({"pipe": {"path": str(socket)}})
    cluster["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol}
    return guard, cluster


def opa_filter(addr: str) -> tuple[dict[str, object], dict[str, object]]:
    """The filter that asks OPA: the request's own body is the input, what is undefined is a 404, and so a denial."""
    host, port = addr.rsplit(":", 1)
    uri = {"uri": f"http://{addr}", "cluster": "judge", "timeout": "5s"}
    guard: dict[str, object] = {
        "@type": _FILTER,
        "transport_api_version": "V3",
        "http_service": {"server_uri": uri, "path_prefix": "/v0/data/bench_envoy"},
        "with_request_body": {"max_request_bytes": 65536},
    }
    return guard, _cluster({"socket_address": {"address": host, "port_value": int(port)}})


def _cluster(address: dict[str, object], name: str = "judge") -> dict[str, object]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def running(
    home: Path, guard: dict[str, object], cluster: dict[str, object]
) -> contextlib.AbstractContextManager[tuple[int, int]]:
    """Envoy that asks for each request, and answers itself: its port, and its process id."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    return _running(home, route, [{"name": "envoy.filters.http.ext_authz", "typed_config": guard}], cluster)


def proxy(home: Path, api: int, key: str) -> contextlib.AbstractContextManager[tuple[int, int]]:
    """Envoy as a plain reverse proxy before what listens on `api`, to which it shows a key."""
    shown = {"header": {"key": "authorization", "value": f"Bearer {key}"}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "api"}, "request_headers_to_add": [shown]}
    return _running(home, route, [], _cluster({"socket_address": {"address": "127.0.0.1", "port_value": api}}, "api"))


@contextlib.contextmanager
def _running(
    home: Path, route: dict[str, object], filters: list[dict[str, object]], cluster: dict[str, object]
) -> Iterator[tuple[int, int]]:
    """Envoy on the servers' core, with one worker."""
    if not BINARY.exists():
        raise BenchError("Envoy is not installed: run `make setup`")
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    listener = {"name": "bench", "address": address, "filter_chains": [chain]}
    file = home / "envoy.yaml"
    file.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    words = [str(BINARY), "-c", str(file), "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]
    process = machine.start(words, log=CACHE / "envoy.log")
    try:
        deadline = time.monotonic() + 20
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"Envoy did not start; see {CACHE}/envoy.log")
            time.sleep(0.05)
        yield port, process.pid
    finally:
        machine.end(process)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/")
        connection.getresponse().read()
        return True
    return False


def send(home: Path, port: int, path: str, tokens: Sequence[str], seconds: float) -> Load:
    """wrk on the generator's core, each request with the next of the tokens; every answer must be a 200.

    Raises:
        BenchError: wrk is not here, or something was refused.
    """
    home.mkdir(parents=True, exist_ok=True)
    listed = ", ".join(f'"{token}"' for token in tokens)
    script = home / "load.lua"
    script.write_text(
        f"local tokens = {{{listed}}}\nlocal at = 0\nlocal body = [[{BODY}]]\n"
        "request = function()\n  at = at % #tokens + 1\n"
        '  local headers = {["content-type"] = "application/json", ["flyball-task"] = tokens[at]}\n'
        f'  return wrk.format("POST", "{path}", headers, body)\nend\n'
    )
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency", "-s", str(script)]
    try:
        done = subprocess.run(
            machine.on_core(GENERATOR_CORE, [*words, f"http://127.0.0.1:{port}/"]),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    except FileNotFoundError as fault:
        raise BenchError("wrk is not installed (Debian package wrk)") from fault
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if rate is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise BenchError(f"the load did not pass: {done.stdout[-400:]}{done.stderr[-200:]}")
    latency = {share: float(number) * _UNITS[unit] for share, number, unit in _LATENCY.findall(done.stdout)}
    return Load(float(rate[1]), latency.get("50", 0.0), latency.get("99", 0.0))


POLICY = ROOT / "rego" / "envoy.rego"
GRPC_POLICY = ROOT / "rego" / "envoy_grpc.rego"
GRPC_DECISION = "bench_envoy_grpc/allow"
