"""One step of a confinement, taken by a process of its own that tells what it could still do."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from flyball.kernel.json import Json

WITHIN = """
import ctypes, errno, json, os, signal, socket, sys
from flyball.policy import engine
told = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def tried(what):
    try:
        what()
    except OSError as fault:
        return errno.errorcode[fault.errno]
    return "ok"
def system_call(number, *arguments):
    ctypes.set_errno(0)
    return "ok" if libc.syscall(number, *arguments) >= 0 else errno.errorcode[ctypes.get_errno()]
found = {}
"""

WALLS = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a plain user is refused much of it without any wall"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="names system calls by their numbers on x86-64"),
]


def within(script: str, **told: Json) -> dict[str, Json]:
    """What a process of its own found."""
    done = subprocess.run(
        [sys.executable, "-c", f"{WITHIN}{script}\nprint(json.dumps(found))", json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Json] = json.loads(done.stdout)
    return found
