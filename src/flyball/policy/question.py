"""A question to a policy engine, in plain values: the joint where another engine may be put in.

An engine (Cedar in the decision plane today) takes a `Question` and answers with an `Answer`; it
sees no Flyball type, holds no state and does no I/O of ours. How to add one: CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flyball.kernel.json import Json
from flyball.policy.verdict import Answer


@dataclass(frozen=True, slots=True)
class Party:
    """A subject or a resource: AuthZEN type, id, and properties that somebody asserts."""

    type: str
    id: str
    properties: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """May `subject` take `action` on `resource` with these arguments?

    Args:
        args_json: the arguments as JSON text, so that numbers keep the digits they were written with.
        task: id of the task it is asked for; empty where it is decided without one.
        pep: the enforcement point that asks.
    """

    subject: Party
    action: str
    resource: Party
    args_json: str = "{}"
    task: str = ""
    pep: str = ""


class PolicyEngine(Protocol):
    """What answers questions."""

    def ask(self, question: Question) -> Answer:
        """The answer. A fault of the engine's own is an answer too: deny, with `engine_error`."""
        ...
