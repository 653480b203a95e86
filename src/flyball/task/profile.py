"""A profile: the reviewed template of intent that a task runs under.

A profile is made by the bundle's reader (`flyball.policy.bundle`) and never changes afterwards;
a task pins it by digest. `validate_inputs` checks the inputs of one task against its profile.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import urlsplit

from flyball.kernel.errors import InvalidInput
from flyball.kernel.json import Json
from flyball.task.rules import (
    DEFAULT_LADDERS,
    DEFAULT_MOST_PER_MINUTE,
    Breach,
    FromInput,
    Never,
    Reaction,
    Rule,
    Source,
)
from flyball.task.task import Input

#: No task lives longer than a week, and none goes unheard for longer than an hour.
MAX_TTL_MS = 7 * 24 * 3_600_000
MAX_HEARTBEAT_MS = 3_600_000
MIN_HEARTBEAT_MS = 500
#: Longest text of one input, in characters, and of one that is running text.
MAX_INPUT_CHARS = 1024
MAX_TEXT_CHARS = 16_384
#: The input that `asked` and the source `request` look at.
REQUEST = "request"


class InputType(StrEnum):
    """The type of a declared input.

    `text` is running text, in which typed values are found; a `string` is one line. A date is
    `YYYY-MM-DD`, a datetime `YYYY-MM-DDTHH:MM` with seconds and offset if wanted, money `120.50 EUR`.
    """

    STRING = "string"
    TEXT = "text"
    LONG = "long"
    DECIMAL = "decimal"
    BOOL = "bool"
    DATE = "date"
    DATETIME = "datetime"
    EMAIL = "email"
    URL = "url"
    MONEY = "money"

    @property
    def wire(self) -> str:
        """The type as the decision plane and policies know it."""
        return self.value if self in (InputType.LONG, InputType.DECIMAL, InputType.BOOL) else "string"

    @property
    def max_chars(self) -> int:
        """The most characters that one input of this type may have."""
        return MAX_TEXT_CHARS if self is InputType.TEXT else MAX_INPUT_CHARS


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
    `budget_calls` bounds all calls of a task together. `today` is what relative dates count from; None is
    the plane's clock, in UTC. `ladders` says for each kind of breach what the first, second, … does;
    `denials` what the n-th breach of any kind does. `digest` is of the compiled profile; it is empty
    until `flyball.policy.compile` has made it.
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
    today: FromInput | Source | None = None
    plan: str = "optional"
    must: tuple[str, ...] = ()
    never: tuple[Never, ...] = ()
    ladders: Mapping[Breach, tuple[Reaction, ...]] = field(default_factory=lambda: dict(DEFAULT_LADDERS))
    denials: tuple[tuple[int, Reaction], ...] = ()
    most_per_minute: int = DEFAULT_MOST_PER_MINUTE
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
    if kind in _FORMS:
        return _FORMS[kind](value)
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


def _text(value: str) -> str | None:
    """Running text as people type and paste it: new lines and joiners, but nothing that steers a terminal."""
    if any(unicodedata.category(char) in ("Cc", "Cs", "Cn") and char not in "\n\r\t" for char in value):
        return None
    return None if any(char in _STEERING for char in value) else value


def _email(value: str) -> str | None:
    local, _, domain = value.partition("@")
    return f"{local}@{domain.lower()}" if _EMAIL.fullmatch(value) and value.isprintable() else None


def _url(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    plain = value.isprintable() and not any(char.isspace() or char in '<>"\\' for char in value)
    # A name before the host makes a link look like one to somewhere else.
    return value if usable and plain and "@" not in parts.netloc else None


def _datetime(value: str) -> str | None:
    if not _DATETIME.fullmatch(value):
        return None
    try:
        return datetime.datetime.fromisoformat(value).isoformat()
    except ValueError:
        return None


def _money(value: str) -> str | None:
    match = _MONEY.fullmatch(value)
    amount = canonical_value(InputType.DECIMAL, match.group(1) or match.group(4)) if match else None
    return f"{amount} {match.group(2) or match.group(3)}" if match and amount is not None else None


_STEERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_EMAIL = re.compile(
    r"[^\s@<>()\[\],;:\\\"]{1,64}@(?=[^@]{1,255}$)[^\s@<>()\[\],;:\\\".]+(?:\.[^\s@<>()\[\],;:\\\".]+)+"
)
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_MONEY = re.compile(r"(-?[0-9.]+) ?([A-Z]{3})|([A-Z]{3}) ?(-?[0-9.]+)")
_FORMS: Mapping[InputType, Callable[[str], str | None]] = {
    InputType.TEXT: _text,
    InputType.EMAIL: _email,
    InputType.URL: _url,
    InputType.DATETIME: _datetime,
    InputType.MONEY: _money,
}


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
    hints = {
        InputType.DECIMAL: ' (at most 4 places, as text: "120.50")',
        InputType.DATE: " (YYYY-MM-DD)",
        InputType.DATETIME: " (YYYY-MM-DDTHH:MM, with seconds and offset if wanted)",
        InputType.MONEY: " (120.50 EUR)",
        InputType.URL: " (http or https, without a user name)",
    }
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
