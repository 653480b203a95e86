"""The benchmarks' handle on one Flyball: starts bench.server on its core and talks to it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.child import Child
from bench.load import CONNECTIONS, TASKS, Holder
from bench.measure import SERVER_CORE, BenchError
from bench.server import OPEN_URL, serve_pipe
from flyball.identity.dpop import make_proof


class Governor(Child):
    """A running Flyball, assembled as `flyball serve` does it."""

    def __init__(self, home: Path, *, core: int | None = SERVER_CORE) -> None:
        super().__init__("bench.server", str(home), log=home / "flyball.log", core=core)
        found = self.read()
        self.decision = str(found["decision"])
        self.pid = self.process.pid

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


@contextmanager
def governor(home: Path, *, core: int | None = SERVER_CORE) -> Iterator[Governor]:
    """A Flyball for the length of a `with` block."""
    running = Governor(home, core=core)
    try:
        yield running
    finally:
        running.stop()


class Forked:
    """A Flyball in a process that was forked with its modules imported already: it starts in a moment.

    For trials that kill it again and again. It shares nothing with us; kill -9 is a real one.
    """

    def __init__(self, home: Path, *, core: int | None = SERVER_CORE) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["bench.server"])
        self._log = home / "flyball.log"
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve_pipe, args=(str(home), theirs, core), daemon=True)
        self._process.start()
        theirs.close()
        self._read()

    def ask(self, do: str, **words: object) -> dict[str, object]:
        """Tell it to do something; its answer.

        Raises:
            BenchError: it could not, or it is gone.
        """
        self._pipe.send({"do": do, **words})
        answer = self._read()
        if "error" in answer:
            raise BenchError(f"Flyball could not {do}: {answer['error']}")
        return answer

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _read(self) -> dict[str, object]:
        try:
            found: dict[str, object] = self._pipe.recv()
        except (EOFError, OSError):
            raise BenchError(f"Flyball's process ended: {self._log.read_text(errors='replace')[-800:]}") from None
        return found
