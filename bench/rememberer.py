"""A core whose tasks remember results, asked in-process from Python: `Core.check` held to where arguments come from.

Run as `python -m bench.rememberer FOLDER`; lines of JSON on stdin, answers on stdout. Its bundle is written here
as the plane takes it: a mail agent that may write to whom the request or the contacts name, about events that the
calendar has, with free text of a length.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import random
import sys
import time
from pathlib import Path

from bench.child import serve
from bench.machine import rss_bytes
from bench.measure import percentile
from flyball.credential.seal import FileKey, Sealer
from flyball.kernel import ids
from flyball.kernel.clock import SystemClock
from flyball.policy.engine import Core
from flyball.stores.sqlite.native import NativeDatabase, open_store

Answer = dict[str, object]

_SCHEMA = """
namespace Flyball {
  entity Agent = { "owner": String };
  entity tool;
  type Intent = { "rule": String, "within": Bool };
  type Task = { "id": String, "profile": String, "owner": String, "inputs": { "request"?: String },
    "labels": Set<String> };
  action "inbox", "contacts", "calendar" appliesTo { principal: [Agent], resource: [tool],
    context: { "task": Task, "args": {}, "intent": Intent, "origins": {}, "pep": String } };
  action "send" appliesTo { principal: [Agent], resource: [tool],
    context: { "task": Task, "args": { "to"?: Set<String>, "day"?: String, "subject"?: String, "body"?: String },
      "intent": Intent, "origins": { "to"?: Set<String>, "day"?: Set<String> }, "pep": String } };
}
"""
_DIGEST = "sha256:" + "5" * 64
_REQUEST = "Invite everybody whom the offsite on 2027-05-14 concerns, and write to ann.meyer@firm.example about it."
_RESULTS = 200


def _field(kind: str, by: str, *labels: str) -> dict[str, object]:
    return {"spec": {"type": kind, "by": by, "labels": list(labels)}}


def _bundle() -> bytes:
    returns: dict[str, object] = {
        "contacts": {"list": {"map": {"name": _field("text", "org"), "email": _field("email", "org")}}},
        "calendar": {"list": {"map": {"id": _field("id", "org"), "title": _field("text", "org"),
                                      "start": _field("datetime", "org"), "by": _field("email", "org")}}},
        "inbox": {"list": {"map": {"id": _field("id", "org"), "sender": _field("email", "outside"),
                                   "subject": _field("text", "outside"), "body": _field("text", "outside", "pii")}}},
    }  # fmt: skip
    args = {"to": "strings", "day": "string", "subject": "string", "body": "string"}
    actions: dict[str, object] = {
        name: {"effect": "read", "resource_type": "tool", "class": "fast", "args": {}, "returns": shape}
        for name, shape in returns.items()
    }
    actions["send"] = {"effect": "write", "resource_type": "tool", "class": "fast", "args": args,
                       "returns": _field("any", "org")}  # fmt: skip
    rules: list[dict[str, object]] = [{"id": f"mail/allow/{name}", "action": name} for name in returns]
    rules.append(
        {
            "id": "mail/allow/send",
            "action": "send",
            "asked": ["write to", "invite*"],
            "origins": [
                {"arg": "to", "as": "email", "sources": [0, 1, 2], "required": True},
                {"arg": "day", "as": "date", "sources": [0, 3]},
                {"arg": "subject", "as": "text", "sources": [0, 4]},
            ],
            "free": [{"arg": "body", "max": 4000, "without": ["secret"]}],
        }
    )
    permit = 'permit(principal, action == Flyball::Action::"{}", resource) when {{ context.intent.rule == "{}" }};'
    sources: list[object] = [{"input": "request"}]
    sources += [
        {"result": {"action": action, "field": field, "rows": []}}
        for action, field in (("contacts", "email"), ("calendar", "by"), ("calendar", "start"), ("calendar", "title"))
    ]
    profile: dict[str, object] = {
        "name": "mail",
        "digest": _DIGEST,
        "policies": [
            {"id": rule["id"], "file": "p", "line": 1, "text": permit.format(rule["action"], rule["id"])}
            for rule in rules
        ],
        "inputs": {"request": "text"},
        "labels": ["user", "org", "outside", "pii", "secret"],
        "sources": sources,
        "rules": rules,
    }
    return json.dumps(
        {
            "digest": "sha256:" + "4" * 64,
            "schema": _SCHEMA,
            "entities": [{"uid": {"type": "Flyball::Agent", "id": "a"}, "attrs": {"owner": "o"}, "parents": []}],
            "agents": {"a": {"entity": 'Flyball::Agent::"a"', "owner": "o"}},
            "resource_types": {"tool": "Flyball::tool"},
            "actions": actions,
            "classes": {"fast": {"mode": "enforce", "record": "buffered"}},
            "peps": [
                {"name": "gw", "identity": {"spiffe": "spiffe://b/g"}, "actions": ["*"], "may_report": True},
            ],
            "policies": [],
            "profiles": [profile],
        }
    ).encode()


def _result(number: int) -> tuple[str, list[dict[str, str]]]:
    """The `number`-th result of a task: what a mail agent's tools bring back."""
    who, day = f"person.{number}@firm.example", f"2027-{number % 12 + 1:02}-{number % 28 + 1:02}"
    if number % 4 == 0:
        return "contacts", [{"name": f"Person {number}", "email": who}, {"name": "P", "email": f"b.{who}"}]
    if number % 4 == 1:
        return "calendar", [
            {"id": str(number), "title": f"Review {number} of the plan", "start": f"{day} 10:30", "by": who}
        ]
    body = f"Dear colleague, on {day} we meet at 9:15. " + "Please read the notes that I sent last week. " * 8
    return "inbox", [
        {"id": str(number), "sender": f"guest.{number}@else.example", "subject": f"Re {number}", "body": body}
    ]


