"""Rotating the password of Flyball's own role: durable first, verified, then promoted.

    1  the new password is written beside the old one (`<file>.next`, private, synced)
    2  ALTER ROLE, with its SCRAM verifier
    3  a login with the new password works
    4  `<file>.next` takes the old one's place, by a rename

A crash leaves both files; whoever connects next tries the old one, then the new one, and promotes it
if it works. A new password that the server rejects is discarded.
"""

from __future__ import annotations

import secrets

import psycopg
from psycopg import sql

from flyball.connectors.postgresql import scram
from flyball.connectors.postgresql.candidate import alone, promote, settle, works
from flyball.connectors.postgresql.faults import unavailable
from flyball.connectors.postgresql.target import Target
from flyball.plugin.v1 import Secret, write_private


def rotate(target: Target) -> None:
    """Give Flyball's own role a new password.

    Raises:
        TargetRefused: the server rejected it; the old password stays.
        TargetUnavailable: it is not known which of the two counts; both are kept, and either will be found.
    """
    with alone(target.config.admin, wait=True):
        _rotate(target)


def _rotate(target: Target) -> None:
    config = target.config
    login, door = config.admin, config.primary
    timeout = config.limits.connect_ms / 1000
    settle(login, door, timeout)
    fresh = Secret(secrets.token_urlsafe(32))
    candidate = login.candidate
    write_private(candidate, fresh.reveal().encode() + b"\n")
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
        sql.Identifier(login.user), sql.Literal(scram.verifier(fresh))
    )
    with target.pool.use(door, config.database) as connection:
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            if error.sqlstate is not None:  # the server's own no: nothing was changed
                candidate.unlink()
            raise
    if not works(login.user, fresh, door, timeout):
        raise unavailable(door.name, "the new password does not log in; both are kept")
    promote(login)
    target.pool.close()
