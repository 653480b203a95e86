"""The proof: every door tried with the revoked password, beside a control login through the same door.

A door counts as refused only when all of this was seen there: side by side, a control login works, and
the revoked password is refused *as authentication* (SQLSTATE 28P01 or 28000: "too many connections" is
no proof); after that the control's session still answers, from the pinned server,
sees no role that could log in, counts no session of it, and, at a standby, has replayed the
revocation (P8). Everything else is inconclusive, and a login that works is accepted.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from flyball.connectors.postgresql.config import Door
from flyball.connectors.postgresql.faults import ADMIN_SHUTDOWN, TRIES
from flyball.connectors.postgresql.kill import kill_visible
from flyball.connectors.postgresql.target import Target, known_oid
from flyball.connectors.postgresql.wire import AUTHENTICATION, Refusal, Wire, WireError
from flyball.plugin.v1 import (
    ConfigError,
    DoorProbe,
    Json,
    Plan,
    ProbeReport,
    Secret,
    TargetRefused,
    TargetUnavailable,
)

# PgBouncer says all it has to say with 08P01 ("protocol violation"): there the sentence is what tells. A pooler
# that cannot reach its server says others, and lets no control login in either.
_PGBOUNCER = frozenset({"no such user", "SASL authentication failed", "password authentication failed"})


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the control's session saw after the refusal."""

    identifier: str
    replica: bool
    replayed: bool
    can_login: bool
    exists: bool
    sessions: int


class _InconclusiveError(Exception):
    """Why a door proves nothing. `control` tells whether the control login worked."""

    def __init__(self, why: str, *, control: bool = False) -> None:
        super().__init__(why)
        self.control = control


def probe(target: Target, plan: Plan, progress: Mapping[str, Json], secret: Secret | None) -> ProbeReport:
    """Try every declared door. Never raises for a door that cannot be tried: that door is inconclusive."""
    return ProbeReport(tuple(_door(target, door, plan.name, progress, secret) for door in target.config.doors))


def _door(target: Target, door: Door, name: str, progress: Mapping[str, Json], secret: Secret | None) -> DoorProbe:
    tries = TRIES
    while True:
        tries -= 1
        try:
            return _try(target, door, name, progress, secret)
        except _InconclusiveError as why:
            return DoorProbe(door.name, "inconclusive", why.control, str(why), 0)
        except (WireError, TargetUnavailable, TargetRefused, ConfigError) as error:
            if tries and isinstance(error, WireError) and error.sqlstate == ADMIN_SHUTDOWN:
                continue  # our control's session was ended beside another revocation: look anew
            return DoorProbe(door.name, "inconclusive", False, str(error)[:200], 0)


def _try(target: Target, door: Door, name: str, progress: Mapping[str, Json], secret: Secret | None) -> DoorProbe:
    limits = target.config.limits
    timeout = limits.connect_ms / 1000
    login = door.control or target.config.admin
    pin = door.system_identifier or str(progress.get("system_identifier", ""))
    # The secret may be gone, or never have been ours (an orphan): then any password is as good, and
    # the role's absence has to carry the proof.
    tried = _Beside(door, name, secret or Secret(secrets.token_urlsafe(24)), timeout)
    with Wire(door, timeout + limits.replay_ms / 1000) as control:
        refused = control.login(login.user, login.password(), door.database)
        answer = tried.answer()
        if refused is not None:
            raise WireError(f"the control login was refused too: {_told(refused)}", refused.sqlstate)
        seen = _look(control, name, known_oid(progress), str(progress.get("lsn", "")), limits.replay_ms)
    if pin and seen.identifier != pin:
        raise _InconclusiveError("another server answers at this door than the pinned one")
    if answer is None:
        return DoorProbe(door.name, "accepted", True, "the revoked password still logs in", seen.sessions)
    if not _authentication(door, answer):
        raise _InconclusiveError(f"no refusal of authentication: {_told(answer)}", control=True)
    _doubt(door, seen, pin, held=secret is not None)
    sessions = _strays(target, door, name, progress, seen)
    return DoorProbe(door.name, "refused", True, f"{_told(answer)}{_beside(secret, login.user)}", sessions)


