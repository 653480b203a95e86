"""Two Flyballs of one issuer at one real PostgreSQL: neither removes what is the other's, and one works at a time.

First whole servers, then the hold alone, on 15 and on 18.
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from tests import pg
from tests.forked import ForkedServer
from tests.server import ISSUER, shop
from tests.wait import until
from tests.wire import Wire

from flyball.connectors.postgresql import names
from flyball.connectors.postgresql.claim import _key
from flyball.credential.backend import HELD, Claim, TargetUnavailable
from flyball.demo import database
from flyball.demo.postgres import EmbeddedPostgres
from flyball.testing.backend_contract import OURS, THEIRS, Held

pytestmark = pytest.mark.heavy


class Pair:
    """Two servers of one issuer, each with a state directory of its own, and one database."""

    def __init__(self, home: Path, postgres: EmbeddedPostgres) -> None:
        self.postgres = postgres
        self.one, self.two = (ForkedServer(home / name, postgres=postgres, heartbeat="60s") for name in ("1", "2"))
        for server in (self.one, self.two):
            with server.config.open("a") as config:
                config.write("timing:\n  sweep: 1s\n  sweep_grace: 1s\n")
        self.look = psycopg.connect(postgres.dsn(), autocommit=True)

    def roles(self) -> set[str]:
        return {row[0] for row in self.look.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'fb_')")}

    def lease(self, server: ForkedServer) -> tuple[Wire, psycopg.Connection, str]:
        """An agent with a credential of this server's, its session, and the credential's role."""
        wire = Wire(server)
        assert wire.open().status_code == 201
        answer = wire.credential()
        assert answer.status_code == 201, answer.text
        at = answer.json()["connection"]
        where = {"host": at["host"], "port": at["port"], "dbname": at["database"], "user": at["user"]}
        return wire, psycopg.connect(**where, password=wire.secret, autocommit=True), at["user"]

    def canary(self) -> None:
        """An old role of our issuer with no mark and no lease: who sweeps to the end removes it."""
        role = names.role(ISSUER, "lea_local_01kb0000000000000000000000")
        self.as_admin(f'CREATE ROLE "{role}" LOGIN IN ROLE "{database.GROUP}"')
        until(lambda: role not in self.roles(), 30, "a sweep")

    def as_admin(self, statement: str) -> None:
        dsn = self.postgres.dsn(dbname=database.DATABASE, user=database.ADMIN_USER, password="admin-password-of-a-test")
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(statement)  # type: ignore[call-overload]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with shop(tmp_path / "pg") as postgres:
        pair = Pair(tmp_path, postgres)
        try:
            yield pair
        finally:
            pair.look.close()
            for server in (pair.one, pair.two):
                server.kill()


def target(server: ForkedServer) -> dict[str, object]:
    with server.operator as operator:
        (found,) = operator.get("/v1/targets").json()["targets"]
    assert isinstance(found, dict)
    return found


def alive(session: psycopg.Connection) -> bool:
    try:
        return session.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def refused(server: ForkedServer) -> bool:
    return "another Flyball of issuer" in str(target(server)["refused"])


def test_the_second_is_refused_and_neither_removes_the_others_roles(pair: Pair) -> None:
    """While one works the other issues and sweeps nothing, and says why; once that one is dead it does, and leaves
    its roles and sessions alone; back again, the first is refused, and takes back its own all the same."""
    pair.one.start()
    wire, session, role = pair.lease(pair.one)
    pair.two.start()
    until(lambda: pair.two.log().count("could not be swept") > 2, 30, "three sweeps that are refused")
    assert HELD in pair.two.log()
    assert refused(pair.two)
    late = Wire(pair.two)
    assert late.open().status_code == 201
    answer = late.credential()
    assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[-1]) == (503, HELD)
    assert "127.0.0.1" not in answer.text
    assert "flyball target list" in answer.json()["hint"]
    assert "nothing is issued" in pair.two.flyball("target", "list", code=3)
    assert "NOT WELL" in pair.two.flyball("status", code=3)
    assert not target(pair.one)["refused"]
    assert pair.roles() == {role}

    pair.one.kill()
    until(lambda: target(pair.two)["foreign"], 30, "the other's role is seen")
    pair.canary()
    assert alive(session)
    assert role in pair.roles()
    _, other, theirs = pair.lease(pair.two)
    assert names.store_of(theirs) != names.store_of(role) != ""
    assert target(pair.two)["foreign"] == {names.store_of(role): 1}
    assert "of our issuer stands there" in pair.two.flyball("status", code=3)

    pair.one.start()
    until(lambda: refused(pair.one), 30)
    assert wire.end().status_code == 200
    until(lambda: pair.roles() == {theirs}, 30, "its own role is taken back")
    assert not alive(session)
    assert alive(other)
    with pair.one.operator as operator:
        receipts = operator.get("/v1/receipts", params={"task": wire.task}).json()["receipts"]
    assert [one["payload"]["outcome"] for one in receipts] == ["verified"]

    pair.two.kill(signal.SIGTERM)
    until(lambda: not refused(pair.one), 30)
    pair.lease(pair.one)
    assert alive(other)


def test_what_a_lost_store_left_is_taken_by_the_operators_command_alone(pair: Pair) -> None:
    """Not by a start with a new store, nor by a sweep, nor without a yes, nor while that store's Flyball works."""
    pair.one.start()
    _, session, role = pair.lease(pair.one)
    mark = names.store_of(role)
    pair.two.start()
    words = ("target", "adopt", "orders", mark, "--reason", "the old disk is gone")
    pair.two.flyball(*words, "--yes", code=1)
    pair.one.kill()
    for file in pair.one.state.glob("store.db*"):
        file.unlink()
    for gone in ("anchor", "journal"):
        for file in pair.one.state.glob(f"{gone}*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    until(lambda: target(pair.two)["foreign"] == {mark: 1}, 30)
    pair.two.kill(signal.SIGTERM)
    pair.one.start()
    until(lambda: target(pair.one)["foreign"] == {mark: 1}, 30, "the new store sees what the lost one left")
    pair.canary()
    pair.one.flyball(*words, code=130)
    pair.one.flyball("target", "adopt", "orders", "0" * 12, "--yes", code=1)
    assert role in pair.roles()
    assert alive(session)

    told = json.loads(pair.one.flyball(*words, "--yes", "--json"))
    assert (told["names"], told["count"]) == ([role], 1)
    until(lambda: not pair.roles(), 30)
    assert not alive(session)
    shown = pair.one.flyball("audit", "show", "--kind", "target_adopted", "--json")
    assert "the old disk is gone" in shown
    assert role in shown
    assert mark in pair.one.flyball("audit", "show", "--kind", "orphan", "--json")
    until(lambda: not target(pair.one)["foreign"], 30)
    with pair.one.operator as operator:
        receipts = operator.get("/v1/receipts").json()["receipts"]
    assert {(one["payload"]["cause"], one["payload"]["outcome"]) for one in receipts} == {
        ("adopted", "verified"),
        ("orphan", "verified"),
    }


@pytest.fixture(params=pg.VERSIONS)
def site(request: pytest.FixtureRequest) -> Iterator[pg.Site]:
    with pg.site(request.param) as found:
        yield found


def claims(site: pg.Site) -> tuple[Claim, Claim]:
    return Claim(site.issuer, OURS, "one"), Claim(site.issuer, THEIRS, "two")


def end_holder(site: pg.Site, store: str) -> None:
    """End the session that holds it, as a failover would."""
    superuser = site.superuser()
    name = f"flyball {store}"
    superuser.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", (name,)
    )


