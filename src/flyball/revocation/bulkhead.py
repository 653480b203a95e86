"""Each target has threads of its own, and in them the kill lane comes first.

A target that hangs holds its own threads and nobody else's (lease rule 7). Within a target some
threads never take work of the expiry lane, so that a thousand expiries that hang leave room for
the one lease an operator is pulling now.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import IntEnum


class Lane(IntEnum):
    """Which work goes first."""

    KILL = 0  # somebody, or something, wants it gone now
    EXPIRY = 1  # its time is up, or its task ended as it should


class Bulkhead:
    """The threads of one target. `work` is called with a lease's id and must not raise."""

    def __init__(self, target: str, work: Callable[[str], None], *, workers: int = 8, kept_for_kill: int = 3) -> None:
        if not 0 < kept_for_kill < workers:
            raise ValueError("some threads, but not all, are kept for the kill lane")
        self._target = target
        self._work = work
        self._workers = workers
        self._expiry_limit = workers - kept_for_kill
        self._lock = threading.Condition()
        self._queues: dict[Lane, deque[str]] = {Lane.KILL: deque(), Lane.EXPIRY: deque()}
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._expiring = 0
        self._stopped = False

    def put(self, lease: str, lane: Lane) -> None:
        """Queue a lease. One that waits in the expiry lane and is put into the kill lane moves up."""
        with self._lock:
            if self._stopped or lease in self._queues[Lane.KILL]:
                return
            if lease in self._queues[Lane.EXPIRY]:
                if lane is Lane.EXPIRY:
                    return
                self._queues[Lane.EXPIRY].remove(lease)
            self._queues[lane].append(lease)
            # Not "is anybody idle": one that was woken for the last lease still counts as idle.
            waiting = sum(map(len, self._queues.values()))
            if waiting > self._idle and len(self._threads) < self._workers:
                thread = threading.Thread(
                    target=self._run, name=f"flyball-revoke-{self._target}-{len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
            self._lock.notify()

    def depth(self) -> tuple[int, int]:
        """How many wait: (kill lane, expiry lane)."""
        with self._lock:
            return len(self._queues[Lane.KILL]), len(self._queues[Lane.EXPIRY])

    def stop(self, timeout_s: float) -> None:
        """Take nothing more from the queue; wait for what is running, up to `timeout_s` in all."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(timeout_s / max(1, len(threads)))

    def _take(self) -> tuple[str, Lane] | None:
        """The next lease and its lane; None when stopped. Called and left with the lock held."""
        while not self._stopped:
            if self._queues[Lane.KILL]:
                return self._queues[Lane.KILL].popleft(), Lane.KILL
            if self._queues[Lane.EXPIRY] and self._expiring < self._expiry_limit:
                return self._queues[Lane.EXPIRY].popleft(), Lane.EXPIRY
            self._idle += 1
            self._lock.wait()
            self._idle -= 1
        return None

    def _run(self) -> None:
        while True:
            with self._lock:
                taken = self._take()
                if taken is None:
                    return
                lease, lane = taken
                self._expiring += lane is Lane.EXPIRY
            try:
                self._work(lease)
            finally:
                with self._lock:
                    self._expiring -= lane is Lane.EXPIRY
                    self._lock.notify()
