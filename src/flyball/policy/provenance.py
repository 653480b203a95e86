"""What a rule's sources mean in their bundle: who can write them, and whether a document was named.

A value out of a field that outsiders can write may decide an argument only where the user handed
that authority to a document, and said which (`documents`). What a rule then answers is `effect_of`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from flyball.policy.bundle import Bundle
from flyball.task.profile import InputType, Profile, canonical_value
from flyball.task.rules import IN_INPUT, Aggregate, Bound, Never, Op, Origin, Rule, Source

#: How an argument is compared whose rule does not say it.
_KINDS = {"long": "number", "decimal": "number", "bool": "bool"}


@dataclass(frozen=True, slots=True)
class Document:
    """A source in a field that outsiders can write.

    `named` says whether the user picks the document. `left` names arguments of the call it comes from which
    nothing binds, where only other arguments of that call name it: the agent picks by them.
    """

    arg: str
    source: Source
    named: bool
    left: tuple[str, ...] = ()


def root_of(path: str) -> str:
    """The argument that a path leads into: `attachments` for `attachments[].file_id`."""
    return path.partition(".")[0].partition("[")[0]


def resolve(bundle: Bundle) -> Bundle:
    """The bundle with what its profiles leave to be inferred filled in: how arguments compare, what `into` names."""
    profiles = {
        name: dataclasses.replace(
            profile,
            allow=tuple(_resolved(bundle, rule) for rule in profile.allow),
            never=tuple(_split(bundle, one) for one in profile.never),
        )
        for name, profile in bundle.profiles.items()
    }
    return dataclasses.replace(bundle, profiles=profiles)


def _resolved(bundle: Bundle, rule: Rule) -> Rule:
    args = bundle.actions[rule.action].args if rule.action in bundle.actions else {}

    def origin(one: Origin) -> Origin:
        inferred = _KINDS.get(args.get(one.arg, ""), "")
        return one if one.kind else dataclasses.replace(one, kind=inferred)

    def aggregate(one: Aggregate) -> Aggregate:
        field = bundle.field(one.source.name, one.source.field)
        inferred = "money" if field is not None and field.kind == "money" else "number"
        return one if one.kind else dataclasses.replace(one, kind=inferred)

    loose = [one for one in rule.where if args.get(root_of(one.arg)) == "any" and one.op in (Op.MAX, Op.MIN, Op.EQ)]
    loose = [one for one in loose if _number(one.value)]
    return dataclasses.replace(
        rule,
        where=tuple(one for one in rule.where if one not in loose),
        origins=tuple(origin(one) for one in rule.origins),
        aggregates=(*(aggregate(one) for one in rule.aggregates), *(_fixed(one) for one in loose)),
    )


def _number(value: object) -> bool:
    return isinstance(value, str) and canonical_value(InputType.DECIMAL, value) is not None


def _fixed(bound: Bound) -> Aggregate:
    """A number as the bound of what has no type: every value there, however it is written, is held against it."""
    number = canonical_value(InputType.DECIMAL, str(bound.value))
    return Aggregate(bound.arg, bound.op, "max", Source("const", number or ""), "number")


def _split(bundle: Bundle, never: Never) -> Never:
    """`into` is an action and an argument joined by a point, and both may hold points."""
    if not never.by:
        return never
    known = [name for name in bundle.actions if never.action.startswith(f"{name}.")]
    action = max(known, key=len, default=never.action.rpartition(".")[0])
    return dataclasses.replace(never, action=action, arg=never.action[len(action) + 1 :])


def documents(bundle: Bundle, profile: Profile, rule: Rule) -> Iterator[Document]:
    """The rule's sources that outsiders can write, where the rule is one of an effect."""
    action = bundle.actions.get(rule.action)
    if action is None or action.effect != "write":
        return
    for origin in rule.origins:
        for source in origin.sources:
            labels = labels_of(bundle, source) if source.kind == "result" else frozenset()
            if "outside" in labels and not labels & set(origin.not_by):
                named = _named(bundle, profile, rule, source, frozenset({origin.arg}))
                yield Document(origin.arg, source, named, _left(bundle, profile, source) if named else ())


def labels_of(bundle: Bundle, source: Source) -> frozenset[str]:
    """Who writes what a source of results gives, with its labels: of its field, and of what its rows are chosen by."""
    field = bundle.field(source.name, source.field)
    own = frozenset() if field is None else frozenset({field.by, *field.labels})
    return own.union(*(labels_of(bundle, row.source) for row in source.rows if row.source is not None))


def effect_of(bundle: Bundle, profile: Profile, rule: Rule) -> str:
    """What the rule answers where it holds. Authority handed to a document asks, unless the rule says otherwise."""
    if rule.effect:
        return rule.effect
    return "require_approval" if any(True for _ in documents(bundle, profile, rule)) else "allow"


def _named(bundle: Bundle, profile: Profile, rule: Rule, source: Source, seen: frozenset[str]) -> bool:
    """Whether the user, or the profile itself, says which row of which document it is."""
    for condition in source.rows:
        if condition.test in IN_INPUT:
            return True
        if condition.source is not None and _named(bundle, profile, rule, condition.source, seen):
            return True
        if condition.test == "is_arg" and condition.value not in seen:
            inner = [one for one in rule.origins if one.arg == condition.value]
            if inner and all(
                _users_word(bundle, profile, rule, one, seen | {condition.value})
                for origin in inner
                for one in origin.sources
            ):
                return True
        if condition.test == "is" and condition.call:
            return True
        field = bundle.field(source.name, condition.field)
        if condition.test == "is" and field is not None and not field.outside:
            return True
    return _named_by_call(profile, source)


def _named_by_call(profile: Profile, source: Source) -> bool:
    """Whether every call that the document can come from takes an argument that the user or the profile gave."""
    calls = [one for one in profile.allow if one.action == source.name]
    return bool(calls) and all(
        any(
            origin.required and all(one.kind in ("input", "const") for one in origin.sources) for origin in call.origins
        )
        for call in calls
    )


def _left(bundle: Bundle, profile: Profile, source: Source) -> tuple[str, ...]:
    """Arguments that nothing binds in some call that the document can come from, where no condition names it."""
    if source.rows:
        return ()
    loose: set[str] = set()
    for call in (one for one in profile.allow if one.action == source.name):
        bound = {root_of(one.arg) for one in call.where if one.op in (Op.EQ, Op.ONE_OF)}
        for origin in call.origins:
            if all(one.kind in ("input", "const", "arg") for one in origin.sources):
                bound.add(root_of(origin.arg))
        args = bundle.actions[source.name].args
        loose |= {arg for arg, kind in args.items() if arg not in bound and kind in ("string", "strings", "any")}
    return tuple(sorted(loose))


def _users_word(bundle: Bundle, profile: Profile, rule: Rule, source: Source, seen: frozenset[str]) -> bool:
    if source.kind == "result":
        return _named(bundle, profile, rule, source, seen)
    return source.kind in ("input", "const")
