"""`flyball serve` in a process forked with its modules imported: for tests that kill and start it again and again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from multiprocessing.process import BaseProcess
from typing import TypeVar

import httpx
from tests.server import RunningServer
from tests.wait import until


def _serve(env: Mapping[str, str], log: str) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from flyball.assembly import config
    from flyball.assembly.server import serve

    raise SystemExit(serve(config.load(None, env), env))


class ForkedServer(RunningServer):
    """A `RunningServer` that starts in a moment."""

    _forked: BaseProcess | None = None
    # The exit status comes through a pipe, once: of two threads that ask in the same moment, the one that finds the
    # pipe empty would put 255 in its place.
    _asking = threading.Lock()

    def start(self, **env: str) -> None:
        """Start it, and wait until it answers or, where a fault kills it on its way, is dead."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["flyball.assembly.server", "tests.forked"])
        log = str(self.home / "server.log")
        self._forked = context.Process(target=_serve, args=({**self.env, **env}, log), daemon=True)
        self._forked.start()
        until(self._started, 30, "the server answers, or has ended")
        assert self.running or env, self.log()

    def _started(self) -> bool:
        """Whether it answers, or has ended."""
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{self.control_url}/v1/health", timeout=5).status_code == 200:
                return True
        return not self.running

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        with self._asking:
            return self._forked is not None and self._forked.is_alive()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._forked is not None
        assert self._forked.pid is not None
        return self._forked.pid

    @property
    def exit_code(self) -> int | None:
        """As `subprocess` tells it: negative for a signal."""
        with self._asking:
            return None if self._forked is None else self._forked.exitcode

    def kill(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """Send the signal and wait for the end."""
        if self.running:
            os.kill(self.pid, sign)
            until(lambda: not self.running, 30, "the server does not end")


S = TypeVar("S", bound=ForkedServer)


@contextlib.contextmanager
def running(made: S) -> Iterator[S]:
    """It, started; stopped at the end, as it should stop."""
    made.start()
    try:
        yield made
    finally:
        made.kill(signal.SIGTERM)
        assert made.exit_code == 0, made.log()
