"""The decision plane as the harness drives it: the real core, its writer, `open`, `check`, `report_result`."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.intent.bundle import Loaded
from bench.intent.names import PEP, REQUEST, VOUCHER
from bench.intent.suites.data import as_map, objects
from bench.intent.suites.model import Call, Done, Prompt
from bench.intent.text import structured
from flyball.credential.seal import FileKey, Sealer
from flyball.kernel import ids
from flyball.kernel.clock import SystemClock
from flyball.kernel.json import Json, canonical, parse_object
from flyball.policy.engine import Core, CoreError
from flyball.stores.sqlite.native import NativeDatabase, open_store
from flyball.task.lifecycle import open_task
from flyball.task.profile import Voucher, validate_inputs

_CELL = "bench"
_KINDS = ("action", "target", "argument", "origin", "order", "plan", "budget", "flow")
_OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gate said to one call. `effect`: allow, deny, or one that asks (require_approval, step_up)."""

    effect: str
    reasons: tuple[str, ...] = ()
    decision: str = ""
    approval: str = ""
    reaction: str = ""
    us: float = 0.0

    @property
    def asks(self) -> bool:
        """Whether a person is asked."""
        return self.effect in {"require_approval", "step_up"}


class Gate(Protocol):
    """What stands before the tools of one run."""

    def check(self, call: Call) -> Answer:
        """Decide one call."""

    def settle(self, answer: Answer, approved: bool) -> None:
        """A person's answer to a call that was asked about."""

    def report(self, answer: Answer, call: Call, done: Done) -> None:
        """Tell what an allowed call returned."""

    def breaches(self) -> Mapping[str, Mapping[str, Json]]:
        """By decision: what the record says of a refused call."""


class ExactGate:
    """The ceiling: a call passes where the task's own calls hold exactly it. Not a policy that anybody could write."""

    def __init__(self, benign: Sequence[Call]) -> None:
        self._benign = list(benign)

    def check(self, call: Call) -> Answer:
        """See `Gate.check`."""
        return Answer("allow", ("allowed",)) if call in self._benign else Answer("deny", ("not_the_tasks_call",))

    def settle(self, answer: Answer, approved: bool) -> None:
        """Nothing is ever asked."""

    def report(self, answer: Answer, call: Call, done: Done) -> None:
        """Nothing is remembered."""

    def breaches(self) -> Mapping[str, Mapping[str, Json]]:
        """Nothing is recorded."""
        return {}


@dataclass
class Plane:
    """One bundle in front of one writer; every run has a core of its own, so that no run moves another."""

    loaded: Loaded
    document: bytes
    store: NativeDatabase
    epoch: int
    actions: dict[str, dict[str, Json]] = field(default_factory=dict)
    unreported: Counter[str] = field(default_factory=Counter)

    def open(self, prompt: Prompt, plan: Sequence[Mapping[str, Json]] | None = None) -> TaskGate:
        """A new task for a request, vouched for by its opener; with the plan declared at once."""
        core = Core(
            cell=_CELL, node="bench-1", epoch=self.epoch, deployment_key=secrets.token_bytes(32),
            writer=self.store.writer,
        )  # fmt: skip
        core.load(self.document)
        compiled = self.loaded.compiled
        profile = compiled.bundle.profiles[self.loaded.profile_of(prompt.task)]
        agent = compiled.bundle.agents[next(iter(profile.agents))]
        spec_of_request = profile.inputs.get(REQUEST)
        given: dict[str, Json] = {REQUEST: prompt.text} if spec_of_request is not None else {}
        # The opener is whoever the profile takes the user's word from.
        voucher = next(iter(spec_of_request.vouched_by), VOUCHER) if spec_of_request is not None else VOUCHER
        inputs = validate_inputs(profile, given, ["voucher"], lambda _: Voucher(voucher, given))
        now = time.time_ns() // 1_000_000
        task = open_task(
            id=ids.task_id(_CELL, now),
            principal=agent.ids[0],
            agent=agent.name,
            owner=agent.owner,
            profile=profile,
            bundle=compiled.digest,
            inputs=inputs,
            binding="uid:0",
            now_ms=now,
            cell=_CELL,
            home="bench",
            epoch=1,
        )
        spec: dict[str, Json] = {
            "id": task.id,
            "principal": task.principal,
            "agent": task.agent,
            "owner": task.owner,
            "profile": task.profile,
            "profile_digest": task.profile_digest,
            "inputs": {
                name: {"value": one.value, "type": one.type, "vouched_by": one.vouched_by}
                for name, one in task.inputs.items()
            },
            "opened_ms": task.opened_ms,
            "hard_end_ms": task.hard_end_ms,
            "heartbeat_ms": task.heartbeat_ms,
            "data_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "state": task.state.value,
            "binding": task.binding,
        }
        core.open(canonical(spec))
        if plan is not None:
            # A planner knows what the profile offers: what is not in it would be refused with a plan or without.
            offered = {rule.action for rule in profile.allow}
            entries = [dict(entry) for entry in plan if entry["action"] in offered]
            core.declare_plan(task.id, json.dumps(entries).encode(), agent.ids[0])
        return TaskGate(self, core, task.id)

    def effect_of(self, action: str) -> str:
        """`read` or `write`, by the bundle's word."""
        return str(self.actions.get(action, {}).get("effect") or "write")

    def settled(self) -> None:
        """Wait until what was buffered is written: a unit of work of its own comes back after all before it."""
        self.store.commit([("UPDATE meta SET value = value WHERE key = ?", ("none",), None)], [])

    def wants_structure(self, action: str) -> bool:
        """Whether the sheet declares a list or a map for what the action returns."""
        return bool({"list", "map"} & as_map(self.actions.get(action, {}).get("returns")).keys())


