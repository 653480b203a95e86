"""Time, as a thing that can be handed in.

Deadlines are stored as wall time and run on the monotonic clock, so a step of the wall clock
neither lengthens nor shortens a task.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from. Milliseconds throughout."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch; may step."""
        ...

    def mono_ms(self) -> int:
        """Monotonic milliseconds since an arbitrary start; never steps back."""
        ...


class SystemClock:
    """The machine's clocks. CLOCK_BOOTTIME where there is one, so that sleep counts as time."""

    def wall_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000

    def mono_ms(self) -> int:
        """See `Clock`."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class FakeClock:
    """A clock for tests: stands still until it is moved."""

    def __init__(self, wall_ms: int = 1_800_000_000_000, mono_ms: int = 1_000_000) -> None:
        self._wall = wall_ms
        self._mono = mono_ms

    def wall_ms(self) -> int:
        """See `Clock`."""
        return self._wall

    def mono_ms(self) -> int:
        """See `Clock`."""
        return self._mono

    def advance(self, ms: int) -> None:
        """Let both clocks run on by `ms` (not negative)."""
        if ms < 0:
            raise ValueError("time does not run backwards; use step_wall for a clock step")
        self._wall += ms
        self._mono += ms

    def step_wall(self, ms: int) -> None:
        """Step the wall clock alone, forwards or backwards, as an operator or NTP would."""
        self._wall += ms
