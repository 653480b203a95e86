"""The decision plane beside the model: both get the same task and the same steps."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.model.generate import document
from tests.model.model import Answer, Model, Wrong
from tests.model.worlds import PROFILE, manifest

from flyball.kernel import ids
from flyball.policy.compile import load_bundle
from flyball.policy.engine import Core, CoreError, Writer

_TABLES = """
PRAGMA journal_mode=WAL;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE record(seq INTEGER PRIMARY KEY, task TEXT, n INTEGER, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
  body BLOB NOT NULL, sealed BLOB, hash BLOB NOT NULL) STRICT;
CREATE INDEX record_task ON record(task, n) WHERE task IS NOT NULL;
CREATE TABLE counter(key TEXT NOT NULL, unit TEXT NOT NULL, used INTEGER NOT NULL, cell TEXT NOT NULL,
  home TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY(key, unit)) STRICT, WITHOUT ROWID;
"""
_KEY = b"k" * 32


@cache
def base() -> dict[str, Any]:
    """What the compiler makes of the worlds' actions."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "profiles").mkdir()
        (Path(folder) / "bundle.yaml").write_text(manifest(), encoding="utf-8")
        (Path(folder) / "profiles" / "p.yaml").write_text(PROFILE, encoding="utf-8")
        loaded: dict[str, Any] = json.loads(load_bundle(Path(folder)).json)
        return loaded


def now_ms() -> int:
    """Wall time; both sides count days from it."""
    return time.time_ns() // 1_000_000


