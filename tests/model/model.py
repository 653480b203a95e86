"""The plane, plainly: tasks, checks, results, plans, approvals. SPEC, "The plane"."""

from __future__ import annotations

from typing import Any

from tests.model.decide import PENDING_MS, Answer, Decider, Task, Wrong
from tests.model.documents import Leaf, Malformed, declared, leaves, parse
from tests.model.origins import Result
from tests.model.state import Allowed

__all__ = ["Answer", "Model", "Wrong"]


class Model(Decider):
    """All tasks of one document, and what comes back after a decision."""

    def report(
        self, task: str, pep: str, decision: str, result: bytes | str, meta: dict[str, Any] | None = None,
        now_ms: int = 0,
    ) -> dict[str, Any]:  # fmt: skip
        """SPEC: "Results of calls that were not allowed, unknown calls, repeats, someone else's task: refused"."""
        found = self._known(task)
        call = self._open_call(found, task, pep, decision)
        try:
            value = parse(result)
        except Malformed as error:
            raise Wrong("malformed") from error
        # SPEC: "`pep "self"` or any PEP with identity self is self_reported": recorded, never kept.
        own = self._own(pep)
        meta = meta or {}
        before = [found.state.allowed[n] for n in found.state.reported if n in found.state.allowed]
        nth = 1 + sum(one.action == call.action for one in before)
        seen: list[Leaf] = [] if own else leaves(found.profile.template(call.action), value)
        kept = declared(seen)
        day = self._told(found, call.action, tuple(kept)) or self.today(found, now_ms)
        charge = _measured(call, value, result, meta, own)
        # SPEC: "`report_result` may add labels, never remove": those said, and those of what came.
        labels = frozenset(meta.get("labels", [])).union(*(leaf.labels for leaf in seen))
        kept_result = None if own else Result(call.action, nth, tuple(kept), day, call.args)
        found.note("reported", call.number, kept_result, labels, charge)
        for above in self._ancestors(task):
            above.note("labelled", labels)
        return {"result": nth, "self_reported": own}

    def return_charge(self, task: str, pep: str, decision: str) -> None:
        """A call that is known not to have run costs nothing in the task's own counters."""
        if self._own(pep):
            raise Wrong("pep_may_not_report")
        found = self._known(task)
        call = self._open_call(found, task, pep, decision)
        found.note("returned", call.number)
        for above, entry in zip(self._ancestors(task), call.above, strict=False):
            if entry is not None:
                above.note("moved", entry, -1)

    def declare_plan(self, task: str, plan: list[dict[str, Any]]) -> None:
        """SPEC: "only while the task has no `outside` label"; "reads are left as the profile has them"."""
        found = self._known(task)
        for entry in plan:
            writes = entry["action"] in found.profile.actions and found.profile.writes(entry["action"])
            if not writes or not found.profile.rules_of(entry["action"]) or found.profile.plan == "none":
                raise Wrong("plan_not_in_profile")
        if found.state.standing == "fenced":
            raise Wrong("task_fenced")
        if found.state.plan is not None:
            raise Wrong("plan_exists")
        self._catch_up(found)
        if found.state.number and "outside" in found.state.labels:
            raise Wrong("plan_too_late")
        found.note("plan", plan)

    def settle_approval(self, task: str, reference: str, approved: bool, now_ms: int) -> str:
        """SPEC: "`settle_approval(task, reference, approved, by)` by control plane only"; once."""
        found = self._known(task)
        one = next((one for one in found.state.approvals if one.reference == reference), None)
        if one is None:
            raise Wrong("approval_unknown")
        if one.outcome != "pending":
            raise Wrong("approval_settled")
        if now_ms >= one.asked_ms + PENDING_MS:
            raise Wrong("approval_expired")
        outcome = "approved" if approved else "refused"
        found.note("settled", reference, outcome)
        return outcome

    def become(self, task: str, to: str) -> None:
        """An operator's move: frozen, suspended, parked, open, fenced. "Fencing a parent fences its children"."""
        self._known(task).note("state", to)
        self._fence_children(task)

    def _fence_children(self, task: str) -> None:
        if self.tasks[task].state.standing == "fenced":
            for name, one in self.tasks.items():
                if one.parent == task and one.state.standing != "fenced":
                    self.become(name, "fenced")

    def _known(self, task: str) -> Task:
        if task not in self.tasks:
            raise Wrong("task_unknown")
        return self.tasks[task]

    def _own(self, pep: str) -> bool:
        """Whether it is the agent's own process."""
        known = next((one for one in self.document["peps"] if one["name"] == pep), {})
        return pep == "self" or bool(known.get("identity", {}).get("self"))

    def _open_call(self, found: Task, task: str, pep: str, decision: str) -> Allowed:
        known = next((one for one in self.document["peps"] if one["name"] == pep), None)
        if pep != "self" and (known is None or not known.get("may_report")):
            raise Wrong("pep_may_not_report")
        name, _, number = decision.rpartition("/")
        call = found.state.allowed.get(int(number)) if name == task and number.isdigit() else None
        if call is None or (self._own(call.pep) and not found.profile.reports):
            raise Wrong("decision_unknown")
        if call.pep != pep and not (pep == "self" and self._own(call.pep)):
            raise Wrong("pep_mismatch")
        if call.number in found.state.reported:
            raise Wrong("already_reported")
        return call


def _measured(
    call: Allowed, value: Any, raw: bytes | str, meta: dict[str, Any], own: bool
) -> tuple[tuple[str, int], ...]:
    """Rows, bytes and seconds as reported; of the agent's own word, whichever is more."""
    rows, size = (len(value) if isinstance(value, list) else 1), len(raw.encode() if isinstance(raw, str) else raw)
    rows = max(rows, meta.get("rows", 0)) if own else meta.get("rows", rows)
    size = max(size, meta.get("bytes", 0)) if own else meta.get("bytes", size)
    amounts = {"rows": rows * 10_000, "bytes": size * 10_000, "seconds": meta.get("ms", 0) * 10}
    return tuple((slot, amounts[slot.rsplit("/", 1)[1]]) for slot in call.meters)
