"""One task as an operator reads it: what it was for, what it did and was refused, what it has touched, what is left.

It is drawn from the records, which are all there is once the task is over; while it lives the decision plane
adds what it holds in memory. Values are shown while the task's data key lives, and said to be gone after that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from flyball.audit.ports import Stored
from flyball.audit.record import Kind
from flyball.flow import end, operate
from flyball.flow.house import House
from flyball.flow.labels import texts
from flyball.kernel.errors import FlyballError, NotFound
from flyball.kernel.json import Json, parse, parse_object
from flyball.policy.lint import Cooperative
from flyball.task.task import Input, Task

_BEFORE = "its instance or its parent"
MAX_VALUES = 4 << 20
"""Bytes of results that are opened; beyond them the places are told and not the values."""
MAX_CALLS = 500
"""The newest calls and results that are shown; the counts are of all."""


def of_task(house: House, task_id: str) -> dict[str, Json]:
    """The story of one task.

    Raises:
        NotFound: no such task.
    """
    row = house.tasks.get(task_id)
    if row is None:
        raise NotFound(f"no task {task_id!r}", code="task_unknown", hint="see `flyball tasks`")
    return _Story(house, row).told()


class _Story:
    def __init__(self, house: House, row: Task) -> None:
        self.house = house
        self.row = row
        self.records = list(house.log.of_task(row.id))
        memory = house.core.memory_json(row.id)
        self.memory: dict[str, Json] = {} if memory is None else parse_object(memory)
        self.profile: Mapping[str, Json] = house.store.row("profile", row.profile_digest) or {}
        self.key = _key(house, row)
        self.room = MAX_VALUES
        self.overtaken = {
            str(body.get("decision")) for stored, body in self._bodies() if stored.kind == Kind.NOT_RELEASED
        }

    def told(self) -> dict[str, Json]:
        """All of it."""
        calls = [self._call(stored, body) for stored, body in self._bodies() if stored.kind == Kind.DECIDED]
        results = [self._result(stored, body) for stored, body in self._bodies() if stored.kind == Kind.RESULT_REPORTED]
        allowed = sum(one["effect"] == "allow" for one in calls)
        shown_calls: list[Json] = [*calls[-MAX_CALLS:]]
        shown_results: list[Json] = [*results[-MAX_CALLS:]]
        return {
            **operate.task_view(self.row),
            "purpose": self.row.purpose,
            "parent": self.row.parent,
            "instance": self.row.instance,
            "inputs": {name: _input(given) for name, given in self.row.inputs.items()},
            "values": "shown" if self.key is not None else "erased",
            "plan": self._plan(),
            "must": self._must(),
            "calls": shown_calls,
            "results": shown_results,
            "counts": {"allowed": allowed, "not_allowed": len(calls) - allowed, "results": len(results)},
            "labels": self._labels(),
            "budgets": self._budgets(),
            "breaches": self.memory.get("breaches", {}),
            "approvals": self._approvals(),
            "children": self._children(),
            "leases": [operate.lease_view(lease) for lease in self.house.leases.select(task=self.row.id)],
            "cooperative": [found.as_json() for found in self._cooperative()],
        }

    def _bodies(self) -> list[tuple[Stored, dict[str, Json]]]:
        return [(stored, parse_object(stored.body)) for stored in self.records]

    def _call(self, stored: Stored, body: Mapping[str, Json]) -> dict[str, Json]:
        decision = str(body.get("decision", ""))
        told: dict[str, Json] = {
            name: body[name]
            for name in ("at", "decision", "action", "resource", "pep", "rule", "effect", "reasons", "reaction",
                         "breach", "labels", "approval", "plan", "charge")
            if name in body
        }  # fmt: skip
        if decision in self.overtaken:
            told["effect"] = "deny"
            told["reasons"] = ["overtaken_by_fence"]
        if stored.sealed is not None and self.key is not None:
            told["args"] = self._opened(stored.sealed, decision)
        return told

    def _opened(self, sealed: bytes, label: str) -> Json:
        if self.key is None:
            return None
        try:
            return operate.as_sent(parse(self.house.sealer.open_record(self.key, self.row.id, label, sealed)))
        except (FlyballError, ValueError):
            return None

    def _result(self, stored: Stored, body: Mapping[str, Json]) -> dict[str, Json]:
        told: dict[str, Json] = {
            name: body[name]
            for name in ("at", "decision", "action", "result", "pep", "self", "labels", "kept", "full", "charge")
            if name in body
        }
        told["fields"] = writers(self.house, str(body.get("action", "")))
        if stored.sealed is not None and len(stored.sealed) <= self.room:
            self.room -= len(stored.sealed)
            opened = self._opened(stored.sealed, str(body.get("decision", "")))
            if isinstance(opened, dict) and "result" in opened:
                told["value"] = opened["result"]
        return told

    def _plan(self) -> Json:
        if (left := self.memory.get("plan")) is not None:
            return {"declared": True, "entries": left}
        for stored, body in self._bodies():
            if stored.kind == Kind.PLAN_DECLARED:
                told: dict[str, Json] = {"declared": True, "at": stored.at_ms, "digest": body.get("digest")}
                if stored.sealed is not None and (opened := self._opened(stored.sealed, "plan")) is not None:
                    told["entries"] = opened
                return told
        return {"declared": False, "profile": self.profile.get("plan", "optional")}

    def _must(self) -> dict[str, Json]:
        for stored, body in self._bodies():
            if stored.kind == Kind.FENCED:
                return {"wanted": self.profile.get("must", []), "missing": [*texts(body.get("unmet"))]}
        return {"wanted": self.profile.get("must", []), "missing": [*end.missing(self.house, self.row)]}

    def _labels(self) -> list[Json]:
        found: list[Json] = []
        seen: set[str] = set()
        for stored, body in self._bodies():
            for label in texts(body.get("labels")):
                if label not in seen:
                    seen.add(label)
                    came = _BEFORE if stored.kind == Kind.TASK_OPENED else str(body.get("action") or stored.kind)
                    found.append({"label": label, "at": stored.at_ms, "from": came})
        for label in texts(self.memory.get("labels")):
            if label not in seen:
                found.append({"label": label, "at": self.row.opened_ms, "from": _BEFORE})
        return found

    def _budgets(self) -> list[Json]:
        live = self.house.core.state_json(self.row.id)
        used: dict[str, Decimal] = {}
        if live is not None:
            spent = parse_object(live).get("used")
            used = {name: Decimal(str(amount)) for name, amount in spent.items()} if isinstance(spent, dict) else {}
        else:
            for _, body in self._bodies():
                charge = body.get("charge")
                amounts = charge.get("task") if isinstance(charge, dict) else None
                for name, amount in amounts.items() if isinstance(amounts, dict) else ():
                    used[name] = used.get(name, Decimal(0)) + Decimal(str(amount))
        limits = _limits(self.profile, self.row.inputs)
        names = sorted(used.keys() | limits.keys())
        return [{"name": name, "used": f"{used.get(name, 0):f}", "limit": limits.get(name, "")} for name in names]

    def _approvals(self) -> list[Json]:
        asked = {str(one.get("decision")): one for one in map(parse_object, self.house.core.approvals(self.row.id))}
        notes: dict[str, str] = {}
        settled: dict[str, Mapping[str, Json]] = {}
        for stored, body in self._bodies():
            decision = str(body.get("decision", ""))
            if stored.kind == Kind.DECIDED and body.get("approval") == decision and decision not in asked:
                asked[decision] = {
                    "decision": decision, "action": body.get("action"), "resource": body.get("resource"),
                    "kind": body.get("effect"), "asked_ms": stored.at_ms, "state": "over",
                }  # fmt: skip
            elif stored.kind == Kind.APPROVAL_SETTLED:
                settled[decision] = body
            elif stored.kind == Kind.APPROVAL_NOTED:
                notes[decision] = str(body.get("note", ""))
        for decision, one in asked.items():
            if decision in settled:
                one |= {"outcome": settled[decision].get("outcome"), "by": settled[decision].get("by")}
            if decision in notes:
                one["note"] = notes[decision]
        return [*asked.values()]

    def _children(self) -> list[Json]:
        found: dict[str, dict[str, Json]] = {}
        for stored, body in self._bodies():
            child = str(body.get("child", ""))
            if stored.kind == Kind.CHILD_OPENED:
                row = self.house.tasks.get(child)
                state = "unknown" if row is None else row.state.value
                found[child] = {"task": child, "state": state, "allotted": body.get("charge")}
            elif stored.kind == Kind.CHILD_CLOSED and child in found:
                found[child]["closed"] = body.get("charge")
        return [*found.values()]

    def _cooperative(self) -> Sequence[Cooperative]:
        return self.house.active.compiled.cooperative.get(self.row.profile, ())


def writers(house: House, action: str) -> dict[str, Json]:
    """Who can write each field of an action's results, by the bundle in force; the empty name is the whole result."""
    listed = parse_object(house.active.compiled.json).get("actions")
    found: Json = None
    if isinstance(listed, dict):
        found = listed.get(action)
    elif isinstance(listed, list):
        found = next((one for one in listed if isinstance(one, dict) and one.get("name") == action), None)
    template = found.get("returns") if isinstance(found, dict) else None
    told: dict[str, Json] = {}
    _fields(template, "", told)
    return told or {"": "outside"}


