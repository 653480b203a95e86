"""One Flyball of an issuer at a server at a time, by an advisory lock that a session of its own keeps.

    1  a session apart from the pool takes its lock: (issuer, this opening of the store), shared, so never waited for
    2  it looks who else has one of this issuer, in whatever database of the server
    3  nobody: the target is ours for as long as the session lives. Somebody: we give way, and say so

Who takes before it looks cannot overlook another who does the same: of two that come at once none or one stays,
never both. Anybody may take such a lock; only those of roles that may make roles count. It is the session's, so it
ends with the process that had it; the server asks a silent one within half a minute whether it still lives. A
failover loses it, and who comes first has it then. That costs nobody a role, since roles bear their store's mark
(`names`): this refuses, it does not protect.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time

import psycopg

from flyball.connectors.postgresql.faults import clean, translate
from flyball.connectors.postgresql.pool import Bounded, quiet
from flyball.connectors.postgresql.target import Target
from flyball.plugin.v1 import HELD, Claim, TargetRefused, TargetUnavailable

# Of an advisory lock with two keys the server shows the first as classid, the second as objid, and objsubid 2.
_OTHERS = """
SELECT coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'this machine'),
       coalesce(to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '?')
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid JOIN pg_roles r ON r.oid = a.usesysid
 WHERE (r.rolcreaterole OR r.rolsuper)
   AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
   AND l.classid = %s::oid AND l.objid <> %s::oid
 LIMIT 1
"""
_SETTINGS = {
    "idle_session_timeout": "0",
    # The defaults are hours: a machine that has gone would keep its place for so long.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_HINT = (
    "give each Flyball an `issuer` of its own; where the other is gone, its session ends within half a minute, "
    "and what its store left here is taken by `flyball target adopt`"
)
# How long one that has just ended may take to leave. By chance, so that of two that meet one gives way first.
_GIVE_WAY_S = (0.2, 0.8)


class Hold:
    """One backend's hold on its target. Thread-safe; after a fork the child holds nothing."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._kept: tuple[Claim, Bounded] | None = None
        self._refused: tuple[Claim, float, TargetUnavailable | TargetRefused] | None = None

    def take(self, claim: Claim) -> None:
        """Take the target, or make sure that the session that holds it still lives.

        Raises:
            TargetUnavailable: another Flyball of this issuer is at work there (`HELD`), or nobody answered.
            TargetRefused: we are not let in.
        """
        if os.getpid() != self._pid:
            self._reset()
        began = time.monotonic()
        with self._lock:
            if self._kept is not None and self._kept[0] == claim and quiet(self._kept[1]):
                return
            self._drop()
            # Many may have waited here for one answer; each asking anew would make the last wait for all.
            if self._refused is not None:
                asked, at, fault = self._refused
                if asked == claim and at > began:
                    raise type(fault)(fault.detail, code=fault.code, hint=fault.hint)
            try:
                self._kept = (claim, self._taken(claim))
            except (TargetUnavailable, TargetRefused) as fault:
                self._refused = (claim, time.monotonic(), fault)
                raise

    def let_go(self) -> None:
        """Hold it no more."""
        if os.getpid() != self._pid:
            self._reset()
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[1].close()

    def _taken(self, claim: Claim) -> Bounded:
        door = self._target.config.primary
        connection = self._target.pool.apart(door, f"flyball {claim.store}", _SETTINGS)
        try:
            self._alone(connection, claim)
        except psycopg.Error as error:
            connection.close()
            raise translate(door.name, error) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _alone(self, connection: Bounded, claim: Claim) -> None:
        keys = (_key(claim.issuer), _key(claim.instance))
        connection.execute("SELECT pg_advisory_lock_shared(%s::int, %s::int)", keys)
        deadline = time.monotonic() + random.uniform(*_GIVE_WAY_S)  # noqa: S311 - keeps no secret
        while True:
            other = connection.execute(_OTHERS, keys).fetchone()
            if other is None:
                return
            if time.monotonic() > deadline:
                raise _held(claim, str(other[0]), str(other[1]), str(other[2]))
            time.sleep(0.02)


def _key(text: str) -> int:
    # 31 bits: the server's keys are signed, and what it shows of them is not.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1


def _held(claim: Claim, application: str, address: str, since: str) -> TargetUnavailable:
    store = application.removeprefix("flyball ")
    which = "a copy of our own store" if store == claim.store else f"store {clean(store)[:12] or '?'}"
    return TargetUnavailable(
        f"another Flyball of issuer {claim.issuer!r} is at work here ({which}, from {address}, since {since} UTC)",
        code=HELD,
        hint=_HINT,
    )
