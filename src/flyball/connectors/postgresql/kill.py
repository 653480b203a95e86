"""Ending every session of a role at one server, those that hide included.

A session is found by the OID it authenticated as, which neither SET ROLE nor DROP ROLE changes (P2).

A backend can be past authentication and not show an OID yet, and a client can stretch that time
(P5): on PostgreSQL 15 to 17 it is then in pg_locks and not in pg_stat_activity, from 18 on it is
there as `starting` without an OID. Only those that were there when NOLOGIN was committed matter
(`hidden_now`, asked right after it): later ones meet it. They are watched until each has shown whose
it is, or has ended. What still hides after `hidden_ms` is told to end, whoever's it is: on a busy
machine it may be a login of our own, which `pool` and `probe` then try again. The server refuses us
that for a backend that has authenticated as nobody yet: that one has still to pass NOLOGIN, and will
not (P4).
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
# Looked for and told in one statement: between two it could show itself as a bystander, who would then be ended.
_END_HIDDEN = f"SELECT pg_terminate_backend(h.pid) FROM ({_HIDDEN}) AS h WHERE h.pid = %s"  # noqa: S608 - a constant


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


def hidden_now(connection: Bounded) -> set[int]:
    """The backends that show no role at this moment."""
    return {int(row[0]) for row in connection.execute(_HIDDEN).fetchall()}


def end_hidden(connection: Bounded, pid: int) -> bool:
    """Tell this backend to end if it shows no role at this moment; whether it was told.

    Raises:
        psycopg.errors.InsufficientPrivilege: it has authenticated as nobody yet, or as a superuser.
    """
    return connection.execute(_END_HIDDEN, (pid,)).fetchone() is not None


def kill_at(connection: Bounded, door: Door, oid: int, limits: Limits, suspects: set[int] | None = None) -> Killed:
    """End every session of the role with this OID at the connection's server, hidden ones too.

    `suspects` are those that hid when NOLOGIN was committed; None where nobody asked then, and all
    that hide now are suspect. With OID 0 (a crash kept us from learning it, and the role is gone)
    every session of a role that does not exist any more is ended: it can be nobody's by right.

    Raises:
        TargetUnavailable: some outlived the time for it.
    """
    return _Hunt(connection, door, oid, limits).all(suspects)


def kill_visible(connection: Bounded, door: Door, oid: int, limits: Limits) -> Killed:
    """As `kill_at`, for when nothing can hide any more: a login before NOLOGIN has been dealt with.

    Raises:
        TargetUnavailable: some outlived the time for it.
    """
    return _Hunt(connection, door, oid, limits).visible()


class _Hunt:
    """One pass over one server."""

    def __init__(self, connection: Bounded, door: Door, oid: int, limits: Limits) -> None:
        self._connection = connection
        self._door = door
        self._oid = oid
        self._began = time.monotonic()
        self._hidden_s = limits.hidden_ms / 1000
        self._deadline = self._began + limits.kill_ms / 1000
        self._seen: set[int] = set()
        self._told: set[int] = set()
        self._unauthenticated = 0

    def all(self, suspects: set[int] | None) -> Killed:
        self._end_visible()
        if suspects is None:
            suspects = hidden_now(self._connection)
        if suspects:
            self._watch(set(suspects))
            self._end_visible()
        return Killed(len(self._seen), len(self._told), self._unauthenticated)

    def visible(self) -> Killed:
        self._end_visible()
        return Killed(len(self._seen))

    def _end_visible(self) -> None:
        pause = 0.001
        while True:
            rows = self._connection.execute(_VISIBLE if self._oid else _DANGLING, {"oid": self._oid}).fetchall()
            if not rows:
                return
            self._seen.update(int(row[0]) for row in rows)
            self._in_time(f"{len(rows)} sessions outlived their termination")
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    def _watch(self, suspects: set[int]) -> None:
        """Watch these until each has shown itself, ended, or turned out to be no login yet."""
        pause = 0.001
        while True:
            suspects &= hidden_now(self._connection)
            if not suspects:
                return
            self._end_visible()
            if time.monotonic() - self._began >= self._hidden_s:
                for pid in sorted(suspects):
                    if not self._tell(pid):
                        suspects.discard(pid)
                        self._unauthenticated += 1
            self._in_time(f"{len(suspects)} hidden sessions outlived their termination")
            time.sleep(pause)
            pause = min(pause * 2, 0.01)

    def _tell(self, pid: int) -> bool:
        """Tell a backend to end; False where that is refused, as nobody's yet (or a superuser's: not ours either)."""
        try:
            if end_hidden(self._connection, pid):
                self._told.add(pid)
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True

    def _in_time(self, otherwise: str) -> None:
        if time.monotonic() > self._deadline:
            raise unavailable(self._door.name, otherwise)
