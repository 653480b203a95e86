"""Targets as operators see them, and the rotation of Flyball's own login."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.flow.kit import ISSUER, Live, Place
from tests.wait import until

from flyball.connectors.memory.backend import Role
from flyball.credential.backend import HELD, Claim
from flyball.credential.guarded import Guarded
from flyball.flow import operate, targets
from flyball.flow.asks import RecordFilter
from flyball.kernel.errors import Conflict, FlyballError, InvalidInput, NotFound, Unavailable
from flyball.kernel.ids import lease_id
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret


@pytest.fixture(autouse=True)
def _no_fault_left(live: Live) -> Iterator[None]:
    yield
    live.target().faults._armed.clear()


def rotations(live: Live, since_ms: int) -> list[dict[str, Json]]:
    wanted = RecordFilter(frozenset({"target_rotation"}), None, since_ms, 100)
    return operate.records(live.house, wanted)


def one(live: Live, name: str = "orders") -> dict[str, Json]:
    return next(found for found in targets.listed(live.house) if found["target"] == name)


def test_a_rotation_is_recorded_before_and_after(live: Live) -> None:
    """The secret is another one; two records say who and why; list and status say when; leases are not touched."""
    since = live.house.clock.wall_ms()
    agent = live.agent().open()
    agent.credential()
    before = live.target().world.admin
    found = targets.rotate(live.house, "orders", by="op", reason="monthly")
    assert live.target().world.admin != before
    told = [(one["change"], one["by"], one["reason"]) for one in rotations(live, since)]
    assert told == [("begun", "op", "monthly"), ("rotated", "op", "monthly")]
    assert found["rotated_by"] == "op"
    assert one(live)["rotated_ms"] == found["rotated_ms"]
    shown = operate.status(live.house)["targets"]
    assert isinstance(shown, dict)
    assert isinstance(shown["orders"], dict)
    assert shown["orders"]["rotated_ms"] == found["rotated_ms"]
    assert [str(state) for state in live.lease_states(agent.task)] == ["delivered"]
    agent.end()


def test_an_unknown_target_is_not_found(live: Live) -> None:
    """And the hint names those that there are; nothing is recorded."""
    since = live.house.clock.wall_ms()
    with pytest.raises(NotFound) as caught:
        targets.rotate(live.house, "nowhere", by="op")
    assert "orders" in caught.value.hint
    assert rotations(live, since) == []


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("fail", Unavailable, "target_unavailable"),
        ("lost", Unavailable, "target_unavailable"),
        ("odd", Unavailable, "target_unavailable"),
        ("refuse", Conflict, "target_refused"),
    ],
)
def test_a_rotation_that_failed_says_so(live: Live, fault: str, kind: type[Exception], code: str) -> None:
    """Down, answer lost, odd, or rejected: an error with the target's name, recorded as failed, and no date is told."""
    since = live.house.clock.wall_ms()
    known = one(live)["rotated_ms"]
    live.target().faults.arm("rotate", fault)
    with pytest.raises(kind) as caught:
        targets.rotate(live.house, "orders", by="op")
    assert "target 'orders'" in str(caught.value)
    assert "a-secret" not in str(caught.value)
    assert [(one["change"], one.get("code")) for one in rotations(live, since)] == [("begun", None), ("failed", code)]
    assert one(live)["rotated_ms"] == known


