"""The benchmarks' handle on one Flyball: starts bench.server on its core and talks to it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import machine
from bench.load import CONNECTIONS, TASKS, Holder
from bench.measure import SERVER_CORE, BenchError
from bench.server import OPEN_URL
from flyball.identity.dpop import make_proof


class Governor:
    """A running Flyball."""

    def __init__(self, home: Path, *, core: int = SERVER_CORE) -> None:
        self._log = home / "flyball.log"
        words = [sys.executable, "-m", "bench.server", str(home)]
        self.process = machine.start(words, core=core, log=self._log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        found = self._read()
        self.decision = str(found["decision"])
        self.pid = self.process.pid

    def ask(self, do: str, **words: object) -> dict[str, object]:
        """Tell it to do something; its answer.

        Raises:
            BenchError: it could not, or it is gone.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **words}).encode() + b"\n")
        self.process.stdin.flush()
        answer = self._read()
        if "error" in answer:
            raise BenchError(f"Flyball could not {do}: {answer['error']}")
        return answer

    def holders(self, profile: str, *, tasks: int = TASKS, connections: int = CONNECTIONS) -> list[Holder]:
        """Open tasks of a profile, shared out over keys: one key a connection."""
        holders = []
        for _ in range(connections):
            key = Ed25519PrivateKey.generate()
            now = int(time.time())
            proofs = [make_proof(key, method="POST", url=OPEN_URL, iat_s=now) for _ in range(tasks // connections)]
            opened = self.ask("open_bound", profile=profile, proofs=proofs)["tasks"]
            holders.append(Holder(key, [(str(task), str(token)) for task, token in opened]))  # type: ignore[attr-defined]
        return holders

    def renew(self, holders: list[Holder]) -> None:
        """Fresh tokens for all."""
        for holder in holders:
            found = self.ask("tokens", tasks=[task for task, _ in holder.tasks])["tasks"]
            holder.tasks = [(str(task), str(token)) for task, token in found]  # type: ignore[attr-defined]

    def stop(self, *, hard: bool = False) -> None:
        """End it: orderly, or by kill -9."""
        if not hard and self.process.poll() is None and self.process.stdin is not None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                hard = True
        machine.end(self.process, hard=hard)

    def _read(self) -> dict[str, object]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            said = self._log.read_text(errors="replace")[-800:] if self._log.exists() else ""
            raise BenchError(f"Flyball's process ended: {said}")
        found: dict[str, object] = json.loads(line)
        return found


@contextmanager
def governor(home: Path, *, core: int = SERVER_CORE) -> Iterator[Governor]:
    """A Flyball for the length of a `with` block."""
    running = Governor(home, core=core)
    try:
        yield running
    finally:
        running.stop()
