"""Ending every session of a role at one server, those that hide included.

A session is found by the OID it authenticated as, which neither SET ROLE nor DROP ROLE changes (P2).

A backend can be past authentication and not show an OID yet, and a client can stretch that time
(P5): on PostgreSQL 15 to 17 it is then in pg_locks and not in pg_stat_activity, from 18 on it is
there as `starting` without an OID. Such backends that were there after NOLOGIN was committed are
watched until they show their OID or end. Those that still hide when the watch is over are told to
end. The server refuses that for a backend that has authenticated as nobody yet, and NOLOGIN will
refuse its login (P4), so such a refusal settles it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from flyball.connectors.postgresql.config import Door, Limits
from flyball.connectors.postgresql.faults import unavailable
from flyball.connectors.postgresql.pool import Bounded
from flyball.plugin.v1 import Json

_VISIBLE = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE usesysid = %(oid)s::oid AND pid <> pg_backend_pid()
"""
# Of no role that exists any more: nobody's, so anybody's who was revoked and whose OID is not known.
_DANGLING = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity a
 WHERE usesysid IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pg_roles r WHERE r.oid = a.usesysid)
"""
_HIDDEN = """
SELECT l.pid FROM pg_locks l
 WHERE l.locktype = 'virtualxid' AND l.pid IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.pid = l.pid)
UNION
SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND usesysid IS NULL
"""


@dataclass(slots=True)
class Killed:
    """What was ended: sessions that showed the role, hidden ones, and hidden ones that were no login yet."""

    sessions: int = 0
    hidden: int = 0
    unauthenticated: int = 0

    def as_json(self) -> dict[str, Json]:
        """For the receipt."""
        found: dict[str, Json] = {"sessions": self.sessions}
        if self.hidden:
            found["hidden"] = self.hidden
        if self.unauthenticated:
            found["unauthenticated"] = self.unauthenticated
        return found


def kill_at(connection: Bounded, door: Door, oid: int, limits: Limits) -> Killed:
    """End every session of the role with this OID at the connection's server.

    With OID 0 (a crash kept us from learning it, and the role is gone) every session of a role that
    does not exist any more is ended: such a session can be nobody's by right.

    Raises:
        TargetUnavailable: some outlived the time for it.
    """
    killed = Killed()
    deadline = time.monotonic() + limits.kill_ms / 1000
    seen: set[int] = set()
    _end_visible(connection, door, oid, deadline, seen)
    suspects = _hidden(connection)
    if suspects:
        _resolve(connection, door, oid, suspects, limits, deadline, killed, seen)
        _end_visible(connection, door, oid, deadline, seen)
    killed.sessions = len(seen)
    return killed


def _end_visible(connection: Bounded, door: Door, oid: int, deadline: float, seen: set[int]) -> None:
    pause = 0.001
    while True:
        rows = connection.execute(_VISIBLE if oid else _DANGLING, {"oid": oid}).fetchall()
        if not rows:
            return
        seen.update(int(row[0]) for row in rows)
        if time.monotonic() > deadline:
            raise unavailable(door.name, f"{len(rows)} sessions outlived their termination")
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _resolve(
    connection: Bounded,
    door: Door,
    oid: int,
    suspects: set[int],
    limits: Limits,
    deadline: float,
    killed: Killed,
    seen: set[int],
) -> None:
    """Watch those that hide now; later comers met NOLOGIN and need no watch."""
    until = time.monotonic() + limits.hidden_ms / 1000
    pause = 0.001
    while suspects and time.monotonic() < until:
        time.sleep(pause)
        pause = min(pause * 2, 0.01)
        suspects &= _hidden(connection)
        _end_visible(connection, door, oid, deadline, seen)
    told: set[int] = set()
    for pid in suspects:
        try:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        except psycopg.errors.InsufficientPrivilege:
            killed.unauthenticated += 1
        else:
            told.add(pid)
    killed.hidden = len(told)
    while told:
        told &= _hidden(connection)
        if told and time.monotonic() > deadline:
            raise unavailable(door.name, f"{len(told)} hidden sessions outlived their termination")
        time.sleep(0.002 if told else 0)


def _hidden(connection: Bounded) -> set[int]:
    return {int(row[0]) for row in connection.execute(_HIDDEN).fetchall()}
