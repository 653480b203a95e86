"""Reading profiles/*.yaml into `Profile`. Names are resolved later, when the whole bundle is read."""

from __future__ import annotations

import re

from flyball.policy.diagnostics import Mark, Problems
from flyball.policy.reader import Fields, describe, text
from flyball.policy.regex import refused_pattern
from flyball.policy.yaml import Kind, Listing, Node, Scalar, Table
from flyball.task.profile import (
    MAX_INPUT_CHARS,
    Across,
    Bound,
    BoundValue,
    Budget,
    CredentialSpec,
    FromInput,
    InputSpec,
    InputType,
    Op,
    Profile,
    Reaction,
    Resource,
    Rule,
    Sum,
    canonical_value,
)

_RESOURCE = re.compile(r"([^\s()]{1,512}?)\s*(?:\(\s*([^()]*?)\s*\))?")
_FROM_INPUT = re.compile(r"\$inputs\.([a-z][a-z0-9_]{0,62})")
_WORDS = ("calls", "once_per", "per_agent", "per_owner", "window")


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
    rules = tuple(_rules(top, name, places))
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
        on_deviation=Reaction(top.choice("on_deviation", tuple(reaction.value for reaction in Reaction), "deny")),
    )
    for key in ("allow", "budget", "checks_per_second"):
        places[f"profile:{name}/{key}"] = top.place(key)
    top.done()
    return profile if name else None


def read_resources(fields: Fields) -> tuple[tuple[Resource, Mark], ...]:
    """The entries of `on`, for example `orders.public.refunds(order_id, amount)` or `orders.public.*`."""
    found: list[tuple[Resource, Mark]] = []
    for value, mark in fields.texts("on"):
        match = _RESOURCE.fullmatch(value)
        columns = tuple(part.strip() for part in match.group(2).split(",")) if match and match.group(2) else ()
        inner = match.group(1)[:-1] if match else ""
        if match is None or "*" in inner or not all(re.fullmatch(r"[^\s*]+", column) for column in columns):
            fields.problems.error(
                "wrong_resource",
                mark,
                f"`{value}` names no resource",
                "an id, a `*` only at its end, and for a table its columns: `orders.public.refunds(order_id, amount)`",
                len(value),
            )
            continue
        if columns and match.group(1).endswith("*"):
            fields.problems.error("wrong_resource", mark, "columns need one table, not a pattern", width=len(value))
            continue
        found.append((Resource(match.group(1), tuple(sorted(set(columns)))), mark))
    return tuple(found)


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
            _check_pattern(pattern, fields.place("pattern"), top.problems)
        if pattern is not None and kind is not InputType.STRING:
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
                max_length=fields.whole("max_length", least=1, most=MAX_INPUT_CHARS) or MAX_INPUT_CHARS,
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
    if kind in (InputType.STRING, InputType.BOOL) or value is None:
        hint = "bound a text with `pattern`, `one_of` or `max_length`" if kind is InputType.STRING else ""
        fields.problems.error("wrong_bound", node.mark, f"`{key}` of {fields.what} is no bound of a {kind.value}", hint)
        return None
    return value


def _check_pattern(pattern: str, mark: Mark, problems: Problems) -> None:
    if why := refused_pattern(pattern):
        problems.error("wrong_pattern", mark, f"the pattern cannot be used: {why}")


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


def _rules(top: Fields, profile: str, places: dict[str, Mark]) -> list[Rule]:
    found: list[Rule] = []
    for number, node in enumerate(top.items("allow"), 1):
        rule_id = f"{profile}/allow/{number}"
        fields = Fields(f"rule {number} of {top.what}", node, top.problems)
        places[f"rule:{rule_id}"] = node.mark
        resources = read_resources(fields)
        for resource, mark in resources:
            places[f"rule:{rule_id}/on:{resource}"] = mark
        budget, across = _budget(fields, rule_id, places)
        fields.choice("effect", ("allow",), "allow", later=("modify", "require_approval", "step_up", "defer"))
        found.append(
            Rule(
                id=rule_id,
                action=fields.text("action", required=True),
                on=tuple(resource for resource, _ in resources),
                where=tuple(_where(fields, rule_id, places)),
                budget=budget,
                across=across,
                cooperative=fields.flag("cooperative"),
            )
        )
        places[f"rule:{rule_id}/action"] = fields.at("action")
        for key in ("cooperative", "budget"):
            places[f"rule:{rule_id}/{key}"] = fields.place(key)
        fields.done()
    return found


