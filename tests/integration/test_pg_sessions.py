"""PostgreSQL's ways of keeping a session, or letting one in, after a revocation (P1 to P5), on 15 and 18."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
import pytest
from tests import pg
from tests.wait import until

from flyball.connectors.postgresql import kill
from flyball.connectors.postgresql.config import read
from flyball.connectors.postgresql.pool import Pool
from flyball.connectors.postgresql.scram import Exchange
from flyball.credential.backend import ProbeReport
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret
from flyball.testing.backend_contract import Held

T = TypeVar("T")
pytestmark = pytest.mark.heavy


@pytest.fixture(params=pg.VERSIONS)
def site(request: pytest.FixtureRequest) -> Iterator[pg.Site]:
    with pg.site(request.param) as found:
        yield found


def rows(site: pg.Site) -> int:
    (count,) = site.superuser().execute("SELECT count(*) FROM public.refunds").fetchone() or (0,)
    return int(count)


class HeldLogin:
    """A login spoken by hand, so that it can be held in the middle of SCRAM."""

    def __init__(self, port: int, user: str, secret: Secret) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._exchange = Exchange(secret)
        body = f"user\0{user}\0database\0shop\0\0".encode()
        self._socket.sendall(struct.pack("!II", len(body) + 8, 196608) + body)
        assert self._message()[0] == b"R"
        first = self._exchange.first()
        self._send(b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
        kind, self._challenge = self._message()
        assert kind == b"R"

    def complete(self) -> str:
        """Send the proof that was held back; the SQLSTATE of the refusal, or "" when the login is let in."""
        self._send(self._exchange.final(self._challenge[4:]))
        while True:
            kind, payload = self._message()
            if kind == b"E":
                return next(part[1:].decode() for part in payload.split(b"\0") if part[:1] == b"C")
            if kind == b"Z":
                return ""

    def _send(self, payload: bytes) -> None:
        self._socket.sendall(b"p" + struct.pack("!I", len(payload) + 4) + payload)

    def _message(self) -> tuple[bytes, bytes]:
        head = self._exactly(5)
        return head[:1], self._exactly(struct.unpack("!I", head[1:])[0] - 4)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            got = self._socket.recv(count - len(data))
            assert got, "the server closed the connection"
            data += got
        return data


def test_p1_many_at_once_by_membership(site: pg.Site) -> None:
    """Eight at a time, forty leases are issued and revoked without one failure, and no table's ACL grows."""
    before = site.superuser().execute("SELECT relacl FROM pg_class WHERE relname = 'refunds'").fetchone()
    backend = site.backend()

    def cycle(_: int) -> ProbeReport:
        held = Held(site)
        held.progress.update(backend.issue(held.plan, held.secret).progress)
        for step in backend.steps(held.plan):
            held.progress.update(backend.run(step, held.plan, held.progress).progress)
        return backend.probe(held.plan, held.progress, held.secret)

    with ThreadPoolExecutor(8) as threads:
        assert [report for report in threads.map(cycle, range(40)) if not report.gone] == []
    after = site.superuser().execute("SELECT relacl FROM pg_class WHERE relname = 'refunds'").fetchone()
    assert before == after
    assert not list(backend.inventory(site.issuer))


def test_p2_a_session_outlives_its_role_and_is_found_by_oid(site: pg.Site) -> None:
    """After DROP ROLE alone a session goes on; the look after the drop finds it by OID, under no name, and ends it."""
    held = Held(site).issue()
    client = held.login()
    assert isinstance(client, pg.Client)
    if site.server.version == "15":
        client.connection.execute("SET ROLE writers")
    else:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            client.connection.execute("SET ROLE writers")
    site.superuser().execute(f'DROP ROLE "{held.plan.name}"')
    if site.server.version == "15":
        assert client.alive(), "the reason for this test: DROP ROLE ends no session"
    outcome = site.backend().run("drop", held.plan, held.progress)
    assert outcome.observed["sessions_after"] == {"sessions": 1}
    assert not client.alive()
    held.revoke()
    assert held.probe().gone


def test_p2_the_probe_counts_by_oid_and_ends_what_it_finds(site: pg.Site) -> None:
    """A session that is there although its role is gone, under no name: no proof is given beside it."""
    held = Held(site).issue()
    held.login()
    look = site.superuser()
    left = "SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s"
    look.execute(f'DROP ROLE "{held.plan.name}"')
    assert look.execute(left, (held.progress["oid"],)).fetchone() == (1,), "the reason for this test"
    assert held.probe().gone
    assert look.execute(left, (held.progress["oid"],)).fetchone() == (0,)


