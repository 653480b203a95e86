"""Revoking: each step its own commits, idempotent, absent is done (P6).

deny_login  NOLOGIN PASSWORD NULL, committed: from here on no new login is let in, held ones included (P3, P4)
kill        sessions by OID until none is left, hidden ones too (P5), at the primary and at every standby (P8)
disown      what the role owns goes to the graveyard role, what it was granted goes away, in each database
drop        DROP ROLE, then one more look for sessions (P2)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import sql

from flyball.connectors.postgresql.faults import clean, unavailable
from flyball.connectors.postgresql.kill import hidden_now, kill_at, kill_visible
from flyball.connectors.postgresql.pool import Bounded
from flyball.connectors.postgresql.target import Role, Target, find_roles, known_oid
from flyball.plugin.v1 import Json, Plan, StepOutcome, TargetRefused, TargetUnavailable

STEPS = ("deny_login", "kill", "disown", "drop")

SELF_CHANGE = "PostgreSQL lets any role change its own password while it can log in; NOLOGIN and DROP end both"
SET_ROLE = "before PostgreSQL 16 a session can SET ROLE to its group; sessions are found by OID all the same"
PREPARED = "transactions that the role prepared outlive it; only a superuser can roll them back"

_GRAVEYARD_LOCK = 0x666C7962616C6C  # "flyball"; held for milliseconds

# Another session touched the same catalogue row, or a dying one still cleans up: try again at once.
_PASSING = (
    psycopg.errors.InternalError_,
    psycopg.errors.UndefinedTable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


def run(target: Target, step: str, plan: Plan, progress: Mapping[str, Json]) -> StepOutcome:
    """Do one step.

    Raises:
        TargetUnavailable: not done, or not known to be; do it again.
        TargetRefused: the server will not; what is missing is said.
    """
    steps: Mapping[str, Callable[[Target, str, Mapping[str, Json]], StepOutcome]] = {
        "deny_login": _deny_login,
        "kill": _kill,
        "disown": _disown,
        "drop": _drop,
    }
    if step not in steps:
        raise TargetRefused(f"there is no step {step[:40]!r}", code="step_unknown")
    return steps[step](target, plan.name, progress)


def _deny_login(target: Target, name: str, before: Mapping[str, Json]) -> StepOutcome:
    oid = known_oid(before)
    with target.pool.use(target.config.primary, target.config.database) as connection:
        roles = find_roles(connection, name, oid)
        if not roles and not oid:
            _await_making(connection, name, target.config.limits.statement_ms)
            roles = find_roles(connection, name, oid)
        for role in roles:
            statement = sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(role.name))
            _try(connection, statement)
        hidden: list[Json] = [*sorted(hidden_now(connection))]  # at once: who hides now may be past NOLOGIN
        progress: dict[str, Json] = {"hidden": hidden, "system_identifier": connection.system_identifier}
        found = oid or next((role.oid for role in roles if role.name == name), 0)
        if found:
            progress["oid"] = found
        progress |= _position(target, connection)
        weaknesses = [SELF_CHANGE]
        if connection.info.server_version < 160000:
            weaknesses.append(SET_ROLE)
    observed: dict[str, Json] = {"role": "absent" if not roles else "denied"}
    if any(role.name != name for role in roles):
        observed["renamed_to"] = [clean(role.name) for role in roles if role.name != name]
    return StepOutcome(observed, progress, tuple(weaknesses) if roles else ())


def _await_making(connection: Bounded, name: str, wait_ms: int) -> None:
    """Wait until no session of ours is making this role any more.

    A process that was killed while issuing leaves its statement running at the server: a role that
    is absent now could be there a moment later, and absent would have been taken for done.

    Raises:
        TargetUnavailable: it is still being made; come again.
    """
    deadline = time.monotonic() + wait_ms / 1000
    while True:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid() "
            "AND state = 'active' AND position(%s in query) > 0",
            (name,),
        ).fetchone()
        if row is None or not row[0]:
            return
        if time.monotonic() > deadline:
            raise TargetUnavailable("a session of ours is still making this role")
        time.sleep(0.01)


def _kill(target: Target, name: str, before: Mapping[str, Json]) -> StepOutcome:
    oid, hidden = known_oid(before), before.get("hidden")
    suspects = {pid for pid in hidden if isinstance(pid, int)} if isinstance(hidden, list) else None
    observed: dict[str, Json] = {}
    weaknesses: list[str] = []
    primary = target.config.primary
    with target.pool.use(primary, target.config.database) as connection:
        if not oid:
            oid = next((role.oid for role in find_roles(connection, name, 0)), 0)
        observed[primary.name] = kill_at(connection, primary, oid, target.config.limits, suspects).as_json()
    for door in target.standbys:
        # A standby that is down must not hold up the primary; the probe will not call its door refused.
        try:
            with target.pool.use(door) as connection:
                if not _replayed(connection, str(before.get("lsn", "")), target.config.limits.replay_ms):
                    weaknesses.append(f"standby {door.name!r} had not replayed the denial when its sessions were ended")
                observed[door.name] = kill_at(connection, door, oid, target.config.limits).as_json()
        except (TargetUnavailable, TargetRefused) as error:
            weaknesses.append(f"standby {door.name!r} could not be searched for sessions: {error.detail}")
    return StepOutcome(observed, {}, tuple(weaknesses))


def _disown(target: Target, name: str, before: Mapping[str, Json]) -> StepOutcome:
    with target.pool.use(target.config.primary, target.config.database) as connection:
        roles = find_roles(connection, name, known_oid(before))
        owned: list[Json] = []
        weaknesses: list[str] = []
        for role in roles:
            row = connection.execute("SELECT count(*) FROM pg_prepared_xacts WHERE owner = %s", (role.name,)).fetchone()
            if row is not None and row[0]:
                weaknesses.append(PREPARED)
            owned += _disown_role(target, connection, role)
    return StepOutcome({"owned": owned[:20], "count": len(owned)}, {}, tuple(weaknesses))


def _drop(target: Target, name: str, before: Mapping[str, Json]) -> StepOutcome:
    oid = known_oid(before)
    primary = target.config.primary
    with target.pool.use(primary, target.config.database) as connection:
        roles = find_roles(connection, name, oid)
        for role in roles:
            statement = sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role.name))
            try:
                _try(connection, statement)
            except psycopg.errors.DependentObjectsStillExist:
                _disown_role(target, connection, role)
                _try(connection, statement)
        progress = _position(target, connection)
        again = kill_visible(connection, primary, oid, target.config.limits)
    observed: dict[str, Json] = {"role": "dropped" if roles else "absent", "sessions_after": again.as_json()}
    return StepOutcome(observed, progress)


def _disown_role(target: Target, connection: Bounded, role: Role) -> list[Json]:
    """Reassign and drop, in every database that knows the role; what it owned or was granted, described."""
    rows = connection.execute(
        """
        SELECT coalesce(d.datname::text, ''), count(*)
          FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
         WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s::oid
           AND s.classid <> 'pg_auth_members'::regclass
         GROUP BY 1
        """,
        (role.oid,),
    ).fetchall()
    if not rows:
        return []
    # REASSIGN and DROP OWNED ask for the role's own privileges; we take them only for this.
    how = " WITH INHERIT TRUE, SET TRUE" if connection.info.server_version >= 160000 else ""
    _try(connection, sql.SQL("GRANT {} TO CURRENT_USER" + how).format(sql.Identifier(role.name)))
    found: list[Json] = []
    for database in dict.fromkeys(str(row[0]) or target.config.database for row in rows):
        if database == target.config.database:
            found += _disown_in(target, connection, connection, role)
        else:
            with target.pool.use(target.config.primary, database) as there:
                found += _disown_in(target, connection, there, role)
    return found


def _disown_in(target: Target, home: Bounded, there: Bounded, role: Role) -> list[Json]:
    found = _described(there, role.oid)
    names = (sql.Identifier(role.name), sql.Identifier(target.config.graveyard))
    reassign = sql.SQL("REASSIGN OWNED BY {} TO {}").format(*names)
    try:
        _try(there, reassign)
    except psycopg.errors.InsufficientPrivilege:
        with _graveyard_in_groups(target, home):
            _try(there, reassign)
    _try(there, sql.SQL("DROP OWNED BY {}").format(names[0]))
    return found


@contextmanager
def _graveyard_in_groups(target: Target, connection: Bounded) -> Iterator[None]:
    """Let the graveyard role own what the groups may create, for as long as it takes.

    A new owner needs CREATE where the object lies. The graveyard gets it through the groups, one
    revocation at a time, and nobody can log in as it.
    """
    groups = sql.SQL(", ").join(
        sql.Identifier(group)
        for group in sorted({g for access in target.config.accesses.values() for g in access.groups})
    )
    graveyard = sql.Identifier(target.config.graveyard)
    connection.execute("SELECT pg_advisory_lock(%s)", (_GRAVEYARD_LOCK,))
    try:
        connection.execute(sql.SQL("GRANT {} TO {}").format(groups, graveyard))
        try:
            yield
        finally:
            connection.execute(sql.SQL("REVOKE {} FROM {}").format(groups, graveyard))
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_GRAVEYARD_LOCK,))


def _described(connection: Bounded, oid: int) -> list[Json]:
    rows = connection.execute(
        """
        SELECT s.deptype::text || ' ' || coalesce(pg_describe_object(s.classid, s.objid, s.objsubid), '?')
          FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
         WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s::oid LIMIT 20
        """,
        (oid,),
    ).fetchall()
    return [clean(str(row[0])) for row in rows]


def _position(target: Target, connection: Bounded) -> dict[str, Json]:
    """Where the write-ahead log stands after this step, for the standbys to have replayed."""
    if not target.standbys:
        return {}
    row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    return {} if row is None else {"lsn": str(row[0])}


def _replayed(connection: Bounded, lsn: str, wait_ms: int) -> bool:
    """Whether a standby has replayed up to there; waits a while for it."""
    deadline = time.monotonic() + wait_ms / 1000
    while lsn:
        row = connection.execute(
            "SELECT NOT pg_is_in_recovery() OR coalesce(pg_last_wal_replay_lsn() >= %s::pg_lsn, false)", (lsn,)
        ).fetchone()
        if row is not None and row[0]:
            return True
        if time.monotonic() > deadline:
            break
        time.sleep(0.005)
    return False


def _try(connection: Bounded, statement: sql.Composed, times: int = 5) -> None:
    """Run a statement; again where what was in the way passes within milliseconds; a role that is gone is done."""
    for attempt in range(times):
        try:
            connection.execute(statement)
        except psycopg.errors.UndefinedObject:
            if not _gone(connection, statement):
                raise
            return
        except _PASSING:
            if attempt == times - 1:
                raise
            time.sleep(0.01 * (attempt + 1))
        else:
            return
    raise unavailable("primary", "a statement was tried too often")


def _gone(connection: Bounded, statement: sql.Composed) -> bool:
    """Whether the role that the statement names (its first identifier) is no longer there."""
    named = next((part for part in statement if isinstance(part, sql.Identifier)), None)
    if named is None:
        return False
    name = named.as_string(connection)[1:-1].replace('""', '"')
    row = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    return row is None