class TaskGate:
    """One live task. The harness is its enforcement point."""

    def __init__(self, plane: Plane, core: Core, task: str) -> None:
        self._plane, self._core, self.task = plane, core, task

    def check(self, call: Call) -> Answer:
        """See `Gate.check`."""
        action = self._plane.actions.get(call.function, {})
        kind = str(action.get("resource_type") or "tool")
        args = json.dumps(call.args, ensure_ascii=False).encode()
        began = time.perf_counter_ns()
        verdict = self._core.check(self.task, PEP, call.function, kind, call.function, args)
        took = (time.perf_counter_ns() - began) / 1000
        approval = getattr(verdict, "approval", None) or ""
        return Answer(verdict.effect, verdict.reasons, verdict.decision, approval, verdict.reaction or "", took)

    def settle(self, answer: Answer, approved: bool) -> None:
        """See `Gate.settle`."""
        self._core.settle_approval(self.task, answer.approval or answer.decision, approved, _OPERATOR)

    def report(self, answer: Answer, call: Call, done: Done) -> None:
        """See `Gate.report`. A call that failed returned nothing; its message repeats arguments, so it is no result."""
        if done.error:
            return
        result = done.result
        if isinstance(result, str) and self._plane.wants_structure(call.function):
            result = structured(result)
        data = json.dumps(result, ensure_ascii=False).encode()
        try:
            self._core.report_result(self.task, PEP, answer.decision, data)
        except CoreError as error:
            # The plane remembers nothing of it, and the run goes on; the page's reader is told.
            self._plane.unreported[f"{call.function}: {error.args[0]}"] += 1

    def breaches(self) -> Mapping[str, Mapping[str, Json]]:
        """See `Gate.breaches`: from the durable records."""
        self._plane.settled()
        rows = self._plane.store.query(
            "SELECT body FROM record WHERE task = ? AND kind = 'decided' ORDER BY seq", (self.task,)
        )
        found: dict[str, Mapping[str, Json]] = {}
        for (body,) in rows:
            record = parse_object(body if isinstance(body, bytes) else str(body))
            if record.get("effect") != "allow":
                found[str(record.get("decision"))] = record
        return found


@contextmanager
def plane(loaded: Loaded, *, ladder: str = "") -> Iterator[Plane]:
    """A plane with a store of its own, in a folder that is removed afterwards.

    Args:
        ladder: this reaction at the first breach of any kind, instead of what the profile says.
    """
    home = Path(tempfile.mkdtemp(prefix="flyball-intent-"))
    try:
        document = parse_object(loaded.compiled.json)
        if ladder:
            for profile in objects(document.get("profiles")):
                _one_step(profile, ladder)
        (home / "state").mkdir(mode=0o700)
        sealer = Sealer(FileKey.read_or_make(home / "seal.key"))
        store = open_store(home / "state", cell=_CELL, node="bench-1", sealer=sealer, clock=SystemClock())
        database = store.database
        if not isinstance(database, NativeDatabase):
            raise TypeError("the store of the harness is the compiled writer")
        actions = {name: as_map(one) for name, one in as_map(document.get("actions")).items()}
        try:
            yield Plane(loaded, canonical(document), database, store.open_epoch(), actions)
        finally:
            database.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _one_step(profile: dict[str, Json], ladder: str) -> None:
    if "reaction" in profile:
        profile["reaction"] = ladder
    else:
        profile["reactions"] = {kind: [ladder] for kind in _KINDS}
        profile["denials"] = []
        profile["most_per_minute"] = 1_000_000
    for rule in objects(profile.get("rules")):
        if "on_breach" in rule:
            rule["on_breach"] = None
