"""From what reviewed tasks did to rules: the sources that their arguments really had.

Only what was allowed counts. A value is looked for where it gives least: written the same in every
call, in the request, in another input, in another argument, in a field of an earlier result. What is
found nowhere is marked. Comparison is plain here (letters' case, numbers, whole words); the decision
plane knows dates and amounts in more spellings, so a marked argument may still have a source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from flyball.kernel.json import Json
from flyball.policy.draft_kinds import kind_of
from flyball.policy.draft_schemas import Tool
from flyball.policy.draft_text import scalar

_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_MAX_VALUES = 20_000


@dataclass(slots=True)
class Argument:
    """What was seen of one argument: its values, and for each value where it may have come from."""

    values: list[str] = field(default_factory=list)
    sources: list[tuple[str, ...]] = field(default_factory=list)

    def chosen(self) -> tuple[list[str], int]:
        """As few sources as explain every value that can be explained, and how many values have none.

        The source that explains most comes first; between equals, the one that gives least.
        """
        open_ = [one for one in self.sources if one]
        unexplained = len(self.sources) - len(open_)
        chosen: list[str] = []
        while open_:
            ranked: dict[str, tuple[int, int]] = {}
            for listed in open_:
                for rank, source in enumerate(listed):
                    count, least = ranked.get(source, (0, rank))
                    ranked[source] = (count + 1, min(least, rank))
            best = min(ranked, key=lambda source: (-ranked[source][0], ranked[source][1], source))
            chosen.append(best)
            open_ = [listed for listed in open_ if best not in listed]
        return chosen, unexplained


@dataclass(slots=True)
class Seen:
    """What was seen of one action: in how many tasks, how often in one at most, with which arguments."""

    tasks: int = 0
    most: int = 0
    arguments: dict[str, Argument] = field(default_factory=dict)
    always: set[str] | None = None

    def inputs(self) -> set[str]:
        """The inputs that its arguments came from, as sources."""
        found = {source for one in self.arguments.values() for source in one.chosen()[0]}
        return {source for source in found if source.startswith("inputs.")}


def observe(tasks: Sequence[Mapping[str, Json]]) -> dict[str, Seen]:
    """What the tasks did, by action; calls that were not allowed are left out."""
    seen: dict[str, Seen] = {}
    for task in tasks:
        counts: dict[str, int] = {}
        known = _Values(_inputs(task))
        for call in _calls(task):
            action = str(call["action"])
            counts[action] = counts.get(action, 0) + 1
            one = seen.setdefault(action, Seen())
            args = call.get("args")
            _note(one, args if isinstance(args, dict) else {}, known)
            if "result" in call:
                known.take(action, call["result"])
        for action, count in counts.items():
            seen[action].tasks += 1
            seen[action].most = max(seen[action].most, count)
    return seen


def _calls(task: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    """The calls that were allowed, each with its result where the task tells it, there or under `results`."""
    calls, results = task.get("calls"), task.get("results")
    told: dict[str, Json] = {}
    for result in results if isinstance(results, list) else ():
        if isinstance(result, dict) and "value" in result:
            told[str(result.get("decision"))] = result["value"]
    for call in calls if isinstance(calls, list) else ():
        if not isinstance(call, dict) or call.get("effect", "allow") != "allow":
            continue
        action = call.get("action")
        if isinstance(action, str) and _ACTION.fullmatch(action) and action not in ("task.open", "credential.issue"):
            decision = str(call.get("decision"))
            yield {**call, "result": told[decision]} if "result" not in call and decision in told else dict(call)


def _inputs(task: Mapping[str, Json]) -> dict[str, str]:
    found: dict[str, str] = {}
    inputs = task.get("inputs")
    for name, given in inputs.items() if isinstance(inputs, dict) else ():
        value = given.get("value") if isinstance(given, dict) else given
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            found[name] = str(value)
    return found


def _note(seen: Seen, args: Mapping[str, Json], known: _Values) -> None:
    leaves = list(_leaves(dict(args)))
    sent = {path for path, _ in leaves}
    seen.always = sent if seen.always is None else seen.always & sent
    for path, value in leaves:
        argument = seen.arguments.setdefault(path, Argument())
        others = tuple((other, one) for other, one in leaves if other != path)
        argument.values.append(value)
        argument.sources.append(tuple(known.sources(value, others)))


def _leaves(value: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """The single values of the arguments, by the path that `where` names them with."""
    if isinstance(value, dict):
        for key, one in value.items():
            if _KEY.fullmatch(key):
                yield from _leaves(one, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        inner = path + "[]" if any(isinstance(one, dict) for one in value) else path
        for one in value:
            yield from _leaves(one, inner)
    elif value is not None and value != "":
        yield path, str(value).lower() if isinstance(value, bool) else str(value)


class _Values:
    """What a task has seen so far."""

    def __init__(self, inputs: Mapping[str, str]) -> None:
        self._inputs = inputs
        self._fields: dict[str, set[str]] = {}
        self._count = 0

    def take(self, action: str, result: Json) -> None:
        """Remember the values of a result by their fields."""
        for name, value in _fields(result, ()):
            if self._count >= _MAX_VALUES:
                return
            source = f"result({action}){f'.{name}' if name else ''}"
            self._fields.setdefault(source, set()).add(_normal(value))
            self._count += 1

    def sources(self, value: str, others: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Where the value may have come from, those that give least first."""
        for name in sorted(self._inputs, key=lambda name: (name != "request", name)):
            if _stands_in(value, self._inputs[name]):
                yield "request" if name == "request" else f"inputs.{name}"
        normal = _normal(value)
        for path, other in others:
            if _normal(other) == normal and "[" not in path:
                yield f"args.{path}"
        yield from sorted(source for source, values in self._fields.items() if normal in values)


