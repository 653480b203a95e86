"""From tool schemas to a tool sheet and to rules: what a schema can tell, and marks for what it cannot."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flyball.kernel.json import Json
from flyball.policy.draft_kinds import kind_of
from flyball.policy.draft_names import Names, listed
from flyball.policy.draft_text import remark, scalar
from flyball.policy.draft_words import ASKED, DEEDS, FREE, GRAVE, LIKE, REACHES_OUT, READS, stem, words
from flyball.policy.where import PATH

_ARG = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as its schema describes it. `prefix` is the first word that most tools of its server begin with."""

    name: str
    description: str
    properties: Mapping[str, Json]
    required: frozenset[str]
    output: Json
    hints: str
    prefix: str = ""
    #: What the sheet must say of its name, or empty.
    mark: str = ""

    @property
    def verbs(self) -> tuple[str, ...]:
        """The words of its name, in lower case, without its server's prefix."""
        said = words(self.name)
        return said[1:] if len(said) > 1 and said[0] == self.prefix else said

    @property
    def reads(self) -> bool:
        """Whether its name says that it only reads, and none of its arguments reaches out."""
        said = bool(set(self.verbs) & READS) and not set(self.verbs) & (GRAVE | {"send", "post", "fetch"})
        return said and not any(set(words(arg)) & REACHES_OUT for arg in self.properties)


def read_tools(schemas: Json) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """The tools in any of the usual shapes, and notes for people on names that had to be changed or left out."""
    names, found = Names(), list[Tool]()
    for server, spec in listed(schemas):
        name, mark = names.give(spec, server)
        if not name:
            continue
        schema = next((spec[key] for key in ("inputSchema", "input_schema", "parameters") if key in spec), {})
        shape = schema if isinstance(schema, dict) else {}
        properties = shape.get("properties", {})
        required = shape.get("required", [])
        annotations = spec.get("annotations")
        hints = (
            ", ".join(f"{key}={value}" for key, value in annotations.items()) if isinstance(annotations, dict) else ""
        )
        description = spec.get("description")
        found.append(
            Tool(
                name,
                description if isinstance(description, str) else "",
                properties if isinstance(properties, dict) else {},
                frozenset(arg for arg in required if isinstance(arg, str))
                if isinstance(required, list)
                else frozenset(),
                spec.get("outputSchema") or spec.get("returns"),
                hints,
                mark=mark,
            )
        )
    first = Counter(words(tool.name)[0] for tool in found if words(tool.name))
    shared = {
        word for word, count in first.items() if count > 2 and count * 2 > len(found) and word not in READS | GRAVE
    }
    prefix = next(iter(shared), "")
    return tuple(dataclasses.replace(tool, prefix=prefix) for tool in found), tuple(names.notes)


def sheet_text(name: str, tools: Sequence[Tool]) -> str:
    """The tool sheet. Whatever comes back counts as outside until somebody says otherwise."""
    lines = [
        f"tools: {name}",
        "resource: tool                # DECIDE: a resource type of bundle.yaml",
        "actions:",
    ]
    for tool in tools:
        if tool.mark:
            lines.append(f"  # {tool.mark}")
        if tool.description:
            lines.append(f"  # {remark(tool.description)}")
        if tool.hints:
            lines.append(f"  # its server says {remark(tool.hints)}; that is not believed")
        effect = "read " if tool.reads else "write"
        why = "DECIDE: does it change or tell nothing, anywhere?" if tool.reads else "DECIDE: read, if it only reads"
        lines.append(f"  {tool.name}:")
        lines.append(f"    effect: {effect}             # {why}")
        if tool.properties:
            lines.append("    args:")
            lines += [f"      {arg}: {_type(schema)}" for arg, schema in tool.properties.items() if _ARG.fullmatch(arg)]
            odd = [arg for arg in tool.properties if not _ARG.fullmatch(arg)]
            lines += [
                f"      # DECIDE: {remark(arg)} cannot name an argument; calls with it are refused" for arg in odd
            ]
        lines += _returns(tool.output)
    return "\n".join(lines) + "\n"