def _where(rule: Fields, rule_id: str, places: dict[str, Mark]) -> list[Bound]:
    found: list[Bound] = []
    for arg, mark, node in rule.named("where", "argument"):
        places[f"rule:{rule_id}/where:{arg}"] = mark
        if not isinstance(node, Table):
            places[f"rule:{rule_id}/where:{arg}/eq"] = node.mark
            found.append(Bound(arg, Op.EQ, _value(node, rule.problems)))  # `arg: value` is short for `arg: {eq: value}`
            continue
        fields = Fields(f"`where` of {rule.what} on `{arg}`", node, rule.problems)
        for key, op in (*((op.value, op) for op in Op if op is not Op.LENGTH), ("max_length", Op.LENGTH)):
            value = fields.node(key)
            if value is None:
                continue
            bound = _value(value, rule.problems)
            places[f"rule:{rule_id}/where:{arg}/{op.value}"] = value.mark
            if op is Op.PATTERN and isinstance(bound, str):
                _check_pattern(bound, value.mark, rule.problems)
            found.append(Bound(arg, op, bound))
        if not node.entries:
            rule.problems.error("empty_bounds", mark, f"`where` bounds `{arg}` by nothing")
        fields.done()
    return found


def _value(node: Node, problems: Problems) -> BoundValue:
    if isinstance(node, Listing):
        values = [text(item, "a value of the list", problems) for item in node.items]
        return tuple(_literal(value, item.mark, problems) for value, item in zip(values, node.items, strict=True))
    if isinstance(node, Table):
        problems.error(
            "wrong_shape", node.mark, f"a bound is a value, a list or `$inputs.<name>`, not {describe(node)}"
        )
        return ""
    if node.kind is Kind.BOOL:
        return node.text == "true"
    if node.kind is Kind.TEXT and (match := _FROM_INPUT.fullmatch(node.text)):
        return FromInput(match.group(1))
    return _literal(node.text, node.mark, problems)


def _literal(value: str, mark: Mark, problems: Problems) -> str:
    if value.startswith("$$"):
        return value[1:]
    if value.startswith("$"):
        problems.error(
            "wrong_reference", mark, f"`{value}` refers to nothing", "write `$inputs.<name>`, or `$$` for a dollar sign"
        )
    return value


def _budget(rule: Fields, rule_id: str, places: dict[str, Mark]) -> tuple[Budget, tuple[Across, ...]]:
    node = rule.node("budget")
    if node is None:
        return Budget(), ()
    fields = Fields(f"`budget` of {rule.what}", node, rule.problems)
    calls = fields.whole("calls", least=1)
    across: list[Across] = []
    for name, mark in fields.texts("once_per"):
        places[f"rule:{rule_id}/once_per:{name}"] = mark
        across.append(Across(FromInput(name), None, 1))
    for key, per in (("per_agent", "agent"), ("per_owner", "owner")):
        inner = fields.node(key)
        if inner is not None:
            limits = Fields(f"`{key}` of {fields.what}", inner, rule.problems)
            window, most = limits.duration("window"), limits.whole("calls", least=1)
            across.append(Across(per, window, most, _sums(limits, rule_id, places)))
    return Budget(calls, _sums(fields, rule_id, places)), tuple(across)


def _sums(fields: Fields, rule_id: str, places: dict[str, Mark]) -> tuple[Sum, ...]:
    """What is left of a budget: arguments, and the most that each may sum up to."""
    found: list[Sum] = []
    for arg, mark, node in fields.rest():
        places[f"rule:{rule_id}/sum:{arg}"] = mark
        places[f"rule:{rule_id}/sum:{arg}/max"] = node.mark
        value = _value(node, fields.problems)
        amount = value if isinstance(value, FromInput) else canonical_value(InputType.DECIMAL, str(value))
        if amount is None or isinstance(node, Listing):
            fields.problems.error(
                "wrong_bound",
                node.mark,
                f"the budget of `{arg}` must be a number or `$inputs.<name>`, not {describe(node)}",
            )
            continue
        found.append(Sum(arg, amount))
    return tuple(found)