def test_kill_returns_when_nobody_is_left(site: pg.Site) -> None:
    """Not when everybody was told: at the moment the step answers there is no session of the role."""
    held = Held(site).issue()
    for _ in range(25):
        held.login()
    look = site.superuser()
    held.run("deny_login")
    outcome = site.backend().run("kill", held.plan, held.progress)
    left = look.execute("SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s", (held.progress["oid"],))
    assert left.fetchone() == (0,)
    assert outcome.observed["primary"] == {"sessions": 25}


def test_a_dropped_role_of_unknown_oid_keeps_no_session(site: pg.Site) -> None:
    """Crash before the OID was kept, then somebody drops the role: its session is nobody's, and is ended."""
    held = Held(site).issue()
    client = held.login()
    held.progress.clear()
    site.superuser().execute(f'DROP ROLE "{held.plan.name}"')
    assert not held.probe().gone
    held.revoke()
    assert held.probe().gone
    assert not client.alive()


_STORM = """
import sys, threading, time
import psycopg
dsn, seconds = sys.argv[1], float(sys.argv[2])
end = time.monotonic() + seconds
ready = threading.Semaphore(0)
def client():
    told = False
    while time.monotonic() < end:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                while time.monotonic() < end:
                    connection.execute("INSERT INTO public.refunds VALUES (7)")
                    if not told:
                        told = True
                        ready.release()
                    time.sleep(0.01)
        except psycopg.Error:
            pass
threads = [threading.Thread(target=client, daemon=True) for _ in range(32)]
for t in threads: t.start()
for _ in threads: ready.acquire()
print("storm", flush=True)
for t in threads: t.join()
"""