def _fields(template: Json, path: str, told: dict[str, Json]) -> None:
    if not isinstance(template, dict):
        return
    spec, inner, members = template.get("spec"), template.get("list"), template.get("map")
    if isinstance(spec, dict):
        labels = [*texts(spec.get("labels"))]
        told[path] = ", ".join([str(spec.get("by", "outside")), *labels])
    elif inner is not None:
        _fields(inner, path, told)
    elif isinstance(members, dict):
        for name, one in members.items():
            _fields(one, f"{path}.{name}" if path else name, told)


def _key(house: House, row: Task) -> bytes | None:
    wrapped = house.tasks.data_key(row.id)
    return None if wrapped is None else house.sealer.unwrap(row.id, wrapped)


def _input(given: Input) -> dict[str, Json]:
    return {"value": given.value, "type": given.type, "vouched_by": given.vouched_by}


def _limits(profile: Mapping[str, Json], inputs: Mapping[str, Input]) -> dict[str, str]:
    """Each counter's limit, by the compiled profile: written there, or taken from an input."""
    found: dict[str, str] = {}

    def note(name: str, value: Json) -> None:
        if isinstance(value, dict):
            given = inputs.get(str(value.get("input", "")))
            value = value.get("const", None if given is None else given.value)
        if isinstance(value, (int, str)) and not isinstance(value, bool):
            found[name] = str(value)

    total = profile.get("budget")
    note("calls", total.get("calls") if isinstance(total, dict) else None)
    rules = profile.get("rules")
    for rule in rules if isinstance(rules, list) else ():
        budget = rule.get("budget") if isinstance(rule, dict) else None
        if not isinstance(rule, dict) or not isinstance(budget, dict):
            continue
        note(f"{rule.get('id')}/calls", budget.get("calls"))
        sums = budget.get("sums")
        for one in sums if isinstance(sums, list) else ():
            if isinstance(one, dict):
                note(f"{rule.get('id')}/sum:{one.get('arg')}", one.get("max"))
    return found
