"""The highest wall time ever seen, kept in the store.

Deadlines are stored as wall time. A clock that was stepped back while this process was down would
lengthen all of them by the step; the mark shows the step, and it is taken off again.
"""

from __future__ import annotations

from flyball.flow.house import House

EVERY_MS = 30_000
"""How often the mark is written: a step back by less than this, while down, may go unseen."""
SLACK_MS = 1_000
"""Below this it is the clock being slewed, not stepped."""


def mark(house: House) -> None:
    """Write the time down, where it is the highest yet.

    Raises:
        Unavailable: the store cannot make it durable.
    """
    now = house.clock.wall_ms()
    if now > _written(house):
        unit = house.store.unit()
        unit.save_row("clock", "high_water", {"at_ms": now})
        unit.commit()


def behind_ms(house: House) -> int:
    """By how much the wall clock stands before the highest time ever seen; 0 where it does not."""
    newest = (stored.at_ms for stored in house.log.select(limit=100))
    step = max(_written(house), *newest, 0) - house.clock.wall_ms()
    return step if step > SLACK_MS else 0


def _written(house: House) -> int:
    row = house.store.row("clock", "high_water")
    at = row.get("at_ms") if row is not None else None
    return at if isinstance(at, int) else 0
