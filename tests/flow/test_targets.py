"""Targets as operators see them, and the rotation of Flyball's own login."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.flow.kit import Live

from flyball.credential.guarded import Guarded
from flyball.flow import operate, targets
from flyball.flow.asks import RecordFilter
from flyball.kernel.errors import Conflict, NotFound, Unavailable
from flyball.kernel.json import Json


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
