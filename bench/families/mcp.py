"""What the MCP gateway adds to a call: the same tool of the same trivial server directly and through it, in turns."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Protocol

from bench import machine, setting
from bench.governor import governor
from bench.measure import SERVER_CORE, TREE, BenchError, Context, median, percentile, row
from bench.setting import ISSUER, Setting
from flyball.demo.postgres import free_port

ROUNDS, CALLS, WARM = 10, 200, 100
SERVER = [sys.executable, "-m", "bench.mcpserver"]
PEER = "FastMCP 4.1.2's proxy"
_PREFIX = "io.modelcontextprotocol/"
META = {f"{_PREFIX}protocolVersion": "2026-07-28", f"{_PREFIX}clientCapabilities": {}}


class Line(Protocol):
    """A client's connection to a server."""

    meta: Mapping[str, object]
    """What each request says of its revision: nothing where the revision was agreed on at the start."""

    def ask(self, message: bytes, name: str) -> bytes:
        """Put one request; its answer. `name` is the tool's, if it is a call."""


class Pipe:
    """Over standard streams, in the older revision."""

    meta: Mapping[str, object] = {}

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, message: bytes, name: str = "") -> bytes:
        """See `Line.ask`."""
        del name
        assert self._process.stdout is not None
        self._write(message)
        while True:
            told = self._process.stdout.readline()
            if not told:
                raise BenchError("the MCP server or gateway has ended")
            if b'"id"' in told:
                return told

    def tell(self, message: Mapping[str, object]) -> None:
        """Put a message that has no answer."""
        self._write(json.dumps(message).encode())

    def _write(self, message: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(message + b"\n")
        self._process.stdin.flush()


class Http:
    """Over Streamable HTTP in the newer revision, on one connection that is kept."""

    meta: Mapping[str, object] = META

    def __init__(self, port: int, path: str, token: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n{shown}"
            "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
        )
        self._buffer = b""

    def ask(self, message: bytes, name: str = "") -> bytes:
        """See `Line.ask`."""
        method = "tools/call" if name else "tools/list"
        named = f"Mcp-Name: {name}\r\n" if name else ""
        head = f"{self._head}Mcp-Method: {method}\r\n{named}Content-Length: {len(message)}\r\n\r\n"
        self._socket.sendall(head.encode() + message)
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        lines = found.lower().split(b"\r\n")
        length = next((int(one[15:]) for one in lines if one.startswith(b"content-length:")), None)
        if length is None:
            raise BenchError(f"not one JSON answer: {found[:200]!r}")
        while len(self._buffer) < length:
            self._more()
        told, self._buffer = self._buffer[:length], self._buffer[length:]
        return told

    def _more(self) -> None:
        chunk = self._socket.recv(65536)
        if not chunk:
            raise BenchError("the connection was closed")
        self._buffer += chunk


def message(ident: int, method: str, meta: Mapping[str, object] = META, **params: object) -> bytes:
    """One request."""
    more = {"_meta": meta} if meta else {}
    told = {"jsonrpc": "2.0", "id": ident, "method": method, "params": {**params, **more}}
    return json.dumps(told, separators=(",", ":")).encode()


class Calls:
    """Calls of the tool, each with arguments and an id of its own."""

    def __init__(self) -> None:
        self.count = 1000

    def times_ms(self, line: Line, count: int) -> list[float]:
        """Milliseconds that each of `count` calls took, one after the other."""
        took: list[float] = []
        for _ in range(count):
            self.count += 1
            arguments = {"order_id": f"O-{self.count}"}
            asked = message(self.count, "tools/call", line.meta, name="orders_read", arguments=arguments)
            began = time.perf_counter_ns()
            told = line.ask(asked, "orders_read")
            took.append((time.perf_counter_ns() - began) / 1e6)
            if b'"paid' not in told and b'\\"paid' not in told:
                raise BenchError(f"a call was not answered as it should be: {told[:300]!r}")
        return took


def run(context: Context) -> None:
    """Direct, through, direct, through …; once on standard streams, once over HTTP."""
    with setting.fresh("mcp") as home:
        place = setting.write(home, socket=home / "d.sock")
        with governor(place.home):
            env = _environment(place)
            if context.wants("mcp-stdio"):
                with (
                    _piped(SERVER, home, {}) as direct,
                    _stdio_gateway(home, env) as through,
                    _piped(_stdio_peer(home), home, {}) as peer,
                ):
                    _compare(context, "mcp-stdio", direct, through, peer)
            if context.wants("mcp-http"):
                with _http(home, place, env) as (straight, behind, other):
                    _compare(context, "mcp-http", straight, behind, other)


def _compare(context: Context, name: str, direct: Line, through: Line, peer: Line) -> None:
    rounds, count = (2, 50) if context.quick else (ROUNDS, CALLS)
    few = max(1, count // 10)  # the peer may take a hundred times as long
    calls = Calls()
    before = machine.fsync_ms()
    for line, warm in ((direct, WARM), (through, WARM), (peer, few)):
        calls.times_ms(line, warm)
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    others: list[list[float]] = []
    for at in range(rounds):
        theirs.append(calls.times_ms(direct, count))
        ours.append(calls.times_ms(through, count))
        others.append(calls.times_ms(peer, few))
        context.say(
            f"{name} {at + 1}/{rounds}: direct p50 {median(theirs[-1]):.3f} ms; through p50 {median(ours[-1]):.3f} ms, "
            f"p99 {percentile(ours[-1], 0.99):.3f} ms; {PEER} p50 {median(others[-1]):.3f} ms"
        )
    all_ours, all_theirs, all_others = list(chain(*ours)), list(chain(*theirs)), list(chain(*others))
    added = median(all_ours) - median(all_theirs)
    p99 = percentile(all_ours, 0.99) - percentile(all_theirs, 0.99)
    after = machine.fsync_ms()
    each, beside = (
        [median(one) - median(straight) for one, straight in zip(taken, theirs, strict=True)]
        for taken in (ours, others)
    )
    note = (
        f"p50 and p99 of {len(all_ours)} calls each: through {median(all_ours):.2f} and "
        f"{percentile(all_ours, 0.99):.2f} ms, direct {median(all_theirs):.2f} and "
        f"{percentile(all_theirs, 0.99):.2f} ms. "
        f"Two durable records a call: the decision and the result. {PEER}, which decides and records nothing, "
        f"{median(all_others):.2f} and {percentile(all_others, 0.99):.2f} ms of {len(all_others)} calls. "
        f"The disk's fsync, just before and after: p50 {before['p50']} and {after['p50']} ms, p99 {before['p99']} and "
        f"{after['p99']} ms. "
        f"Load of the machine: {os.getloadavg()[0]:.1f}."
    )
    context.add(
        row(name, each, "ms added, p50", of=added, n=len(each), note=note, p99_ms=float(f"{p99:.4g}"),
            peer=PEER, peers=beside, of_peer=median(all_others) - median(all_theirs))
    )  # fmt: skip


def _environment(place: Setting) -> dict[str, str]:
    svid = place.home / "agent.svid"
    svid.touch(mode=0o600)
    svid.write_text(place.svid())
    return {
        "FLYBALL_CONFIG": str(place.home / "flyball.yaml"),
        "FLYBALL_SVID_FILE": str(svid),
        "FLYBALL_ADDR": f"http://{place.control}",
    }


def _approve(env: Mapping[str, str], home: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flyball", "mcp", "approve", "--yes", "--pins", str(home / "pins.json"), *words],
        env={**os.environ, **env}, cwd=TREE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BenchError(f"the server's tools could not be approved: {done.stderr.strip()[-400:]}")


@contextlib.contextmanager
def _piped(words: list[str], home: Path, env: Mapping[str, str]) -> Iterator[Pipe]:
    log = home / "mcp.log"
    process = machine.start(words, core=SERVER_CORE, log=log, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        pipe = Pipe(process)
        hello: dict[str, object] = {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"},
        }  # fmt: skip
        try:
            pipe.ask(message(1, "initialize", {}, **hello))
            pipe.tell({"jsonrpc": "2.0", "method": "notifications/initialized"})
        except BenchError as error:
            raise BenchError(f"{error}: {log.read_text(errors='replace')[-600:]}") from None
        yield pipe
    finally:
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
        machine.end(process)


@contextlib.contextmanager
def _stdio_gateway(home: Path, env: Mapping[str, str]) -> Iterator[Pipe]:
    _approve(env, home, "--", *SERVER)
    words = [
        sys.executable, "-m", "flyball", "mcp", "--profile", "mcp-safe", "-i", "ticket=T-1",
        "--prefix", "safe.", "--pins", str(home / "pins.json"), "--decisions", f"unix:{home}/d.sock", "--", *SERVER,
    ]  # fmt: skip
    with _piped(words, home, env) as pipe:
        yield pipe


def _stdio_peer(home: Path) -> list[str]:
    file = home / "peer.json"
    server = {"command": SERVER[0], "args": SERVER[1:], "cwd": str(TREE)}
    file.write_text(json.dumps({"mcpServers": {"trivial": server}}))
    return _peer(str(file))


def _peer(upstream: str, *more: str) -> list[str]:
    program = TREE / ".venv" / "bin" / "fastmcp"
    if not program.is_file():
        raise BenchError("FastMCP is not here: make bench installs it (group `peers`)")
    return [str(program), "run", upstream, "--no-banner", "--log-level", "ERROR", *more]


@contextlib.contextmanager
def _http(home: Path, place: Setting, env: Mapping[str, str]) -> Iterator[tuple[Http, Http, Http]]:
    upstream, port, theirs = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{upstream}/mcp"
    served = {"listen": f"127.0.0.1:{port}", "audience": ISSUER, "servers": {"safe": {"url": url}}}
    (home / "servers.json").write_text(json.dumps(served))
    log = home / "mcp.log"
    server = machine.start([*SERVER, str(upstream)], core=SERVER_CORE, log=log)
    gateway: subprocess.Popen[bytes] | None = None
    peer: subprocess.Popen[bytes] | None = None
    try:
        words = _peer(url, "--transport", "http", "--port", str(theirs), "--stateless")
        peer = machine.start(words, core=SERVER_CORE, log=log, env={"FASTMCP_JSON_RESPONSE": "true"})
        direct = _connected(lambda: Http(upstream, "/mcp"), log)
        _approve(env, home, "--name", "safe", "--url", url)
        words = [
            sys.executable, "-m", "flyball", "mcp", "serve", "--servers", str(home / "servers.json"),
            "--pins", str(home / "pins.json"), "--decisions", f"unix:{home}/d.sock",
        ]  # fmt: skip
        gateway = machine.start(words, core=SERVER_CORE, log=log, env=env)
        through = _connected(lambda: Http(port, "/mcp/safe", place.svid()), log)
        begin = {"profile": "mcp-safe", "inputs": {"ticket": "T-2"}}
        begun = through.ask(message(1, "tools/call", name="begin_task", arguments=begin), "begin_task")
        if b"has begun" not in begun:
            raise BenchError(f"no task: {begun[:400]!r}")
        yield direct, through, _connected(lambda: Http(theirs, "/mcp"), log)
    finally:
        machine.end(peer)
        machine.end(gateway)
        machine.end(server)


def _connected(connect: Callable[[], Http], log: Path) -> Http:
    until = time.monotonic() + 60
    while True:
        try:
            return connect()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise BenchError(f"it does not listen: {log.read_text(errors='replace')[-600:]}") from None
            time.sleep(0.05)
