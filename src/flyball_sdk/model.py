"""What the server's answers become: decisions and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Never

from flyball_sdk import _json
from flyball_sdk._json import Json


class Secret:
    """A secret. Only `reveal()` shows it; repr, str and format never do, and it cannot be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself. Call it at the last moment, and keep the result local."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(…)"

    def __reduce__(self) -> Never:
        raise TypeError("a Secret cannot be pickled")


@dataclass(frozen=True, slots=True)
class Reported:
    """A result was taken. Under the task's own token it is our own word: nothing of it is remembered.

    Attributes:
        result: it is the n-th result of its action.
        kept: how many of its values are remembered.
        self_reported: whether it counts as the agent's own word.
        full: whether the task's memory is full.
    """

    result: int
    kept: int
    self_reported: bool
    full: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one action check. True in a condition only where the action is allowed.

    Attributes:
        allowed: whether the action may go ahead now, as it was asked.
        effect: `allow`, `deny`, `modify`, `require_approval`, `step_up` or `defer`. Only `allow`
            allows: a caller that does not carry out the others must not go ahead.
        reasons: stable reason codes.
        id: the decision's id, for `flyball why`.
        reaction: what a deviation set off, or empty.
        digest: the digest of the call.
        approval: the reference under which a person is asked, where one is.
        context: the server's whole answer.
    """

    allowed: bool
    effect: str
    reasons: tuple[str, ...] = ()
    id: str = ""
    reaction: str = ""
    digest: str = ""
    approval: str = ""
    context: Mapping[str, Json] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return self.allowed

    @classmethod
    def read(cls, answer: Json) -> Decision:
        """Read an AuthZEN decision (1.0 §5.5). What cannot be understood is no.

        Raises:
            ValueError: it is no decision.
        """
        if not isinstance(answer, dict) or not isinstance(answer.get("decision"), bool):
            raise ValueError("the answer holds no decision")
        found = answer.get("context")
        context: dict[str, Json] = found if isinstance(found, dict) else {}
        effect = _json.text(context, "effect") or ("allow" if answer["decision"] else "deny")
        reasons = context.get("reasons")
        return cls(
            allowed=answer["decision"] is True and effect == "allow",
            effect=effect,
            reasons=tuple(_reason(one) for one in reasons) if isinstance(reasons, list) else (),
            id=_json.text(context, "decision") or _json.text(context, "id"),
            reaction=_json.text(context, "reaction"),
            digest=_json.text(context, "digest"),
            approval=_json.text(context, "approval"),
            context=context,
        )


def _reason(value: Json) -> str:
    if isinstance(value, dict):
        return _json.text(value, "code") or _json.text(value, "reason")
    return value if isinstance(value, str) else ""