@contextlib.contextmanager
def store() -> Iterator[Path]:
    """A store's file, in memory where the host has such a folder."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        path = Path(folder) / "store.db"
        made = sqlite3.connect(path)
        made.executescript(_TABLES)
        made.close()
        yield path


@dataclass
class Pair:
    """The engine and the model on one task. `path`: a store, where the trace has a restart in it."""

    world: dict[str, Any]
    path: Path | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    #: Ids of the task and of its children, the same on both sides.
    tasks: list[str] = field(default_factory=list)
    decisions: list[tuple[str, str, str]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    references: list[tuple[str, str, str]] = field(default_factory=list)
    epoch: int = 1

    def __post_init__(self) -> None:
        self.document = document(base(), self.world)
        self.compiled = json.dumps(self.document).encode()
        self.writer = Writer(str(self.path)) if self.path else None
        self.core = self._core()
        self.model = Model(self.document)
        now = now_ms()
        self.spec = {
            "id": ids.task_id("a", now), "principal": "spiffe://example.org/clerk", "agent": "clerk", "owner": "desk",
            "profile": "p", "profile_digest": self.document["profiles"][0]["digest"], "inputs": self.world["inputs"],
            "opened_ms": now, "hard_end_ms": now + 3_600_000, "heartbeat_ms": 3_600_000,
            "data_key": base64.b64encode(secrets.token_bytes(32)).decode(), "state": "open", "binding": "uid:1",
        }  # fmt: skip
        self.tasks = [str(self.spec["id"])]
        self.core.open(json.dumps(self.spec).encode())
        self.model.open(self.spec)

    def _core(self) -> Core:
        core = Core(cell="a", node="n", epoch=self.epoch, deployment_key=_KEY, writer=self.writer)
        core.load(self.compiled)
        return core

    def close(self) -> None:
        """Give the store back."""
        if self.writer:
            self.writer.close()

    def check(self, step: dict[str, Any]) -> tuple[Answer, Answer]:
        """One check on both sides: what the model says, what the engine says."""
        raw, task = json.dumps(step["args"]), self.who(step)
        mine = self.model.check(task, step["pep"], step["action"], "tool", step["on"], raw, now_ms())
        verdict = self.core.check(task, step["pep"], step["action"], "tool", step["on"], raw.encode())
        self.checks.append(step)
        self.decisions.append((task, mine.decision, verdict.decision))
        if mine.approval and verdict.approval and mine.effect in ("require_approval", "step_up"):
            reference = (task, mine.approval, verdict.approval)
            if reference not in self.references:
                self.references.append(reference)
        state = json.loads(self.core.memory_json(task) or b"{}")
        theirs = Answer(
            verdict.effect,
            verdict.reasons[0],
            verdict.reaction,
            frozenset(state.get("labels", [])),
            verdict.approval and "yes",
            "",
        )
        return mine._replace(approval=mine.approval and "yes", decision=""), theirs

    def who(self, step: dict[str, Any]) -> str:
        """Which of the family it is about."""
        return self.tasks[step.get("who", 0) % len(self.tasks)]

    def child(self, step: dict[str, Any]) -> tuple[str, str]:
        """One more in the family, or the reason why not."""
        spec = {**self.spec, "id": ids.task_id("a", now_ms()), "parent": self.who(step), "allot": step["allot"]}
        if step["actions"] is not None:
            spec["actions"] = step["actions"]
        outcome = self.both(lambda: self.model.open(spec), lambda: self.core.open(json.dumps(spec).encode()))
        if outcome == ("done", "done"):
            self.tasks.append(spec["id"])
        return outcome

    def both(self, mine: Any, theirs: Any) -> tuple[str, str]:
        """Do something on both sides; what each of them made of it: `done`, or the error's code."""

        def code(act: Any) -> str:
            try:
                act()
            except Wrong as wrong:
                return str(wrong.args[0])
            except CoreError as error:
                return str(error.args[0])
            return "done"

        return code(mine), code(theirs)

    def do(self, step: dict[str, Any]) -> tuple[Any, Any] | None:
        """One step of a trace on both sides; None where there is nothing to do it to."""
        what = step["do"]
        if what == "check":
            return self.check(step)
        if what == "again":
            return self.check(self.checks[-step["back"]]) if len(self.checks) >= step["back"] else None
        if what in ("report", "return"):
            if len(self.decisions) < step["back"]:
                return None
            task, mine, theirs = self.decisions[-step["back"]]
            pep = "self" if self.checks[-step["back"]]["pep"] == "sdk" else "gateway"
            if what == "return":
                return self.both(
                    lambda: self.model.return_charge(task, pep, mine),
                    lambda: self.core.return_charge(task, pep, theirs),
                )
            raw, meta = json.dumps(step["result"]), step["meta"]
            return self.both(
                lambda: self.model.report(task, pep, mine, raw, meta, now_ms()),
                lambda: self.core.report_result(task, pep, theirs, raw.encode(), json.dumps(meta).encode()),
            )
        if what == "child":
            return self.child(step)
        if what == "plan":
            task = self.who(step)
            return self.both(
                lambda: self.model.declare_plan(task, step["plan"]),
                lambda: self.core.declare_plan(task, json.dumps(step["plan"]).encode(), "clerk"),
            )
        if what == "settle":
            if len(self.references) < step["back"]:
                return None
            task, mine, theirs = self.references[-step["back"]]
            return self.both(
                lambda: self.model.settle_approval(task, mine, step["approved"], now_ms()),
                lambda: self.core.settle_approval(task, theirs, step["approved"], "desk"),
            )
        if what == "state":
            self.become(self.who(step), step["to"])
            return None
        self.restart()
        return None

    def become(self, task: str, to: str) -> None:
        """An operator's move, with the record that the control plane writes of it."""
        self.model.become(task, to)
        moves = {"open": self.core.resume, "frozen": self.core.freeze, "suspended": self.core.suspend}
        if moves[to](task) and self.writer:
            body = {"at": now_ms(), "kind": "task_state", "task": task, "to": to, "v": 1}
            self.writer.commit([], [(task, "task_state", now_ms(), json.dumps(body).encode(), None)])

    def restart(self) -> None:
        """A new core that has only the records; the model folds its facts anew."""
        self.model.restart()
        if self.writer is None:
            return
        rows = self.writer.query(
            "SELECT body, sealed FROM record WHERE task = ? ORDER BY n", [self.tasks[0]], limit=100_000
        )
        records = [(bytes(body), None if sealed is None else bytes(sealed)) for body, sealed in rows]  # type: ignore[arg-type]
        self.epoch += 1
        # Which reactions there were in the last minute is no record's: the count begins anew (docs/limitations.md).
        self.model.harsh.clear()
        self.core = self._core()
        counters = self.writer.query("SELECT key, unit, used FROM counter", [])
        self.core.set_counters([(str(key), str(unit), int(used)) for key, unit, used in counters])  # type: ignore[arg-type]
        self.core.restore(json.dumps(self.spec).encode(), records)
