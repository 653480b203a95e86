"""A lease moves only along its arrows, whatever is asked of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flyball.credential.lease import ARROWS, LIVE, Delivery, Lease, LeaseState
from flyball.credential.transition import transition
from flyball.kernel.errors import Conflict

LEASE = Lease(
    id="lea_local_" + "0" * 26,
    task="tsk_local_" + "0" * 26,
    agent="a",
    owner="o",
    target="t",
    kind="memory",
    access="w",
    credential="c",
    name="n",
    state=LeaseState.INTENT,
    delivery=Delivery.RELEASED,
    created_ms=1,
    expires_ms=1_000_000,
    epoch=1,
    recipe={},
)
# Spelled out here again, so that a change of the table is a change of two places.
ALLOWED = {
    ("intent", "active"),
    ("intent", "revoking"),
    ("active", "delivered"),
    ("active", "revoking"),
    ("delivered", "revoking"),
    ("revoking", "verified"),
    ("revoking", "quarantined"),
    ("quarantined", "revoking"),
}


@given(st.sampled_from(LeaseState), st.sampled_from(LeaseState))
def test_only_the_arrows(before: LeaseState, after: LeaseState) -> None:
    """Each pair of states: allowed exactly where the module's text draws an arrow."""
    lease = replace(LEASE, state=before)
    if (before.value, after.value) in ALLOWED:
        assert transition(lease, after).state is after
    else:
        with pytest.raises(Conflict):
            transition(lease, after)


def test_the_table_covers_every_state() -> None:
    """No state without arrows declared, and none that leads nowhere but VERIFIED."""
    assert set(ARROWS) == set(LeaseState)
    assert {state for state, to in ARROWS.items() if not to} == {LeaseState.VERIFIED}


class LeaseLife(RuleBasedStateMachine):
    """Any sequence of requests."""

    def __init__(self) -> None:
        super().__init__()
        self.lease = LEASE
        self.left_live = False
        self.first_cause = ""

    @rule(
        to=st.sampled_from(LeaseState),
        cause=st.sampled_from(["", "ended", "revoked", "expired"]),
        expires=st.none() | st.integers(0, 2_000_000),
    )
    def ask(self, to: LeaseState, cause: str, expires: int | None) -> None:
        before = self.lease
        try:
            after = transition(before, to, cause=cause, expires_ms=expires)
        except Conflict:
            return
        assert after.expires_ms <= before.expires_ms, "an expiry never moves away"
        assert after.cause == (before.cause or cause), "the first cause stays"
        assert replace(after, state=before.state, cause=before.cause, expires_ms=before.expires_ms) == before
        self.lease = after
        self.left_live = self.left_live or after.state not in LIVE

    @invariant()
    def nothing_comes_back(self) -> None:
        if self.left_live:
            assert self.lease.state not in LIVE


TestLeaseLife = LeaseLife.TestCase
