"""YAML as this project reads it: plain values, each with its place in the file.

A small, strict YAML. Only maps, lists and scalars; a plain scalar is `true`/`false`, `null`/`~`,
a whole number, a decimal number or text (YAML 1.2's core idea, so `on`, `no` and `12:30` are
text). Numbers keep their source text: a float would change the money it stands for. Refused:
duplicate keys, anchors, aliases, tags, several documents, files over 256 KiB, nesting deeper than
32. An alias can make a short file a huge value and hides what a reviewer should see; a tag can
change a value's type out of sight.

PyYAML's event stream is read rather than its composed tree: only the events say whether a tag
or an anchor was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import yaml

from flyball.kernel.json import Json
from flyball.policy.diagnostics import Mark, Problems

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 50_000

_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")


class Kind(StrEnum):
    """What a scalar is."""

    TEXT = "text"
    INT = "whole number"
    DECIMAL = "decimal number"
    BOOL = "true or false"
    NULL = "nothing"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `text` is the source text (quotes and escapes resolved); `quoted`: quotes stand around it."""

    kind: Kind
    text: str
    mark: Mark
    quoted: bool = False

    def at(self, offset: int) -> Mark:
        """Where the character `offset` of a text on one line stands; escapes before it are not counted."""
        return Mark(self.mark.file, self.mark.line, self.mark.column + offset + self.quoted)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of values."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Table:
    """A map, in the order of the file. Keys are text, whatever YAML would make of them."""

    entries: dict[str, tuple[Mark, Node]]
    mark: Mark


Node: TypeAlias = "Scalar | Listing | Table"


def parse(file: str, data: bytes, problems: Problems) -> Node | None:
    """The one document in `data`, or None where a problem stops the reading.

    Args:
        file: the name that findings carry.
        data: the file's bytes, UTF-8.
        problems: receives every finding; nothing is raised.
    """
    start = Mark(file)
    if len(data) > MAX_BYTES:
        problems.error("yaml_oversize", start, f"the file has {len(data)} bytes; the most is {MAX_BYTES}")
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.error("yaml_encoding", Mark(file, line), "the file is not UTF-8", "save it as UTF-8")
        return None
    problems.add_source(file, text)
    try:
        return _Builder(file, problems, iter(yaml.parse(text, Loader=yaml.SafeLoader))).document()
    except _Stop:
        return None
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        mark = Mark(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        problems.error("yaml_syntax", mark, "a character that YAML does not allow stands here")
        return None
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(file, place.line + 1, place.column + 1) if place else start
        problems.error("yaml_syntax", mark, f"not valid YAML: {error.problem or error.context or 'unreadable'}")
        return None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ValueError: PyYAML lets an escape such as "\UFFFFFFFF" reach chr().
        problems.error("yaml_syntax", start, f"not valid YAML: {type(error).__name__}")
        return None


class _Stop(Exception):
    """The rest of the document cannot be read sensibly; the reason is already noted."""


class _Builder:
    """Builds the tree from PyYAML's events."""

    def __init__(self, file: str, problems: Problems, events: Iterator[yaml.Event]) -> None:
        self._file = file
        self._problems = problems
        self._events = events
        self._nodes = 0

    def document(self) -> Node:
        """The single document of the stream."""
        next(self._events)  # StreamStart
        first = next(self._events)
        if isinstance(first, yaml.StreamEndEvent):
            self._problems.error("yaml_empty", Mark(self._file), "the file holds no document")
            raise _Stop
        root = self._node(next(self._events), 1)
        next(self._events)  # DocumentEnd
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._problems.error("yaml_documents", self._mark(after), "one file holds one document", "split the file")
            raise _Stop
        return root

    def _mark(self, event: yaml.Event) -> Mark:
        place = event.start_mark
        if place is None:
            return Mark(self._file)
        return Mark(self._file, place.line + 1, place.column + 1)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        mark = self._mark(event)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._problems.error("yaml_oversize", mark, f"the file has more than {MAX_NODES} values")
            raise _Stop
        if depth > MAX_DEPTH:
            self._problems.error("yaml_depth", mark, f"nested deeper than {MAX_DEPTH} levels")
            raise _Stop
        if isinstance(event, yaml.AliasEvent):
            self._problems.error("yaml_alias", mark, "aliases are not read here", "write the value out")
            return Scalar(Kind.NULL, "", mark)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._problems.error(
                "yaml_anchor", mark, "anchors are not read here", "write the value out where it is used"
            )
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
            self._problems.error("yaml_tag", mark, "tags are not read here", "leave the tag out; quote what is text")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event, mark)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._listing(mark, depth)
        return self._table(mark, depth)

    def _listing(self, mark: Mark, depth: int) -> Listing:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Listing(tuple(items), mark)

    def _table(self, mark: Mark, depth: int) -> Table:
        entries: dict[str, tuple[Mark, Node]] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_mark = self._mark(event)
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                self._problems.error("yaml_key", key_mark, "a key must be a single value")
            elif key.text in entries:
                first = entries[key.text][0]
                self._problems.error(
                    "yaml_duplicate_key",
                    key_mark,
                    f"`{key.text}` stands twice in one map",
                    f"it stood first on line {first.line}; keep one of them",
                    len(key.text),
                )
            else:
                entries[key.text] = (key_mark, value)
        return Table(entries, mark)


def _scalar(event: yaml.ScalarEvent, mark: Mark) -> Scalar:
    text = event.value
    if event.style is not None:
        return Scalar(Kind.TEXT, text, mark, event.style in ("'", '"'))
    if text in ("true", "false"):
        return Scalar(Kind.BOOL, text, mark)
    if text in ("null", "~", ""):
        return Scalar(Kind.NULL, "", mark)
    if _INT.fullmatch(text):
        return Scalar(Kind.INT, text, mark)
    if _DECIMAL.fullmatch(text):
        return Scalar(Kind.DECIMAL, text, mark)
    return Scalar(Kind.TEXT, text, mark)


def plain(node: Node) -> Json:
    """The value without its places: text, bool, None, int, lists and dicts. A decimal number stays text."""
    if isinstance(node, Table):
        return {key: plain(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    if node.kind is Kind.BOOL:
        return node.text == "true"
    if node.kind is Kind.NULL:
        return None
    # A whole number beyond 18 digits is no Long anywhere; it stays text, and the reader of the field refuses it.
    if node.kind is Kind.INT and len(node.text) <= 19:
        return int(node.text)
    return node.text
