"""What an action's results look like, and who can write each field: `returns` of a tool sheet.

    returns:
      - id_: id by org
        sender: email by outside
        body: text by outside, pii
        "*": any by outside

A spec (`TYPE by WRITER, LABEL…`) stands for a value, a list of one template for rows, a map for a
field each (`"*"`: every other key, `$key`: the keys themselves).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from flyball.kernel.json import Json
from flyball.policy.diagnostics import Mark, Problems, did_you_mean
from flyball.policy.reader import describe
from flyball.policy.yaml import Kind, Listing, Node, Scalar, Table
from flyball.task.rules import VALUE_TYPES, WRITERS

FIELD_TYPES = (*VALUE_TYPES, "any")
MAX_FIELDS = 256
MAX_DEPTH = 8
#: How a label of one's own is written.
LABEL = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_WORD = re.compile(r"[^\s,]+")
_HINT = "write `TYPE by WRITER`, and labels of your own after a comma: `email by outside, pii`"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """What one field holds, who can write it (`user`, `org`, `outside`), and labels of one's own."""

    kind: str
    by: str
    labels: tuple[str, ...] = ()

    @property
    def outside(self) -> bool:
        """Whether somebody outside can write it."""
        return self.by == "outside"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; each element is like `item`."""

    item: Template


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map by keys. `*` stands for every other key, `$key` for the keys themselves."""

    members: Mapping[str, Template]


Template: TypeAlias = "FieldSpec | ListOf | MapOf"


def fields_of(template: Template | None) -> dict[str, FieldSpec]:
    """The declared fields by name: the path joined by `.`, lists adding nothing, the root's name empty."""
    return dict(_fields(template, ())) if template is not None else {}


def _fields(template: Template, path: tuple[str, ...]) -> Iterator[tuple[str, FieldSpec]]:
    if isinstance(template, FieldSpec):
        yield ".".join(path), template
    elif isinstance(template, ListOf):
        yield from _fields(template.item, path)
    else:
        for name, one in template.members.items():
            yield from _fields(one, (*path, name))


def template_json(template: Template) -> Json:
    """The template as the decision plane reads it."""
    if isinstance(template, FieldSpec):
        return {"spec": {"type": template.kind, "by": template.by, "labels": list(template.labels)}}
    if isinstance(template, ListOf):
        return {"list": template_json(template.item)}
    return {"map": {name: template_json(one) for name, one in template.members.items()}}


def read_returns(node: Node, what: str, problems: Problems) -> Template | None:
    """The template under `returns`, or None where it cannot be read; every fault goes to `problems`."""
    reader = _Reader(what, problems)
    template = reader.template(node, 0)
    if reader.count > MAX_FIELDS:
        problems.error("wrong_returns", node.mark, f"{what} declares more than {MAX_FIELDS} fields")
        return None
    return template


class _Reader:
    def __init__(self, what: str, problems: Problems) -> None:
        self.what = what
        self.problems = problems
        self.count = 0

    def wrong(self, mark: Mark, message: str, hint: str = _HINT, width: int = 1) -> None:
        self.problems.error("wrong_returns", mark, message, hint, width)

    def template(self, node: Node, depth: int) -> Template | None:
        if depth > MAX_DEPTH:
            self.wrong(node.mark, f"{self.what} is nested deeper than {MAX_DEPTH} levels", "")
            return None
        if isinstance(node, Listing):
            if len(node.items) != 1:
                self.wrong(
                    node.mark,
                    f"a list in {self.what} holds one template, not {len(node.items)}",
                    "write what one element is like",
                )
                return None
            item = self.template(node.items[0], depth + 1)
            return ListOf(item) if item is not None else None
        if isinstance(node, Table):
            return self.members(node, depth)
        return self.spec(node)

    def members(self, node: Table, depth: int) -> Template | None:
        if not node.entries:
            self.wrong(node.mark, f"a map in {self.what} declares no field", 'write `"*": any by outside`, or fields')
            return None
        members: dict[str, Template] = {}
        for name, (mark, value) in node.entries.items():
            if not name or "." in name or len(name) > 128 or (name.startswith("$") and name != "$key"):
                self.wrong(
                    mark,
                    f"`{name}` cannot name a field",
                    "a key as it stands in the result, without `.`; `$key` for the keys, `*` for the rest",
                    max(1, len(name)),
                )
                continue
            if name == "$key" and not isinstance(value, Scalar):
                self.wrong(value.mark, f"the keys themselves are values, so `$key` needs a spec, not {describe(value)}")
                continue
            one = self.template(value, depth + 1)
            if one is not None:
                members[name] = one
        return MapOf(members) if members else None

    def spec(self, node: Scalar) -> FieldSpec | None:
        self.count += 1
        words = [(match.group(), match.start()) for match in _WORD.finditer(node.text)]
        head, _, tail = node.text.partition(",")
        if node.kind is not Kind.TEXT or len(head.split()) != 3 or words[1][0] != "by":
            if node.kind is Kind.TEXT and len(head.split()) == 1 and head.strip() in FIELD_TYPES:
                self.wrong(
                    node.mark,
                    f"`{node.text}` does not say who can write it",
                    f"`{head.strip()} by outside` if anybody can; otherwise `by org` or `by user`",
                    len(node.text),
                )
            else:
                shown = f"`{node.text}`" if node.text else describe(node)
                self.wrong(node.mark, f"{shown} declares no field of {self.what}", width=max(1, len(node.text)))
            return None
        (kind, at), _, (by, by_at) = words[:3]
        if kind not in FIELD_TYPES:
            self.wrong(node.at(at), f"`{kind}` is no type of a field", did_you_mean(kind, FIELD_TYPES), len(kind))
            return None
        if by not in WRITERS:
            self.wrong(node.at(by_at), f"`{by}` is no writer", did_you_mean(by, WRITERS), len(by))
            return None
        labels: list[str] = []
        for label, label_at in words[3:]:
            if not LABEL.fullmatch(label) or label in WRITERS:
                hint = "lower-case letters, digits, `_` and `-`; the writers are labels by themselves"
                self.wrong(node.at(label_at), f"`{label}` cannot be a label of its own", hint, len(label))
            else:
                labels.append(label)
        if tail and not labels and not tail.strip():
            self.wrong(node.mark, f"`{node.text}` ends in a comma", width=len(node.text))
        return FieldSpec(kind, by, tuple(sorted(set(labels))))
