"""Checks that race fences, on one node: bench/loadgen/src/bin/fence_race.rs says how."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path

from bench import setting
from bench.load import RACE, build
from bench.measure import ROOT, BenchError, Context, row
from flyball.policy.compile import load_bundle

CHECKS = 1_000_000


def run(context: Context) -> None:
    """One run of a million checks."""
    checks = context.count(CHECKS, 50_000)
    with setting.fresh("fence") as home:
        found = race(home, checks)
    note = (
        f"{found['checks']:,} checks raced {found['fences']:,} fences in {found['seconds']:.0f} s: "
        f"{found['allowed']:,} allowed before theirs, {found['overtaken']:,} evaluated to allow and overtaken, "
        f"{found['refused']:,} refused."
    )
    context.add(row("fence-race", [float(found["after_fence"])], "allows", n=int(found["checks"]), note=note))


def race(home: Path, checks: int) -> dict[str, float]:
    """Run the race; what it counted.

    Raises:
        BenchError: it did not build or run, or fences and checks did not meet.
    """
    build()
    inputs = write_inputs(home, "settle-safe")
    done = subprocess.run(
        [str(RACE), *inputs, str(checks)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BenchError(f"the race did not run: {done.stderr[-400:]}")
    found: dict[str, float] = json.loads(done.stdout)
    if found["checks"] != checks or not found["overtaken"] or not found["allowed"] or not found["refused"]:
        raise BenchError(f"checks and fences did not meet: {found}")
    return found


def write_inputs(home: Path, profile: str) -> list[str]:
    """The compiled bundle and the spec of a task of `profile`, as files for the Rust programs; their paths."""
    compiled = load_bundle(ROOT / "bundle")
    (home / "bundle.json").write_bytes(compiled.json)
    now = time.time_ns() // 10**6
    spec = {
        "id": "@ID@",
        "principal": setting.AGENT,
        "agent": "bench-agent",
        "owner": "shop",
        "profile": profile,
        "profile_digest": compiled.bundle.profiles[profile].digest,
        "inputs": {
            "ticket": {"value": "T-1", "type": "string", "vouched_by": ""},
            "limit": {"value": "500.00", "type": "decimal", "vouched_by": ""},
        },
        "opened_ms": now,
        "hard_end_ms": now + 3_600_000,
        "heartbeat_ms": 3_600_000,
        "data_key": base64.b64encode(bytes(32)).decode(),
        "state": "open",
        "binding": "uid:0",
    }
    (home / "spec.json").write_text(json.dumps(spec))
    return [str(home / "bundle.json"), str(home / "spec.json")]
