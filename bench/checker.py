"""The decision core in a process of its own, asked in-process from Python: `Core.check`.

Run as `python -m bench.checker FOLDER`; lines of JSON on stdin, answers on stdout. The core has its
writer and its store, as in a server; tasks are put into it as the control plane puts them.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import random
import sys
import time
from pathlib import Path

from bench import calls
from bench.child import serve
from bench.machine import rss_bytes
from bench.measure import ROOT, percentile
from flyball.credential.seal import FileKey, Sealer
from flyball.kernel import ids
from flyball.kernel.clock import SystemClock
from flyball.kernel.json import parse_object
from flyball.policy.compile import load_bundle
from flyball.policy.engine import Core
from flyball.stores.sqlite.native import NativeDatabase, open_store

Answer = dict[str, object]

_ACTION = 'action == Flyball::Action::"fast.{}"'
_AMOUNT = 'context.args has amount && context.args.amount.greaterThan(decimal("{}.00"))'
_GOLD = 'context.args has currency && context.args.currency == "XAU"'
_DOTS = 'context.args has path && context.args.path like "*..*"'


class Checker:
    """A core, its tasks, and what is measured of it."""

    def __init__(self, home: Path) -> None:
        compiled = load_bundle(ROOT / "bundle")
        self._document = parse_object(compiled.json)
        self._digests = {name: profile.digest for name, profile in compiled.bundle.profiles.items()}
        home.mkdir(mode=0o700, exist_ok=True)
        clock = SystemClock()
        sealer = Sealer(FileKey.read_or_make(home / "seal.key"))
        (home / "state").mkdir(mode=0o700)
        self._store = open_store(home / "state", cell="bench", node="bench-1", sealer=sealer, clock=clock)
        epoch = self._store.open_epoch()
        database = self._store.database
        assert isinstance(database, NativeDatabase)
        self._core = Core(
            cell="bench", node="bench-1", epoch=epoch, deployment_key=os.urandom(32), writer=database.writer
        )
        self._core.load(compiled.json)
        self._tasks: list[str] = []

    def policies(self, count: int) -> Answer:
        """Load the bundle with `count` hand-written policies in all; seconds that took."""
        own = list(self._document["policies"])  # type: ignore[arg-type]
        more = [_policy(number) for number in range(count - len(own))]
        document = {**self._document, "digest": f"sha256:{count:064x}", "policies": own + more}
        data = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        began = time.monotonic()
        self._core.load(data)
        return {"load_s": time.monotonic() - began, "policies": len(own) + len(more)}

    def open(self, count: int, profile: str = "settle-fast") -> Answer:
        """Open tasks until there are `count`; bytes of memory that each of the new ones took."""
        wanted = count - len(self._tasks)
        gc.collect()
        names: list[str] = []
        before = rss_bytes()
        held_before = sum(map(sys.getsizeof, names))
        now = time.time_ns() // 10**6
        for _ in range(wanted):
            name = ids.task_id("bench", now)
            self._core.open(self._spec(name, profile, now))
            names.append(name)
        gc.collect()
        # The names are this benchmark's own, and are taken off.
        held = sys.getsizeof(names) + sum(map(sys.getsizeof, names)) - held_before
        took = rss_bytes() - before - held
        self._tasks += names
        return {"tasks": len(self._tasks), "bytes_per_task": took / max(1, wanted)}

    def check(self, count: int, access_class: str = "fast", json_too: bool = False) -> Answer:
        """`count` checks, each with its own arguments, over all tasks at random; microseconds.

        With `json_too` the arguments are made into JSON inside the time that is measured.
        """
        names, core = self._tasks, self._core
        chosen = random.choices(names, k=count)
        start = time.time_ns() % 10**9
        asked: list[tuple[str, str, str, dict[str, object], bytes]] = []
        for number, task in enumerate(chosen):
            call = calls.CALLS[number % len(calls.CALLS)]
            args = {**call.args, "order_id": f"O-{(start + number) % 10**9:09}"}
            asked.append((task, f"{access_class}.{call.action}", call.resource, args, calls.text(args).encode()))
        took = [0] * count
        clock = time.perf_counter_ns
        gc.disable()
        for at, (task, action, resource, args, data) in enumerate(asked):
            began = clock()
            if json_too:
                data = calls.text(args).encode()
            verdict = core.check(task, "sdk", action, "shelf", resource, data)
            took[at] = clock() - began
            if verdict.effect != "allow":
                return {"error": f"{action}: {verdict.reasons}"}
        gc.enable()
        us = [one / 1000 for one in took]
        return {"p50_us": percentile(us, 0.5), "p99_us": percentile(us, 0.99), "mean_us": sum(us) / len(us)}

    def settle(self) -> Answer:
        """Wait until the writer has written all that was buffered."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not json.loads(self._stats()).get("queued"):
                return {}
            time.sleep(0.02)
        return {"error": "the writer's queue does not drain"}

    def _stats(self) -> bytes:
        database = self._store.database
        assert isinstance(database, NativeDatabase)
        return database.writer.stats_json()

    def _spec(self, name: str, profile: str, now: int) -> bytes:
        number = len(name) + hash(name) % 10**6
        return json.dumps(
            {
                "id": name,
                "principal": f"spiffe://bench.flyball.dev/agent/bench-{number % 1000}",
                "agent": "bench-agent",
                "owner": "shop",
                "profile": profile,
                "profile_digest": self._digests[profile],
                "inputs": {
                    "ticket": {"value": f"T-{number}", "type": "string", "vouched_by": ""},
                    "limit": {"value": "500.00", "type": "decimal", "vouched_by": ""},
                },
                "opened_ms": now,
                "hard_end_ms": now + 6 * 3_600_000,
                "heartbeat_ms": 3_600_000,
                "data_key": base64.b64encode(os.urandom(32)).decode(),
                "state": "open",
                "binding": f"jkt:{name[-26:]}{name[-17:]}",
            }
        ).encode()


def _policy(number: int) -> dict[str, object]:
    """One more hand-written policy, as a large organisation has them: for some agent, action and resource.

    None of them concerns the benchmark's own agent and shelves: the count grows, what applies does not.
    """
    agent = f'Flyball::Agent::"agent-{number % 1000}"'
    shelf = f"archive/{number // 1000}"
    on = f'resource == Flyball::shelf::"{shelf}"'
    who, action, where, when = (
        (f"principal == {agent}", _ACTION.format("orders_refund"), on, _AMOUNT.format(number % 500)),
        (f"principal == {agent}", "action", on, f'context has task && context.task.owner == "team-{number % 97}"'),
        (f'principal in Flyball::Group::"g-{number}"', _ACTION.format("ledger_post"), "resource", _GOLD),
        ("principal", _ACTION.format("files_read"), f'resource == Flyball::shelf::"{shelf}/{number}"', _DOTS),
    )[number % 4]
    text = f"forbid ({who}, {action}, {where}) when {{ {when} }};"
    return {"id": f"more-{number}", "file": "policies/more.cedar", "line": number + 1, "annotations": {}, "text": text}


if __name__ == "__main__":
    sys.exit(serve(Checker(Path(sys.argv[1]))))
