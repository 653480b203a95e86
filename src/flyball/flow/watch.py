"""What nobody asks for and must happen: missed heartbeats, ends of time, deviations, sweeps.

Two threads. One waits for the decision plane's events, so that a deviation is acted on within
milliseconds; one ticks, and each tick is a query of what is due, not a timer per thing.
"""

from __future__ import annotations

import threading

import structlog

from flyball.audit.record import Kind, Record
from flyball.credential.lease import LIVE as LIVE_LEASES
from flyball.credential.lease import Lease, LeaseState
from flyball.flow import end, highwater, react
from flyball.flow.gate import heard
from flyball.flow.house import House
from flyball.kernel.errors import Conflict, FlyballError, Gone
from flyball.kernel.json import Json, parse_object
from flyball.policy.engine import CoreError
from flyball.revocation.due import due
from flyball.revocation.loop import Lane
from flyball.task.task import Cause, TaskState

log = structlog.get_logger("flyball.watch")
TICK_S = 0.1


class SteppedBack:
    """Keeps the ends of those leases that a step of the wall clock would lengthen.

    Deadlines are kept as wall time and meant in elapsed time. When the wall clock goes back, the live
    leases' ends are noted on the monotonic clock; leases that are made later have their own wall time.
    A step that was made while this process was down is seen by the mark in the store.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._wall, self._mono = house.clock.wall_ms() + highwater.behind_ms(house), house.clock.mono_ms()
        self._ends: dict[str, int] = {}

    def over(self) -> list[Lease]:
        """Leases that are over though the clock says otherwise. For one thread."""
        house, wall, mono = self._house, self._house.clock.wall_ms(), self._house.clock.mono_ms()
        expected = self._wall + mono - self._mono
        if wall < expected - highwater.SLACK_MS:
            log.warning("the wall clock was stepped back", by_ms=expected - wall)
            for lease in house.leases.select(states=LIVE_LEASES, limit=1_000_000):
                self._ends.setdefault(lease.id, mono + lease.expires_ms - expected)
        self._wall, self._mono = wall, mono
        ended = [lease for lease, end_ms in self._ends.items() if mono >= end_ms]
        for lease_id in ended:
            del self._ends[lease_id]
        return [row for row in map(house.leases.get, ended) if row is not None and row.state in LIVE_LEASES]


class Watch:
    """Runs the two threads until it is stopped."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._stepped_back = SteppedBack(house)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(self.events_once, 0.0), name="flyball-events", daemon=True),
            threading.Thread(target=self._guarded, args=(self.tick, TICK_S), name="flyball-tick", daemon=True),
        ]
        self._next_slow_ms = 0
        self._next_mark_ms = 0
        self._next_sweep_ms = 0
        self._events: list[tuple[int, dict[str, Json]]] = []  # not yet acted upon, and since when

    def start(self) -> None:
        """Start watching."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop watching; both threads have ended when this returns."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=5)

    def _guarded(self, step: object, pause_s: float) -> None:
        assert callable(step)
        while not self._stop.is_set():
            try:
                step()
            except Exception as fault:  # noqa: BLE001 - the watch outlives any one failure, and says so
                self._house.faults.add("watch")
                log.error("the watch failed and goes on", error=type(fault).__name__, code=getattr(fault, "code", ""))
                self._stop.wait(0.2)
            if pause_s:
                self._stop.wait(pause_s)

    def events_once(self) -> None:
        """Wait shortly for events of the decision plane, and act on each; one that cannot be acted on now is kept."""
        for raw in self._house.core.drain_events(256, 200):
            self._events.append((self._house.clock.mono_ms(), parse_object(raw)))
        waiting, self._events = self._events, []
        failed: Exception | None = None
        for since, event in waiting:
            try:
                if not react.on_event(self._house, event, waited_ms=self._house.clock.mono_ms() - since):
                    self._events.append((since, event))
            except (Conflict, Gone):
                continue  # the task has moved on meanwhile: what came first stands
            except Exception as fault:  # noqa: BLE001 - no task's trouble may cost another its reaction
                self._events.append((since, event))
                failed = fault
        if failed is not None:
            raise failed

    def tick(self) -> None:
        """One look at everything that may be due."""
        house = self._house
        heard(house)
        self._due()
        now = house.clock.mono_ms()
        if now >= self._next_slow_ms:
            self._next_slow_ms = now + 1000
            self._slow()
        if now >= self._next_mark_ms:
            self._next_mark_ms = now + highwater.EVERY_MS
            highwater.mark(house)
        if now >= self._next_sweep_ms:
            self._next_sweep_ms = now + house.settings.sweep_ms
            threading.Thread(target=self._sweep, name="flyball-sweep", daemon=True).start()

    def _due(self) -> None:
        house = self._house
        now = house.clock.wall_ms()
        ripe = due(house.leases, house.core, now)
        for task_id, cause in ripe.tasks:
            task = house.tasks.get(task_id)
            if task is not None:
                end.finish(house, [task], cause, by="flyball")
        early = [(lease, lease.cause or Cause.EXPIRED.value) for lease in self._stepped_back.over()]
        for lease, why in (*early, *ripe.leases):
            if not house.issuing.holds(lease.id):
                house.revoker.submit(lease, why, Lane.EXPIRY)
        for lease in house.leases.select(states=frozenset({LeaseState.INTENT, LeaseState.ACTIVE})):
            if now - lease.created_ms > house.settings.undelivered_ms and not house.issuing.holds(lease.id):
                house.revoker.submit(lease, Cause.UNDELIVERED.value, Lane.KILL)

    def _slow(self) -> None:
        house = self._house
        house.signer.maintain()
        for task in house.tasks.select(states=frozenset({TaskState.FENCED})):
            end.take_back_all(house, task.id, task.cause or Cause.RECOVERED.value, Lane.KILL)
            end.close(house, task.id)
        counts = house.faults.take()
        if counts:
            unit = house.store.unit()
            for reason, count in sorted(counts.items()):
                unit.record(Record(Kind.GAP, house.clock.wall_ms(), None, {"reason": reason, "count": count}))
            try:
                unit.commit()
            except FlyballError:
                for reason in counts:
                    house.faults.add(reason)

    def _sweep(self) -> None:
        try:
            self._house.sweeper.sweep()
        except (FlyballError, CoreError) as fault:
            log.warning("a sweep failed and comes again", error=str(fault))
