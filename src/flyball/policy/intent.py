"""Reading profiles/*.yaml into `Profile`. Names are resolved later, when the whole bundle is read.

`allow` reads the rules, `where` what they say of arguments, `flow_rules` order, labels and reactions.
"""

from __future__ import annotations

import re

from flyball.policy.allow import read_rules
from flyball.policy.diagnostics import Mark, Problems
from flyball.policy.flow_rules import read_ladders, read_never, read_today
from flyball.policy.reader import Fields
from flyball.policy.where import check_pattern
from flyball.policy.yaml import Node, Scalar
from flyball.task.profile import (
    CredentialSpec,
    InputSpec,
    InputType,
    Profile,
    canonical_value,
)

#: Types of inputs that `min` and `max` can bound.
_ORDERED = (InputType.LONG, InputType.DECIMAL, InputType.DATE)


def read_profile(file: str, node: Node, problems: Problems, places: dict[str, Mark]) -> Profile | None:
    """The profile in one file, or None where it has no name; every fault goes to `problems`."""
    top = Fields(f"profile {file.removeprefix('profiles/')}", node, problems)
    name = top.text("profile", required=True)
    if name and not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", name):
        problems.error(
            "wrong_name", top.place("profile"), f"`{name}` cannot name a profile", "lower-case letters, digits and `-`"
        )
    if name:
        top.what = f"profile `{name}`"
        places[f"profile:{name}"] = top.place("profile")
    agents = top.texts("agents")
    if "agents" not in top:
        top.missing("agents")
    openers = top.texts("openers")
    for who, mark in agents:
        places[f"profile:{name}/agent:{who}"] = mark
    for who, mark in openers:
        places[f"profile:{name}/opener:{who}"] = mark
    ttl, heartbeat = _time(top, name, places)
    inputs = {spec.name: spec for spec in _inputs(top, name, places)}
    credentials = {spec.name: spec for spec in _credentials(top, name, ttl, places)}
    rules = tuple(read_rules(top, name, places))
    must = top.texts("must")
    for action, mark in must:
        places[f"profile:{name}/must:{action}"] = mark
    reactions = read_ladders(top)
    if "allow" not in top:
        top.missing("allow")
    calls = None
    if (budget := top.node("budget")) is not None:
        fields = Fields(f"`budget` of {top.what}", budget, problems)
        calls = fields.whole("calls", least=1)
        fields.done()
    profile = Profile(
        name=name,
        purpose=top.text("purpose", required=True),
        agents=tuple(who for who, _ in agents),
        openers=tuple(who for who, _ in openers) or tuple(who for who, _ in agents),
        ttl_ms=ttl,
        heartbeat_ms=heartbeat,
        inputs=inputs,
        credentials=credentials,
        allow=rules,
        budget_calls=calls,
        checks_per_second=top.whole("checks_per_second", least=1, most=1_000_000),
        today=read_today(top, name, places),
        plan=top.choice("plan", ("none", "optional", "required"), "optional"),
        must=tuple(action for action, _ in must),
        never=read_never(top, name, places),
        ladders=reactions.ladders,
        denials=reactions.denials,
        most_per_minute=reactions.most_per_minute,
    )
    for key in ("allow", "budget", "checks_per_second"):
        places[f"profile:{name}/{key}"] = top.place(key)
    top.done()
    return profile if name else None


def _time(top: Fields, name: str, places: dict[str, Mark]) -> tuple[int, int]:
    node = top.node("time")
    if node is None:
        top.missing("time")
        return 60_000, 5_000
    fields = Fields(f"`time` of {top.what}", node, top.problems)
    ttl = fields.duration("ttl", required=True)
    heartbeat = fields.duration("heartbeat", required=True)
    places[f"profile:{name}/ttl"] = fields.place("ttl")
    places[f"profile:{name}/heartbeat"] = fields.place("heartbeat")
    fields.done()
    return ttl or 60_000, heartbeat or 5_000


def _inputs(top: Fields, profile: str, places: dict[str, Mark]) -> list[InputSpec]:
    found: list[InputSpec] = []
    for name, mark, fields in top.tables("inputs", "input"):
        places[f"input:{profile}/{name}"] = mark
        kinds = tuple(kind.value for kind in InputType)
        kind = InputType(fields.choice("type", kinds, "string"))
        if "type" not in fields:
            fields.missing("type")
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
            top.problems.error("wrong_name", mark, f"`{name}` cannot name an input", "use letters, digits and `_`")
            continue
        pattern = fields.text("pattern") or None
        if pattern is not None:
            check_pattern(pattern, fields.place("pattern"), top.problems)
        if pattern is not None and kind not in (InputType.STRING, InputType.TEXT):
            top.problems.error("wrong_bound", fields.place("pattern"), f"a pattern bounds text, not a {kind.value}")
        bounds = {key: _constant(fields, key, kind) for key in ("min", "max")}
        if bounds["min"] and bounds["max"] and float(_rank(bounds["min"])) > float(_rank(bounds["max"])):
            top.problems.error(
                "empty_bounds", fields.place("max"), f"no {name} is from {bounds['min']} to {bounds['max']}"
            )
        one_of = [(canonical_value(kind, value), value, at) for value, at in fields.texts("one_of")]
        for canonical, value, at in one_of:
            if canonical is None:
                top.problems.error("wrong_bound", at, f"`{value}` is no {kind.value}", width=len(value))
        found.append(
            InputSpec(
                name,
                kind,
                required=fields.flag("required", True),
                pattern=pattern,
                minimum=bounds["min"],
                maximum=bounds["max"],
                one_of=tuple(canonical for canonical, _, _ in one_of if canonical is not None),
                max_length=fields.whole("max_length", least=1, most=kind.max_chars) or kind.max_chars,
                vouched_by=tuple(value for value, _ in fields.texts("vouched_by")),
            )
        )
        places[f"input:{profile}/{name}/vouched_by"] = fields.at("vouched_by")
        fields.done()
    return found


def _rank(value: str) -> str:
    return value.replace("-", "") if value.count("-") == 2 else value


def _constant(fields: Fields, key: str, kind: InputType) -> str | None:
    node = fields.node(key)
    if node is None:
        return None
    value = canonical_value(kind, node.text) if isinstance(node, Scalar) else None
    if kind not in _ORDERED or value is None:
        texts = (InputType.STRING, InputType.TEXT)
        hint = "bound a text with `pattern`, `one_of` or `max_length`" if kind in texts else ""
        fields.problems.error("wrong_bound", node.mark, f"`{key}` of {fields.what} is no bound of a {kind.value}", hint)
        return None
    return value


def _credentials(top: Fields, profile: str, ttl_ms: int, places: dict[str, Mark]) -> list[CredentialSpec]:
    found: list[CredentialSpec] = []
    for name, mark, fields in top.tables("credentials", "credential"):
        places[f"credential:{profile}/{name}"] = mark
        access, target = fields.text("access", required=True), fields.text("target", default=name)
        found.append(CredentialSpec(name, target, access, fields.duration("ttl") or ttl_ms))
        for key in ("access", "target", "ttl"):
            places[f"credential:{profile}/{name}/{key}"] = fields.at(key) if key in fields else mark
        fields.done()
    return found
