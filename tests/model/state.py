"""A task's state as a fold of facts: nothing else changes it, so replaying the facts is a restart."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import Any

from tests.model.origins import Result
from tests.model.values import Value

Fact = tuple[Any, ...]

#: Which states lead where; the arrows of a task's life.
ARROWS = {
    "open": ("frozen", "parked", "suspended", "fenced"),
    "frozen": ("open", "suspended", "fenced"),
    "parked": ("open", "fenced"),
    "suspended": ("open", "fenced"),
    "fenced": (),
}
_AFTER = {"freeze": "frozen", "suspend": "suspended", "revoke": "fenced", "quarantine": "fenced"}


@dataclass(frozen=True)
class Allowed:
    """A call that was allowed."""

    number: int
    action: str
    pep: str
    charge: tuple[tuple[str, int], ...]
    entry: int | None
    meters: tuple[str, ...]
    #: Entries of the plans of those above it, the nearest first.
    above: tuple[int | None, ...] = ()
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class Approval:
    """A call that waits for a person. `outcome`: pending, approved, refused, used."""

    reference: str
    digest: str
    asked_ms: int
    outcome: str = "pending"


@dataclass
class State:
    """What a task's facts add up to."""

    standing: str = "open"
    number: int = 0
    labels: frozenset[str] = frozenset()
    allowed: dict[int, Allowed] = field(default_factory=dict)
    actions_done: list[str] = field(default_factory=list)
    reported: set[int] = field(default_factory=set)
    used: collections.Counter[str] = field(default_factory=collections.Counter)
    distinct: dict[str, frozenset[Value]] = field(default_factory=dict)
    breaches: collections.Counter[str] = field(default_factory=collections.Counter)
    results: list[Result] = field(default_factory=list)
    plan: list[dict[str, Any]] | None = None
    moved: collections.Counter[int] = field(default_factory=collections.Counter)
    approvals: list[Approval] = field(default_factory=list)

    def apply(self, fact: Fact) -> None:
        """One fact more."""
        kind = fact[0]
        if kind == "checked":
            self.number = fact[1]
        elif kind == "allowed":
            self._allow(*fact[1:])
        elif kind == "breach":
            self.breaches[fact[1]] += 1
            self._become(_AFTER.get(fact[2], self.standing))
        elif kind == "counted":
            self.breaches[fact[1]] += 1
        elif kind == "labelled":
            self.labels |= fact[1]
        elif kind == "moved":
            self.moved[fact[1]] += fact[2]
        elif kind == "asked":
            self.approvals.append(Approval(fact[1], fact[2], fact[3]))
        elif kind == "settled":
            next(one for one in self.approvals if one.reference == fact[1]).outcome = fact[2]
        elif kind == "reported":
            number, result, labels, charge = fact[1:]
            self.reported.add(number)
            if result is not None:
                self.results.append(result)
            self.labels |= labels
            self.used.update(dict(charge))
        elif kind == "returned":
            call = self.allowed.pop(fact[1])
            self.actions_done.remove(call.action)
            self.used.subtract(dict(call.charge))
            if call.entry is not None:
                self.moved[call.entry] -= 1
        elif kind == "charged":
            self.used.update(fact[1])
        elif kind == "plan":
            self.plan = fact[1]
        elif kind == "state":
            self._become(fact[1])
        else:
            raise ValueError(kind)

    def _allow(
        self, call: Allowed, labels: frozenset[str], distinct: dict[str, frozenset[Value]], approval: str | None
    ) -> None:
        self.allowed[call.number] = call
        self.actions_done.append(call.action)
        self.used.update(dict(call.charge))
        self.labels |= labels
        for slot, values in distinct.items():
            self.used[slot] += 10_000 * len(values - self.distinct.get(slot, frozenset()))
            self.distinct[slot] = self.distinct.get(slot, frozenset()) | values
        if call.entry is not None:
            self.moved[call.entry] += 1
        if approval is not None:
            next(one for one in self.approvals if one.reference == approval).outcome = "used"

    def _become(self, to: str) -> None:
        if to in ARROWS[self.standing]:
            self.standing = to


def fold(labels: frozenset[str], facts: list[Fact]) -> State:
    """The state that facts add up to, from the labels that a task starts with."""
    state = State(labels=labels)
    for fact in facts:
        state.apply(fact)
    return state
