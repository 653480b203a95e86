"""The rules of a profile: what may be called, and where each argument may come from.

Made by the bundle's reader and never changed afterwards. Names stand here as they were written;
whether they mean something is checked when the whole bundle is read (`flyball.policy.check`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

#: Types of values, as fields of results are declared and arguments are compared. `any` only declares.
VALUE_TYPES = (
    "text",
    "id",
    "email",
    "url",
    "host",
    "phone",
    "iban",
    "path",
    "date",
    "time",
    "datetime",
    "duration",
    "number",
    "money",
    "bool",
)
#: As what arguments are compared: also by their words, each for itself.
COMPARED_TYPES = (*VALUE_TYPES, "words")
#: Tests of a row that hold it against an input.
IN_INPUT = ("in_input", "partly", "named")
#: Who can write a field; these are also the first three labels of every profile.
WRITERS = ("user", "org", "outside")


class Reaction(StrEnum):
    """What a deviation does, from the mildest on. Always: the call that deviates is itself refused."""

    DENY = "deny"
    FREEZE = "freeze"
    SUSPEND = "suspend"
    REVOKE = "revoke"
    QUARANTINE = "quarantine"


class Breach(StrEnum):
    """The kinds of breach; each has a ladder of reactions."""

    ACTION = "action"
    TARGET = "target"
    ARGUMENT = "argument"
    ORIGIN = "origin"
    ORDER = "order"
    PLAN = "plan"
    BUDGET = "budget"
    FLOW = "flow"


#: What a profile does that says nothing: refuse, then freeze effects; a target outside the profile is no accident.
DEFAULT_LADDERS: Mapping[Breach, tuple[Reaction, ...]] = {
    kind: (Reaction.REVOKE,) if kind is Breach.TARGET else (Reaction.DENY, Reaction.FREEZE) for kind in Breach
}
#: Reactions harder than freeze that one profile may set off in a minute before they degrade to it.
DEFAULT_MOST_PER_MINUTE = 10


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
class Condition:
    """What a row of a result must be like.

    `test` is `in_input`, `is_arg`, `is`, `extreme`, `partly`, `named` or `in_source`. `field` names a field of the row
    or, where `call` is set, an argument of the call that made the result; `kind` is then as what that is read (empty:
    text). `source` belongs to `in_source`: the result in which the value was found before.
    """

    field: str
    test: str
    value: str
    call: bool = False
    kind: str = ""
    source: Source | None = None

    def __str__(self) -> str:
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"')
        there = "request" if self.value == "request" else f"inputs.{self.value}"
        shown = {
            "in_input": f"in {there}",
            "partly": f"partly in {there}",
            "named": f"named in {there}",
            "is_arg": f"is args.{self.value}",
            "is": f'is "{quoted}"',
            "in_source": f"in ({self.source})" if self.source and self.source.rows else f"in {self.source}",
        }
        what = f"call.{self.field}{f' as {self.kind}' if self.kind else ''}" if self.call else self.field
        return f"{what} {shown.get(self.test, f'is {self.value}')}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an argument may come from.

    `kind` is `input`, `arg`, `const`, `trusted` or `result`; `name` the input, the argument, the
    constant's text or the action; `field` and `rows` belong to a result. `at`: anybody at a host that it names.
    """

    kind: str
    name: str = ""
    field: str = ""
    rows: tuple[Condition, ...] = ()
    at: bool = False

    def __str__(self) -> str:
        if self.at:
            return f"anyone at {dataclasses.replace(self, at=False)}"
        if self.kind == "result":
            rows = " where " + " and ".join(str(one) for one in self.rows) if self.rows else ""
            return f"result({self.name}){f'.{self.field}' if self.field else ''}{rows}"
        if self.kind == "input":
            return "request" if self.name == "request" else f"inputs.{self.name}"
        return {"arg": f"args.{self.name}", "const": f"={self.name}"}.get(self.kind, self.kind)


