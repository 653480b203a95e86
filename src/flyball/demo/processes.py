"""Ending what the demo started."""

from __future__ import annotations

import subprocess
from typing import AnyStr


def end(process: subprocess.Popen[AnyStr], within_s: float = 5) -> None:
    """Let a process end, and see to it that it has."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
