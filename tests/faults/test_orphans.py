"""kill -9 while issuing, again and again: CI's share of what `make chaos` does 300 times."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.families.orphans import Outcome, flyball_trials

TRIALS = 30


@pytest.mark.heavy
@pytest.mark.chaos
def test_a_kill_while_issuing_leaves_no_role_that_nobody_takes_back(tmp_path: Path) -> None:
    """Killed whenever: after the next start every role at the database is a lease that will be taken back."""
    outcome = flyball_trials(tmp_path / "orphans", TRIALS, Outcome())
    assert outcome.names == []
    assert len(outcome.orphans) == TRIALS
    assert outcome.roles > 0, "no kill met a role: the trials prove nothing"
