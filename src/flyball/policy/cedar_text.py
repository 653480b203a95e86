"""Cedar as text: quoting values, splitting a file into its policies, and finding places again.

Cedar itself is parsed and validated by the decision plane. What is done here is what must be
known before: where each policy of a file begins, its `@id` and annotations. The reader below
knows Cedar's strings and comments and nothing else of the language.
"""

from __future__ import annotations

import re

from flyball.policy.bundle import Policy
from flyball.policy.diagnostics import Mark, Problems, did_you_mean
from flyball.task.rules import Reaction

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = ("true", "false", "if", "then", "else", "in", "like", "has", "is", "__cedar")
_TYPES = ("Bool", "Boolean", "Long", "String", "Set", "Record", "Entity", "Extension")
_RESERVED = frozenset(_WORDS + _TYPES)
_TOKEN = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|;', re.DOTALL)
_ANNOTATION = re.compile(
    r'\s*(?://[^\n]*\n\s*)*@\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\(\s*("(?:[^"\\]|\\.)*")\s*\))?', re.DOTALL
)
_EFFECT = re.compile(r"\s*(?://[^\n]*\n\s*)*(permit|forbid)\b")
_BLANK = re.compile(r"(?:\s+|//[^\n]*(?:\n|$))*")
_KNOWN_ANNOTATIONS = frozenset({"id", "on_deny", "reason", "doc", "owner"})
_LATER_ANNOTATIONS = frozenset({"step_up", "mask", "require_approval", "modify", "defer"})
_SIMPLE_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
_UNESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})|(.))", re.DOTALL)


def is_identifier(name: str) -> bool:
    """Whether `name` may name a Cedar type or attribute unquoted."""
    return bool(_IDENTIFIER.fullmatch(name)) and name not in _RESERVED


def entity_type(name: str) -> bool:
    """Whether `name` is a well-formed entity type such as `Shop::Tool`."""
    return all(is_identifier(part) for part in name.split("::"))


def quote(value: str) -> str:
    """`value` as a Cedar string literal, in the engine's normal form."""
    return (
        '"'
        + "".join(_SIMPLE_ESCAPES.get(char, char if char.isprintable() else f"\\u{{{ord(char):x}}}") for char in value)
        + '"'
    )


def unquote(literal: str) -> str:
    """What a Cedar string literal (with its quotes) stands for. An escape that Cedar does not know stays as written."""
    simple = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}

    def one(match: re.Match[str]) -> str:
        code = match.group(1) or match.group(2)
        if code:
            number = int(code, 16)
            return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else match.group(0)
        return simple.get(match.group(3), match.group(3))

    return _UNESCAPE.sub(one, literal[1:-1])


def within(start: Mark, text: str, offset: int) -> Mark:
    """The place of the character at `offset` of `text`, which itself begins at `start`."""
    before = text[:offset]
    lines = before.count("\n")
    column = offset - (before.rfind("\n") + 1)
    return Mark(start.file, start.line + lines, column + (1 if lines else start.column))


def split_policies(file: str, text: str, problems: Problems) -> list[Policy]:
    """The policies of one file, in order; every fault goes to `problems`."""
    head = Mark(file)
    stem = file.removeprefix("policies/").removesuffix(".cedar")
    found: list[Policy] = []
    mark, before = head, 0
    for number, (start, end) in enumerate(_statements(text, head, problems)):
        # Each place is counted on from the one before: from the file's head it would take quadratic time.
        mark, before = within(mark, text[before:start], start - before), start
        policy = _policy(stem, number, text[start:end], mark, problems)
        if policy is not None:
            found.append(policy)
    return found


def _statements(text: str, head: Mark, problems: Problems) -> list[tuple[int, int]]:
    """The spans of the statements: from the first character that counts up to and with the `;`."""
    spans: list[tuple[int, int]] = []
    blank = _BLANK.match(text)
    start = blank.end() if blank else 0
    for token in _TOKEN.finditer(text, start):
        if token.group() == ";":
            spans.append((start, token.end()))
            blank = _BLANK.match(text, token.end())
            start = blank.end() if blank else token.end()
    if start < len(text):
        problems.error(
            "cedar_unfinished",
            within(head, text, start),
            "this policy does not end",
            "a policy ends with `;`; is a quote missing?",
        )
    return spans


def _policy(stem: str, number: int, text: str, mark: Mark, problems: Problems) -> Policy | None:
    annotations: dict[str, str] = {}
    marks: dict[str, Mark] = {}
    at = 0
    while match := _ANNOTATION.match(text, at):
        key, value = match.group(1), unquote(match.group(2)) if match.group(2) else ""
        here = within(mark, text, text.index("@", match.start(), match.end()))
        if key in annotations:
            problems.error("annotation_twice", here, f"`@{key}` stands twice on one policy", "keep one of them")
        annotations[key], marks[key] = value, here
        at = match.end()
    effect = _EFFECT.match(text, at)
    if effect is None:
        there = within(mark, text, at + len(text[at:]) - len(text[at:].lstrip()))
        problems.error("cedar_syntax", there, "a policy begins with `permit` or `forbid`, after its annotations")
        return None
    _check_annotations(effect.group(1), annotations, marks, problems)
    condition = re.search(r"\b(?:when|unless)\b", text[effect.end() :])
    head = text[effect.end() : effect.end() + condition.start()] if condition else text[effect.end() :]
    return Policy(
        id=f"{stem}#{annotations.get('id') or number + 1}",
        mark=mark,
        text=text,
        effect=effect.group(1),
        annotations=annotations,
        head=" ".join(head.split()),
    )


def _check_annotations(effect: str, annotations: dict[str, str], marks: dict[str, Mark], problems: Problems) -> None:
    reactions = [reaction.value for reaction in Reaction]
    for key, value in annotations.items():
        mark = marks[key]
        if key in _LATER_ANNOTATIONS:
            # An obligation that nobody carries out would turn a condition into a plain permission.
            problems.error(
                "not_in_this_version", mark, f"`@{key}` is not in this version", "forbid instead", len(key) + 1
            )
        elif key not in _KNOWN_ANNOTATIONS:
            hint = did_you_mean(key, _KNOWN_ANNOTATIONS)
            if hint.startswith("did you mean"):
                problems.error("unknown_annotation", mark, f"Flyball knows no annotation `@{key}`", hint, len(key) + 1)
        elif key == "on_deny" and (value not in reactions or effect != "forbid"):
            problems.error(
                "wrong_reaction",
                mark,
                f'`@on_deny("{value}")` cannot stand here',
                f"it stands on a `forbid` and is one of {', '.join(reactions)}",
            )
        elif key == "id" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
            problems.error(
                "wrong_name", mark, f'`@id("{value}")` cannot name a policy', "letters, digits, `.`, `_`, `-`"
            )
