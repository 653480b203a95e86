"""Reading typed fields out of YAML, every fault noted with its place.

A reader asks for what it knows; what is left over is unknown and an error with a "did you mean".
No method raises: each notes what is wrong and answers a harmless value, so that the rest of the
bundle is read too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from flyball.policy.diagnostics import Diagnostic, Mark, Problems, did_you_mean, nearest
from flyball.policy.yaml import Kind, Listing, Node, Scalar, Table

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_DURATION = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONG_MAX = 2**63 - 1


#: What is named under a key, for `Problems.known`: where the key is misspelt, nothing of it is there.
NAMED_UNDER = {
    "actions": "action",
    "access_classes": "access class",
    "agents": "agent",
    "identity": "voucher issuer",
    "inputs": "input",
    "owners": "owner",
    "resource_types": "resource type",
    "targets": "target",
    "trust_domains": "voucher issuer",
}


class Fields:
    """One map of the bundle. `what` names it in messages, for example "profile `settle-refund`"."""

    def __init__(self, what: str, node: Node, problems: Problems) -> None:
        self.what = what
        self.problems = problems
        self.mark = node.mark
        self._entries = node.entries if isinstance(node, Table) else {}
        self._asked: set[str] = set()
        self._missing: dict[str, Diagnostic] = {}
        #: After `done`: the keys that were there under a misspelt name.
        self.meant: set[str] = set()
        if not isinstance(node, Table):
            problems.error("wrong_shape", node.mark, f"{what} must be a map, not {describe(node)}")

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def node(self, key: str) -> Node | None:
        """The value under `key`, or None where it is absent or null."""
        self._asked.add(key)
        entry = self._entries.get(key)
        if entry is None or (isinstance(entry[1], Scalar) and entry[1].kind is Kind.NULL):
            return None
        return entry[1]

    def place(self, key: str) -> Mark:
        """Where `key` stands, or where the map begins."""
        return self._entries[key][0] if key in self._entries else self.mark

    def at(self, key: str) -> Mark:
        """Where the value under `key` begins, or where the map does."""
        return self._entries[key][1].mark if key in self._entries else self.mark

    def rest(self) -> Iterator[tuple[str, Mark, Node]]:
        """The entries not asked for yet, as (key, mark, value); they count as asked for from here on."""
        for key, (mark, node) in self._entries.items():
            if key not in self._asked:
                self._asked.add(key)
                yield key, mark, node

    def done(self) -> None:
        """Note every key that nobody asked for."""
        for key, (mark, _) in self._entries.items():
            if key not in self._asked:
                unused = self._asked - self._entries.keys()
                meant = nearest(key, unused)
                self.meant.add(meant)
                self._doubt(meant)
                if meant in self._missing:
                    # The word is there, misspelt: that it is missing too would be the same fault twice.
                    self.problems.retract(self._missing.pop(meant))
                self.problems.error(
                    "unknown_key",
                    mark,
                    f"{self.what} has no field `{key}`",
                    did_you_mean(key, unused or self._asked),
                    len(key),
                )

    def _doubt(self, key: str) -> None:
        if key in NAMED_UNDER:
            self.problems.doubt(NAMED_UNDER[key])

    def misspelt(self, key: str) -> bool:
        """Whether `key` seems to be there under another spelling that nobody has asked for; `done` notes that."""
        return any(one not in self._asked and nearest(one, [key]) for one in self._entries)

    def missing(self, key: str) -> None:
        """Note that `key` must be there."""
        self._missing[key] = self.problems.error("missing_field", self.mark, f"{self.what} lacks `{key}`")

    def text(self, key: str, *, required: bool = False, default: str = "") -> str:
        """A text, not empty."""
        node = self.node(key)
        if node is None:
            if required:
                self.missing(key)
            return default
        return text(node, f"`{key}` of {self.what}", self.problems) or default

    def whole(self, key: str, *, least: int = 0, most: int = _LONG_MAX) -> int | None:
        """A whole number within the bounds, or None where it is absent or wrong."""
        node = self.node(key)
        if node is None:
            return None
        value = int(node.text) if isinstance(node, Scalar) and node.kind is Kind.INT and len(node.text) < 20 else None
        if value is None or not least <= value <= most:
            upto = f" to {most}" if most < _LONG_MAX else ""
            self.problems.error(
                "wrong_type", node.mark, f"`{key}` of {self.what} must be a whole number from {least}{upto}"
            )
            return None
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """`true` or `false`."""
        node = self.node(key)
        if node is None:
            return default
        if not isinstance(node, Scalar) or node.kind is not Kind.BOOL:
            self.problems.error(
                "wrong_type", node.mark, f"`{key}` of {self.what} must be `true` or `false`, not {describe(node)}"
            )
            return default
        return node.text == "true"

    def choice(self, key: str, choices: tuple[str, ...], default: str, *, later: tuple[str, ...] = ()) -> str:
        """One of `choices`. A value of `later` is known and not in this version."""
        node = self.node(key)
        if node is None:
            return default
        value = text(node, f"`{key}` of {self.what}", self.problems)
        if value in choices or not value:
            return value or default
        if value in later:
            self.problems.error(
                "not_in_this_version",
                node.mark,
                f"`{key}: {value}` is not in this version",
                f"use {' or '.join(f'`{c}`' for c in choices)}",
                len(value),
            )
            return default
        self.problems.error(
            "wrong_choice",
            node.mark,
            f"`{value}` is no `{key}` of {self.what}",
            did_you_mean(value, choices),
            len(value),
        )
        return default

    def duration(self, key: str, *, required: bool = False) -> int | None:
        """A duration such as `5s`, `15m`, `24h`, in milliseconds."""
        node = self.node(key)
        if node is None:
            if required:
                self.missing(key)
            return None
        match = _DURATION.fullmatch(node.text) if isinstance(node, Scalar) else None
        if match is None:
            self.problems.error(
                "wrong_duration",
                node.mark,
                f"`{key}` of {self.what} must be a duration",
                "write a whole number and a unit: ms, s, m, h or d, for example `15m`",
            )
            return None
        return int(match.group(1)) * _UNITS[match.group(2)]

    def texts(self, key: str) -> tuple[tuple[str, Mark], ...]:
        """A list of texts with their places; a single text counts as a list of one."""
        node = self.node(key)
        if node is None:
            return ()
        items = node.items if isinstance(node, Listing) else (node,)
        found = [(text(item, f"an entry of `{key}` of {self.what}", self.problems), item.mark) for item in items]
        seen: set[str] = set()
        for value, mark in found:
            if value and value in seen:
                self.problems.error("listed_twice", mark, f"`{value}` stands twice in `{key}`", width=len(value))
            seen.add(value)
        return tuple((value, mark) for value, mark in found if value)

    def listed(self, key: str) -> tuple[Node, ...]:
        """A list of values of any shape; a single value counts as a list of one."""
        node = self.node(key)
        if node is None:
            return ()
        return node.items if isinstance(node, Listing) else (node,)

    def items(self, key: str) -> tuple[Node, ...]:
        """A list of values of any shape."""
        node = self.node(key)
        if node is None:
            return ()
        if not isinstance(node, Listing):
            self.problems.error(
                "wrong_shape", node.mark, f"`{key}` of {self.what} must be a list, not {describe(node)}"
            )
            return ()
        return node.items

    def tables(self, key: str, what: str) -> Iterator[tuple[str, Mark, Fields]]:
        """A map of maps, as (name, place of the name, fields); null stands for an empty map."""
        for name, mark, node in self.named(key, what):
            empty = isinstance(node, Scalar) and node.kind is Kind.NULL
            yield name, mark, Fields(f"{what} `{name}`", Table({}, mark) if empty else node, self.problems)

    def named(self, key: str, what: str, form: re.Pattern[str] = NAME) -> Iterator[tuple[str, Mark, Node]]:
        """A map from names of this form to values of any shape, as (name, place of the name, value)."""
        node = self.node(key)
        if node is None:
            return
        if not isinstance(node, Table):
            self.problems.error("wrong_shape", node.mark, f"`{key}` of {self.what} must be a map, not {describe(node)}")
            self._doubt(key)
            return
        for name, (mark, value) in node.entries.items():
            if not form.fullmatch(name):
                self.problems.error(
                    "wrong_name",
                    mark,
                    f"`{name}` cannot name {'an' if what[0] in 'aeio' else 'a'} {what}",
                    "use letters, digits, `.`, `_` and `-`, beginning with a letter, 63 at most",
                    len(name),
                )
                self._doubt(key)
                continue
            yield name, mark, value


def text(node: Node, what: str, problems: Problems) -> str:
    """A text that is not empty, or "" where it is something else (noted)."""
    if isinstance(node, Scalar) and node.kind is not Kind.NULL and node.text.strip():
        return node.text
    problems.error("wrong_type", node.mark, f"{what} must be text, not {describe(node)}")
    return ""


def describe(node: Node) -> str:
    """What a value is, for messages."""
    if isinstance(node, Table):
        return "a map"
    if isinstance(node, Listing):
        return "a list"
    if node.kind is Kind.NULL or not node.text.strip():
        return "nothing"
    return f"{'a ' if node.kind is not Kind.BOOL else ''}{node.kind.value}" if node.kind is not Kind.TEXT else "text"
