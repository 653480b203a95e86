"""Heartbeat time, which does not run while nobody could have been heard.

A task whose heartbeat is missed loses its privilege. That is only fair while a heartbeat could
have arrived: time in which this process was stopped, starved or suspended is *deaf* time and
moves the heartbeat deadlines on. It never moves a hard end, and it is capped, so that an attacker
who can stop the process does not keep a privilege alive by it: what a credential's own expiry at
the target has ended needs no lenience.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from flyball.kernel.clock import Clock


class ReceivingClock:
    """Notices the time in which this process could not receive.

    Call `tick` at least every `tick_ms` from a thread that runs when the receivers can. A gap of
    more than `bound_ms` between two ticks is deaf time, all but the one tick that was due.

    Args:
        clock: its monotonic time must count a suspended machine's sleep (CLOCK_BOOTTIME does).
        tick_ms: how often `tick` is meant to be called.
        bound_ms: the longest gap that still counts as hearing.
        cap_ms: the most deaf time that one gap may be worth: the longest time that any live
            credential still has by its target's own expiry. None in its answer, or no callable: uncapped.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        tick_ms: int = 100,
        bound_ms: int = 1000,
        cap_ms: Callable[[], int | None] | None = None,
    ) -> None:
        if not 0 < tick_ms <= bound_ms:
            raise ValueError("tick_ms must be above 0 and no more than bound_ms")
        self._clock = clock
        self._tick_ms = tick_ms
        self._bound_ms = bound_ms
        self._cap_ms = cap_ms
        self._lock = threading.Lock()
        self._last = clock.mono_ms()
        self._deaf = 0

    def tick(self) -> int:
        """Note that this process can receive now; the deaf milliseconds since the tick before, mostly 0.

        Hand a result above 0 to the decision plane (`Core.deaf`) before asking it what is due.
        """
        with self._lock:
            now = self._clock.mono_ms()
            gap = now - self._last
            self._last = now
            if gap <= self._bound_ms:
                return 0
            deaf = gap - self._tick_ms
            cap = self._cap_ms() if self._cap_ms is not None else None
            if cap is not None:
                deaf = min(deaf, max(0, cap))
            self._deaf += deaf
            return deaf

    @property
    def deaf_ms(self) -> int:
        """All deaf time so far, as it was counted."""
        with self._lock:
            return self._deaf


def heartbeat_deadline(
    beat_ms: int, heartbeat_ms: int, deaf_ms: int, hard_end_ms: int, native_expiry_ms: int = 0
) -> int:
    """When a task counts as silent, in the unit and on the clock of `beat_ms`.

    Deaf time is added, but not past the native expiry of the task's credential (0: it has none),
    and nothing goes past the hard end.
    """
    plain = beat_ms + heartbeat_ms
    lenient = plain + max(0, deaf_ms)
    if native_expiry_ms:
        lenient = max(plain, min(lenient, native_expiry_ms))
    return min(lenient, hard_end_ms)
