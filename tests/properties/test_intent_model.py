"""The decision plane and a small, plain model of the same rules give the same answers, or one has a bug."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from tests.model.engine import Pair, store
from tests.model.focus import focused
from tests.model.generate import families, worlds

#: Cases: about 2,000 in CI, 100,000 with `make nightly`. A family is some tasks, and takes as long as several cases.
CASES = int(os.environ.get("FLYBALL_INTENT_CASES", "2000"))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900 if CASES <= 2000 else 0)]


def walk(pair: Pair, steps: list[dict[str, Any]]) -> None:
    """Every step on both sides, and the same outcome."""
    for place, step in enumerate(steps):
        outcome = pair.do(step)
        if outcome is not None:
            note(f"step {place}: {step} -> {outcome[0]}")
            # A child that is wanted for several wrong reasons is refused for any one of them.
            refused = step["do"] == "child" and "done" not in outcome
            assert refused or outcome[1] == outcome[0], f"step {place}: {step}"


@settings(max_examples=max(1, CASES // 5), deadline=None, suppress_health_check=SLOW, print_blob=True)
@given(world=worlds())
def test_engine_and_model_agree(world: dict[str, Any]) -> None:
    """Effect, reason, reaction, labels and approvals are the same at each step of any trace."""
    walk(Pair(world), [step for step in world["steps"] if step["do"] != "restart"])


@pytest.mark.parametrize("part", range(2))
@settings(max_examples=max(1, CASES // 5), deadline=None, suppress_health_check=SLOW, print_blob=True)
@given(world=focused())
def test_they_agree_on_one_arguments_origins(part: int, world: dict[str, Any]) -> None:
    """The same where everything is about where one argument comes from, so that it often is right."""
    walk(Pair(world), world["steps"])


@settings(max_examples=max(1, CASES // 20), deadline=None, suppress_health_check=SLOW, print_blob=True)
@given(world=families())
def test_they_agree_on_families(world: dict[str, Any]) -> None:
    """Children share budgets, labels, plans and breaches with their parents in the same way."""
    walk(Pair(world), [step for step in world["steps"] if step["do"] != "restart"])


@settings(max_examples=max(1, CASES // 5), deadline=None, suppress_health_check=SLOW, print_blob=True)
@given(world=worlds(), at=st.integers(1, 8))
def test_they_agree_after_a_restart_from_the_records(world: dict[str, Any], at: int) -> None:
    """What is rebuilt from the records in the middle of a trace answers as if nothing had happened."""
    steps = [*world["steps"][:at], {"do": "restart"}, *world["steps"][at:]]
    with store() as path:
        pair = Pair(world, path)
        try:
            walk(pair, steps)
        finally:
            pair.close()
