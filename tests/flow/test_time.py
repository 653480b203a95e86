"""Silence, ends of time, and time in which Flyball itself could not hear."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.flow.kit import INPUTS, Live, Place, profile, revoke
from tests.wait import until

from flyball.credential.lease import LeaseState
from flyball.flow import gate, highwater, request
from flyball.flow.asks import OpenAsk, Proof
from flyball.flow.watch import Watch
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import Gone, Unauthenticated

VERIFIED = LeaseState.VERIFIED


@pytest.fixture
def brief(tmp_path: Path) -> Place:
    """A place with a profile whose heartbeat is due every half second, and one that lives a second and a half."""
    return Place(
        tmp_path, profile("silent", heartbeat="500ms"), profile("short", ttl="1500ms", heartbeat="1s", lease_ttl="1s")
    )


def wait_ms(live: Live, ms: int) -> None:
    """Until so much time has run on the clock that deadlines run on."""
    end = live.house.clock.mono_ms() + ms
    until(lambda: live.house.clock.mono_ms() >= end)


def test_silence_ends_the_task_and_takes_all_back(brief: Place) -> None:
    """Nobody beats: fenced for the missed heartbeat within a moment of the deadline, roles gone, receipts there."""
    with brief.house() as live:
        live.watch()
        agent, heard = live.agent().open("silent"), live.agent().open()
        held = agent.credential()
        kept = heard.credential()
        until(lambda: live.state(agent.task) == "closed", 5)
        row = live.task(agent.task)
        assert row.cause == "heartbeat_missed"
        assert live.house.leases.get(held.lease).state is VERIFIED  # type: ignore[union-attr]
        assert live.roles() == {live.house.leases.get(kept.lease).name}  # type: ignore[union-attr]
        assert heard.read().effect == "allow"
        with pytest.raises(Gone):
            agent.beat()


def test_heartbeats_keep_it(brief: Place) -> None:
    """Heard in time, over several intervals, it goes on."""
    with brief.house() as live:
        live.watch()
        agent = live.agent().open("silent")
        end = live.house.clock.mono_ms() + 1500
        while live.house.clock.mono_ms() < end:
            assert agent.beat().next_ms <= 500
            wait_ms(live, 150)
        assert agent.read().effect == "allow"
        assert live.state(agent.task) == "open"


def test_the_plane_refuses_a_silent_task_before_anybody_has_fenced_it(brief: Place) -> None:
    """Nobody watches: past its deadline it is allowed nothing all the same."""
    with brief.house() as live:
        agent = live.agent().open("silent")
        wait_ms(live, 600)
        assert agent.read().reasons == ("heartbeat_missed",)
        assert live.state(agent.task) == "open"


def test_time_in_which_nobody_could_be_heard_does_not_count(brief: Place) -> None:
    """Stopped for longer than the heartbeat: the task goes on, and falls silent an interval later if it stays so."""
    with brief.house() as live:
        agent = live.agent().open("silent")
        wait_ms(live, 1500)
        live.watch()
        until(lambda: live.house.receiving.deaf_ms > 1000)
        assert live.house.core.due() == []
        assert agent.read().effect == "allow"
        assert agent.beat().state == "open"
        until(lambda: live.state(agent.task) == "closed", 5)


def test_the_first_heartbeat_after_a_stop_is_not_too_late(brief: Place) -> None:
    """It may be here before the watch has looked: it counts, since nobody could have heard an earlier one."""
    with brief.house() as live:
        agent = live.agent().open("silent")
        wait_ms(live, 1500)
        assert agent.beat().state == "open"
        assert agent.read().effect == "allow"


def test_no_stop_is_worth_more_than_what_the_target_gives(tmp_path: Path) -> None:
    """A stop that outlasts the credential's own expiry counts as silence: nobody keeps privilege by stopping us."""
    place = Place(tmp_path, profile("silent", heartbeat="500ms", lease_ttl="1s"))
    with place.house() as live:
        agent = live.agent().open("silent")
        agent.credential()
        wait_ms(live, 1700)
        gate.heard(live.house)
        assert live.house.receiving.deaf_ms == 0
        assert live.house.core.due() == [(agent.task, "heartbeat_missed")]
        with pytest.raises(Gone):
            agent.beat()


def test_no_stop_moves_a_hard_end(brief: Place) -> None:
    """A task's end stands, deaf or not, and heartbeats do not move it either."""
    with brief.house() as live:
        agent = live.agent().open("short")
        agent.beat()
        wait_ms(live, 1600)
        gate.heard(live.house)
        assert live.house.core.due() == [(agent.task, "hard_end")]
        with pytest.raises((Gone, Unauthenticated)):
            agent.beat()


