"""The next password of our own role, from when it is written until it is known to work or not.

Asked of the primary only: a standby may not have replayed the change.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flyball.connectors.postgresql.config import Door, Login
from flyball.connectors.postgresql.faults import unavailable
from flyball.connectors.postgresql.wire import AUTHENTICATION, Wire, WireError
from flyball.plugin.v1 import Secret


@contextmanager
def alone(login: Login, *, wait: bool) -> Iterator[bool]:
    """Hold the password file for oneself, across threads and processes; False where somebody else has it."""
    folder = os.open(login.password_file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(folder)


def settle(login: Login, door: Door, timeout_s: float) -> bool:
    """Clear up after a rotation that a crash cut short: promote what works, discard what does not.

    To be called `alone`: what is being rotated right now is not to be cleared up. True if the candidate was promoted.

    Raises:
        TargetUnavailable: neither password logs in now; both are kept.
    """
    candidate = login.candidate
    if not candidate.exists():
        return False
    if works(login.user, Login(login.user, candidate).password(), door, timeout_s):
        promote(login)
        return True
    if works(login.user, login.password(), door, timeout_s):
        candidate.unlink()
        return False
    raise unavailable(door.name, "neither the old nor the new password of our own role logs in")


def promote(login: Login) -> None:
    """Put the candidate in the old password's place, durably."""
    login.candidate.replace(login.password_file)
    folder = os.open(login.password_file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def works(user: str, password: Secret, door: Door, timeout_s: float) -> bool:
    """Whether a password logs in at a door.

    Raises:
        TargetUnavailable: the door did not say.
    """
    try:
        with Wire(door, timeout_s) as wire:
            refusal = wire.login(user, password, door.database)
    except WireError as error:
        raise unavailable(door.name, str(error)) from None
    if refusal is not None and refusal.sqlstate not in AUTHENTICATION:
        raise unavailable(door.name, f"SQLSTATE {refusal.sqlstate}")  # "too many connections", say: no answer at all
    return refusal is None
