"""The compiled document as the model uses it: lookups, and the defaults of SPEC, "The compiled document"."""

from __future__ import annotations

from typing import Any

#: SPEC: "If a profile has neither `reactions` nor `on_deviation`, the defaults above hold."
LADDERS: dict[str, list[str]] = {
    "action": ["deny", "freeze"],
    "target": ["revoke"],
    "argument": ["deny", "freeze"],
    "origin": ["deny", "freeze"],
    "order": ["deny", "freeze"],
    "plan": ["deny", "freeze"],
    "budget": ["deny", "freeze"],
    "flow": ["deny", "freeze"],
}

#: From the mildest to the hardest.
REACTIONS = ("deny", "freeze", "suspend", "revoke", "quarantine")

#: SPEC, "The plane": which reasons are breaches, and of which ladder. Every other reason is none.
BREACHES = {
    "action_not_in_profile": "action",
    "resource_not_in_profile": "target",
    "argument_out_of_bounds": "argument",
    "too_long": "argument",
    "origin_mismatch": "origin",
    "not_asked_for": "origin",
    "out_of_order": "order",
    "not_in_plan": "plan",
    "plan_required": "plan",
    "budget_spent": "budget",
    "once_per_spent": "budget",
    "label_forbids": "flow",
}

#: SPEC: "Order of hurdles (the furthest is reported)".
HURDLES = (
    ("action_not_in_profile",),
    ("resource_not_in_profile",),
    ("argument_missing",),
    ("not_asked_for",),
    ("out_of_order",),
    ("state:label_forbids",),
    ("argument_out_of_bounds", "too_long"),
    ("origin_mismatch", "memory_full"),
    ("label_forbids",),
    ("plan_required", "not_in_plan"),
    ("budget_spent",),
    ("once_per_spent",),
)


def rank(reason: str) -> int:
    """How far a call came that failed for this reason."""
    return next(place for place, reasons in enumerate(HURDLES) if reason in reasons)


class Profile:
    """One profile of the document."""

    def __init__(self, document: dict[str, Any], name: str) -> None:
        self.actions: dict[str, Any] = document["actions"]
        self.written = next(one for one in document["profiles"] if one["name"] == name)
        self.name = name
        self.rules: list[dict[str, Any]] = self.written["rules"]
        self.inputs: dict[str, str] = self.written.get("inputs", {})
        self.sources: list[Any] = self.written.get("sources", [])
        self.today: Any = self.written.get("today", "clock")
        self.plan: str = self.written.get("plan", "optional")
        self.never: list[dict[str, Any]] = self.written.get("never", [])
        whole = self.written.get("reaction")
        ladders = {kind: [whole] for kind in LADDERS} if whole else LADDERS
        self.ladders: dict[str, list[str]] = {**ladders, **self.written.get("reactions", {})}
        self.denials: list[tuple[int, str]] = [(int(n), str(word)) for n, word in self.written.get("denials", [])]
        self.most: int = self.written.get("most_per_minute", 10)
        self.total_calls: int | None = self.written.get("budget", {}).get("calls")

    @property
    def reports(self) -> bool:
        """SPEC: of an agent's own word only what some rule has a use for is waited for: values, labels or amounts."""
        uses = ("origins", "free", "aggregates", "asked", "distinct", "each", "reported", "unless")
        return bool(self.never) or self.plan == "required" or any(rule.get(use) for rule in self.rules for use in uses)

    def rules_of(self, action: str) -> list[dict[str, Any]]:
        """In order; SPEC: "Rules of one action are tried in order"."""
        return [rule for rule in self.rules if rule["action"] == action]

    def template(self, action: str) -> dict[str, Any] | None:
        """SPEC: "No `returns`: `any by outside`" (that is what None stands for)."""
        found: dict[str, Any] | None = self.actions[action].get("returns")
        return found

    def writes(self, action: str) -> bool:
        """SPEC: "effect: read | write: the author's word"."""
        return bool(self.actions[action]["effect"] == "write")


def covers(rule: dict[str, Any], resource: str) -> bool:
    """A rule without `on` is about every resource; a trailing `*` stands for any rest."""
    patterns = rule.get("on", [])
    return not patterns or any(
        resource.startswith(one[:-1]) if one.endswith("*") else resource == one for one in patterns
    )