def test_p3_a_reconnect_storm_leaves_no_survivor(site: pg.Site) -> None:
    """32 clients write and reconnect as fast as they can. Revoked under them, none has a session afterwards,
    and not one row is written any more."""
    held = Held(site).issue()
    backend = site.backend()
    dsn = (
        f"host=127.0.0.1 port={site.server.port} dbname=shop user={held.plan.name} "
        f"password={held.secret.reveal()} connect_timeout=10"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    storm = subprocess.Popen([sys.executable, "-c", _STORM, dsn, "12"], stdout=subprocess.PIPE, env=environment)
    try:
        assert storm.stdout is not None
        assert storm.stdout.readline() == b"storm\n"
        backend.inspect()  # as in a server that runs: connections are there
        look, left = site.superuser(), "SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s"
        began = time.monotonic()
        for step in backend.steps(held.plan):
            held.progress.update(backend.run(step, held.plan, held.progress).progress)
            if step == "kill":
                assert look.execute(left, (held.progress["oid"],)).fetchone() == (0,)
        report = backend.probe(held.plan, held.progress, held.secret)
        took = time.monotonic() - began
        assert report.gone, report
        oid = held.progress["oid"]
        written = rows(site)
        deadline = time.monotonic() + 0.5  # the storm goes on meanwhile
        while time.monotonic() < deadline:
            assert look.execute(left, (oid,)).fetchone() == (0,)
        assert rows(site) == written
        print(f"\nstorm, PostgreSQL {site.server.version}: verified after {took * 1000:.0f} ms")
    finally:
        storm.kill()
        storm.wait()


def test_p4_a_login_held_mid_scram_is_stopped_by_nologin(site: pg.Site) -> None:
    """A client that holds its proof back until after the revocation is refused, at whatever step it sends it."""
    held = Held(site).issue()
    logins = [HeldLogin(site.server.port, held.plan.name, held.secret) for _ in range(2)]
    held.run("deny_login")
    assert logins[0].complete() == "28000"
    for step in ("kill", "disown", "drop"):
        held.run(step)
    assert logins[1].complete() in {"28P01", "28000"}
    assert held.probe().gone


def test_p4_password_null_alone_would_let_it_in(site: pg.Site) -> None:
    """Why NOLOGIN is the gate: with PASSWORD NULL and a past VALID UNTIL the held login completes."""
    held = Held(site).issue()
    login = HeldLogin(site.server.port, held.plan.name, held.secret)
    site.superuser().execute(f"ALTER ROLE \"{held.plan.name}\" PASSWORD NULL VALID UNTIL '2001-01-01'")
    assert login.complete() == ""
    held.revoke()
    assert held.probe().gone


def test_p4_held_logins_of_others_are_left_alone(site: pg.Site) -> None:
    """No bystander pays: somebody else's login that is held in authentication is not ended, and completes."""
    bystander = Held(site).issue()
    held = Held(site).issue()
    other = HeldLogin(site.server.port, bystander.plan.name, bystander.secret)
    held.run("deny_login")
    outcome = site.backend().run("kill", held.plan, held.progress)
    assert outcome.observed["primary"] == {"sessions": 0, "unauthenticated": 1}
    assert other.complete() == ""
    bystander.revoke()


def test_p5_a_hidden_backend_is_found_and_ended(site: pg.Site) -> None:
    """A client stretches the time between authentication and its first sight with post_auth_delay: it is past NOLOGIN
    and shows no OID anywhere. Revoking ends it, and it never gets to write."""
    held = Held(site).issue()
    options = "-c post_auth_delay=4" + (" -c role=writers" if site.server.version == "15" else "")
    outcome: list[pg.Client | None] = []
    hider = threading.Thread(target=lambda: outcome.append(site.login(held.plan, held.secret, options=options)))
    look = site.superuser()
    before = rows(site)
    hider.start()

    until(lambda: len(pg.hiding(look)) == 1, 3, "the backend hides past authentication")
    began = time.monotonic()
    held.run("deny_login")
    killed = site.backend().run("kill", held.plan, held.progress)
    took = time.monotonic() - began
    found = killed.observed["primary"]
    assert isinstance(found, dict)
    assert found["hidden"] == 1  # and perhaps a session, where it showed itself on its way out
    assert took < 1.5
    held.run("disown")
    held.run("drop")
    assert held.probe().gone
    hider.join(timeout=10)
    (client,) = outcome  # its login may have been answered, just before its end
    assert client is None or not client.alive(), "the hidden backend surfaced with a session"
    assert rows(site) == before


def revoke_beside(site: pg.Site, work: Callable[[], T]) -> tuple[T, Json]:
    """Do `work`, which logs in, while logins hide; revoke somebody beside it; what came of both."""
    other = Held(site).issue()
    hunter = site.backend()
    look = site.superuser()
    hunter.inspect()  # has its connection before logins are slow
    with ThreadPoolExecutor(1) as threads:
        with pg.slow_logins(site.server, look):
            worked = threads.submit(work)
            until(lambda: pg.hiding(look), what="a login of ours hides")
            other.progress.update(hunter.run("deny_login", other.plan, other.progress).progress)
            killed = hunter.run("kill", other.plan, other.progress).observed["primary"]
        result = worked.result()
    other.revoke()
    return result, killed


def test_a_revocation_beside_it_costs_no_lease(site: pg.Site) -> None:
    """On a busy machine a login of our own hides for long enough to be ended; it is begun again, and nobody notices."""
    held = Held(site)
    issued, killed = revoke_beside(site, lambda: site.backend().issue(held.plan, held.secret))
    assert killed == {"sessions": 0, "hidden": 1}, "the reason for this test"
    held.progress.update(issued.progress)
    assert held.login() is not None
    held.revoke()
    assert held.probe().gone


def test_a_revocation_beside_it_costs_no_proof(site: pg.Site) -> None:
    """The same for the control login of a proof."""
    held = Held(site).issue()
    held.revoke()
    backend = site.backend()
    report, killed = revoke_beside(site, lambda: backend.probe(held.plan, held.progress, held.secret))
    assert killed == {"sessions": 0, "hidden": 1}, "the reason for this test"
    assert report.gone


def test_who_shows_its_role_is_not_taken_for_one_that_hides(site: pg.Site) -> None:
    """Between the look and the word to it a backend may have shown whose it is: it is a bystander, and stays."""
    bystander = Held(site).issue()
    client = bystander.login()
    assert isinstance(client, pg.Client)
    config = read("shop", site.config(), "dev")
    pool = Pool(config)
    with pool.use(config.primary) as connection:
        assert not kill.end_hidden(connection, client.connection.info.backend_pid)
    pool.close()
    assert client.alive()
    bystander.revoke()


def test_a_renamed_role_is_revoked_by_its_oid(site: pg.Site) -> None:
    """An administrator renames the lease's role: it is found by OID, denied, and dropped."""
    held = Held(site).issue()
    client = held.login()
    site.superuser().execute(f'ALTER ROLE "{held.plan.name}" RENAME TO innocent{site.server.port}')
    assert not held.probe().gone
    held.revoke()
    assert held.probe().gone
    assert not client.alive()
    (count,) = site.superuser().execute(
        "SELECT count(*) FROM pg_roles WHERE rolname = %s", (f"innocent{site.server.port}",)
    ).fetchone() or (1,)
    assert count == 0
