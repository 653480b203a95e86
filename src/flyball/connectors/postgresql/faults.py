"""A server's errors as the port's two: what may pass, and what will not. Never the statement's text."""

from __future__ import annotations

import psycopg

from flyball.plugin.v1 import TargetRefused, TargetUnavailable

# Missing privilege, unknown role, invalid grant, wrong object, invalid name, syntax, feature.
_FOR_GOOD = frozenset({"42501", "42704", "0LP01", "42809", "42602", "42601", "0A000", "42P17", "28P01", "28000"})

ADMIN_SHUTDOWN = "57P01"
"""The SQLSTATE with which a server ends a session, by `pg_terminate_backend` or on its way down."""
TRIES = 3
"""How often a login of ours that is ended is begun. A revocation ends what hides its role at the server
(`kill`), and on a busy machine a login does for a moment."""


def translate(door: str, error: psycopg.Error) -> TargetUnavailable | TargetRefused:
    """The port's error for a server's. Its text is the server's first sentence, bounded and printable.

    A driver's own text is left out: it may quote a statement or a connection string.
    """
    state = error.sqlstate or ""
    said = (error.diag.message_primary or "") if state else _login_failure(error)
    detail = f"door {door!r}: {clean(said) or 'no answer'}" + (f" (SQLSTATE {state})" if state else "")
    if state in _FOR_GOOD:
        return TargetRefused(detail, code="target_refused", hint="see `flyball status` and the target's setup SQL")
    return TargetUnavailable(detail)


def ended(error: psycopg.Error) -> bool:
    """Whether a session was ended at its server: told so, or its connection closed without a word.

    libpq drops the word where it comes between two statements.
    """
    return error.sqlstate == ADMIN_SHUTDOWN or any(
        sign in str(error) for sign in ("terminating connection", "server closed the connection")
    )


def unavailable(door: str, why: str) -> TargetUnavailable:
    """An error of the door's that may pass."""
    return TargetUnavailable(f"door {door!r}: {why}")


def clean(text: str) -> str:
    """Foreign text, one line, printable, bounded."""
    return "".join(c if c.isprintable() else " " for c in text)[:200]


def _login_failure(error: psycopg.Error) -> str:
    # libpq hands a failed connection over as sentences; the part after the last FATAL is the server's.
    text = str(error)
    for sign, said in (
        ("FATAL:", text.rsplit("FATAL:", 1)[-1].strip()),
        ("Connection refused", "connection refused"),
        ("timeout", "no answer in time"),
        ("no answer in time", "no answer in time"),
        ("certificate", "the server's certificate does not hold"),
        ("channel binding", "no channel binding"),
        ("server closed the connection", "the connection broke"),
        ("No such file", "no such socket"),
    ):
        if sign in text:
            return said.splitlines()[0] if said else ""
    return "cannot connect"
