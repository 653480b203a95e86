"""Whether sources, labels and orders of a profile name what there is, and can ever match what they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flyball.policy.bundle import Bundle
from flyball.policy.diagnostics import Mark, Problems, did_you_mean
from flyball.policy.provenance import root_of
from flyball.policy.returns import fields_of
from flyball.task.profile import REQUEST, InputType, Profile
from flyball.task.rules import COMPARED_TYPES, IN_INPUT, VALUE_TYPES, Condition, FromInput, Op, Rule, Source

MAX_LABELS = 64
_EVERY = frozenset(COMPARED_TYPES)
#: As what an argument of each type may be compared.
ARG_KINDS = {
    "string": _EVERY,
    "strings": _EVERY,
    "any": _EVERY,
    "long": frozenset({"number", "money", "id"}),
    "decimal": frozenset({"number", "money", "id"}),
    "bool": frozenset({"bool"}),
}
#: Which values a field of each type can give, beside its own and, always, text.
FIELD_KINDS = {
    "text": _EVERY,
    "any": _EVERY,
    "email": frozenset({"id", "host"}),
    "url": frozenset({"id", "host", "path"}),
    "host": frozenset({"id"}),
    "phone": frozenset({"id"}),
    "iban": frozenset({"id"}),
    "path": frozenset({"id"}),
    "datetime": frozenset({"date", "time"}),
    "date": frozenset({"datetime"}),
    "time": frozenset({"datetime"}),
    "number": frozenset({"id", "money"}),
    "money": frozenset({"number"}),
}
#: The same for inputs.
INPUT_KINDS = {
    InputType.STRING: _EVERY,
    InputType.TEXT: _EVERY,
    InputType.LONG: frozenset({"number", "money", "id", "text"}),
    InputType.DECIMAL: frozenset({"number", "money", "id", "text"}),
    InputType.BOOL: frozenset({"bool", "text"}),
    InputType.DATE: frozenset({"date", "datetime", "id", "text"}),
    InputType.DATETIME: frozenset({"datetime", "date", "time", "id", "text"}),
    InputType.EMAIL: frozenset({"email", "host", "id", "text"}),
    InputType.URL: frozenset({"url", "host", "path", "id", "text"}),
    InputType.MONEY: frozenset({"money", "number", "id", "text"}),
}
_ORDERED = ("number", "money", "date", "time", "datetime", "duration")
_DAYS = ("date", "datetime", "text", "any")


def gives(field: str, kind: str) -> bool:
    """Whether a field of type `field` can ever give a value of `kind`."""
    return kind in (field, "text", "words") or kind in FIELD_KINDS.get(field, ())


def check_flow(bundle: Bundle, profile: Profile, problems: Problems) -> None:
    """Note what a profile says of the whole task and means nothing."""
    where = f"profile:{profile.name}"
    labels = bundle.all_labels()
    if len(labels) > MAX_LABELS:
        problems.error("too_many_labels", bundle.place(where), f"a bundle has at most {MAX_LABELS} labels")
    for action in profile.must:
        problems.known("action", action, bundle.actions, bundle.place(f"{where}/must:{action}"), "unknown_action")
    for never in profile.never:
        label = never.by or never.after
        problems.known("label", label, labels, bundle.place(f"{where}/never:{label}"), "unknown_label")
        written = f"{never.action}.{never.arg}" if never.by else never.action
        mark = bundle.place(f"{where}/never:{label}/{written}")
        known = problems.known("action", never.action or written, bundle.actions, mark, "unknown_action")
        if known and never.by:
            args = bundle.actions[never.action].args
            problems.known("argument", root_of(never.arg), args, mark, "unknown_argument", never.action)
    today = profile.today
    mark = bundle.place(f"{where}/today")
    if isinstance(today, FromInput):
        if problems.known("input", today.name, profile.inputs, mark, "unknown_input"):
            kind = profile.inputs[today.name].type
            if not INPUT_KINDS[kind] & {"date"}:
                problems.error("source_type_mismatch", mark, f"input `{today.name}` is a {kind.value} and holds no day")
    elif today is not None:
        _Sources(bundle, profile, None, problems).field(today, today.field, _DAYS, mark)


def check_rule(bundle: Bundle, profile: Profile, rule: Rule, problems: Problems) -> None:
    """Note what a rule of a known action says and means nothing, or can never match."""
    place = f"rule:{rule.id}"
    args = bundle.actions[rule.action].args
    sources = _Sources(bundle, profile, rule, problems)
    if rule.asked and REQUEST not in profile.inputs and not problems.doubted("input"):
        problems.error(
            "asked_without_request",
            bundle.place(f"{place}/asked"),
            f"`asked` looks at the input `{REQUEST}`, which this profile does not have",
            f"add `{REQUEST}: {{type: text, vouched_by: […]}}` to `inputs`",
            len("asked"),
        )
    for key, actions in (("after", (*rule.after, *rule.after_any)), ("before", rule.before)):
        for action in actions:
            problems.known("action", action, bundle.actions, bundle.place(f"{place}/{key}:{action}"), "unknown_action")
    for label in rule.unless:
        problems.known("label", label, bundle.all_labels(), bundle.place(f"{place}/unless:{label}"), "unknown_label")
    for arg, labels in _labels(rule):
        for label in labels:
            mark = bundle.place(f"{place}/where:{arg}/label:{label}")
            problems.known("label", label, bundle.all_labels(), mark, "unknown_label")
    held = [*(one.arg for one in rule.origins), *(one.arg for one in rule.free), *(one.arg for one in rule.aggregates)]
    for arg in dict.fromkeys(held):
        _argument(arg, rule.action, args, bundle.place(f"{place}/where:{arg}"), problems)
    for origin in rule.origins:
        at = bundle.place(f"{place}/where:{origin.arg}/as")
        if problems.doubted("as", f"{place}/where:{origin.arg}"):
            continue
        if _compares(origin.arg, origin.kind, args, at, problems):
            for source in origin.sources:
                sources.check(source, origin.arg, origin.kind)
            for span in origin.plus:
                if isinstance(span, Source):
                    sources.check(span, origin.arg, "duration")
        if (origin.plus or origin.within_ms or origin.same_day) and origin.kind not in ("date", "time", "datetime", ""):
            problems.error(
                "wrong_origin",
                at,
                f"only dates and times move: `{origin.arg}` is compared as {origin.kind}",
                "take `plus`, `within` and `same_day` away",
            )
        for key, said, fits in (("below", origin.below, "path"), ("new_words", origin.new_words, "words")):
            if said and origin.kind not in (fits, ""):
                problems.error(
                    "wrong_origin",
                    bundle.place(f"{place}/where:{origin.arg}/{key}"),
                    f"`{key}` is said of `as: {fits}`, and `{origin.arg}` is compared as {origin.kind}",
                    f"write `as: {fits}`, or take `{key}` away",
                    len(key),
                )
    for free in rule.free:
        kind = args.get(root_of(free.arg))
        if kind in ("long", "decimal", "bool"):
            mark = bundle.place(f"{place}/where:{free.arg}/free")
            problems.error("wrong_bound", mark, f"`free` is for text, and `{free.arg}` is a {kind}")
    for one in rule.aggregates:
        at = bundle.place(f"{place}/where:{one.arg}/{one.op.value}")
        kind = args.get(root_of(one.arg), "any")
        if one.op not in (Op.MAX, Op.MIN, Op.EQ) or kind not in ("long", "decimal", "any", "string"):
            problems.error("wrong_bound", at, f"`{one.aggregate}(…)` bounds a number, and `{one.arg}` is {kind}")
        elif one.kind not in ("number", "money"):
            problems.error("wrong_bound", at, f"`{one.aggregate}(…)` is a number or money, not {one.kind}")
        else:
            sources.check(one.source, one.arg, one.kind)
    for distinct in (*rule.budget.distinct, *rule.budget.each):
        mark = bundle.place(f"{place}/distinct:{distinct.arg}")
        problems.known("argument", distinct.arg, args, mark, "unknown_argument", rule.action)


def _labels(rule: Rule) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield from ((origin.arg, origin.not_by) for origin in rule.origins)
    yield from ((free.arg, free.without) for free in rule.free)


def _argument(arg: str, action: str, known: Mapping[str, str], mark: Mark, problems: Problems) -> None:
    root = root_of(arg)
    if not problems.known("argument", root, known, mark, "unknown_argument", action) or arg == root:
        return
    inner = arg[len(root) :]
    if known[root] != "any" and not (known[root] == "strings" and inner == "[]"):
        problems.error(
            "wrong_bound",
            mark,
            f"`{root}` is a {known[root]}, and nothing lies within it",
            "declare it `any` to bound what is inside" if known[root] != "strings" else f"write `{root}` alone",
            len(arg),
        )


def _compares(arg: str, kind: str, known: Mapping[str, str], mark: Mark, problems: Problems) -> bool:
    declared = known.get(root_of(arg))
    if declared is None:
        return False
    if not kind:
        problems.error(
            "wrong_origin",
            mark,
            f"nothing says as what `{arg}` is compared",
            "add `as`: " + ", ".join(COMPARED_TYPES),
        )
        return False
    if kind not in ARG_KINDS[declared]:
        fits = ", ".join(sorted(ARG_KINDS[declared]))
        problems.error(
            "wrong_bound",
            mark,
            f"`{arg}` is a {declared} and is never compared as {kind}",
            f"what can: {fits}",
            len(kind),
        )
        return False
    return True


class _Sources:
    """Checks the sources of one rule; of `today`, where there is no rule."""

    def __init__(self, bundle: Bundle, profile: Profile, rule: Rule | None, problems: Problems) -> None:
        self.bundle = bundle
        self.profile = profile
        self.rule = rule
        self.problems = problems

    def check(self, source: Source, arg: str, kind: str) -> None:
        """Note a source that names nothing, or never gives a value of `kind`."""
        mark = self.bundle.place(f"rule:{self.rule.id}/where:{arg}/source:{source}" if self.rule else "")
        if source.at:
            if kind != "email":
                hint = "compare it `as: email`; `as: host` takes hosts as they are"
                self.problems.error("wrong_source", mark, f"`{source}` gives e-mail addresses, not {kind}", hint)
                return
            kind = "host"
            mark = _shift(mark, len("anyone at "))
        if source.kind == "input":
            self.input(source.name, kind, source, mark)
        elif source.kind == "arg":
            if source.name == arg:
                self.problems.error("wrong_source", mark, f"`{arg}` cannot come from itself", width=len(str(source)))
            self.arg(source.name, _shift(mark, len("args.")))
        elif source.kind == "result":
            self.result(source, kind, mark)

    def result(self, source: Source, kind: str, mark: Mark) -> None:
        """Note a result, or a condition of it, that is not there or never gives a value of `kind`."""
        kinds = (*(one for one in VALUE_TYPES if gives(one, kind)), "any")
        if self.field(source, source.field, kinds, mark, kind):
            for row in source.rows:
                self.condition(source, row, mark)

    def link(self, source: Source, row: Condition, inner: Source, kind: str, mark: Mark) -> None:
        """Note a result in which no value of a condition can be found. `kind`: as what it is looked for."""
        written = str(row)
        at = _shift(mark, max(0, str(source).find(written)) + len(written) - len(str(inner)) - bool(inner.rows))
        if kind in ("date", "time", "datetime"):
            self.mismatch(at, "no day or time is looked for in another result", inner)
        elif any(one.test == "is_arg" for one in inner.rows):
            hint = "choose its rows by the request, or by another result"
            message = "which rows count is settled when a result comes, so no argument of a later call chooses them"
            self.problems.error("wrong_source", at, message, hint, len(str(inner)))
        else:
            self.result(inner, kind, at)

    def input(self, name: str, kind: str, source: Source, mark: Mark) -> None:
        at = mark if name == REQUEST else _shift(mark, len("inputs."))
        if self.problems.known("input", name, self.profile.inputs, at, "unknown_input"):
            declared = self.profile.inputs[name].type
            if kind != "words" and kind not in INPUT_KINDS[declared]:
                self.mismatch(mark, f"input `{name}` holds {declared.value} and never gives {kind}", source)

    def arg(self, path: str, mark: Mark) -> None:
        action = self.rule.action if self.rule else ""
        args = self.bundle.actions[action].args if action else {}
        _argument(path, action, args, mark, self.problems)

    def field(self, source: Source, name: str, kinds: tuple[str, ...], mark: Mark, kind: str = "date") -> bool:
        """Whether the field is there; noted where it is not, or is of none of `kinds`."""
        at = _shift(mark, len("result("))
        if not self.problems.known("action", source.name, self.bundle.actions, at, "unknown_action"):
            return False
        field = self.bundle.field(source.name, name)
        at = _shift(mark, len(f"result({source.name})."))
        if field is None:
            self.unknown(source, name, at if name else mark)
            return False
        if field.kind not in kinds:
            what = f"field `{name}`" if name else "the result"
            self.mismatch(mark, f"{what} of `{source.name}` holds {field.kind} and never gives {kind}", source)
        return True

    def unknown(self, source: Source, name: str, mark: Mark) -> None:
        if self.problems.doubted("field", source.name):
            return
        fields = fields_of(self.bundle.actions[source.name].returns)
        if not fields:
            hint = f"declare what `{source.name}` returns, under `returns`"
        elif "" in fields:
            hint = f"it returns a single value: `result({source.name})`"
        else:
            hint = did_you_mean(name, fields)
        missing = (
            f"results of `{source.name}` have no field `{name}`" if name else f"`{source.name}` has fields; name one"
        )
        self.problems.error("unknown_field", mark, missing, hint, max(1, len(name)))

    def condition(self, source: Source, row: Condition, mark: Mark) -> None:
        if row.call:
            self.called(source, row, mark)
            return
        field = self.bundle.field(source.name, row.field)
        at = _shift(mark, max(0, str(source).find(f" {row.field} ")) + 1)
        if field is None or (not row.field):
            self.unknown(source, row.field, at)
            return
        said = _shift(mark, max(0, str(source).find(f".{row.value}", str(source).find(str(row)))) + 1)
        if row.test in IN_INPUT:
            self.problems.known("input", row.value, self.profile.inputs, said, "unknown_input")
        elif row.test == "is_arg":
            self.arg(row.value, said)
        elif row.source is not None:
            self.link(source, row, row.source, "text" if field.kind == "any" else field.kind, mark)
        elif row.test == "extreme" and field.kind not in (*_ORDERED, "any"):
            self.mismatch(at, f"field `{row.field}` is {field.kind}, and none is the {row.value}", source)

    def called(self, source: Source, row: Condition, mark: Mark) -> None:
        """Note a condition on an argument that the action of the result does not have, or never is of that type."""
        args = self.bundle.actions[source.name].args
        at = _shift(mark, max(0, str(source).find(f" call.{row.field}")) + 1 + len("call."))
        _argument(row.field, source.name, args, at, self.problems)
        if row.kind:
            _compares(row.field, row.kind, args, _shift(at, len(f"{row.field} as ")), self.problems)
        said = _shift(mark, max(0, str(source).find(f".{row.value}", str(source).find(str(row)))) + 1)
        if row.test in IN_INPUT:
            self.problems.known("input", row.value, self.profile.inputs, said, "unknown_input")
        elif row.test == "is_arg":
            self.arg(row.value, said)
        elif row.source is not None:
            self.link(source, row, row.source, row.kind or "text", mark)

    def mismatch(self, mark: Mark, message: str, source: Source) -> None:
        hint = "name another field, compare `as` something else, or correct the type in the tool sheet"
        self.problems.error("source_type_mismatch", mark, message, hint, len(str(source)))


def _shift(mark: Mark, by: int) -> Mark:
    return Mark(mark.file, mark.line, mark.column + by)