class _Beside:
    """The revoked login, tried in a thread of its own while the control login goes on."""

    def __init__(self, door: Door, name: str, password: Secret, timeout_s: float) -> None:
        self._answers: list[Refusal | WireError | None] = []
        self._thread = threading.Thread(
            target=self._try, args=(door, name, password, timeout_s), name="flyball-probe", daemon=True
        )
        self._thread.start()

    def _try(self, door: Door, name: str, password: Secret, timeout_s: float) -> None:
        try:
            with Wire(door, timeout_s) as revoked:
                self._answers.append(revoked.login(name, password, door.database))
        except WireError as error:
            self._answers.append(error)

    def answer(self) -> Refusal | None:
        """How it was refused; None where it was let in.

        Raises:
            WireError: the door did not say.
        """
        self._thread.join()
        if not self._answers:
            raise WireError("the attempt failed")
        found = self._answers[0]
        if isinstance(found, WireError):
            raise found
        return found


def _authentication(door: Door, answer: Refusal) -> bool:
    """Whether this refusal is of the authentication, and not merely of a connection for now."""
    if answer.sqlstate in AUTHENTICATION:
        return True
    return door.kind == "pooler" and answer.sqlstate == "08P01" and answer.message in _PGBOUNCER


def _doubt(door: Door, seen: _Seen, pin: str, *, held: bool) -> None:
    if not pin:
        raise _InconclusiveError("no server is pinned for this door", control=True)
    if door.kind == "primary" and seen.replica:
        raise _InconclusiveError("the primary's door leads to a standby", control=True)
    if seen.replica and not seen.replayed:
        raise _InconclusiveError("the standby has not replayed the revocation yet", control=True)
    if seen.can_login:
        raise _InconclusiveError("the role may still log in, with another password", control=True)
    if not held and seen.exists:
        raise _InconclusiveError("the secret is not held, and the role still exists", control=True)


def _look(control: Wire, name: str, oid: int, lsn: str, wait_ms: int) -> _Seen:
    literal = "'" + name.replace("'", "''") + "'"
    behind = f"coalesce(pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn, false)" if lsn else "false"
    # One statement. At a standby that is behind, it is asked again until it has caught up or time is up.
    question = f"""
        SELECT (SELECT system_identifier FROM pg_control_system()), pg_is_in_recovery(), {behind},
               (SELECT count(*) FROM pg_roles WHERE (rolname = {literal} OR oid = {oid}) AND rolcanlogin),
               (SELECT count(*) FROM pg_roles WHERE rolname = {literal} OR oid = {oid}),
               (SELECT count(*) FROM pg_stat_activity a WHERE usesysid = {oid} OR usename = {literal}
                   OR ({oid} = 0 AND usesysid IS NOT NULL
                       AND NOT EXISTS (SELECT 1 FROM pg_roles r WHERE r.oid = a.usesysid)))
    """  # noqa: S608 - a name of our own making, quoted, and whole numbers
    waited = 0
    while True:
        row = control.query(question)[0]
        seen = _Seen(row[0] or "", row[1] == "t", row[2] == "t", row[3] != "0", row[4] != "0", int(row[5] or "0"))
        if not seen.replica or seen.replayed or waited >= wait_ms:
            return seen
        control.query("SELECT pg_sleep(0.01)")
        waited += 10


def _strays(target: Target, door: Door, name: str, progress: Mapping[str, Json], seen: _Seen) -> int:
    """Sessions left at this door; those that came to light since the last look are ended, and counted again."""
    if not seen.sessions or door.kind == "pooler":
        return seen.sessions
    with target.pool.use(door) as connection:
        kill_visible(connection, door, known_oid(progress), target.config.limits)
        row = connection.execute(
            """
            SELECT count(*) FROM pg_stat_activity a WHERE usesysid = %(oid)s::oid OR usename = %(name)s
                OR (%(oid)s::oid = 0 AND usesysid IS NOT NULL
                    AND NOT EXISTS (SELECT 1 FROM pg_roles r WHERE r.oid = a.usesysid))
            """,
            {"oid": known_oid(progress), "name": name},
        ).fetchone()
    return seen.sessions if row is None else int(row[0])


def _told(refusal: Refusal) -> str:
    return f"SQLSTATE {refusal.sqlstate}: {refusal.message}"


def _beside(secret: Secret | None, user: str) -> str:
    missing = "" if secret is not None else "; the secret is not held: tried with another, and the role does not exist"
    return f"; beside it {user} logged in{missing}"
