"""The decision plane through its Python door: what is answered, what waits, what is refused."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.server import without_origins

from flyball.kernel import ids
from flyball.kernel.json import Json, canonical
from flyball.policy.compile import Compiled, load_bundle
from flyball.policy.engine import Core, CoreError, ForkedError, PolicyLoadError, StoreUnavailable, Writer

BUNDLES = Path(__file__).parents[2] / "bundles"
KEY = b"k" * 32
TABLE = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE record(seq INTEGER PRIMARY KEY, task TEXT, n INTEGER, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
  body BLOB NOT NULL, sealed BLOB, hash BLOB NOT NULL) STRICT;
CREATE INDEX record_task ON record(task, n) WHERE task IS NOT NULL;
CREATE TABLE counter(key TEXT NOT NULL, unit TEXT NOT NULL, used INTEGER NOT NULL, cell TEXT NOT NULL,
  home TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY(key, unit)) STRICT, WITHOUT ROWID;
"""


@dataclass
class House:
    """A core, its bundle, and its writer where it has one."""

    core: Core
    compiled: Compiled
    writer: Writer | None = None

    def open(self, *, ticket: str = "T-1", ms: int = 900_000, heartbeat_ms: int = 60_000) -> str:
        """A live task of the demo's profile."""
        task = ids.task_id("local", time.time_ns() // 10**6)
        self.core.open(spec(self.compiled, task, ticket=ticket, ms=ms, heartbeat_ms=heartbeat_ms))
        return task

    def refund(self, task: str, amount: str = "12.50") -> tuple[str, tuple[str, ...]]:
        """Effect and reasons of asking for a refund."""
        args = f'{{"order_id":"o-1","amount":{amount}}}'.encode()
        verdict = self.core.check(task, "sdk", "tool.refund", "tool", "refund", args)
        return verdict.effect, verdict.reasons

    def read(self, task: str, *, wait: bool = True, binding: str = "inproc") -> tuple[str, tuple[str, ...]]:
        """Effect and reasons of asking to read an order."""
        verdict = self.core.check(
            task, "sdk", "sql.select", "table", "orders.public.orders", b"{}", wait=wait, binding=binding
        )
        return verdict.effect, verdict.reasons


def spec(compiled: Compiled, task: str, *, ticket: str, ms: int, heartbeat_ms: int) -> bytes:
    """A task as the plane takes it."""
    now = time.time_ns() // 10**6
    profile = compiled.bundle.profiles["settle-refund"]
    inputs: dict[str, Json] = {
        "ticket": {"value": ticket, "type": "string", "vouched_by": "declared"},
        "limit": {"value": "80", "type": "decimal", "vouched_by": "declared"},
    }
    return canonical(
        {
            "id": task,
            "principal": "spiffe://flyball.dev/agent/refund-agent",
            "agent": "refund-agent",
            "owner": "payments",
            "profile": profile.name,
            "profile_digest": profile.digest,
            "inputs": inputs,
            "opened_ms": now,
            "hard_end_ms": now + ms,
            "heartbeat_ms": heartbeat_ms,
            "data_key": base64.b64encode(os.urandom(32)).decode(),
            "state": "open",
            "binding": "uid:0",
        }
    )


def history(writer: Writer, task: str) -> list[tuple[bytes, bytes | None]]:
    """A task's records as they are restored from: each with what is sealed beside it."""
    rows = writer.query("SELECT body, sealed FROM record WHERE task = ? ORDER BY seq", (task,))
    return [(body, sealed if isinstance(sealed, bytes) else None) for body, sealed in rows if isinstance(body, bytes)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """The demo's bundle, with nothing that goes by a result."""
    bundle = tmp_path_factory.mktemp("demo") / "bundle"
    shutil.copytree(BUNDLES / "demo", bundle)
    without_origins(bundle)
    return load_bundle(bundle)


@pytest.fixture
def house(compiled: Compiled) -> House:
    """A core without a store."""
    core = Core(cell="local", node="test", epoch=1, deployment_key=KEY)
    core.load(compiled.json)
    return House(core, compiled)


@pytest.fixture
def stored(compiled: Compiled, tmp_path: Path) -> Iterator[House]:
    """A core with a store."""
    import sqlite3

    path = tmp_path / "store.db"
    with sqlite3.connect(path) as made:
        made.executescript("PRAGMA journal_mode=WAL;" + TABLE)
    made.close()
    writer = Writer(str(path))
    core = Core(cell="local", node="test", epoch=1, deployment_key=KEY, writer=writer, max_wait_ms=5000)
    core.load(compiled.json)
    yield House(core, compiled, writer)
    writer.close()


def test_an_allow_says_which_rule_and_a_second_one_is_over_budget(house: House) -> None:
    """A verdict carries decision, call digest and policies; the budget of one refund is spent by one."""
    task = house.open()
    verdict = house.core.check(task, "sdk", "tool.refund", "tool", "refund", b'{"order_id":"o-1","amount":12.5}')
    assert (verdict.effect, verdict.reasons, verdict.reaction) == ("allow", ("allowed",), None)
    assert verdict.policies == ("settle-refund/allow/4",)
    assert verdict.decision == f"dec_local_{task.rsplit('_', 1)[1]}_1_1"
    assert verdict.digest.startswith("sha256:")
    assert len(verdict.digest) == 71
    again = house.core.check(task, "sdk", "tool.refund", "tool", "refund", b'{"order_id":"o-1","amount":12.5}')
    assert (again.effect, again.reasons, again.reaction) == ("deny", ("budget_spent",), "revoke")
    assert house.read(task) == ("deny", ("task_fenced",))


def test_a_ticket_is_refunded_once_by_whichever_task(house: House) -> None:
    """`once_per: ticket` counts across tasks."""
    assert house.refund(house.open(ticket="T-7"))[0] == "allow"
    assert house.refund(house.open(ticket="T-7")) == ("deny", ("once_per_spent",))
    assert house.refund(house.open(ticket="T-8"))[0] == "allow"


def test_a_deviation_wakes_whoever_drains_events(house: House) -> None:
    """`drain_events` returns as soon as there is one, on another thread."""
    task = house.open()
    seen: list[bytes] = []
    waiting = threading.Thread(target=lambda: seen.extend(house.core.drain_events(10, 20_000)))
    waiting.start()
    began = time.monotonic()
    assert house.refund(task, "81") == ("deny", ("argument_out_of_bounds",))
    waiting.join(20)
    assert time.monotonic() - began < 10
    event = json.loads(seen[0])
    assert (event["event"], event["task"], event["reaction"]) == ("deviation", task, "revoke")
    assert house.core.drain_events(10, 0) == []


def test_a_decision_is_durable_before_it_is_answered(stored: House) -> None:
    """When `check` returns an allow, its record is in the store, sealed arguments beside it."""
    task = stored.open()
    assert stored.refund(task)[0] == "allow"
    assert stored.writer is not None
    ((body, sealed),) = stored.writer.query("SELECT body, sealed FROM record WHERE task = ?", (task,))
    assert isinstance(body, bytes)
    assert isinstance(sealed, bytes)
    record = json.loads(body)
    assert record["effect"] == "allow"
    assert record["charge"]["across"][0]["amount"] == "1"
    assert b"o-1" not in body
    assert sealed[0] == 1
    ((used,),) = stored.writer.query("SELECT used FROM counter", ())
    assert used == 10_000


def test_the_store_settles_who_was_first(stored: House) -> None:
    """A counter that the store knows to be spent turns an allow into a deny, and what was charged is given back."""
    assert stored.writer is not None
    first = stored.open(ticket="T-9")
    assert stored.refund(first)[0] == "allow"
    other = Core(cell="local", node="other", epoch=2, deployment_key=KEY, writer=stored.writer)
    other.load(stored.compiled.json)
    second = House(other, stored.compiled, stored.writer)
    task = second.open(ticket="T-9")
    assert second.refund(task) == ("deny", ("once_per_spent",))
    state = json.loads(other.state_json(task) or b"{}")
    assert set(state["used"].values()) == {"0"}


def test_without_waiting_there_is_no_durable_allow(stored: House) -> None:
    """`wait=False` refuses where the class wants its record first, and charges nothing."""
    task = stored.open()
    assert stored.read(task, wait=False) == ("deny", ("record_failed",))
    state = json.loads(stored.core.state_json(task) or b"{}")
    assert state["used"]["calls"] == "0"


def test_a_closed_store_refuses(stored: House) -> None:
    """No record, no privilege: a fault of ours, no deviation."""
    task = stored.open()
    assert stored.writer is not None
    stored.writer.close()
    assert stored.read(task) == ("deny", ("record_failed",))
    with pytest.raises(StoreUnavailable):
        stored.core.declare_plan(task, b'[{"action":"tool.refund"}]', "somebody")
    assert json.loads(stored.core.memory_json(task) or b"{}")["plan"] is None
    assert json.loads(stored.core.state_json(task) or b"{}")["state"] == "open"


def test_a_restart_restores_what_the_records_say(stored: House, compiled: Compiled) -> None:
    """A core that is given the task's records has the same counters and state, and the counters across tasks."""
    assert stored.writer is not None
    task = stored.open(ticket="T-3")
    assert stored.refund(task)[0] == "allow"
    records = history(stored.writer, task)
    again = Core(cell="local", node="test", epoch=2, deployment_key=KEY, writer=stored.writer)
    again.load(compiled.json)
    again.restore(spec(compiled, task, ticket="T-3", ms=900_000, heartbeat_ms=5000), records)
    counters = stored.writer.query("SELECT key, unit, used FROM counter", ())
    again.set_counters([(str(key), str(unit), int(str(used))) for key, unit, used in counters])
    before, after = (json.loads(core.state_json(task) or b"{}") for core in (stored.core, again))
    assert (before["used"], before["state"]) == (after["used"], after["state"])
    assert House(again, compiled).refund(task) == ("deny", ("budget_spent",))


def test_a_plan_holds_effects_and_stands_in_the_store(stored: House) -> None:
    """A declared plan is durable, sealed, and refuses what it does not name; a second is refused."""
    assert stored.writer is not None
    task = stored.open(ticket="T-21")
    plan = b'[{"action":"tool.refund","args":{"order_id":"o-2"}}]'
    stored.core.declare_plan(task, plan, "somebody")
    with pytest.raises(CoreError) as exists:
        stored.core.declare_plan(task, plan, "somebody")
    assert exists.value.args[0] == "plan_exists"
    assert stored.refund(task) == ("deny", ("not_in_plan",))
    (body, sealed), *_ = history(stored.writer, task)
    record = json.loads(body)
    assert (record["kind"], record["by"], record["task"]) == ("plan_declared", "somebody", task)
    assert sealed is not None
    assert b"o-2" not in body + sealed


def test_a_result_of_the_agents_own_keeps_nothing_and_is_told_once(stored: House) -> None:
    """What comes under `self` for a profile that goes by no result is refused like any unknown decision."""
    task = stored.open(ticket="T-22")
    verdict = stored.core.check(task, "sdk", "sql.select", "table", "orders.public.orders", b"{}")
    assert verdict.approval is None
    with pytest.raises(CoreError) as unknown:
        stored.core.report_result(task, "self", verdict.decision, b"{}")
    assert unknown.value.args[0] == "decision_unknown"
    with pytest.raises(CoreError) as never_asked:
        stored.core.settle_approval(task, verdict.decision, True, "somebody")
    assert never_asked.value.args[0] == "approval_unknown"
    assert stored.core.approvals(task) == []
    assert stored.core.approvals() == []
    memory = json.loads(stored.core.memory_json(task) or b"{}")
    assert (memory["task"], memory["results"], memory["missing"]) == (task, [], [])
    assert stored.core.memory_json(ids.task_id("local", 0)) is None


def test_a_child_is_charged_to_its_parent_and_gives_back_the_rest(stored: House) -> None:
    """`child_opened` is durable before the child decides; `child_closed` returns what it did not use."""
    assert stored.writer is not None
    parent = stored.open(ticket="T-23")
    child = ids.task_id("local", time.time_ns() // 10**6)
    of_parent = json.loads(spec(stored.compiled, child, ticket="T-23", ms=900_000, heartbeat_ms=60_000))
    stored.core.open(canonical({**of_parent, "parent": parent, "allot": {"calls": "2"}}))
    assert json.loads(history(stored.writer, parent)[0][0])["kind"] == "child_opened"
    assert stored.read(child)[0] == "allow"
    used = json.loads(stored.core.state_json(parent) or b"{}")["used"]["calls"]
    assert used == "2"
    assert stored.core.fence(parent, "revoked")
    assert stored.read(child) == ("deny", ("task_fenced",))
    stored.core.close(child)
    closed = json.loads(history(stored.writer, parent)[-1][0])
    assert (closed["kind"], closed["child"], closed["charge"]["task"]["calls"]) == ("child_closed", child, "1")
    with pytest.raises(CoreError) as gone:
        stored.core.open(canonical({**of_parent, "id": ids.task_id("local", 1), "parent": parent}))
    assert gone.value.args[0] == "parent_not_open"


def test_heartbeats_deadlines_and_unknown_tasks(house: House) -> None:
    """A heartbeat says when the next is due; an unknown or fenced task has none."""
    task = house.open(heartbeat_ms=60_000)
    assert 0 < house.core.heartbeat(task) <= 60_000
    with pytest.raises(CoreError) as unknown:
        house.core.heartbeat(ids.task_id("local", 0))
    assert unknown.value.args[0] == "task_unknown"
    assert house.core.fence(task, "revoked")
    assert not house.core.fence(task, "revoked")
    with pytest.raises(CoreError) as fenced:
        house.core.heartbeat(task)
    assert fenced.value.args[0] == "task_fenced"
    assert not house.core.resume(task)
    gone = house.open(ms=-1)
    assert house.read(gone) == ("deny", ("task_expired",))
    deadline = time.monotonic() + 10
    while not (due := house.core.due()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert due == [(gone, "hard_end")]


def test_fencing_an_agent_or_an_owner_reaches_all_their_tasks(house: House) -> None:
    """One call, every task."""
    tasks = {house.open() for _ in range(5)}
    assert set(house.core.fence_agent("refund-agent", "revoked")) == tasks
    assert all(house.read(task) == ("deny", ("task_fenced",)) for task in tasks)
    task = house.open()
    assert house.core.fence_owner("payments", "revoked") == [task]
    house.core.close(task)
    assert task not in house.core.tasks(agent="refund-agent")


def test_a_proof_bound_elsewhere_is_refused(house: House) -> None:
    """The binding shown must be the task's own."""
    task = house.open()
    assert house.read(task, binding="uid:0")[0] == "allow"
    assert house.read(task, binding="uid:1") == ("deny", ("not_bound",))
    assert house.read(task, binding="") == ("deny", ("pep_task_proof",))


def test_a_bad_bundle_is_refused_and_the_old_one_stays(house: House, compiled: Compiled) -> None:
    """`PolicyLoadError` carries code, detail and diagnostics with their places."""
    task = house.open()
    document = json.loads(compiled.json)
    document["policies"][0]["text"] = "forbid (principal, action, resource)\nwhen { context.nothing };"
    with pytest.raises(PolicyLoadError) as refused:
        house.core.load(json.dumps(document).encode())
    code, detail, diagnostics = refused.value.args
    found = json.loads(diagnostics)[0]
    assert code == "bundle_invalid"
    assert found["file"] in detail
    assert found["line"] == document["policies"][0]["line"] + 1
    assert found["severity"] == "error"
    assert house.read(task)[0] == "allow"
    with pytest.raises(PolicyLoadError):
        Core.validate(b"{}")


def test_the_authzen_fixture_is_decided_from_what_was_sent() -> None:
    """The certification scenario's eight rules, asked without a task."""
    core = Core(cell="local", node="test", epoch=1, deployment_key=KEY)
    core.load(load_bundle(BUNDLES / "authzen").json)

    def ask(who: str, verb: str, record: str, *, pep: str = "certification", **properties: dict[str, Json]) -> bool:
        def party(kind: str, name: str, key: str) -> dict[str, Json]:
            return {"type": kind, "id": name, "properties": properties.get(key, {})}

        request: dict[str, Json] = {
            "subject": party("user", who, "subject"),
            "action": {"name": verb, "properties": properties.get("action", {})},
            "resource": party("record", record, "resource"),
        }
        return core.evaluate(canonical(request), pep).effect == "allow"

    archived: dict[str, Json] = {"status": "archived"}
    assert ask("alice", "read", "record-1")
    assert ask("bob", "read", "record-1")
    assert ask("alice", "write", "record-1")
    assert not ask("bob", "write", "record-1")
    assert not ask("alice", "write", "record-1", resource=archived)
    assert ask("alice", "write", "record-1", subject={"role": "admin"}, resource=archived)
    assert ask("alice", "delete", "record-1", action={"soft": True})
    assert not ask("alice", "delete", "record-1", action={"soft": False})
    assert not ask("alice", "read", "record-1", pep="stranger")
    assert core.evaluate(b"{", "certification").reasons == ("malformed",)


def test_any_call_in_a_forked_child_raises(house: House) -> None:
    """A child has no threads of its parent's: it is told, and decides nothing."""
    task = house.open()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"decided"
        try:
            house.read(task)
        except ForkedError:
            answer = b"forked"
        finally:
            os.write(write, answer)
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 16) == b"forked"
    os.close(read)
    os.close(write)


def test_arguments_stand_in_no_repr_and_no_error(house: House) -> None:
    """What was asked is shown nowhere."""
    task = house.open()
    verdict = house.core.check(task, "sdk", "tool.read_order", "tool", "read_order", b'{"order_id":"the-secret"}')
    shown = repr(verdict) + str(house.core.stats_json()) + str(house.core.state_json(task))
    assert verdict.effect == "allow"
    assert "the-secret" not in shown
    with pytest.raises(CoreError) as refused:
        house.core.open(b'{"data_key":"c2VjcmV0LWtleQ=="}')
    assert "c2VjcmV0" not in str(refused.value)


def test_stats_count_answers_by_reason(house: House) -> None:
    """Denials that went unrecorded are counted apart."""
    task = house.open()
    house.read(task)
    house.read(ids.task_id("local", 1))
    stats = json.loads(house.core.stats_json())
    assert stats["answers"] == {"allowed": 1, "task_unknown": 1}
    assert stats["gaps"] == {"task_unknown": 1}
    assert (stats["decided"], stats["inproc"], stats["tasks"]) == (2, 2, 1)
    assert float(stats["p50_us"]) > 0