def test_a_kind_without_a_login_of_ours_is_a_conflict(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not supported is told apart from failed, and nothing is recorded."""
    since = live.house.clock.wall_ms()
    monkeypatch.setattr(Guarded, "rotates", property(lambda _: False))
    assert one(live)["rotates"] is False
    with pytest.raises(Conflict) as caught:
        targets.rotate(live.house, "orders", by="op")
    assert caught.value.code == "rotation_unsupported"
    assert rotations(live, since) == []


def test_a_target_that_is_down_is_listed_as_such(live: Live) -> None:
    """With the reason; the others are listed beside it."""
    live.target().faults.arm("inspect", "fail")
    found = {str(one["target"]): one for one in targets.listed(live.house)}
    assert found["orders"]["reachable"] is False
    assert found["orders"]["detail"]
    assert found["parcels"]["reachable"] is True


LOST = "0" * 11 + "c"


def leave(live: Live, store: str) -> str:
    """Something of a store's at the target, made a minute ago; its name."""
    now = live.house.clock.wall_ms()
    lease = lease_id("local", now)
    role = Role(ISSUER, lease, Secret("x"), now + 300_000, now - 120_000, sessions=1, store=store)
    live.target().world.roles[lease] = role
    return lease


def test_an_orderly_stop_lets_the_targets_go(place: Place) -> None:
    """Whoever comes next need not wait for the end of the process."""
    for _ in range(2):
        with place.house() as live:
            live.agent().open().credential()
            assert live.target().world.holders


def test_what_a_lost_store_left_is_taken_back_with_a_record(place: Place) -> None:
    """That store's alone; the record stands before anything is touched, and says who, why and what."""
    with place.house() as live:
        assert operate.status(live.house)["ok"] is True
        lost, kept = leave(live, LOST), leave(live, LOST[:-1] + "d")
        live.house.sweeper.sweep()
        assert set(live.target().world.roles) == {lost, kept}
        shown = one(live)
        assert shown["foreign"] == {LOST: 1, LOST[:-1] + "d": 1}
        assert operate.status(live.house)["ok"] is False
        told = targets.adopt(live.house, "orders", LOST, by="op", reason="a dead disk")
        assert (told["names"], told["count"]) == ([lost], 1)
        until(lambda: set(live.target().world.roles) == {kept})
        (found,) = operate.records(live.house, RecordFilter(frozenset({"target_adopted"}), None, 0, 10))
        (orphan,) = operate.records(live.house, RecordFilter(frozenset({"orphan"}), None, 0, 10))
        assert (found["by"], found["reason"], found["names"], found["store"]) == ("op", "a dead disk", [lost], LOST)
        assert int(str(found["seq"])) < int(str(orphan["seq"]))
        assert orphan["store"] == LOST


def test_an_adoption_that_is_none(place: Place) -> None:
    """An unknown target, our own store, a store of which nothing is there: refused, without a record."""
    with place.house() as live:
        own = leave(live, live.house.claims.claim.store)
        wrong: list[tuple[str, str, type[FlyballError], str]] = [
            ("nowhere", LOST, NotFound, "target_unknown"),
            ("orders", live.house.claims.claim.store, InvalidInput, "store_own"),
            ("orders", LOST, NotFound, "store_unknown"),
        ]
        for name, store, kind, code in wrong:
            with pytest.raises(kind) as caught:
                targets.adopt(live.house, name, store, by="op")
            assert caught.value.code == code
        assert own in live.target().world.roles
        assert operate.records(live.house, RecordFilter(frozenset({"target_adopted"}), None, 0, 10)) == []


def test_where_another_flyball_works_nothing_is_issued_or_adopted(place: Place) -> None:
    """Refused with what to do, before an intent stands; the operator sees it; what is ours is taken back."""
    with place.house() as live:
        agent = live.agent().open()
        agent.credential()
        leave(live, LOST)
        world = live.target().world
        live.house.claims.let_go()
        world.holders[ISSUER] = (Claim(ISSUER, LOST, "another"), 1)
        before = len(live.house.leases.select(limit=100))
        with pytest.raises(Unavailable) as caught:
            live.agent().open().credential()
        assert caught.value.code == HELD
        assert len(live.house.leases.select(limit=100)) == before
        with pytest.raises(Unavailable) as caught:
            targets.adopt(live.house, "orders", LOST, by="op")
        assert caught.value.code == HELD
        assert "another Flyball" in str(one(live)["refused"])
        assert one(live)["reachable"] is True
        assert operate.status(live.house)["ok"] is False
        agent.end()
        until(lambda: len(world.roles) == 1)
        world.holders.clear()
        live.agent().open().credential()
        assert one(live)["refused"] == ""
