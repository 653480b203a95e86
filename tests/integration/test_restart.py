"""Stopped, ended, killed, down for a while: a real server and an agent of the SDK's that goes on working."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from tests.forked import ForkedServer
from tests.wait import until
from tests.wire import Wire, svid

import flyball_sdk

pytestmark = pytest.mark.heavy
HEARTBEAT_S = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedServer]:
    server = ForkedServer(tmp_path_factory.mktemp("restart"), heartbeat=f"{HEARTBEAT_S:g}s")
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def held(server: ForkedServer) -> Iterator[flyball_sdk.Task]:
    """A task that is kept alive."""
    inputs = {"ticket": f"T-{time.time_ns()}", "limit": "50"}
    with flyball_sdk.task("settle-refund", inputs=inputs, addr=server.control_url, identity=lambda: svid(server)) as it:
        yield it


def goes_on(held: flyball_sdk.Task) -> None:
    """Its next questions are answered, over more than a heartbeat interval."""
    until(lambda: answered(held), 10, "no answer")
    beats = time.monotonic() + 1.5 * HEARTBEAT_S
    until(lambda: answered(held) and time.monotonic() > beats, 10)
    assert not held.lost


def answered(held: flyball_sdk.Task) -> bool:
    """Whether a read is allowed. No answer is none; nor is a refusal in the first moment after a stop of the server's,
    before it has noticed that it had stopped."""
    try:
        return bool(held.check("sql.select", "table", "orders.public.orders"))
    except flyball_sdk.Unavailable:
        return False
    except flyball_sdk.Denied as no:
        if no.reason != "heartbeat_missed":
            raise
        return False


def test_a_server_that_was_stopped_and_goes_on(server: ForkedServer, held: flyball_sdk.Task) -> None:
    """SIGSTOP for longer than the heartbeat: nobody could be heard, so nobody was silent."""
    assert answered(held)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        waited = time.monotonic() + 2 * HEARTBEAT_S
        until(lambda: time.monotonic() > waited)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    goes_on(held)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_is_started_again(server: ForkedServer, held: flyball_sdk.Task, sign: signal.Signals) -> None:
    """Ended in order or killed, and down for longer than the heartbeat: healthy tasks have an interval to be heard."""
    assert answered(held)
    server.kill(sign)
    assert server.exit_code == (0 if sign is signal.SIGTERM else -9)
    waited = time.monotonic() + 1.5 * HEARTBEAT_S
    until(lambda: time.monotonic() > waited)
    assert not held.lost
    server.start()
    goes_on(held)


def test_a_dead_agents_task_does_not_come_back_with_the_server(server: ForkedServer) -> None:
    """Nobody beats for it after the restart either: an interval later it is over."""
    wire = Wire(server)
    assert wire.open("T-9").status_code == 201
    assert wire.credential().status_code == 201
    server.kill()
    server.start()

    def closed() -> bool:
        with server.operator as operator:
            told = operator.get(f"/v1/tasks/{wire.task}").json()
        return told["state"] == "closed" and told["cause"] == "heartbeat_missed"

    until(closed, 10 * HEARTBEAT_S)
    assert wire.check().status_code in (401, 200)
    assert not wire.allowed()
    wire.close()


def test_a_bad_bundle_by_signal_is_refused(server: ForkedServer, held: flyball_sdk.Task) -> None:
    """SIGHUP with a bundle that does not hold: the running one stays, and says so; a good one is taken."""
    manifest = server.home / "bundle" / "bundle.yaml"
    good = manifest.read_text()
    before = server.status()["bundle"]
    manifest.write_text(good + "\nnonsense: 1\n")
    try:
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: "the running one stays" in server.log())
    finally:
        manifest.write_text(good)
    assert server.status()["bundle"] == before
    assert answered(held)
    manifest.write_text(good.replace('version: "1"', 'version: "2"'))
    try:
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: server.status()["bundle"] != before)
        goes_on(held)
    finally:
        manifest.write_text(good)


def test_a_second_server_on_the_same_state_is_refused(server: ForkedServer) -> None:
    """One process holds a store: the second ends with an error that says so, and the first notices nothing."""
    assert server.flyball("serve", code=1) == ""
    assert server.running
    assert server.status()["node"] == "node-1"
