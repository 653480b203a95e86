"""Envoy that asks Flyball beside Envoy that asks OPA; and the time from a fence to the next request that is refused."""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
from pathlib import Path

from bench import envoy, machine, opa, setting
from bench.families.http import sizes
from bench.governor import Governor, governor
from bench.load import CONNECTIONS
from bench.measure import BenchError, Context, median, percentile, row

PATH = "/refund/permit"
TASKS = 256


def run(context: Context) -> None:
    """Throughput in turns, then fences."""
    with setting.fresh("ext-authz") as home:
        socket = home / "envoy.sock"
        place = setting.write(home, timing=f"ext_authz:\n  unix: {socket}\n")
        _with_requests(home / "bundle" / "bundle.yaml")
        with governor(place.home) as ours, envoy.running(home / "ours", *envoy.flyball_filter(socket)) as (port, _):
            if context.wants("ext-authz"):
                _throughput(context, home, ours, port)
            if context.wants("ext-authz-fence"):
                _fences(context, ours, port)


def _with_requests(manifest: Path) -> None:
    """The bundle's refunds, as HTTP requests, and Envoy as an enforcement point."""
    text = manifest.read_text()
    for name in ("fast", "safe"):
        line = f"  {name}.orders_refund: {{resource: shelf, effect: write, class: {name}"
        old = f"{line}, args: {{order_id: string, amount: decimal}}}}\n"
        args = "args: {order_id: body.order_id, amount: body.amount}"
        request = f'{{request: "POST */{name}{PATH}", resource: refunds, {args}}}'
        text = text.replace(old, old.replace("}}\n", f"}}, http: [{request}]}}\n"))
    # One identity is one enforcement point: here the user is Envoy, and no MCP gateway.
    envoys = f'  envoy: {{identity: {{uid: {os.getuid()}}}, actions: ["fast.*", "safe.*"]}}'
    text = re.sub(r"^  mcp: .*$", lambda _: envoys, text, flags=re.M)
    manifest.write_text(text)


def _throughput(context: Context, home: Path, ours: Governor, port: int) -> None:
    repetitions, seconds = sizes(context)
    profiles = {name: ours.holders(f"settle-{name}", tasks=TASKS) for name in ("safe", "fast")}
    runs: dict[str, list[envoy.Load]] = {"durable": [], "buffered": [], "grpc": [], "logged": [], "http": []}
    before = machine.fsync_ms()
    plain, logging = home / "opa.sock", home / "opa-logs.sock"
    with (
        opa.running_for_envoy(plain, envoy.GRPC_POLICY, envoy.GRPC_DECISION),
        opa.running_for_envoy(logging, envoy.GRPC_POLICY, envoy.GRPC_DECISION, logs=True),
        opa.running(policy=envoy.POLICY) as peer,
        envoy.running(home / "opa-grpc", *envoy.opa_grpc_filter(plain)) as (grpc, _),
        envoy.running(home / "opa-logs", *envoy.opa_grpc_filter(logging)) as (logged, _),
        envoy.running(home / "opa", *envoy.opa_filter(peer.addr)) as (over_http, _),
    ):
        peers = {"grpc": grpc, "logged": logged, "http": over_http}
        for at in range(repetitions):
            for name, into in (("safe", "durable"), ("fast", "buffered")):
                ours.renew(profiles[name])
                tokens = [token for holder in profiles[name] for _, token in holder.tasks]
                runs[into].append(envoy.send(home, port, f"/{name}{PATH}", tokens, seconds))
            for name, at_port in peers.items():
                runs[name].append(envoy.send(home, at_port, PATH, [""], seconds))
            last = {name: done[-1] for name, done in runs.items()}
            context.say(
                f"ext-authz {at + 1}/{repetitions}: "
                + "; ".join(f"{name} {one.per_s:,.0f}/s p99 {one.p99_us:,.0f} µs" for name, one in last.items())
            )

    def told(name: str) -> str:
        done = runs[name]
        p50, p99 = median([one.p50_us for one in done]), median([one.p99_us for one in done]) / 1000
        return f"{median([one.per_s for one in done]):,.0f}/s, p50 {p50:.0f} µs, p99 {p99:.2f} ms"

    beside_logs = median([one.per_s for one in runs["durable"]]) / median([one.per_s for one in runs["logged"]])
    note = (
        f"{CONNECTIONS} connections, Envoy and its judge on one core. Durable records: {told('durable')}. Buffered: "
        f"{told('buffered')}. OPA's plugin over gRPC, as Flyball is asked: {told('grpc')}; the same with its decision "
        f"log, written and not synced: {told('logged')}; Flyball has {beside_logs:.2f} of that rate. OPA over HTTP, "
        f"told the request's body alone, without a record: {told('http')}. fsync p50 {before['p50']} ms."
    )
    context.add(
        row("ext-authz", [one.per_s for one in runs["durable"]], "requests/s",
            peer="Envoy with OPA 1.22.2 over gRPC (plugin 1.14.1)", peers=[one.per_s for one in runs["grpc"]],
            note=note, beside_logs=round(beside_logs, 2))
    )  # fmt: skip


def _fences(context: Context, ours: Governor, port: int) -> None:
    trials = context.count(200, 20)
    took: list[float] = []
    holders = ours.holders("settle-fast", tasks=trials, connections=1)
    for task, token in holders[0].tasks:
        took.append(_fence(ours, port, task, token))
    note = (
        f"From the moment in which the revoke is asked for, over one kept connection that sends one request after "
        f"the other; p50 {percentile(took, 0.5):.2f} ms. No trial saw a request allowed after one that was refused."
    )
    context.add(row("ext-authz-fence", took, "ms", of=percentile(took, 0.99), n=len(took), note=note))


def _fence(ours: Governor, port: int, task: str, token: str) -> float:
    """Milliseconds from asking for the fence to the first request refused."""
    refused_ns: list[int] = []
    going = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"content-type": "application/json", "flyball-task": token}
        until = time.monotonic() + 20
        while time.monotonic() < until and len(refused_ns) < 3:
            connection.request("POST", f"/fast{PATH}", body=envoy.BODY, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                if refused_ns:
                    raise BenchError("a request was allowed after one had been refused")
                going.set()
            elif going.is_set():
                refused_ns.append(time.monotonic_ns())
            else:
                return
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    if not going.wait(20):
        raise BenchError("no request passed before the fence")
    asked = ours.ask("revoke_task", task=task)["asked_ns"]
    thread.join()
    if len(refused_ns) < 3:
        raise BenchError("no request was refused after the fence")
    return (refused_ns[0] - int(str(asked))) / 1e6
