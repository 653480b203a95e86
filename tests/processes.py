"""Which processes are there."""

from __future__ import annotations

import subprocess


def runs(pattern: str) -> bool:
    """Whether one with such a command line (a regular expression) does."""
    return subprocess.run(["pgrep", "-f", pattern], stdout=subprocess.DEVNULL, check=False).returncode == 0


def children(pid: int) -> list[str]:
    """The ids of a process's own."""
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
