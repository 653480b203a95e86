"""Issuing: one role by membership, in one transaction.

By membership (P1): the role is granted nothing but its groups, so a thousand leases touch no table's
ACL. From PostgreSQL 16 on without SET, so that no session can stand in its group's name after its
own role is gone (P2). The end of its life is set from the target's own clock.
"""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
from psycopg import sql

from flyball.connectors.postgresql import names, scram
from flyball.connectors.postgresql.config import Access
from flyball.connectors.postgresql.pool import Bounded
from flyball.connectors.postgresql.target import Target
from flyball.plugin.v1 import Issued, Json, Plan, Secret, TargetRefused

_LOOK = """
SELECT extract(epoch FROM clock_timestamp())::float8, r.oid::bigint, r.rolcanlogin,
       shobj_description(r.oid, 'pg_authid')
  FROM (VALUES (1)) AS one LEFT JOIN pg_roles r ON r.rolname = %s
"""
_ATTRIBUTES = "LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


def issue(target: Target, plan: Plan, secret: Secret) -> Issued:
    """Make the role, or complete it where a crash left its answer unheard.

    Raises:
        TargetRefused: the lease has expired, its name belongs to something else, or it is being revoked.
        TargetUnavailable: the server could not.
    """
    access = _access(target, plan)
    expires_ms = _whole(plan, "expires_ms")
    config = target.config
    said = names.comment(str(plan.recipe["issuer"]), str(plan.recipe["lease"]))
    verifier = scram.verifier(secret)
    with target.pool.issue(config.primary, config.database) as connection:
        row = connection.execute(_LOOK, (plan.name,)).fetchone()
        if row is None:
            raise TargetRefused("the target does not know its own time")
        # Our clock is read after the target's, so the target's end can only be the earlier one.
        left_ms = expires_ms - target.clock.wall_ms()
        if left_ms <= 0:
            raise TargetRefused("the lease has expired", code="lease_expired")
        valid_until = float(row[0]) + left_ms / 1000
        if row[1] is not None:
            _ours(bool(row[2]), row[3], said)
            statement = _again(connection, plan.name, access, verifier, valid_until)
        else:
            statement = _create(connection, plan.name, access, verifier, valid_until, said)
        oid = _run(connection, statement)
        return Issued(
            connection=_connection(target, access, plan.name),
            progress={"oid": oid, "system_identifier": connection.system_identifier},
            native_expiry_ms=expires_ms,
        )


def _access(target: Target, plan: Plan) -> Access:
    access = target.config.accesses.get(str(plan.recipe.get("access")))
    if access is None:
        raise TargetRefused("the target has no such access any more", code="access_unknown")
    return access


def _whole(plan: Plan, name: str) -> int:
    value = plan.recipe.get(name)
    if not isinstance(value, int):
        raise TargetRefused("the lease's recipe is not one of this connector's", code="recipe")
    return value


def _ours(can_login: bool, comment: object, said: str) -> None:
    if comment != said:
        raise TargetRefused("a role of that name is there and is not this lease's", code="name_taken")
    if not can_login:
        raise TargetRefused("the lease is being revoked", code="lease_gone")


def _create(
    connection: Bounded, name: str, access: Access, verifier: str, valid_until: float, said: str
) -> sql.Composed:
    first = sql.SQL("CREATE ROLE {} {} PASSWORD {} VALID UNTIL {} CONNECTION LIMIT {}").format(
        sql.Identifier(name),
        sql.SQL(_ATTRIBUTES),
        sql.Literal(verifier),
        _timestamp(valid_until),
        sql.Literal(access.connection_limit),
    )
    comment = sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(name), sql.Literal(said))
    return sql.SQL("; ").join([first, *_grants(connection, name, access), comment, _oid_of(name)])


def _again(connection: Bounded, name: str, access: Access, verifier: str, valid_until: float) -> sql.Composed:
    first = sql.SQL("ALTER ROLE {} {} PASSWORD {} VALID UNTIL {} CONNECTION LIMIT {}").format(
        sql.Identifier(name),
        sql.SQL("LOGIN INHERIT"),  # the other attributes ask for a superuser, and were never given
        sql.Literal(verifier),
        _timestamp(valid_until),
        sql.Literal(access.connection_limit),
    )
    return sql.SQL("; ").join([first, *_grants(connection, name, access), _oid_of(name)])


def _grants(connection: Bounded, name: str, access: Access) -> list[sql.Composed]:
    how = " WITH ADMIN FALSE, INHERIT TRUE, SET FALSE" if connection.info.server_version >= 160000 else ""
    return [
        sql.SQL("GRANT {} TO {}" + how).format(sql.Identifier(group), sql.Identifier(name)) for group in access.groups
    ]


def _oid_of(name: str) -> sql.Composed:
    return sql.SQL("SELECT oid::bigint FROM pg_roles WHERE rolname = {}").format(sql.Literal(name))


def _timestamp(seconds: float) -> sql.Literal:
    # A literal, since VALID UNTIL takes no expression; rounded down to the millisecond.
    moment = datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)
    return sql.Literal(moment.isoformat(sep=" ", timespec="milliseconds"))


def _run(connection: Bounded, statement: sql.Composed) -> int:
    """Run the statements as one transaction (one simple query is one) and read the last one's answer."""
    try:
        cursor = connection.execute(statement)
    except psycopg.errors.DuplicateObject:
        raise TargetRefused("the same lease is being issued twice at once", code="name_taken") from None
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    if row is None:
        raise TargetRefused("the role was taken away while it was made", code="lease_gone")
    return int(row[0])


def _connection(target: Target, access: Access, name: str) -> dict[str, Json]:
    door = target.config.door(access.door)
    found: dict[str, Json] = {"host": door.host, "port": door.port, "user": name, "database": door.database}
    if door.sslmode != "disable":
        found["sslmode"] = door.sslmode
    if door.sslrootcert:
        found["sslrootcert"] = door.sslrootcert
    return found
