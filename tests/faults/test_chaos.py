"""kill -9 of the real server on a real PostgreSQL: at every named step, and at any instant.

Afterwards, whatever it was doing: no role without a lease, no lease without a live task, no answered
allow without its record, a store that verifies; and a healthy agent, whose task lives through all
of these deaths, keeps its role, its session and its answers.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import psycopg
import pytest
from tests.forked import ForkedServer
from tests.server import shop
from tests.wait import until
from tests.wire import Wire, svid

import flyball_sdk
from flyball.demo.postgres import EmbeddedPostgres
from flyball.flow.offline import verify_audit
from flyball.kernel.faults import FLOW_POINTS, ISSUE_POINTS, REVOKE_POINTS

pytestmark = [pytest.mark.heavy, pytest.mark.chaos]
POINTS = (*FLOW_POINTS, *ISSUE_POINTS, *REVOKE_POINTS)
#: How often it is killed at a random instant; CI takes few, `CHAOS_KILLS=300 pytest …` takes its time.
KILLS = int(os.environ.get("CHAOS_KILLS", "4"))
LIVE = {"intent", "active", "delivered"}
GONE = {"verified"}


@dataclass
class Field:
    """A database, a server to be killed, and the healthy agent that lives through it."""

    server: ForkedServer
    postgres: EmbeddedPostgres
    healthy: flyball_sdk.Task
    role: str
    session: psycopg.Connection
    watcher: psycopg.Connection
    allowed: list[str] = field(default_factory=list)

    def roles(self) -> set[str]:
        """The roles of Flyball's making that stand at the database."""
        rows = self.watcher.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'fb\\_%'").fetchall()
        return {str(row[0]) for row in rows}

    def get(self, path: str) -> list[dict[str, object]]:
        """What an operator sees."""
        with self.server.operator as operator:
            answer = operator.get(path, params={"limit": 1000})
        assert answer.status_code == 200, answer.text
        listed = answer.json()
        return listed if isinstance(listed, list) else next(one for one in listed.values() if isinstance(one, list))

    def check_while_alive(self) -> None:
        """The healthy agent asks and asks, until the server dies; each allow it was told is kept."""
        until(self._checked_and_dead, timeout_s=600, what="the server's death")

    def _checked_and_dead(self) -> bool:
        with contextlib.suppress(flyball_sdk.FlyballError):
            self.allowed.append(self.healthy.check("sql.select", "table", "orders.public.orders").id)
        return not self.server.running


@pytest.fixture(scope="module")
def field_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with shop(tmp_path_factory.mktemp("pg")) as postgres:
        server = ForkedServer(tmp_path_factory.mktemp("flyball"), postgres=postgres, heartbeat="3s")
        profile = server.home / "bundle" / "profiles" / "settle-refund.yaml"
        text = profile.read_text().replace("calls: 1000", "calls: 100000")
        profile.write_text(text.replace("ttl: 5m", "ttl: 30m").replace("ttl: 15m", "ttl: 30m"))
        server.start()
        inputs = {"ticket": "T-1", "limit": "50"}
        with (
            flyball_sdk.task(
                "settle-refund", inputs=inputs, addr=server.control_url, identity=lambda: svid(server)
            ) as task,
            psycopg.connect(postgres.dsn(dbname="orders"), autocommit=True) as watcher,
        ):
            held = task.credential("orders")
            session = psycopg.connect(held.dsn(), autocommit=True)
            yield Field(server, postgres, task, str(held.connection["user"]), session, watcher)
            session.close()
            if not server.running:
                server.start()
        server.kill()


def misbehave(server: ForkedServer, ticket: str) -> tuple[str, list[str]]:
    """An agent's whole life, as far as the server lives; its task, and the allows that it was told."""
    wire, told = Wire(server), []
    try:
        for call in (lambda: wire.open(ticket), wire.credential, wire.check, wire.check, wire.end):
            call()
            if wire.token:
                told.append(wire.allowed())
    except httpx.TransportError:
        pass
    finally:
        wire.close()
    return wire.task, [one for one in told if one]


def stands(place: Field, allowed: list[str]) -> None:
    """What must hold once it has started again."""
    # at once, and all the time from here on: nothing at the database that no lease accounts for
    by_name = {str(lease["name"]): lease for lease in place.get("/v1/leases")}
    assert place.roles() <= {name for name, lease in by_name.items() if lease["state"] not in GONE}
    # the healthy agent is unharmed: its session, its role, its answers
    assert place.session.execute("SELECT count(*) FROM public.orders").fetchone()
    assert place.healthy.check("sql.select", "table", "orders.public.orders").allowed
    assert not place.healthy.lost
    # before long: only the healthy agent's lease lives, and nothing else stands
    until(lambda: place.roles() == {place.role}, 25, "roles that nobody takes back")
    until(lambda: settled(place), 25, "leases that do not settle")
    # no answered allow without its record
    with place.server.operator as operator:
        for decision in allowed + place.allowed[-40:]:
            assert operator.get(f"/v1/decisions/{decision}").status_code == 200, decision
    state = place.server.state
    report = verify_audit(state / "store.db", anchor=state / "anchor" / "anchor.json", keys=state / "public-keys.json")
    assert report.ok, report


def settled(place: Field) -> bool:
    """No lease is live but the healthy one, none without a live task, and no fenced task is left unclosed."""
    live = [lease for lease in place.get("/v1/leases") if lease["state"] != "verified"]
    tasks = {str(task["task"]): task["state"] for task in place.get("/v1/tasks")}
    return (
        [lease["name"] for lease in live] == [place.role]
        and live[0]["state"] in LIVE
        and tasks.pop(str(live[0]["task"])) == "open"
        and set(tasks.values()) <= {"closed"}
    )


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_step(field_: Field, point: str) -> None:
    """Killed at the step while others work: started again it takes back what is nobody's, and harms nobody else."""
    server = field_.server
    server.kill()
    server.start(FLYBALL_FAULTS=f"{point}:kill")
    asking = threading.Thread(target=field_.check_while_alive)
    asking.start()
    task, told = misbehave(server, f"T-{random.randrange(10**9)}")
    until(lambda: not server.running, 20, f"nobody passed {point}")
    assert server.exit_code == -9
    asking.join(20)
    server.start()
    stands(field_, told)
    if point.startswith(("end.", "revoke.")) or point == "journal.after_append":
        with server.operator as operator:
            told_cause = operator.get(f"/v1/tasks/{task}").json()["cause"]
        assert told_cause == "ended", "its end was on reserved disk: nobody had to wait for its silence"


def test_killed_at_any_instant(field_: Field) -> None:
    """Killed while several agents open, ask, issue and end at once, again and again."""
    server, all_told = field_.server, 0
    for _ in range(KILLS):
        if not server.running:
            server.start()
        told: list[str] = []
        stop = threading.Event()

        def work(told: list[str] = told, stop: threading.Event = stop) -> None:
            while not stop.is_set() and server.running:
                told.extend(misbehave(server, f"T-{random.randrange(10**9)}")[1])

        working = [threading.Thread(target=work) for _ in range(4)]
        for thread in working:
            thread.start()
        wanted = random.randrange(12)  # the instant is the chance's: in the midst of whatever comes next
        until(lambda told=told, wanted=wanted: len(told) >= wanted, timeout_s=60, what="calls that were allowed")
        server.kill()
        stop.set()
        for thread in working:
            thread.join(30)
        server.start()
        stands(field_, told)
        all_told += len(told)
    assert all_told, "no kill came while anything was allowed: nothing was tried"
