"""The store's disk is full, or it can no longer be written: privilege is taken back all the same, and none is given.

A real server on a real PostgreSQL, its state on a small disk of its own that a flood of denied
checks runs into. Needs root, to mount that disk; skipped without, and never under CI.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
from tests.forked import ForkedServer
from tests.server import shop
from tests.wait import until
from tests.wire import Wire

from flyball.demo.postgres import EmbeddedPostgres
from flyball.flow.offline import verify_audit, verify_receipt

pytestmark = pytest.mark.heavy
OUR_FAULTS = {"record_failed", "queue_full"}
BOUND_S = 8.0  # for a revocation at a real database on a busy machine; idle it takes a tenth of a second


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with shop(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB, mounted where a server's state will be."""
    place = tmp_path / "flyball" / "state"
    place.mkdir(parents=True, mode=0o700)
    line = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(place)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI mounts a small disk: {done.stderr}")
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@dataclass
class Flood:
    """Agents that are denied, over and over."""

    server: ForkedServer
    answers: list[bool] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, wires: list[Wire]) -> None:
        """One thread an agent."""
        self._threads = [threading.Thread(target=self._run, args=(wire,)) for wire in wires]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Enough."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, wire: Wire) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(httpx.HTTPError):
                answer = wire.check("tool.send_mail", "tool", "mail", to="x@outside.example", body="x" * 2000)
                self.answers.append(answer.status_code == 200 and answer.json()["decision"] is not False)


def code(answer: httpx.Response) -> str:
    """Why the decision plane could not decide."""
    return str(answer.json()["type"]).rpartition(":")[2]


@contextlib.contextmanager
def stage(home: Path, postgres: EmbeddedPostgres) -> Iterator[tuple[ForkedServer, Wire, Wire, Flood]]:
    """A server; a victim that holds a role; a bystander; and a flood that has not begun."""
    server = ForkedServer(home, postgres=postgres, heartbeat="60s")
    profile = home / "bundle" / "profiles" / "settle-refund.yaml"
    text = (
        profile.read_text()
        .replace("on_deviation: revoke", "on_deviation: deny")
        .replace("calls: 1000", "calls: 1000000")
    )
    profile.write_text(text.replace("checks_per_second: 200", "checks_per_second: 100000"))
    server.start()
    victim, bystander, *others = wires = [Wire(server) for _ in range(5)]
    flood = Flood(server)
    try:
        for number, wire in enumerate(wires):
            assert wire.open(f"T-{number}").status_code == 201
        assert victim.credential().status_code == 201
        flood.start(others)
        yield server, victim, bystander, flood
    finally:
        flood.stop()
        for wire in wires:
            wire.close()
        server.kill()


def roles(postgres: EmbeddedPostgres) -> int:
    """How many roles of Flyball's stand at the database."""
    with psycopg.connect(postgres.dsn(dbname="orders")) as connection:
        row = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'fb\\_%'").fetchone()
    assert row is not None
    return int(row[0])


def fill(disk: Path) -> Path:
    """Take all that is left of the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return ballast


def revoked_all_the_same(server: ForkedServer, postgres: EmbeddedPostgres, victim: Wire, tmp_path: Path) -> None:
    """An operator revokes: role gone and receipt signed within the bound, though the store takes nothing."""
    began = time.monotonic()
    with server.operator as operator:
        answer = operator.post(f"/v1/tasks/{victim.task}/revoke", json={"reason": "asked"}, timeout=30)
    assert answer.status_code == 200, answer.text
    until(lambda: roles(postgres) == 0, BOUND_S, "the role stands")
    assert time.monotonic() - began < BOUND_S
    (receipt,) = answer.json()["receipts"]
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt["envelope"]))
    assert verify_receipt(file, server.state / "public-keys.json")["outcome"] == "verified"
    assert not victim.allowed()


def caught_up(server: ForkedServer, victim: Wire, bystander: Wire) -> None:
    """The store can be written again: it learns all that the journal kept, and what it holds verifies."""
    until(bystander.allowed, 20, "no check is allowed again")
    assert not victim.allowed()

    def closed() -> bool:
        with server.operator as operator:
            told = operator.get(f"/v1/tasks/{victim.task}").json()
        return told["state"] == "closed" and [lease["state"] for lease in told["leases"]] == ["verified"]

    until(closed, 20, "the store does not catch up")
    with server.operator as operator:
        kinds = [
            r["kind"]
            for r in operator.get("/v1/records", params={"task": victim.task, "limit": 1000}).json()["records"]
        ]
    assert kinds.count("fenced") == kinds.count("receipt") == 1
    server.kill()
    anchor, keys = server.state / "anchor" / "anchor.json", server.state / "public-keys.json"
    report = verify_audit(server.state / "store.db", anchor=anchor, keys=keys)
    assert report.ok, report


def test_a_full_disk_under_a_flood(disk: Path, tmp_path: Path, postgres: EmbeddedPostgres) -> None:
    """Checks are refused as our fault, never allowed; a revocation is done in bounded time; afterwards all is there."""
    with stage(disk.parent, postgres) as (server, victim, bystander, flood):
        assert bystander.allowed()
        assert roles(postgres) == 1
        ballast = fill(disk)
        # Where a large batch does not fit any more a small one still may: the log has room that was made before.
        until(lambda: all(bystander.check().status_code == 503 for _ in range(20)), 60, "the store still takes records")
        assert code(bystander.check()) in OUR_FAULTS
        revoked_all_the_same(server, postgres, victim, tmp_path)
        assert not bystander.allowed()
        flood.stop()
        assert len(flood.answers) > 100, "no flood, nothing tried"
        assert not any(flood.answers), "a denied call was allowed"
        ballast.unlink()
        caught_up(server, victim, bystander)


def test_a_store_that_can_only_be_read(tmp_path: Path, postgres: EmbeddedPostgres) -> None:
    """Its files refuse every write: the same."""
    with stage(tmp_path / "flyball", postgres) as (server, victim, bystander, flood):
        assert bystander.allowed()
        # Not the shared-memory index: it is mapped, and the kernel ends a process (SIGBUS) that writes to a
        # mapped page of a frozen file. See docs/limitations.md.
        files = [str(server.state / name) for name in ("store.db", "store.db-wal")]
        frozen = subprocess.run(["chattr", "+i", *files], capture_output=True, text=True, check=False)
        try:
            if frozen.returncode:
                if os.environ.get("CI") == "true":
                    pytest.fail(f"CI freezes files: {frozen.stderr}")
                pytest.skip(f"no file can be frozen here: {frozen.stderr.strip()}")
            until(lambda: bystander.check().status_code == 503, 20, "the store still takes records")
            assert code(bystander.check()) in OUR_FAULTS
            revoked_all_the_same(server, postgres, victim, tmp_path)
            assert not bystander.allowed()
        finally:
            subprocess.run(["chattr", "-i", *files], check=False)
        flood.stop()
        caught_up(server, victim, bystander)