def test_the_end_of_its_time_ends_the_task(brief: Place) -> None:
    """However alive: at its hard end it is fenced, and nothing of it stands."""
    with brief.house() as live:
        live.watch()
        agent = live.agent().open("short")
        agent.credential()
        while live.state(agent.task) == "open":
            try:
                agent.beat()
            except (Gone, Unauthenticated):
                break
        until(lambda: live.state(agent.task) == "closed", 5)
        assert live.task(agent.task).cause == "expired"
        assert not live.roles()


def test_a_clock_that_stepped_back_keeps_nothing_alive(place: Place) -> None:
    """A second back is no trouble. An hour back: proofs are refused as older than our memory of them, checks and
    revocations go on by the monotonic clock, and what an operator takes back is gone."""
    clock = FakeClock(time.time_ns() // 10**6)
    with place.house(clock=clock) as live:
        agent = live.agent().open()
        held = agent.credential()
        clock.step_wall(-1000)
        assert agent.beat().state == "open"
        assert agent.credential("parcels").expires_ms <= held.expires_ms
        clock.step_wall(-3_600_000)
        with pytest.raises(Unauthenticated) as found:
            agent.beat()
        assert found.value.code == "dpop_before_start"
        assert agent.read().effect == "allow"
        assert {one["outcome"] for one in revoke(live, agent.task).receipts} == {"verified"}
        assert not live.roles() | live.roles("parcels")
        assert agent.read().effect == "deny"


def test_a_clock_that_stepped_back_lengthens_no_lease(place: Place) -> None:
    """An hour back, a minute on: a lease of a minute is over; one that was made after the step is not."""
    clock = FakeClock(time.time_ns() // 10**6)
    with place.house(clock=clock) as live:
        watch = Watch(live.house)
        proof = replace(live.agent().proof(), peer_uid=1000, dpop=())  # bound to a user: no proof's age matters
        opened = request.open_task(live.house, proof, OpenAsk("plain", INPUTS))
        shown = Proof(f"Bearer {opened.token.reveal()}", (), "POST", "http://x/", 1000)
        old = request.credential(live.house, shown, opened.task, "orders")
        request.delivered(live.house, shown, old.lease)
        clock.step_wall(-3_600_000)
        watch.tick()
        assert live.house.leases.get(old.lease).state is LeaseState.DELIVERED  # type: ignore[union-attr]
        clock.advance(59_000)
        watch.tick()
        assert live.house.leases.get(old.lease).state is LeaseState.DELIVERED  # type: ignore[union-attr]
        young = request.credential(live.house, shown, opened.task, "parcels")
        request.delivered(live.house, shown, young.lease)
        clock.advance(2000)
        watch.tick()
        assert live.house.leases.get(young.lease).state is LeaseState.DELIVERED  # type: ignore[union-attr]
        until(lambda: live.house.leases.get(old.lease).state is VERIFIED)  # type: ignore[union-attr]
        assert live.house.leases.get(old.lease).cause == "expired"  # type: ignore[union-attr]
        assert live.state(opened.task) == "open"


def test_a_clock_that_stepped_back_while_we_were_down_lengthens_nothing(place: Place) -> None:
    """Ten minutes back over a restart: the task ends when it was meant to, and so does its lease."""
    clock = FakeClock(time.time_ns() // 10**6)
    with place.house(clock=clock) as live:
        Watch(live.house).tick()
        agent = live.agent().open()
        held = agent.credential()
        ends_in = json.loads(live.house.core.state_json(agent.task) or b"{}")["ends_in_ms"]
    clock.step_wall(-600_000)
    with place.house(clock=clock) as live:
        left = json.loads(live.house.core.state_json(agent.task) or b"{}")["ends_in_ms"]
        # The decision plane reads the machine's own clock, which this test cannot step: there the step is taken off.
        assert left <= ends_in - 600_000 + 2_000
        assert live.house.faults.take() == {"clock_stepped_back": 1}
        watch = Watch(live.house)
        watch.tick()
        assert live.house.leases.get(held.lease).state is LeaseState.DELIVERED  # type: ignore[union-attr]
        clock.advance(61_000)
        watch.tick()
        until(lambda: live.house.leases.get(held.lease).state is VERIFIED)  # type: ignore[union-attr]
        assert live.house.leases.get(held.lease).cause == "expired"  # type: ignore[union-attr]


def test_the_mark_only_grows(place: Place) -> None:
    """A clock that runs is marked; one that was stepped back writes no lower mark."""
    clock = FakeClock(time.time_ns() // 10**6)
    with place.house(clock=clock) as live:
        clock.advance(40_000)
        highwater.mark(live.house)
        assert highwater.behind_ms(live.house) == 0
        clock.step_wall(-20_000)
        highwater.mark(live.house)
        assert highwater.behind_ms(live.house) == 20_000
        clock.step_wall(19_500)
        assert highwater.behind_ms(live.house) == 0
