"""A child process that gets our signals and gives us its end.

Signals are held (blocked) in all threads and taken one by one, so that none can come between two
steps. One that the terminal sent has reached the child already, since both stand in its foreground
group; the kernel marks those (SI_KERNEL), and they are not sent twice.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from flyball.edges.cli.errors import CliError

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS = 5.0
_HELD = {*PASSED_ON, signal.SIGCHLD}
_FROM_KERNEL = 0x80
_NOT_FOUND, _NOT_RUNNABLE = 127, 126


class Child:
    """One child; `start` it within `signals_held`."""

    def __init__(self) -> None:
        self._pid = 0
        self._status: int | None = None

    @contextmanager
    def signals_held(self) -> Iterator[None]:
        """Hold the signals that are passed on, for the time of the block."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        # A shell without job control lets its children ignore SIGINT; a signal ignored is never seen held.
        handlers = {number: signal.getsignal(number) for number in PASSED_ON}
        for number in PASSED_ON:
            signal.signal(number, _unused)
        try:
            yield
        finally:
            while signal.sigtimedwait(_HELD, 0) is not None:
                pass  # what came too late for the child is not to kill us while we clear up
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it, in our terminal and with our files.

        Raises:
            CliError: it cannot be run; exit code 127 (not found) or 126, as a shell's.
        """
        try:
            self._pid = os.posix_spawnp(
                command[0], list(command), dict(environment), setsigmask=[], setsigdef=[*_HELD, signal.SIGPIPE]
            )
        except FileNotFoundError as fault:
            raise CliError(f"there is no command {command[0]!r}", exit_code=_NOT_FOUND) from fault
        except OSError as fault:
            raise CliError(f"{command[0]!r} cannot be run: {fault.strerror}", exit_code=_NOT_RUNNABLE) from fault

    def ended(self, within_s: float) -> bool:
        """Wait for its end, at most so long, passing signals on; whether it has ended."""
        deadline = time.monotonic() + within_s
        while self._status is None:
            self._reap()
            left = deadline - time.monotonic()
            if self._status is not None or left <= 0:
                break
            taken = signal.sigtimedwait(_HELD, left)
            if taken is not None and taken.si_signo in PASSED_ON and taken.si_code != _FROM_KERNEL:
                self._send(taken.si_signo)
        return self._status is not None

    def stop(self) -> None:
        """SIGTERM, a moment of grace, SIGKILL."""
        self._send(signal.SIGTERM)
        if not self.ended(GRACE_SECONDS):
            self.kill()

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._pid and self._status is None:
            self._send(signal.SIGKILL)
            _, status = os.waitpid(self._pid, 0)
            self._status = status

    @property
    def exit_code(self) -> int:
        """Its exit code, or 128+n when signal n ended it."""
        if self._status is None:
            return 1
        code = os.waitstatus_to_exitcode(self._status)
        return 128 - code if code < 0 else code

    def _reap(self) -> None:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self._status = status

    def _send(self, number: int) -> None:
        if self._pid and self._status is None:
            os.kill(self._pid, number)


def _unused(_number: int, _frame: object) -> None:
    """Stands in for a handler: the signals are held, and never delivered."""
