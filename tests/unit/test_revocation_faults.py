"""Fault points: all named, none by accident, none in production."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flyball.kernel import faults
from flyball.kernel.errors import ConfigError

SOURCE = Path(faults.__file__).parents[1]


def test_every_point_in_the_code_is_in_the_list_the_chaos_tests_walk() -> None:
    """A step that is added without being named would never be killed at, nor one whose point was lost."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        found |= set(re.findall(r'\bfault_point\(\s*"([a-z_.]+)"', path.read_text(encoding="utf-8")))
    named = set(faults.ISSUE_POINTS) | set(faults.REVOKE_POINTS) | set(faults.FLOW_POINTS)
    assert found == named, found ^ named


def test_production_refuses_to_be_armed() -> None:
    """The environment variable beside a production configuration is a refusal to start, not a warning."""
    env = {"FLYBALL_FAULTS": "revoke.after_step:kill"}
    with pytest.raises(ConfigError, match="production"):
        faults.arm_from_env(production=True, environ=env)
    assert not faults.arm_from_env(production=True, environ={})


@pytest.mark.parametrize("plan", ["x", "x:explode", ":kill", "x:kill:many", "x:kill:-1"])
def test_a_malformed_plan_is_refused(plan: str) -> None:
    """A mistyped plan would otherwise test nothing."""
    with pytest.raises(ConfigError):
        faults.arm_from_env(production=False, environ={"FLYBALL_FAULTS": plan})


def test_nothing_happens_unarmed_and_the_nth_passing_is_meant_exactly() -> None:
    """Unarmed it is nothing; armed, the action comes at the passing that was named and at no other."""
    faults.fault_point("anything")
    with faults.armed("here:raise:3") as passed:
        for _ in range(2):
            faults.fault_point("here")
        with pytest.raises(faults.FaultInjected):
            faults.fault_point("here")
        faults.fault_point("here")
        assert passed["here"] == 4
    faults.fault_point("here")
