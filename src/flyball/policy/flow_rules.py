"""Reading what a profile says of the whole task: what it counts days from, what never flows, how it reacts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flyball.policy.diagnostics import Mark, did_you_mean
from flyball.policy.reader import Fields
from flyball.policy.where import read_source
from flyball.policy.yaml import Scalar
from flyball.task.rules import DEFAULT_LADDERS, DEFAULT_MOST_PER_MINUTE, Breach, FromInput, Never, Reaction, Source

MAX_STEPS = 8
_WORDS = tuple(reaction.value for reaction in Reaction)


@dataclass(frozen=True, slots=True)
class Reactions:
    """What breaches set off: a ladder for each kind, thresholds over all kinds, and the most in a minute."""

    ladders: dict[Breach, tuple[Reaction, ...]]
    denials: tuple[tuple[int, Reaction], ...] = ()
    most_per_minute: int = DEFAULT_MOST_PER_MINUTE


def read_ladders(top: Fields) -> Reactions:
    """`reactions` and its short form `on_deviation`; the defaults where a profile says nothing."""
    ladders = dict(DEFAULT_LADDERS)
    word = top.choice("on_deviation", _WORDS, "")
    if word:
        ladders = {kind: (Reaction(word),) for kind in Breach}
    node = top.node("reactions")
    if node is None:
        return Reactions(ladders)
    fields = Fields(f"`reactions` of {top.what}", node, top.problems)
    for kind in ("action", "target", "argument", "origin", "order", "plan", "budget", "flow"):
        if ladder := read_ladder(fields, kind):
            ladders[Breach(kind)] = ladder
    denials = _denials(fields)
    most = fields.whole("most", least=1, most=1_000_000)
    fields.done()
    return Reactions(ladders, denials, DEFAULT_MOST_PER_MINUTE if most is None else most)


def read_ladder(fields: Fields, key: str) -> tuple[Reaction, ...]:
    """A ladder: one reaction or a list of them, the last of which repeats. Empty where it is absent or wrong."""
    if key not in fields:
        fields.node(key)
        return ()
    # Not `texts`: a ladder may say the same word twice.
    nodes = fields.listed(key)
    found: list[Reaction] = []
    for node in nodes:
        word = node.text if isinstance(node, Scalar) else ""
        if word not in _WORDS:
            fields.problems.error(
                "wrong_choice", node.mark, f"`{word}` is no reaction", did_you_mean(word, _WORDS), max(1, len(word))
            )
            continue
        found.append(Reaction(word))
    if not nodes or len(nodes) > MAX_STEPS:
        fields.problems.error("wrong_shape", fields.place(key), f"a ladder has from 1 to {MAX_STEPS} steps")
    return tuple(found[:MAX_STEPS])


def _denials(fields: Fields) -> tuple[tuple[int, Reaction], ...]:
    node = fields.node("denials")
    if node is None:
        return ()
    inner = Fields(f"`denials` of {fields.what}", node, fields.problems)
    found: list[tuple[int, Reaction]] = []
    for key, mark, _ in list(inner.rest()):
        if not re.fullmatch(r"[1-9][0-9]{0,5}", key):
            fields.problems.error(
                "wrong_shape", mark, f"`{key}` counts no denials", "for example `denials: {3: revoke}`", len(key)
            )
            continue
        word = inner.choice(key, _WORDS, "")
        if word:
            found.append((int(key), Reaction(word)))
    return tuple(sorted(found))


def read_today(top: Fields, profile: str, places: dict[str, Mark]) -> FromInput | Source | None:
    """What relative dates count from: an input, a result, or None for the plane's clock."""
    node = top.node("today")
    if node is None or (isinstance(node, Scalar) and node.text == "clock"):
        return None
    places[f"profile:{profile}/today"] = node.mark
    source = read_source(node, f"`today` of {top.what}", top.problems)
    if source is None:
        return None
    if source.kind == "input":
        return FromInput(source.name)
    if source.kind != "result" or source.rows:
        top.problems.error(
            "wrong_source",
            node.mark,
            f"`{source}` is no day to count from",
            "write `clock`, `inputs.NAME` or `result(ACTION).FIELD`",
            len(str(source)),
        )
        return None
    return source


def read_never(top: Fields, profile: str, places: dict[str, Mark]) -> tuple[Never, ...]:
    """What holds whatever a rule says. `into` is taken apart when the actions are known."""
    found: list[Never] = []
    for number, node in enumerate(top.items("never"), 1):
        fields = Fields(f"entry {number} of `never` of {top.what}", node, top.problems)
        by, after = fields.text("by"), fields.text("after")
        key = "into" if by or not after else "action"
        for label in filter(None, (by, after)):
            places[f"profile:{profile}/never:{label}"] = fields.at("by" if by else "after")
        targets = fields.texts(key)
        fields.done()
        if bool(by) == bool(after) or not targets:
            top.problems.error(
                "wrong_shape",
                node.mark,
                f"entry {number} of `never` says nothing",
                "write `{by: LABEL, into: ACTION.ARGUMENT}` or `{after: LABEL, action: ACTION}`",
            )
            continue
        for target, mark in targets:
            places[f"profile:{profile}/never:{by or after}/{target}"] = mark
            found.append(Never(target, by=by) if by else Never(target, after=after))
    return tuple(found)
