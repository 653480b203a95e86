"""Connections of Flyball's own role, kept for the next step, one small pool a door.

Thread-safe. A connection that shows any sign of an end is thrown away, and with it the idle ones
beside it; a step is idempotent, so the next try simply opens a fresh one. After a fork the child
starts with empty pools: a connection belongs to the process that opened it.

Nothing here waits without bound: connecting, waiting for a free connection and every statement have
a limit on our side too, since a stopped server keeps no promise about its own.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from psycopg.waiting import Ready, Wait

from flyball.connectors.postgresql.candidate import alone, settle
from flyball.connectors.postgresql.config import Config, Door
from flyball.connectors.postgresql.faults import TRIES, ended, translate, unavailable

T = TypeVar("T")
_IDLE_S = 60.0


class Bounded(psycopg.Connection[TupleRow]):
    """A connection whose every wait ends: after `budget_s` it is closed and the statement fails."""

    budget_s: float = 10.0
    system_identifier: str = ""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Drive a statement, until it is answered or the budget is spent."""
        del interval
        deadline = time.monotonic() + (self.budget_s if timeout is None else min(timeout, self.budget_s))
        fileno = self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                poll = select.poll()
                poll.register(fileno, _events(wanted))
                left = deadline - time.monotonic()
                found = poll.poll(max(0.0, left) * 1000)
                if not found:
                    raise psycopg.OperationalError("no answer in time")
                happened = found[0][1]
                read = Ready.R if happened & ~select.POLLOUT else 0
                wrote = Ready.W if happened & select.POLLOUT else 0
                wanted = gen.send(Ready(read | wrote))
        except StopIteration as end:
            answer: T = end.value
            return answer
        except psycopg.Error as error:
            if error.sqlstate is None:  # not the server's own answer: the connection is in an unknown state
                self.pgconn.finish()
            raise
        except BaseException:
            self.pgconn.finish()
            raise


def _events(wanted: Wait) -> int:
    events = 0
    if wanted & Wait.R:
        events |= select.POLLIN
    if wanted & Wait.W:
        events |= select.POLLOUT
    return events


class Pool:
    """The connections of one target, by door and database."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str], list[tuple[float, Bounded]]] = {}
        limit = self._config.limits.connections
        self._all = {door.name: threading.BoundedSemaphore(limit) for door in self._config.doors}
        # Issuing never takes the last connections: revoking must find one.
        self._issuing = threading.BoundedSemaphore(max(1, limit // 2))

    @contextmanager
    def use(self, door: Door, database: str = "") -> Iterator[Bounded]:
        """A connection at this door, for the length of a `with` block.

        Raises:
            TargetUnavailable: none could be had, or what was done on it failed and may pass.
            TargetRefused: what was done on it was refused for good.
        """
        if os.getpid() != self._pid:
            self._reset()
        gate = self._all[door.name]
        if not gate.acquire(timeout=self._config.limits.connect_ms / 1000):
            raise unavailable(door.name, "all connections are busy")
        try:
            key = (door.name, database or door.database)
            connection = self._take(key) or self._connect(door, key[1])
            try:
                yield connection
            except psycopg.Error as error:
                self._drop(key, connection)
                raise translate(door.name, error) from None
            except BaseException:
                self._drop(key, connection)
                raise
            self._keep(key, connection)
        finally:
            gate.release()

    @contextmanager
    def issue(self, door: Door, database: str = "") -> Iterator[Bounded]:
        """As `use`, within the share that issuing may take."""
        if os.getpid() != self._pid:
            self._reset()
        share = self._issuing
        if not share.acquire(timeout=self._config.limits.connect_ms / 1000):
            raise unavailable(door.name, "issuing is busy")
        try:
            with self.use(door, database) as connection:
                yield connection
        finally:
            share.release()

    def apart(self, door: Door, name: str, settings: Mapping[str, str]) -> Bounded:
        """A connection that is no part of the pool, for who keeps it; `name` is what the server shows of it.

        Raises:
            TargetUnavailable: none could be had.
            TargetRefused: we are not let in.
        """
        return self._connect(door, self._config.database, name, settings)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for _, connection in connections:
                connection.close()

    def _take(self, key: tuple[str, str]) -> Bounded | None:
        while True:
            with self._lock:
                kept = self._idle.get(key)
                if not kept:
                    return None
                since, connection = kept.pop()
            if time.monotonic() - since < _IDLE_S and quiet(connection):
                return connection
            connection.close()

    def _keep(self, key: tuple[str, str], connection: Bounded) -> None:
        if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.close()
            return
        with self._lock:
            self._idle.setdefault(key, []).append((time.monotonic(), connection))

    def _drop(self, key: tuple[str, str], connection: Bounded) -> None:
        if not connection.closed and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            self._keep(key, connection)  # the statement failed, the connection is sound
            return
        connection.close()
        with self._lock:
            beside = self._idle.pop(key, [])
        for _, other in beside:
            other.close()

    def _connect(
        self, door: Door, database: str, name: str = "flyball", more: Mapping[str, str] | None = None
    ) -> Bounded:
        limits = self._config.limits
        settings = {
            "statement_timeout": str(limits.statement_ms),
            "lock_timeout": str(limits.lock_ms),
            "idle_in_transaction_session_timeout": str(limits.statement_ms),
            # Nothing in a database that others write to may stand in for a catalogue's name.
            "search_path": "pg_catalog",
            # Durable here before it is answered; a standby that hangs must not hold up a revocation.
            "synchronous_commit": "local",
            **(more or {}),
        }
        tries = TRIES
        while True:
            tries -= 1
            try:
                return self._session(door, database, name, settings)
            except psycopg.Error as error:
                # Ended by a revocation, or refused since a crash cut a rotation short: the server may know the next
                # password already.
                if not tries or not (ended(error) or self._settled()):
                    raise translate(door.name, error) from None

    def _session(self, door: Door, database: str, name: str, settings: Mapping[str, str]) -> Bounded:
        """Log in and learn which server it is."""
        limits = self._config.limits
        connection = self._log_in(door, database, name, settings)
        connection.budget_s = (limits.statement_ms + limits.lock_ms) / 1000
        try:
            self._identify(door, connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _settled(self) -> bool:
        limits, admin = self._config.limits, self._config.admin
        if not admin.candidate.exists():
            return False
        with alone(admin, wait=False) as mine:
            return mine and settle(admin, self._config.primary, limits.connect_ms / 1000)

    def _log_in(self, door: Door, database: str, name: str, settings: Mapping[str, str]) -> Bounded:
        limits, admin = self._config.limits, self._config.admin
        return Bounded.connect(
            host=door.host,
            port=door.port,
            dbname=database,
            user=admin.user,
            password=admin.password().reveal(),
            sslmode=door.sslmode,
            sslrootcert=door.sslrootcert or None,
            channel_binding="prefer" if door.sslmode == "disable" else "require",
            require_auth="scram-sha-256",
            gssencmode="disable",
            connect_timeout=max(2, round(limits.connect_ms / 1000)),
            application_name=name,
            options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
            keepalives_idle=10,
            tcp_user_timeout=limits.statement_ms,
            autocommit=True,
            prepare_threshold=2,
        )

    @staticmethod
    def _identify(door: Door, connection: Bounded) -> None:
        row = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
        shown = "" if row is None else str(row[0])
        if door.system_identifier and shown != door.system_identifier:
            raise unavailable(door.name, "another server answers there than the pinned one")
        connection.system_identifier = shown


def quiet(connection: Bounded) -> bool:
    """Whether nothing has come on an idle connection: an end, or a notice of one, makes it readable."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)