def test_another_database_of_the_server_is_the_same_target(site: pg.Site) -> None:
    """Roles are the whole server's, so the hold is, too."""
    ours, theirs = claims(site)
    site.backend().hold(ours)
    there = pg.build("archive", {**site.config(), "database": "archive"}, site.clock, "dev")
    with pytest.raises(TargetUnavailable, match=OURS) as caught:
        there.hold(theirs)
    assert caught.value.code == HELD
    there.close()


def test_a_session_that_was_ended_is_noticed_and_who_comes_first_has_the_target(site: pg.Site) -> None:
    """It is taken anew where nobody came between; where somebody did, he has it and we are refused."""
    ours, theirs = claims(site)
    first, second = site.backend(), site.backend()
    first.hold(ours)
    end_holder(site, OURS)
    first.hold(ours)
    with pytest.raises(TargetUnavailable):
        second.hold(theirs)
    end_holder(site, OURS)
    second.hold(theirs)
    with pytest.raises(TargetUnavailable):
        first.hold(ours)


def test_a_server_that_was_restarted_is_held_again(site: pg.Site) -> None:
    """The session is gone with it, and that is noticed."""
    ours, theirs = claims(site)
    first = site.backend()
    first.hold(ours)
    with site.down(), pytest.raises(TargetUnavailable) as caught:
        first.hold(ours)
    assert caught.value.code != HELD
    first.hold(ours)
    with pytest.raises(TargetUnavailable):
        site.backend().hold(theirs)


def test_of_two_that_come_at_once_never_both_hold_it(site: pg.Site) -> None:
    """Taken before looked: in no round do both succeed."""
    gone = "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name ~ '^flyball 0')"
    won = []
    for _ in range(12):
        backends, start, held = [site.backend(), site.backend()], threading.Barrier(2), []

        def come(which: int) -> None:
            start.wait()  # noqa: B023 - joined below
            try:
                backends[which].hold(claims(site)[which])  # noqa: B023 - as above
            except TargetUnavailable:
                return
            held.append(which)  # noqa: B023 - as above

        threads = [threading.Thread(target=come, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won.append(len(held))
        for backend in backends:
            backend.let_go()
        until(lambda: site.superuser().execute(gone).fetchone() == (True,))
    assert set(won) <= {0, 1}
    assert 1 in won


def test_a_leases_session_cannot_keep_us_out(site: pg.Site) -> None:
    """Anybody may take an advisory lock, with our key too: it counts only from a role that may make roles."""
    ours, theirs = claims(site)
    held = Held(site).issue()
    client = site.login(held.plan, held.secret)
    assert client is not None
    client.connection.execute("SELECT pg_advisory_lock(%s::int, 7)", (_key(site.issuer),))
    site.backend().hold(ours)
    with pytest.raises(TargetUnavailable):
        site.backend().hold(theirs)
    held.revoke()


def test_a_silent_holder_is_asked_within_half_a_minute(site: pg.Site) -> None:
    """What the server does about a machine that has gone: its session's own keepalives, and no idle timeout."""
    raw = site.raw_backend()
    raw.hold(claims(site)[0])
    kept = raw._hold._kept
    assert kept is not None
    shown = [
        kept[1].execute(sql.SQL("SHOW {}").format(sql.SQL(name))).fetchone()
        for name in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "idle_session_timeout")
    ]
    assert shown == [("10",), ("5",), ("3",), ("0",)]