def _returns(output: Json) -> list[str]:
    if not isinstance(output, dict) or not output:
        return ["    returns: any by outside   # DECIDE: name the fields and who writes each: user, org, outside"]
    lines = ["    # DECIDE for each field: `org` or `user`, if nobody outside can write it"]
    return [*lines, "    returns:", *_template(output, "      ", "", 0)]


def _template(schema: Mapping[str, Json], indent: str, name: str, depth: int) -> list[str]:
    """The lines of a template; a plain field is one line that holds nothing else."""
    properties, items = schema.get("properties"), schema.get("items")
    if depth < 6 and isinstance(items, dict):
        inner = _template(items, indent + "  ", name, depth + 1)
        return [f"{indent}- {inner[0].strip()}", *inner[1:]]
    lines: list[str] = []
    for key, one in properties.items() if depth < 6 and isinstance(properties, dict) else ():
        if not key or "." in key or key.startswith("$") or not isinstance(one, dict):
            continue
        inner = _template(one, indent + "  ", key, depth + 1)
        if inner[0].endswith(" by outside") and len(inner) == 1 and not _holds(one):
            lines.append(f"{indent}{scalar(key)}: {inner[0].strip()}")
        else:
            lines += [f"{indent}{scalar(key)}:", *inner]
    return lines or [f"{indent}{_field(schema, name)} by outside"]


def _field(schema: Mapping[str, Json], name: str) -> str:
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return "money" if kind_of(name, schema) == "money" else "number"
    if kind == "boolean":
        return "bool"
    return (kind_of(name, schema) or "text") if kind == "string" else "any"


def _type(schema: Json) -> str:
    """An argument's type in a sheet."""
    shape = schema if isinstance(schema, dict) else {}
    kind = shape.get("type")
    if isinstance(kind, list):
        kinds = [one for one in kind if one != "null"]
        kind = kinds[0] if len(kinds) == 1 else None
    if kind is None:
        several = shape.get("anyOf") or shape.get("oneOf")
        if isinstance(several, list):
            real = [one for one in several if isinstance(one, dict) and one.get("type") != "null"]
            return _type(real[0]) if len(real) == 1 else "any"
        return "string" if isinstance(shape.get("enum"), list) else "any"
    items = shape.get("items")
    if kind == "array":
        return "strings" if isinstance(items, dict) and _type(items) == "string" else "any"
    return {"string": "string", "integer": "long", "number": "decimal", "boolean": "bool"}.get(str(kind), "any")


def rules_for(tools: Sequence[Tool]) -> str:
    """`allow` of a profile: the reads in one rule, then a rule for each effect."""
    reads = [tool.name for tool in tools if tool.reads]
    lines: list[str] = []
    if reads:
        lines += ["  # Reads. DECIDE: take away what this agent needs not see.", f"  - actions: [{', '.join(reads)}]"]
    for tool in tools:
        if not tool.reads:
            lines += ["", *rule_for(tool)]
    return "\n".join(lines) + "\n" if lines else "  []\n"


def rule_for(tool: Tool) -> list[str]:
    """The rule of one effect: asked for, each argument from the request or free, grave ones approved by a person."""
    lines = [f"  - action: {tool.name}"]
    asked, more = _asked(tool)
    lines.append(f"    asked: [{', '.join(asked) or 'DECIDE'}]   # DECIDE: every way to ask for this")
    if more:
        lines.append(f"    # DECIDE, people also say: {', '.join(more)}")
    lines.append("    at_most: 3                # DECIDE: twice what a long honest task needs")
    where = [
        line for arg, schema in tool.properties.items() if _ARG.fullmatch(arg) for line in _argument(tool, arg, schema)
    ]
    if where:
        lines += ["    where:", *where]
    if set(tool.verbs) & GRAVE or any(_type(one) == "any" for one in tool.properties.values()):
        lines.append("    effect: require_approval  # DECIDE: allow, if a wrong call does little harm")
    return lines


