"""A target that hangs, dies or cuts connections at each step, on 15 and 18."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from tests import pg

from flyball.connectors.postgresql.revoke import STEPS
from flyball.credential.backend import TargetUnavailable
from flyball.testing.backend_contract import Held

pytestmark = pytest.mark.heavy


@pytest.fixture(params=pg.VERSIONS)
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[pg.Site]:
    limits = {**pg.LIMITS, "connect_ms": 2000, "statement_ms": 400, "lock_ms": 100}
    monkeypatch.setattr(pg, "LIMITS", limits)
    with pg.site(request.param) as found:
        yield found


def test_a_server_that_hangs_holds_nobody(site: pg.Site) -> None:
    """Stopped as it stands, at each step: each call gives up in time with TargetUnavailable; resumed, it goes on."""
    backend = site.raw_backend()
    held = Held(site).issue()
    client = held.login()
    backend.inspect()  # a connection is open and kept
    for step in STEPS:
        site.server.pause()
        try:
            began = time.monotonic()
            with pytest.raises(TargetUnavailable):
                backend.run(step, held.plan, held.progress)
            assert time.monotonic() - began < 4
        finally:
            site.server.resume()
        held.progress.update(backend.run(step, held.plan, held.progress).progress)
    site.server.pause()
    try:
        assert [door.verdict for door in backend.probe(held.plan, held.progress, held.secret).doors] == ["inconclusive"]
    finally:
        site.server.resume()
    assert backend.probe(held.plan, held.progress, held.secret).gone
    assert not client.alive()


def test_a_server_that_hangs_while_issuing(site: pg.Site) -> None:
    """The issue gives up; whatever it left is taken back from the intent alone."""
    backend = site.raw_backend()
    backend.inspect()
    held = Held(site)
    site.server.pause()
    try:
        with pytest.raises(TargetUnavailable):
            backend.issue(held.plan, held.secret)
    finally:
        site.server.resume()
    held.revoke()
    assert held.probe().gone


def test_a_server_that_is_killed_between_steps(site: pg.Site) -> None:
    """kill -9 of the postmaster's backends before each step, with connections kept: it recovers, and so do we."""
    backend = site.raw_backend()
    held = Held(site).issue()
    for step in STEPS:
        site.server.shut_down(signal.SIGQUIT)
        with pytest.raises(TargetUnavailable):
            backend.run(step, held.plan, held.progress)
        site.server.start()
        held.progress.update(backend.run(step, held.plan, held.progress).progress)
    assert backend.probe(held.plan, held.progress, held.secret).gone


def test_kept_connections_that_died_are_not_used(site: pg.Site) -> None:
    """An administrator ends all of our kept connections: the next call simply works."""
    backend = site.raw_backend()
    held = Held(site).issue()
    backend.inspect()
    site.superuser().execute(
        "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE usename='flyball_admin'"
    )
    for step in STEPS:
        held.progress.update(backend.run(step, held.plan, held.progress).progress)
        site.superuser().execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE usename='flyball_admin'"
        )
    assert backend.probe(held.plan, held.progress, held.secret).gone


def test_a_lock_in_the_way_is_no_hang(site: pg.Site) -> None:
    """Somebody holds the lease's role row: the step gives up by its lock timeout, and works afterwards."""
    held = Held(site).issue()
    blocker = site.superuser()
    blocker.execute("BEGIN")
    blocker.execute(f'ALTER ROLE "{held.plan.name}" CONNECTION LIMIT 3')
    began = time.monotonic()
    with pytest.raises(TargetUnavailable, match="lock timeout"):
        held.run("deny_login")
    assert time.monotonic() - began < 3
    blocker.execute("ROLLBACK")
    held.revoke()
    assert held.probe().gone


def test_a_child_after_fork_opens_its_own_connections(site: pg.Site) -> None:
    """The child's calls and end leave the parent's kept connections as they were."""
    backend = site.raw_backend()
    backend.inspect()
    pool, door = backend._own.pool, backend._own.config.primary

    def server_process() -> int:
        with pool.use(door, "shop") as connection:
            return connection.info.backend_pid

    before_fork = server_process()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if server_process() != before_fork and backend.inspect()["excess"] == [] else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert server_process() == before_fork
    look = site.superuser()
    ours = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'flyball_admin'"
    before = look.execute(ours).fetchone()
    assert backend.inspect()["excess"] == []
    assert look.execute(ours).fetchone() == before
