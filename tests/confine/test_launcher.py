"""The launcher of a confined command, told what to do by hand: what it says, and what it runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from tests.confine.kit import WALLS

from flyball.kernel.json import Json

pytestmark = WALLS


def launched(**changed: Json) -> tuple[dict[str, Json], int]:
    """What the launcher says, and the exit code of what it became."""
    spec: dict[str, Json] = {
        "parent": os.getpid(),
        "command": ["/bin/true"],
        "env": {},
        "folder": "/",
        "uid": 65_000,
        "read": ["/usr", "/bin", "/lib", "/lib64"],
        "write": [],
        "ways": [],
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        launcher = [sys.executable, "-m", "flyball.assembly.confined", str(theirs.fileno())]
        with subprocess.Popen(launcher, pass_fds=[theirs.fileno()]) as process:
            theirs.close()
            ours.settimeout(60)
            ours.sendall(json.dumps({**spec, **changed}).encode() + b"\n")
            apart, *_ = socket.recv_fds(ours, 1, 8)
            answer = ours.makefile("r", encoding="utf-8").readline()
        told: dict[str, Json] = json.loads(answer) if answer else {}
        return {"apart": apart.decode(), **told}, process.returncode


def test_the_launcher_says_what_is_missing() -> None:
    """Where there is no other user to become, and where the other user cannot be had, that is said and no more."""
    assert launched() == ({"apart": "1", "missing": []}, 0)
    assert launched(uid=None) == ({"apart": "1", "missing": ["another user: only root can give one"]}, 0)
    assert launched(uid=0) == ({"apart": "1", "missing": ["another user: root is no other user"]}, 0)
    told, code = launched(read=["/no/such/place"])
    assert "/no/such/place" in str(told["missing"])
    assert code == 0


def test_a_launcher_without_who_started_it_runs_nothing() -> None:
    """Its caller has ended before it could ask to end with it: it does not begin."""
    assert launched(parent=1) == ({"apart": ""}, 1)
