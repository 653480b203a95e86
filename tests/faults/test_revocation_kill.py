"""kill -9 at every named step of issue and revoke, and at random passings of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults import workload

from flyball.kernel.faults import ISSUE_POINTS, REVOKE_POINTS

POINTS = (*ISSUE_POINTS, *(point for point in REVOKE_POINTS if not point.startswith("journal.")))


def run(directory: Path, faults: str, *, seed: int = 0, count: int = 4) -> int:
    env = {**os.environ, "FLYBALL_FAULTS": faults, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "tests.faults.workload", str(directory), str(seed), str(count)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


@pytest.mark.chaos
@pytest.mark.parametrize("point", POINTS)
def test_kill_at_each_step(tmp_path: Path, point: str) -> None:
    """Killed at any step: after recovery nothing stands at the target without a live lease, and no lease is INTENT."""
    assert run(tmp_path, f"{point}:kill:2") == -9
    assert workload.check(tmp_path)


@pytest.mark.chaos
def test_killed_again_while_recovering(tmp_path: Path) -> None:
    """A crash in the middle of recovering from a crash loses nothing either."""
    assert run(tmp_path, "revoke.after_revoking:kill:2") == -9
    for point in ("revoke.before_step", "revoke.after_target", "revoke.after_probe", "revoke.before_receipt"):
        assert run(tmp_path, f"{point}:kill", count=0) == -9
    workload.check(tmp_path)


@pytest.mark.chaos
@pytest.mark.heavy
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(point=st.sampled_from(POINTS), nth=st.integers(1, 12), seed=st.integers(0, 999))
def test_any_sequence_with_crashes_leaves_the_tables_a_fold_of_the_records(
    tmp_path_factory: pytest.TempPathFactory, point: str, nth: int, seed: int
) -> None:
    """Crashed at any passing of any point, twice over: tables equal the fold of the records, the chain verifies."""
    directory = tmp_path_factory.mktemp("crash")
    run(directory, f"{point}:kill:{nth}", seed=seed, count=5)
    run(directory, f"{point}:kill:{1 + nth // 3}", seed=seed + 1, count=3)
    workload.check(directory)