@dataclass(frozen=True, slots=True)
class Origin:
    """Every element of an argument, read as `kind`, must come from one of the sources.

    `plus` holds milliseconds, and sources whose durations count: the value is then a source plus one
    of these. At most one of `plus`, `within_ms` and `same_day` is given. `below`: a path may lie in a folder that a
    source names. `new_words`: so many words need stand in no source.
    """

    arg: str
    kind: str
    sources: tuple[Source, ...]
    required: bool = False
    plus: tuple[int | Source, ...] = ()
    within_ms: int | None = None
    same_day: bool = False
    not_by: tuple[str, ...] = ()
    below: bool = False
    new_words: int = 0


@dataclass(frozen=True, slots=True)
class Free:
    """A text of any content, of at most `maximum` characters, in which no value labelled `without` stands."""

    arg: str
    maximum: int
    without: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A bound (`max`, `min`, `eq`) by the sum, the least or the greatest of a result's values."""

    arg: str
    op: Op
    aggregate: str
    source: Source
    kind: str = "number"


@dataclass(frozen=True, slots=True)
class Never:
    """What holds whatever a rule says: nothing labelled `by` decides `arg` of `action`, or, where
    `after` is given, the action is refused once the task carries that label."""

    action: str
    arg: str = ""
    by: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Sum:
    """The most that a summed argument may reach. `maximum` is a decimal's text or an input."""

    arg: str
    maximum: str | FromInput


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many different values an argument may take in one task; in `each`, how many calls with each of them."""

    arg: str
    maximum: int


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
    """What a rule lets one task spend. `reported` bounds what came back: `rows`, `bytes`, `seconds`."""

    calls: int | None = None
    sums: tuple[Sum, ...] = ()
    distinct: tuple[Distinct, ...] = ()
    reported: tuple[tuple[str, int], ...] = ()
    each: tuple[Distinct, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it limits nothing."""
        return self.calls is None and not self.sums and not self.distinct and not self.reported and not self.each


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
    """One entry of `allow`. `id` is `<profile>/allow/<n>`, n from 1, and `<n>.<m>` where it lists actions.

    An empty `on` means any resource. Of each group of phrases in `asked` one must stand in the request.
    Each of `after` was allowed before, and one of `after_any`. `effect` is as written, empty where it was left out.
    `on_breach` replaces the profile's ladder for breaches of this action; None where it was left out.
    """

    id: str
    action: str
    on: tuple[Resource, ...] = ()
    where: tuple[Bound, ...] = ()
    budget: Budget = Budget()
    across: tuple[Across, ...] = ()
    cooperative: bool = False
    effect: str = ""
    asked: tuple[tuple[str, ...], ...] = ()
    after: tuple[str, ...] = ()
    after_any: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    on_breach: tuple[Reaction, ...] | None = None
    origins: tuple[Origin, ...] = ()
    free: tuple[Free, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()

    @property
    def conditional(self) -> bool:
        """Whether it looks at more of the task than this call: its request, its order, its labels, its results."""
        return bool(
            self.asked
            or self.after
            or self.after_any
            or self.before
            or self.unless
            or self.origins
            or self.free
            or self.aggregates
            or self.effect not in ("", "allow")
        )

    @property
    def decides_always(self) -> bool:
        """Whether it holds for every call on its resources, whatever its effect: no rule after it is ever tried."""
        only_effect = dataclasses.replace(self, effect="")
        return not (self.where or self.across or not self.budget.empty or only_effect.conditional)

    @property
    def limited(self) -> bool:
        """Whether it has limits that a grant at the target cannot express."""
        return bool(self.where or self.across or not self.budget.empty or self.conditional)

    def sources(self) -> tuple[Source, ...]:
        """Every source that it cites."""
        found = [source for origin in self.origins for source in origin.sources]
        found += [one for origin in self.origins for one in origin.plus if isinstance(one, Source)]
        return (*found, *(one.source for one in self.aggregates))