class Rememberer:
    """A core, its tasks with what they remember, and what is measured of them."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, exist_ok=True)
        (home / "state").mkdir(mode=0o700)
        sealer = Sealer(FileKey.read_or_make(home / "seal.key"))
        self._store = open_store(home / "state", cell="bench", node="bench-1", sealer=sealer, clock=SystemClock())
        epoch = self._store.open_epoch()
        database = self._store.database
        assert isinstance(database, NativeDatabase)
        self._writer = database.writer
        self._core = Core(cell="bench", node="bench-1", epoch=epoch, deployment_key=os.urandom(32), writer=self._writer)
        self._core.load(_bundle())
        self._tasks: list[str] = []

    def open(self, count: int) -> Answer:
        """Open tasks and report results of each."""
        self._tasks += [self._remembering(self._core) for _ in range(count)]
        return {}

    def weigh(self, count: int) -> Answer:
        """Bytes of memory that one such task takes, and what it says of itself.

        In a core without a store: what a store keeps in its caches of so many records is not the task's.
        """
        core = Core(cell="bench", node="bench-2", epoch=1, deployment_key=os.urandom(32))
        core.load(_bundle())
        # What the allocator sets aside once is not what a task takes.
        for _ in range(64):
            self._remembering(core)
        gc.collect()
        before = rss_bytes()
        for _ in range(count):
            task = self._remembering(core)
        gc.collect()
        took = rss_bytes() - before
        memory = json.loads(core.memory_json(task) or b"{}")
        return {"bytes_per_task": took / count, "entries": memory["entries"], "own_bytes": memory["bytes"]}

    def _remembering(self, core: Core) -> str:
        task = ids.task_id("bench", time.time_ns() // 10**6)
        core.open(self._spec(task))
        for number in range(_RESULTS):
            action, rows = _result(number)
            allowed = core.check(task, "gw", action, "tool", action, b"{}")
            if allowed.effect != "allow":
                raise RuntimeError(f"{action}: {allowed.reasons}")
            core.report_result(task, "gw", allowed.decision, json.dumps(rows).encode())
        return task

    def check(self, count: int) -> Answer:
        """`count` mails over all tasks at random, each with a recipient, a day and a title that must be remembered."""
        asked: list[tuple[str, bytes]] = []
        for number in range(count):
            at = random.randrange(_RESULTS // 4) * 4
            args = {
                "to": [f"person.{at}@firm.example", "ann.meyer@firm.example"],
                "day": f"2027-{(at + 1) % 12 + 1:02}-{(at + 1) % 28 + 1:02}",
                "subject": f"Review {at + 1} of the plan",
                "body": f"Note {time.time_ns() + number}: see you there.",
            }
            asked.append((random.choice(self._tasks), json.dumps(args).encode()))
        took = [0] * count
        clock, core = time.perf_counter_ns, self._core
        gc.disable()
        for at, (task, data) in enumerate(asked):
            began = clock()
            verdict = core.check(task, "gw", "send", "tool", "send", data)
            took[at] = clock() - began
            if verdict.effect != "allow":
                return {"error": f"send: {verdict.reasons} {data.decode()}"}
        gc.enable()
        us = [one / 1000 for one in took]
        return {"p50_us": percentile(us, 0.5), "p99_us": percentile(us, 0.99)}

    def settle(self) -> Answer:
        """Wait until the writer has written all that was buffered."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not json.loads(self._writer.stats_json()).get("queued"):
                return {}
            time.sleep(0.02)
        return {"error": "the writer's queue does not drain"}

    def _spec(self, name: str) -> bytes:
        now = time.time_ns() // 10**6
        return json.dumps(
            {
                "id": name,
                "principal": "spiffe://bench.flyball.dev/agent/a",
                "agent": "a",
                "owner": "o",
                "profile": "mail",
                "profile_digest": _DIGEST,
                "inputs": {"request": {"value": _REQUEST, "type": "string", "vouched_by": "desk"}},
                "opened_ms": now,
                "hard_end_ms": now + 6 * 3_600_000,
                "heartbeat_ms": 3_600_000,
                "data_key": base64.b64encode(os.urandom(32)).decode(),
                "state": "open",
                "binding": "uid:0",
            }
        ).encode()


if __name__ == "__main__":
    sys.exit(serve(Rememberer(Path(sys.argv[1]))))
