"""Python's garbage collector around the start of a process."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from flyball.kernel import collector


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    usual = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*usual)


def test_a_start_is_looked_through_seldom_and_what_serves_as_usual() -> None:
    """While a process starts a pass is rare; once it serves what is there is left alone and passes are as they were."""
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    collector.starting()
    assert gc.isenabled()
    assert gc.get_threshold()[0] > 10 * usual[0]
    collector.started()
    assert gc.get_threshold() == usual
    assert gc.get_freeze_count() > frozen


def test_the_end_leaves_what_is_there() -> None:
    """Nothing is left for the interpreter to look through."""
    collector.ending()
    assert gc.get_freeze_count() > len(gc.get_objects())


STARTED = """
import gc, sys
from flyball import __main__ as start
from flyball.edges.cli import main
main.run = lambda: print(gc.get_threshold()[0]) or 7
assert start.main() == 7
print(gc.get_freeze_count() > len(gc.get_objects()))
"""


def test_the_command_starts_and_ends_so() -> None:
    """`flyball` has both, and its exit code is the command's."""
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["50000", "True"]
