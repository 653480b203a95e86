"""Time in which nobody could have been heard does not count as silence, within a cap."""

from __future__ import annotations

import pytest

from flyball.kernel.clock import FakeClock
from flyball.task.heartbeat import ReceivingClock, heartbeat_deadline


def test_a_process_that_receives_all_the_time_is_never_deaf() -> None:
    """Ticks up to the bound apart give no lenience."""
    clock = FakeClock()
    receiving = ReceivingClock(clock, tick_ms=100, bound_ms=1000)
    for gap in (100, 100, 999, 1000):
        clock.advance(gap)
        assert receiving.tick() == 0
    assert receiving.deaf_ms == 0


def test_a_gap_counts_but_for_the_tick_that_was_due() -> None:
    """Stopped for a minute: 59.9 s were deaf, and the next tick starts anew."""
    clock = FakeClock()
    receiving = ReceivingClock(clock, tick_ms=100, bound_ms=1000)
    clock.advance(60_000)
    assert receiving.tick() == 59_900
    clock.advance(100)
    assert receiving.tick() == 0
    assert receiving.deaf_ms == 59_900


def test_a_step_of_the_wall_clock_is_no_gap() -> None:
    """Only the monotonic clock counts: NTP or an operator can neither give nor take lenience."""
    clock = FakeClock()
    receiving = ReceivingClock(clock)
    clock.step_wall(3_600_000)
    clock.advance(100)
    assert receiving.tick() == 0


@pytest.mark.parametrize(("cap", "expected"), [(None, 59_900), (0, 0), (-5, 0), (10_000, 10_000), (90_000, 59_900)])
def test_lenience_is_capped_by_what_credentials_still_have(cap: int | None, expected: int) -> None:
    """Whoever can stop the process keeps no privilege alive beyond its native expiry."""
    clock = FakeClock()
    receiving = ReceivingClock(clock, cap_ms=lambda: cap)
    clock.advance(60_000)
    assert receiving.tick() == expected
    assert receiving.deaf_ms == expected


def test_bounds_that_make_no_sense_are_refused() -> None:
    """A bound below the tick would call every tick a gap."""
    with pytest.raises(ValueError, match="tick_ms"):
        ReceivingClock(FakeClock(), tick_ms=1000, bound_ms=100)


@pytest.mark.parametrize(
    ("deaf", "hard_end", "native", "deadline"),
    [
        (0, 10_000, 0, 1_500),
        (700, 10_000, 0, 2_200),
        (700, 2_000, 0, 2_000),
        (0, 1_200, 0, 1_200),
        (700, 10_000, 1_800, 1_800),
        (700, 10_000, 1_200, 1_500),
        (-50, 10_000, 0, 1_500),
    ],
)
def test_the_deadline_of_a_heartbeat(deaf: int, hard_end: int, native: int, deadline: int) -> None:
    """Beat plus interval plus deaf time; the lenience ends with the credential, all of it with the hard end."""
    assert heartbeat_deadline(1_000, 500, deaf, hard_end, native) == deadline