def _fields(value: Json, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            part = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else '"' + key.replace('"', "") + '"'
            if "." not in key:
                yield from _fields(one, (*path, part))
    elif isinstance(value, list):
        for one in value:
            yield from _fields(one, path)
    elif value is not None and value != "":
        yield ".".join(path), str(value).lower() if isinstance(value, bool) else str(value)


def _normal(value: str) -> str:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return " ".join(value.casefold().split())
    return f"{number.normalize():f}" if number.is_finite() else value


def _stands_in(value: str, text: str) -> bool:
    inner = r"\s+".join(re.escape(word) for word in value.casefold().split())
    return bool(inner) and re.search(rf"(?<![\w.@-]){inner}(?![\w@-])", text.casefold()) is not None


def rules_from(seen: Mapping[str, Seen], tools: Mapping[str, Tool]) -> str:
    """`allow` of a profile: each action that was seen, as often as it was, from where its arguments came."""
    lines: list[str] = []
    reads = [action for action in seen if (tool := tools.get(action)) is not None and tool.reads]
    if reads:
        lines += ["  # Reads that were made.", f"  - actions: [{', '.join(sorted(reads))}]"]
    for action, one in sorted(seen.items()):
        if action not in reads:
            lines += ["", *_rule(action, one, tools.get(action))] if lines else _rule(action, one, tools.get(action))
    return "\n".join(lines) + "\n"


def _rule(action: str, seen: Seen, tool: Tool | None) -> list[str]:
    times = "once" if seen.most == 1 else f"{seen.most} times"
    lines = [f"  - action: {action}               # in {seen.tasks} reviewed task{'s' if seen.tasks != 1 else ''}"]
    if tool is None:
        lines.append(
            "    # asked: []               # DECIDE, if it is an effect: the words that ask for it; a read needs none"
        )
    else:
        lines.append("    # asked: []               # DECIDE: the words that ask for it")
    lines.append(f"    at_most: {seen.most}                # DECIDE: a task did it {times} at most")
    schemas = {} if tool is None else {arg: one for arg, one in tool.properties.items() if isinstance(one, dict)}
    where = [
        _argument(path, one, path in (seen.always or ()), schemas.get(path, {})) for path, one in seen.arguments.items()
    ]
    if where:
        lines += ["    where:", *(f"      {line}" for line in where)]
    return lines


def _argument(path: str, argument: Argument, always: bool, schema: Mapping[str, Json]) -> str:
    name = path.rpartition(".")[2].removesuffix("[]")
    required = ", required: true" if always else ""
    distinct = list(dict.fromkeys(argument.values))
    chosen, unexplained = argument.chosen()
    kind = kind_of(name, schema, distinct) or "text"
    key = scalar(path)
    if len(distinct) == 1 and len(argument.values) > 2 and len(distinct[0]) <= 200:
        return f"{key}: {{as: {kind}{required}, from: [{scalar('=' + distinct[0])}]}}   # the same in every call"
    if not chosen:
        longest = max(len(one) for one in distinct)
        return f"{key}: {{free: {longest}}}   # DECIDE: no source was seen; the longest had {longest} characters"
    listed = ", ".join(scalar(one) if one.startswith("=") or '"' in one else one for one in chosen)
    mark = f"   # DECIDE: {unexplained} of {len(argument.values)} values have none of these" if unexplained else ""
    return f"{key}: {{as: {kind}{required}, from: [{listed}]}}{mark}"
