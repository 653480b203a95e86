"""A profile: the reviewed template of intent that a task runs under.

A profile is made by the bundle's reader (`flyball.policy.bundle`) and never changes afterwards;
a task pins it by digest. `validate_inputs` checks the inputs of one task against its profile.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from flyball.kernel.errors import InvalidInput
from flyball.kernel.json import Json
from flyball.task.task import Input

#: No task lives longer than a week, and none goes unheard for longer than an hour.
MAX_TTL_MS = 7 * 24 * 3_600_000
MAX_HEARTBEAT_MS = 3_600_000
MIN_HEARTBEAT_MS = 500
#: Longest text of one input, in characters.
MAX_INPUT_CHARS = 1024


class InputType(StrEnum):
    """The type of a declared input. A date is a calendar day, `YYYY-MM-DD`; policies see it as text."""

    STRING = "string"
    LONG = "long"
    DECIMAL = "decimal"
    BOOL = "bool"
    DATE = "date"

    @property
    def wire(self) -> str:
        """The type as the decision plane knows it."""
        return "string" if self is InputType.DATE else self.value


class Reaction(StrEnum):
    """What a deviation does, from the mildest on. Always: the call that deviates is itself refused."""

    DENY = "deny"
    FREEZE = "freeze"
    SUSPEND = "suspend"
    REVOKE = "revoke"
    QUARANTINE = "quarantine"


class Op(StrEnum):
    """How an argument is bounded."""

    MAX = "max"
    MIN = "min"
    EQ = "eq"
    ONE_OF = "one_of"
    PATTERN = "pattern"
    PREFIX = "prefix"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input that a profile asks for.

    `minimum` and `maximum` are source text of a long, decimal or date, inclusive. `vouched_by`
    names the issuers one of which must have signed the value; empty means that the agent's own
    word is taken (`declared`).
    """

    name: str
    type: InputType
    required: bool = True
    pattern: str | None = None
    minimum: str | None = None
    maximum: str | None = None
    one_of: tuple[str, ...] = ()
    max_length: int = MAX_INPUT_CHARS
    vouched_by: tuple[str, ...] = ()

    @property
    def bounded(self) -> bool:
        """Whether the profile itself bounds the value, whoever declares it."""
        return bool(self.pattern or self.one_of or self.maximum is not None or self.vouched_by)


@dataclass(frozen=True, slots=True)
class FromInput:
    """A bound that is taken from the task's input of this name (`$inputs.name`)."""

    name: str


#: A bound's value: text, whole number, truth value or list of texts written in the profile, or an input.
Constant: TypeAlias = "str | int | bool | tuple[str, ...]"
BoundValue: TypeAlias = "Constant | FromInput"


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit on one argument of an action."""

    arg: str
    op: Op
    value: BoundValue


@dataclass(frozen=True, slots=True)
class Sum:
    """The most that a summed argument may reach. `maximum` is a decimal's text or an input."""

    arg: str
    maximum: str | FromInput


