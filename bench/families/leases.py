"""Leases a second at PostgreSQL: issued, revoked, proved gone; beside raw SQL doing the same steps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench import machine, setting
from bench.governor import Governor, governor
from bench.measure import GENERATOR_CORE, SERVER_CORE, TREE, BenchError, Context, median, row

THREADS = 8


def run(context: Context) -> None:
    """PostgreSQL has one core; whoever drives it (Flyball whole, or raw SQL) has the other."""
    repetitions, seconds = (2, 1.5) if context.quick else (5, 4.0)
    with setting.fresh("leases") as home, setting.postgres(home) as postgres:
        machine.pin(postgres.pid, GENERATOR_CORE)
        place = setting.write(home / "flyball", postgres=postgres)
        words = {
            "port": str(postgres.port), "user": setting.ADMIN, "group": setting.GROUP, "threads": THREADS,
            "password": (place.home / "admin.password").read_text().strip(),
        }  # fmt: skip
        with governor(place.home) as ours:
            _once(ours, 1.0)
            a, b, a_ms, b_ms = [], [], [], []
            for at in range(repetitions):
                rate, ms = _once(ours, seconds)
                a.append(rate)
                a_ms.append(ms)
                rate, ms = raw({**words, "seconds": seconds}, place.home / "raw.log")
                b.append(rate)
                b_ms.append(ms)
                context.say(f"leases {at + 1}/{repetitions}: Flyball {a[-1]:.0f}/s, raw SQL {b[-1]:.0f}/s")
    note = (
        f"{THREADS} at once; a lease counts once its VERIFIED receipt is there; intent, steps and receipt are durable. "
        f"p50 of one whole life {median(a_ms):.0f} ms, raw {median(b_ms):.0f} ms."
    )
    context.add(row("pg-lease-rate", a, "leases/s", peer="raw SQL", peers=b, note=note))


def _once(ours: Governor, seconds: float) -> tuple[float, float]:
    found = ours.ask("cycle", seconds=seconds, threads=THREADS)
    if found["failed"] or not found["leases"]:
        raise BenchError(f"{found['failed']} leases failed: {found['failures']}")
    return float(str(found["per_s"])), float(str(found["p50_ms"]))


def raw(words: dict[str, object], log: Path) -> tuple[float, float]:
    """Raw SQL once, in a process of its own on the same core as Flyball."""
    with log.open("ab") as sink:
        done = subprocess.run(
            machine.on_core(SERVER_CORE, [sys.executable, "-m", "bench.rawpg"]),
            input=json.dumps(words).encode() + b"\n",
            stdout=subprocess.PIPE, stderr=sink, cwd=TREE, timeout=120, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise BenchError(f"raw SQL failed: {log.read_text()[-600:]}")
    found = json.loads(done.stdout)
    if found["failed"]:
        raise BenchError(f"raw SQL: {found['failed']} cycles failed: {found['failures']}")
    return float(found["per_s"]), float(found["p50_ms"])