def _asked(tool: Tool) -> tuple[list[str], list[str]]:
    """Words of the tool's own name and description that name the deed; and what people may say instead."""
    verbs = [word for word in tool.verbs if word in DEEDS] or [word for word in tool.verbs if word.isalpha()][:1]
    described = re.findall(r"[a-z]+", tool.description.lower())
    bases = {form: deed for deed in DEEDS for form in (deed, deed + "s", deed + "es", deed.rstrip("e") + "ing")}
    verbs += [bases[word] for word in described[:60] if word in bases]
    own = list(dict.fromkeys(stem(word) for word in verbs))
    likes = [verb for verb, like in LIKE.items() if any(word == verb or word in like.split() for word in verbs)]
    return own, list(dict.fromkeys(one for verb in likes for one in ASKED[verb].split()))


def _argument(tool: Tool, arg: str, schema: Json) -> list[str]:
    shape = schema if isinstance(schema, dict) else {}
    kind, declared = kind_of(arg, shape), _type(schema)
    required = ", required: true" if arg in tool.required else ""
    choices = shape.get("enum")
    if isinstance(choices, list) and choices and declared == "string":
        listed = ", ".join(scalar("=" + str(one)) for one in choices if isinstance(one, str) and one)
        return [f"      {arg}: {{as: id{required}, from: [{listed}]}}   # DECIDE which of them"]
    if declared == "bool":
        return [f'      {arg}: {{from: "=false"}}   # DECIDE: also "=true"']
    if declared in ("long", "decimal"):
        as_ = kind if kind in ("money", "id") else "number"
        return [f"      {arg}: {{as: {as_}{required}, from: [request]}}   # DECIDE: a field that gives it, or `max`"]
    if declared == "any":
        return _inside(arg, shape, required)
    size = next((FREE[word] for word in reversed(words(arg)) if word in FREE), None)
    if size is not None and kind not in ("email", "iban"):
        return [f"      {arg}: {{free: {size}}}   # DECIDE: labels that must not stand in it: without: [secret]"]
    hint = "fields of earlier results that give it: result(ACTION).FIELD"
    if not kind:
        kind = "text"
        hint = f"as what it is compared (email, id, date …)? {hint}"
    return [f"      {arg}: {{as: {kind}{required}, from: [request]}}   # DECIDE: {hint}"]


def _inside(arg: str, shape: Mapping[str, Json], required: str) -> list[str]:
    """Paths into an argument that holds objects."""
    found: list[str] = []
    for path, name, schema in _paths(arg, shape, 0):
        if not PATH.fullmatch(path):
            found.append(f"      # DECIDE: {remark(path)} cannot be bounded by a path")
            continue
        kind = kind_of(name, schema) or "text"
        size = next((FREE[word] for word in reversed(words(name)) if word in FREE), None)
        held = f"free: {size}" if size is not None else f"as: {kind}, from: [request]"
        found.append(f"      {scalar(path)}: {{{held}}}   # DECIDE: its sources")
    return found or [f"      {arg}: {{as: text{required}, from: [request]}}   # DECIDE: bound what is inside it"]


def _paths(path: str, shape: Mapping[str, Json], depth: int) -> Iterator[tuple[str, str, Mapping[str, Json]]]:
    properties, items = shape.get("properties"), shape.get("items")
    if depth > 4:
        return
    if isinstance(items, dict):
        yield from _paths(path + "[]", items, depth + 1) if _holds(items) else [(path + "[]", path, items)]
    elif isinstance(properties, dict):
        for name, one in properties.items():
            if isinstance(one, dict):
                inner = f"{path}.{name}"
                yield from _paths(inner, one, depth + 1) if _holds(one) else [(inner, name, one)]


def _holds(shape: Mapping[str, Json]) -> bool:
    return isinstance(shape.get("properties"), dict) or isinstance(shape.get("items"), dict)