@dataclass(frozen=True, slots=True)
class Across:
    """A limit that counts across tasks: per agent, per owner, or per value of an input.

    `window_ms` is the length of the window that it counts in; None counts for ever.
    """

    per: str | FromInput
    window_ms: int | None
    calls: int | None
    sums: tuple[Sum, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """What a rule lets one task spend."""

    calls: int | None = None
    sums: tuple[Sum, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it limits nothing."""
        return self.calls is None and not self.sums


@dataclass(frozen=True, slots=True)
class Resource:
    """One entry of `on`: a resource id (a trailing `*` makes it a prefix) and, for a table, the columns meant."""

    id: str
    columns: tuple[str, ...] = ()

    @property
    def prefix(self) -> bool:
        """Whether it stands for every id that begins with it."""
        return self.id.endswith("*")

    def covers(self, other: Resource) -> bool:
        """Whether everything that `other` stands for is within this."""
        within = other.id == self.id or (self.prefix and other.id.startswith(self.id[:-1]))
        columns = not self.columns or (bool(other.columns) and set(other.columns) <= set(self.columns))
        return within and columns

    def meets(self, other: Resource) -> bool:
        """Whether some resource is within both."""
        mine, theirs = self.id.removesuffix("*"), other.id.removesuffix("*")
        if self.prefix and other.prefix:
            return mine.startswith(theirs) or theirs.startswith(mine)
        return self.covers(Resource(other.id)) if self.prefix else other.covers(Resource(self.id))

    def __str__(self) -> str:
        return f"{self.id}({', '.join(self.columns)})" if self.columns else self.id


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `allow`. `id` is `<profile>/allow/<n>`, n from 1. An empty `on` means any resource."""

    id: str
    action: str
    on: tuple[Resource, ...] = ()
    where: tuple[Bound, ...] = ()
    budget: Budget = Budget()
    across: tuple[Across, ...] = ()
    cooperative: bool = False

    @property
    def limited(self) -> bool:
        """Whether it has limits that a grant at the target cannot express."""
        return bool(self.where or self.across or not self.budget.empty)


@dataclass(frozen=True, slots=True)
class CredentialSpec:
    """One credential that a task of the profile may ask for."""

    name: str
    target: str
    access: str
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A reviewed template of intent, as compiled.

    `openers` names who may open a task of it; the agents themselves where the bundle names none.
    `budget_calls` bounds all calls of a task together. `digest` is of the compiled profile; it is
    empty until `flyball.policy.compile` has made it.
    """

    name: str
    purpose: str
    agents: tuple[str, ...]
    openers: tuple[str, ...]
    ttl_ms: int
    heartbeat_ms: int
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    credentials: Mapping[str, CredentialSpec] = field(default_factory=dict)
    allow: tuple[Rule, ...] = ()
    budget_calls: int | None = None
    checks_per_second: int | None = None
    on_deviation: Reaction = Reaction.DENY
    digest: str = ""

    def may_open(self, opener: str, agent: str) -> bool:
        """Whether `opener` may open a task of this profile for `agent`.

        An agent that is not also named as an opener opens tasks for itself only.
        """
        if agent not in self.agents or opener not in self.openers:
            return False
        return opener == agent or opener not in self.agents


@dataclass(frozen=True, slots=True)
class Voucher:
    """A signed word for some inputs, already verified: signature, issuer, audience and time.

    `profile` is the profile it was made for, empty where it binds itself to none.
    """

    issuer: str
    inputs: Mapping[str, Json]
    profile: str = ""


#: Verifies one compact JWS by a registered issuer; raises a `FlyballError` where it does not hold.
VerifyVoucher: TypeAlias = Callable[[str], Voucher]

_LONG = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,4}))?")
_MAX_VOUCHERS = 8


def canonical_value(kind: InputType, value: Json) -> str | None:
    """The one text that stands for `value` as an input of type `kind`, or None where it is none.

    A decimal may be text or a whole number, with at most four places (Cedar's decimal), and loses
    its trailing zeros; a JSON float is refused, since it no longer says what the caller wrote.
    """
    if kind is InputType.BOOL:
        return str(value).lower() if isinstance(value, bool) or value in ("true", "false") else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and kind in (InputType.LONG, InputType.DECIMAL):
        value = str(value)
    if not isinstance(value, str):
        return None
    if kind is InputType.STRING:
        return value if value.isprintable() else None
    if kind is InputType.LONG:
        return value if _LONG.fullmatch(value) and value != "-0" and -(2**63) <= int(value) < 2**63 else None
    if kind is InputType.DECIMAL:
        match = _DECIMAL.fullmatch(value)
        if match is None:
            return None
        sign, whole, places = match.group(1), match.group(2), (match.group(3) or "").rstrip("0")
        number = f"{whole}.{places}" if places else whole
        return number if number == "0" else sign + number
    try:
        return value if datetime.date.fromisoformat(value).isoformat() == value else None
    except ValueError:
        return None


def validate_inputs(
    profile: Profile,
    inputs: Mapping[str, Json],
    vouchers: Sequence[str] = (),
    verify: VerifyVoucher | None = None,
    *,
    opener: str = "",
) -> dict[str, Input]:
    """The task's inputs, typed, in canonical text, each marked with who vouched for it.

    Args:
        profile: what the inputs are checked against.
        inputs: what the caller declares.
        vouchers: compact JWS over inputs; each must verify, fit the profile and agree with `inputs`.
        verify: verifies one voucher. Without it any voucher is refused.
        opener: a registered opener that is not the agent; it then vouches for what no voucher covers.

    Raises:
        InvalidInput: an input is unknown, missing, of the wrong type or out of its bounds, or a
            voucher disagrees (`voucher_mismatch`). All faults are named in one error.
        FlyballError: from `verify`, where a voucher does not hold.
    """
    faults = [f"`{str(name)[:64]!a}` is no input of this profile" for name in inputs if name not in profile.inputs]
    given: dict[str, str] = {}
    for name, spec in profile.inputs.items():
        if name not in inputs:
            if spec.required:
                faults.append(f"`{name}` is missing")
            continue
        value = canonical_value(spec.type, inputs[name])
        fault = _article(spec.type) if value is None else _out_of_bounds(spec, value)
        if fault:
            faults.append(f"`{name}` {fault}")
        elif value is not None:
            given[name] = value
    if faults:
        expected = ", ".join(f"{name} ({spec.type.value})" for name, spec in profile.inputs.items()) or "none"
        raise InvalidInput("; ".join(faults[:16]), code="inputs_invalid", hint=f"inputs of {profile.name}: {expected}")
    vouched = _vouched(profile, given, vouchers, verify)
    for name, spec in profile.inputs.items():
        if name in given and spec.vouched_by and vouched.get(name) not in spec.vouched_by:
            faults.append(f"`{name}` must be vouched for by {' or '.join(spec.vouched_by)}")
    if faults:
        raise InvalidInput(
            "; ".join(faults), code="voucher_missing", hint="send a voucher signed by that issuer with the inputs"
        )
    return {
        name: Input(value, profile.inputs[name].type.wire, vouched.get(name, opener)) for name, value in given.items()
    }


def _vouched(
    profile: Profile, given: Mapping[str, str], vouchers: Sequence[str], verify: VerifyVoucher | None
) -> dict[str, str]:
    if not vouchers:
        return {}
    if verify is None:
        raise InvalidInput("no issuer of vouchers is registered here", code="voucher_unknown_issuer")
    if len(vouchers) > _MAX_VOUCHERS:
        raise InvalidInput(f"more than {_MAX_VOUCHERS} vouchers", code="voucher_too_many")
    found: dict[str, str] = {}
    for token in vouchers:
        voucher = verify(token)
        if voucher.profile and voucher.profile != profile.name:
            raise InvalidInput("a voucher was made for another profile", code="voucher_mismatch")
        for name, value in voucher.inputs.items():
            if name not in given:
                continue
            # A voucher that disagrees is refused rather than left aside: somebody is mistaken or lying.
            if canonical_value(profile.inputs[name].type, value) != given[name]:
                raise InvalidInput(
                    f"the voucher for `{name}` speaks of another value",
                    code="voucher_mismatch",
                    hint="declare the value that was vouched for",
                )
            found.setdefault(name, voucher.issuer)
    return found


def _article(kind: InputType) -> str:
    hints = {InputType.DECIMAL: ' (at most 4 places, as text: "120.50")', InputType.DATE: " (YYYY-MM-DD)"}
    return f"is no {kind.value}{hints.get(kind, '')}"


def _out_of_bounds(spec: InputSpec, value: str) -> str:
    """Why `value`, in canonical text, is outside `spec`; empty where it is inside."""
    if len(value) > spec.max_length:
        return f"is longer than {spec.max_length} characters"
    if spec.one_of and value not in spec.one_of:
        return "is none of the values allowed"
    if spec.pattern is not None and not re.fullmatch(spec.pattern, value, re.ASCII):
        return f"does not match {spec.pattern}"
    if spec.maximum is not None and order(spec.type, value) > order(spec.type, spec.maximum):
        return f"is above {spec.maximum}"
    if spec.minimum is not None and order(spec.type, value) < order(spec.type, spec.minimum):
        return f"is below {spec.minimum}"
    return ""


def order(kind: InputType, value: str) -> Decimal:
    """A number that orders canonical values of a long, a decimal or a date."""
    return Decimal(datetime.date.fromisoformat(value).toordinal()) if kind is InputType.DATE else Decimal(value)
