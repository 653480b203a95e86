"""One Flyball in a process of its own, as `flyball serve` assembles it, told what to do on stdin.

Run as `python -m bench.server FOLDER` (a folder that bench.setting wrote). Each line of stdin is a
JSON object `{"do": …}`, each line of stdout its answer. Tasks are opened, credentials issued and
taken back through `flyball.flow`, as an edge does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from bench.measure import percentile
from bench.setting import Setting
from flyball.assembly.server import Server
from flyball.credential.lease import LeaseState
from flyball.flow import end, request
from flyball.flow.asks import OpenAsk, Proof
from flyball.identity import task_token
from flyball.task.task import LIVE, Cause

OPEN_URL = "https://bench.flyball.dev/v1/tasks"
Answer = dict[str, object]


class Bench:
    """The server, and what it can be told."""

    def __init__(self, home: Path) -> None:
        self.setting = Setting(home, "")
        self.server = Server(self.setting.config, env=dict(os.environ))
        self.server.start()
        self.house = self.server.house
        self._svid = self.setting.svid()
        self._busy = threading.Event()
        self._tokens: dict[str, str] = {}

    # -- tasks --------------------------------------------------------------------------------

    def addresses(self) -> Answer:
        """Where it listens, and its process id."""
        tcp = next(at for kind, at in self.server.bound.places if kind == "tcp")
        return {"decision": tcp, "pid": os.getpid()}

    def open_bound(self, profile: str, proofs: list[str]) -> Answer:
        """Open a task for each proof, bound to its key; answers with (task, token) of each."""
        return {
            "tasks": [
                self._open(profile, Proof(f"Bearer {self._svid}", (proof,), "POST", OPEN_URL)) for proof in proofs
            ]
        }

    def open_here(self, profile: str, count: int) -> Answer:
        """Open tasks bound to this process's user, for the calls below."""
        proof = Proof(f"Bearer {self._svid}", peer_uid=os.getuid())
        opened = [self._open(profile, proof) for _ in range(count)]
        self._tokens.update(opened)
        return {"tasks": [task for task, _ in opened]}

    def _open(self, profile: str, proof: Proof) -> tuple[str, str]:
        inputs: dict[str, object] = {"ticket": f"T-{time.monotonic_ns() % 10**9}"}
        if profile.startswith("settle"):
            inputs["limit"] = "500.00"
        opened = request.open_task(self.house, proof, OpenAsk(profile, inputs))  # type: ignore[arg-type]
        return opened.task, opened.token.reveal()

    def tokens(self, tasks: list[str]) -> Answer:
        """Fresh tokens, as a heartbeat gives them: the first ones last ten minutes."""
        found = []
        for name in tasks:
            task = self.house.tasks.get(name)
            assert task is not None
            self.house.core.heartbeat(name)
            now = self.house.clock.wall_ms()
            expires = task_token.expiry_ms(now_ms=now, heartbeat_ms=task.heartbeat_ms, hard_end_ms=task.hard_end_ms)
            token = task_token.mint(
                self.house.keys, issuer=self.house.settings.issuer, task=name, principal=task.principal,
                binding=task.binding, now_ms=now, expires_ms=expires,
            )  # fmt: skip
            found.append((name, token))
        return {"tasks": found}

    # -- credentials --------------------------------------------------------------------------

    def issue(self, task: str) -> Answer:
        """Issue and acknowledge the credential of a task opened by `open_here`."""
        proof = Proof(f"Bearer {self._tokens[task]}", peer_uid=os.getuid())
        released = request.credential(self.house, proof, task, "orders")
        request.delivered(self.house, proof, released.lease)
        return {
            "lease": released.lease,
            "connection": dict(released.connection),
            "secret": released.secret.reveal(),
        }

    def revoke_task(self, task: str) -> Answer:
        """Revoke a task; when the fence was asked for, when the receipt was there, and what it says. Monotonic ns."""
        asked = time.monotonic_ns()
        ended = end.revoke_task(self.house, task, by="bench", reason="storm", wait_ms=30_000)
        done = time.monotonic_ns()
        receipts = [_plain(one) for one in ended.receipts]
        return {"asked_ns": asked, "done_ns": done, "pending": list(ended.pending), "receipts": receipts}

    def cycle(self, seconds: float, threads: int) -> Answer:
        """Issue and revoke leases on `threads` tasks for some seconds; a lease counts once its receipt is VERIFIED."""
        tasks = [str(one) for one in self.open_here("lease-orders", threads)["tasks"]]  # type: ignore[attr-defined]
        took: list[float] = []
        failures: list[str] = []
        until = time.monotonic() + seconds

        def work(task: str) -> None:
            proof = Proof(f"Bearer {self._tokens[task]}", peer_uid=os.getuid())
            while time.monotonic() < until:
                began = time.monotonic()
                try:
                    released = request.credential(self.house, proof, task, "orders")
                    request.delivered(self.house, proof, released.lease)
                    ended = end.revoke_lease(self.house, released.lease, by="bench", reason="rate", wait_ms=30_000)
                    if ended.pending:
                        failures.append(f"{released.lease} is still there")
                    else:
                        took.append(time.monotonic() - began)
                except Exception as error:
                    failures.append(repr(error))

        began = time.monotonic()
        running = [threading.Thread(target=work, args=(task,)) for task in tasks]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        wall = time.monotonic() - began
        for task in tasks:
            end.revoke_task(self.house, task, by="bench", reason="done", wait_ms=0)
        return {
            "per_s": len(took) / wall, "leases": len(took), "failures": failures[:3], "failed": len(failures),
            "p50_ms": percentile(took, 0.5) * 1000 if took else 0.0,
        }  # fmt: skip

    def burst(self, threads: int) -> Answer:
        """Begin to issue credentials for ever, each thread on a task of its own; to be killed meanwhile."""
        found = self.open_here("lease-orders", threads)["tasks"]

        def work(task: str) -> None:
            while True:
                self.issue(task)

        for task in list(found):  # type: ignore[call-overload]
            threading.Thread(target=work, args=(task,), daemon=True).start()
        return {}

    def standing(self, wait_s: float) -> Answer:
        """Once nothing is being taken back any more: the roles that are there by right, and what is not settled."""
        deadline = time.monotonic() + wait_s
        unsettled = frozenset({LeaseState.INTENT, LeaseState.ACTIVE, LeaseState.REVOKING, LeaseState.QUARANTINED})
        while True:
            waiting = self.house.leases.select(states=unsettled, limit=100_000)
            if not waiting or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        live = {task.id for task in self.house.tasks.select(states=LIVE, limit=100_000)}
        held = self.house.leases.select(states=frozenset({LeaseState.DELIVERED}), limit=100_000)
        return {
            "by_right": [lease.name for lease in held if lease.task in live],
            "without_task": [lease.name for lease in held if lease.task not in live],
            "unsettled": [f"{lease.name} {lease.state.value}" for lease in waiting],
        }

    def end_all(self) -> Answer:
        """Revoke every live task; whether all receipts are there."""
        tasks = self.house.tasks.select(states=LIVE, limit=100_000)
        ended = end.finish(self.house, tasks, Cause.REVOKED, by="bench", wait_ms=30_000)
        return {"tasks": len(ended.tasks), "pending": list(ended.pending)}

    # -- the rest -----------------------------------------------------------------------------

    def busy(self, on: bool) -> Answer:
        """Start or stop one Python thread that only counts."""
        self._busy.clear()
        if on:
            self._busy.set()
            threading.Thread(target=self._count, daemon=True).start()
        return {}

    def _count(self) -> None:
        number = 0
        while self._busy.is_set():
            for _ in range(10_000):
                number += 1

    def stats(self) -> Answer:
        """What core and writer count."""
        return {
            "core": json.loads(self.house.core.stats_json()),
            "writer": json.loads(self.house.writer.stats_json()),
        }

    def stop(self) -> Answer:
        """Stop orderly."""
        self.server.stop()
        return {}


def _plain(receipt: object) -> object:
    return json.loads(json.dumps(receipt, default=str))


def answer(bench: Bench, words: dict[str, object]) -> Answer:
    """Do one thing."""
    do: Callable[..., Answer] = getattr(bench, str(words.pop("do")))
    try:
        return do(**words)
    except Exception as error:
        return {"error": repr(error)}


def serve_pipe(home: str, pipe: Connection, core: int | None) -> None:
    """The body of a process that was forked with everything imported: the same, over a pipe."""
    if core is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})
    with (Path(home) / "flyball.log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    bench = Bench(Path(home))
    pipe.send(bench.addresses())
    while True:
        pipe.send(answer(bench, pipe.recv()))


def main() -> int:
    """Serve lines until there are no more."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints must not disturb the answers
    bench = Bench(Path(sys.argv[1]))
    out.write(json.dumps(bench.addresses()) + "\n")
    for line in sys.stdin:
        out.write(json.dumps(answer(bench, json.loads(line))) + "\n")
    bench.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
