"""Durable decisions while the control plane is busy: 200 heartbeats a second and one Python thread that only counts.

Everything of Flyball's shares one core, as in the other HTTP figures: the thread that counts takes
its part of that core, so the figure holds the scheduler's share as well as the interpreter's lock.
"""

from __future__ import annotations

import time
from itertools import islice

from bench import load, machine, setting
from bench.families.http import generator_note, sizes
from bench.governor import Governor, governor
from bench.load import Holder, Measured
from bench.measure import BenchError, Context, median, row
from flyball.identity.dpop import make_proof

BEATS = 200.0
WARM_S = 1.0


def run(context: Context) -> None:
    """Idle, busy, idle, busy …"""
    load.build()
    repetitions, seconds = sizes(context)
    idle: list[Measured] = []
    busy: list[Measured] = []
    with setting.fresh("busy") as home:
        place = setting.write(home)
        with governor(place.home) as ours:
            context.say(f"opening {load.TASKS} tasks")
            holders = ours.holders("settle-safe")
            for at in range(repetitions):
                idle.append(_once(ours, holders, seconds))
                busy.append(_busy(ours, holders, seconds, place.control))
                context.say(
                    f"busy {at + 1}/{repetitions}: p99 idle {idle[-1].p99_us / 1000:.2f} ms, "
                    f"busy {busy[-1].p99_us / 1000:.2f} ms, {busy[-1].beside_ok} heartbeats"
                )
    fsync = machine.fsync_ms()
    beats = median([one.beside_ok / (seconds + WARM_S) for one in busy])
    note = (
        f"{beats:.0f} heartbeats/s were answered. Throughput idle {median([one.per_s for one in idle]):,.0f}/s, "
        f"busy {median([one.per_s for one in busy]):,.0f}/s; p50 idle {median([one.p50_us for one in idle]):,.0f} µs, "
        f"busy {median([one.p50_us for one in busy]):,.0f} µs. The disk's fsync: p50 {fsync['p50']} ms. "
        + generator_note(idle, busy)
    )
    context.add(
        row("http-busy", [one.p99_us / 1000 for one in busy], "ms p99", peer="idle",
            peers=[one.p99_us / 1000 for one in idle], note=note, heartbeats_per_s=round(beats))
    )  # fmt: skip


def _once(ours: Governor, holders: list[Holder], seconds: float, beside: dict[str, object] | None = None) -> Measured:
    ours.renew(holders)
    plan = load.flyball_plan(ours.decision, holders, "safe", seconds=seconds, pid=ours.pid, warm_s=WARM_S)
    if beside is not None:
        plan["beside"] = beside
    return load.run(plan, name="busy")


def _busy(ours: Governor, holders: list[Holder], seconds: float, control: str) -> Measured:
    beside = {
        "addr": control,
        "per_s": BEATS,
        "connections": 8,
        "requests": _heartbeats(holders, control, int(BEATS * (seconds + WARM_S)) + 1),
    }
    ours.ask("busy", on=True)
    try:
        measured = _once(ours, holders, seconds, beside)
    finally:
        ours.ask("busy", on=False)
    if measured.beside_other > measured.beside_ok // 20:
        raise BenchError(f"{measured.beside_other} heartbeats failed: {measured.beside_error}")
    return measured


def _heartbeats(holders: list[Holder], control: str, count: int) -> list[str]:
    """Whole requests, each of another task, each with a proof of its own."""
    held = ((holder, task, token) for holder in holders for task, token in holder.tasks)
    requests = []
    for holder, task, token in islice(held, count):
        path = f"/v1/tasks/{task}/heartbeat"
        proof = make_proof(
            holder.key, method="POST", url=f"http://{control}{path}", iat_s=int(time.time()), access_token=token
        )
        requests.append(
            f"POST {path} HTTP/1.1\r\nHost: {control}\r\nAuthorization: DPoP {token}\r\nDPoP: {proof}\r\n"
            "Content-Length: 0\r\n\r\n"
        )
    return requests
