"""The small regular expressions that a profile may use.

A pattern must mean the same to Python (inputs) and to Rust (arguments) and must not be able to
take exponential time in either, so only what both share is allowed: literals, escapes of
punctuation, `\\d \\w \\s` and their opposites, classes, `.`, groups, `|`, and repetition of things that
do not themselves repeat or choose. Patterns always match in full; `^` and `$` are not needed.
"""

from __future__ import annotations

import re

MAX_PATTERN = 256
_MAX_OPEN_REPEATS = 4
_ATOM = re.compile(
    r"\\[dDwWsS]|\\[^A-Za-z0-9\s]|\[\^?(?:\\[dDwWsS]|\\[^A-Za-z0-9\s]|[^\]\\\[&~])+\]|[^\\\[\](){}*+?|^$]"
)
_REPEAT = re.compile(r"[*+?]|\{(\d{1,4})(,?)(\d{0,4})\}")


def refused_pattern(pattern: str) -> str:
    """Why `pattern` cannot be used, or empty where it can."""
    if len(pattern) > MAX_PATTERN:
        return f"it has more than {MAX_PATTERN} characters"
    if "--" in pattern:
        return "`--` means different things to different engines; write `[-]`"
    at, open_repeats = 0, 0
    groups: list[bool] = []  # for each open group: whether something in it repeats or chooses
    while at < len(pattern):
        char = pattern[at]
        inner = False
        if char == "(":
            if pattern.startswith("(?", at):
                return "`(?` is not allowed"
            groups.append(False)
            at += 1
            continue
        if char == "|":
            groups[:] = [True] * len(groups)
            at += 1
            continue
        if char == ")":
            if not groups:
                return "a `)` closes nothing"
            inner = groups.pop()
            at += 1
        else:
            atom = _ATOM.match(pattern, at)
            if atom is None:
                return f"{char!r} is not allowed at position {at + 1}"
            at = atom.end()
        repeat = _REPEAT.match(pattern, at)
        if repeat is None:
            continue
        if inner and repeat.group() != "?":
            return "a group that repeats or chooses may not itself be repeated"
        if repeat.group() in "*+" or (repeat.group(2) and not repeat.group(3)):
            open_repeats += 1
        if repeat.group() != "?":
            groups[:] = [True] * len(groups)
        at = repeat.end()
        if _REPEAT.match(pattern, at):
            return "a repetition may not itself be repeated"
    if groups:
        return "a `(` is not closed"
    if open_repeats > _MAX_OPEN_REPEATS:
        return f"it repeats without end more than {_MAX_OPEN_REPEATS} times"
    try:
        re.compile(pattern, re.ASCII)
    except re.error as error:
        return str(error)
    return ""
