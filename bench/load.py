"""Plans for the load generator, and running it on its core."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import calls, machine
from bench.measure import CACHE, GENERATOR_CORE, TREE, BenchError
from flyball.identity.dpop import make_proof

CONNECTIONS = 32
TASKS = 1024
GENERATOR = TREE / "target" / "release" / "flyball-loadgen"
RACE = TREE / "target" / "release" / "fence-race"


@dataclass(frozen=True)
class Measured:
    """What one run of the generator measured. Microseconds; `generator_cpu` is a share of one core."""

    per_s: float
    p50_us: float
    p99_us: float
    server_cpu_us: float
    generator_cpu: float
    requests: int
    beside_ok: int
    beside_other: int
    beside_error: str


@dataclass
class Holder:
    """A key and the tasks whose tokens are bound to it: what one connection holds."""

    key: Ed25519PrivateKey
    tasks: list[tuple[str, str]] = field(default_factory=list)


def build() -> None:
    """Build the load generator and the racing checks, where they are missing or older than their sources.

    Together with the extension, so that Cargo settles on the same features for all and builds Cedar once.
    """
    sources = [*(TREE / "bench" / "loadgen").rglob("*.rs"), *(TREE / "crates" / "decision").rglob("*.rs")]
    newest = max(path.stat().st_mtime for path in sources)
    if all(binary.exists() and binary.stat().st_mtime > newest for binary in (GENERATOR, RACE)):
        return
    words = "cargo build --release --locked -q -p flyball-loadgen -p flyball-python"
    words += " --features flyball-python/extension-module"
    done = subprocess.run(words.split(), cwd=TREE, check=False)
    if done.returncode != 0 or not GENERATOR.exists():
        raise BenchError("the load generator did not build; see cargo's message above")


def run(plan: Mapping[str, object], *, name: str) -> Measured:
    """Send a plan; every answer must be an allow, or the run counts for nothing.

    Raises:
        BenchError: anything was answered otherwise.
    """
    path = CACHE / f"plan-{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plan))
    done = subprocess.run(
        machine.on_core(GENERATOR_CORE, [str(GENERATOR), str(path)]),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    path.unlink()
    if done.returncode != 0:
        raise BenchError(f"the load generator failed: {done.stderr.strip()[-400:]}")
    found = json.loads(done.stdout)
    if found["errors"] or found["denied"] or not found["allowed"]:
        raise BenchError(
            f"{name}: {found['allowed']} allowed, {found['denied']} denied, {found['errors']} errors; "
            f"the first: {found['first_error'][:300]}"
        )
    return Measured(
        per_s=found["per_s"],
        p50_us=found["p50_us"],
        p99_us=found["p99_us"],
        server_cpu_us=found["server_cpu_s"] * 1e6 / max(1, found["requests"]),
        generator_cpu=found["generator_cpu"],
        requests=found["requests"],
        beside_ok=found["beside_ok"],
        beside_other=found["beside_other"],
        beside_error=found["beside_error"],
    )


def flyball_plan(
    addr: str, holders: Sequence[Holder], access_class: str, *, seconds: float, pid: int, warm_s: float = 1.0
) -> dict[str, object]:
    """Every connection holds its own key and 32 tasks; each token is proved on its first request there.

    The proofs are made here, fresh: they last a minute.
    """
    url = f"http://{addr}/access/v1/evaluation"
    connections = []
    for holder in holders:
        # Tasks and kinds of call in turn, until each task has made each call.
        pairs = islice(zip(cycle(holder.tasks), cycle(calls.CALLS), strict=False), len(holder.tasks) * len(calls.CALLS))
        requests = []
        seen: set[str] = set()
        for (task, token), call in pairs:
            one: dict[str, object] = {
                "headers": [f"Authorization: DPoP {token}"],
                "body": calls.authzen(call, task, access_class),
            }
            if task not in seen:
                seen.add(task)
                proof = make_proof(holder.key, method="POST", url=url, iat_s=int(time.time()), access_token=token)
                one["first"] = [f"DPoP: {proof}"]
            requests.append(one)
        connections.append({"requests": requests})
    return _plan(addr, "/access/v1/evaluation", '"decision":true', connections, seconds, warm_s, pid)


def opa_plan(addr: str, *, seconds: float, pid: int, warm_s: float = 1.0) -> dict[str, object]:
    """The same calls for as many tasks."""
    connections = []
    for at in range(CONNECTIONS):
        tasks = [f"tsk_bench_{at:03}{number:05}00000000000000000000"[:36] for number in range(TASKS // CONNECTIONS)]
        pairs = islice(zip(cycle(tasks), cycle(calls.CALLS), strict=False), len(tasks) * len(calls.CALLS))
        connections.append({"requests": [{"headers": [], "body": calls.opa(call, task)} for task, call in pairs]})
    return _plan(addr, "/v1/data/bench/allow", '"result":true', connections, seconds, warm_s, pid)


def _plan(
    addr: str, path: str, allow: str, connections: Sequence[object], seconds: float, warm_s: float, pid: int
) -> dict[str, object]:
    return {
        "addr": addr,
        "path": path,
        "allow": allow,
        "connections": list(connections),
        "seconds": seconds,
        "warm_s": warm_s,
        "stamp": calls.STAMP,
        # Distinct from run to run, too.
        "stamp_from": time.time_ns() // 1000 % 10**8 * 10,
        "server_pids": [pid],
    }
