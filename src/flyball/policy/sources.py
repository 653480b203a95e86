"""The little language of sources: where an argument may come from.

    source    = "trusted" | [ "anyone at " ] ( "request" | "inputs." NAME | "args." NAME | "=" TEXT | result )
    result    = "result(" ACTION ")" [ "." FIELD ] [ " where " condition { " and " condition } ]
    condition = WHAT [ " partly" | " named" ] ( " in request" | " in inputs." NAME )
              | WHAT " in " ( "result(" ACTION ")" [ "." FIELD ] | "(" result ")" )
              | WHAT " is args." NAME | WHAT " is " STRING | FIELD " is max" | FIELD " is min"
    WHAT      = FIELD | "call." NAME [ " as " TYPE ]
    aggregate = ( "sum" | "min" | "max" ) "(" result ")"
    FIELD     = part { "." part };  part = word | "$key" | "*" | STRING

A text that cannot be read raises `SourceError`, which says what is wrong, where in the text, and what to write.
"""

from __future__ import annotations

import dataclasses
import re

from flyball.policy.diagnostics import did_you_mean
from flyball.task.profile import REQUEST
from flyball.task.rules import COMPARED_TYPES, Condition, Source

MAX_SOURCE_CHARS = 1024
MAX_CONDITIONS = 8
#: Results of which one chooses the rows of the next.
MAX_LINKS = 4
AGGREGATES = ("sum", "min", "max")
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([A-Za-z0-9_$*-]+)|(.))', re.DOTALL)
_INPUT = re.compile(r"[a-z][a-z0-9_]{0,62}")
_ARG = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}(?:\[\]|\.[A-Za-z_][A-Za-z0-9_]*)*")
_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_AGGREGATE = re.compile(r"\s*([A-Za-z]+)\s*\((.*)\)\s*", re.DOTALL)
_ANYONE = re.compile(r"\s*anyone\s+at\s+")
_PART = re.compile(r"[A-Za-z0-9_-]+|\$key|\*")
_FORMS = '`request`, `inputs.NAME`, `args.NAME`, `result(ACTION).FIELD`, `trusted`, `"=constant"` or `anyone at …`'


class SourceError(Exception):
    """A source that cannot be read. `offset` counts characters of the text, `width` how many are meant."""

    def __init__(self, message: str, offset: int, hint: str = "", width: int = 1) -> None:
        super().__init__(message)
        self.message, self.offset, self.hint, self.width = message, offset, hint, width


def parse_source(text: str) -> Source:
    """The source that `text` writes.

    Raises:
        SourceError: it writes none.
    """
    if len(text) > MAX_SOURCE_CHARS:
        raise SourceError(f"a source has at most {MAX_SOURCE_CHARS} characters", 0)
    if match := _ANYONE.match(text):
        try:
            inner = parse_source(text[match.end() :])
        except SourceError as error:
            raise SourceError(error.message, match.end() + error.offset, error.hint, error.width) from None
        if inner.kind == "trusted" or inner.at:
            hint = "for example `anyone at request`, or `anyone at result(account_get).domain`"
            raise SourceError(f"`{inner}` names no host", match.end(), hint, len(text) - match.end())
        return dataclasses.replace(inner, at=True)
    if text.startswith("="):
        if not text[1:].strip():
            raise SourceError("the constant is empty", 0, "an argument that is left out needs no source")
        return Source("const", text[1:])
    return _Parser(text).source()


def parse_aggregate(text: str) -> tuple[str, Source] | None:
    """`sum(…)`, `min(…)` or `max(…)` of a result source, or None where `text` is a plain value.

    Raises:
        SourceError: it is meant as one and cannot be read.
    """
    if "result" not in text:
        return None
    match = _AGGREGATE.fullmatch(text)
    word = match.group(1) if match else "result"
    if match is None or word == "result":
        hint = f"say which of its values: `max({text})`, `min(…)` or `sum(…)`"
        raise SourceError("a bound by a result needs one number", 0, hint, len(text))
    if word not in AGGREGATES:
        raise SourceError(f"`{word}` is no computation", match.start(1), did_you_mean(word, AGGREGATES), len(word))
    try:
        source = parse_source(match.group(2))
    except SourceError as error:
        raise SourceError(error.message, match.start(2) + error.offset, error.hint, error.width) from None
    if source.kind != "result":
        hint = "for example `sum(result(cart_list).price)`"
        raise SourceError("only the values of a result can be computed with", match.start(2), hint, len(match.group(2)))
    return match.group(1), source


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.links = 1

    def fail(self, message: str, hint: str = "", at: int | None = None, width: int = 1) -> SourceError:
        return SourceError(message, self.at if at is None else at, hint, width)

    def peek(self) -> tuple[str, int]:
        """The next token and where it begins; an empty one at the end."""
        match = _TOKEN.match(self.text, self.at)
        if match is None or match.lastindex is None:
            return "", len(self.text)
        return match.group(match.lastindex), match.start(match.lastindex)

    def take(self) -> tuple[str, int]:
        token, start = self.peek()
        self.at = start + len(token)
        return token, start

    def expect(self, wanted: str, hint: str = "") -> None:
        token, start = self.take()
        if token != wanted:
            got = f"`{token}` stands" if token else "nothing stands"
            raise self.fail(f"{got} where `{wanted}` was expected", hint, start, max(1, len(token)))

    def end(self, hint: str = "") -> None:
        token, start = self.peek()
        if token:
            raise self.fail(f"`{self.text[start:]}` is too much", hint, start, len(self.text) - start)

    def source(self) -> Source:
        word, start = self.take()
        if word == "result":
            return self.result()
        if word == REQUEST:
            self.end("conditions belong to `result(…)`")
            return Source("input", REQUEST)
        if word == "trusted":
            self.end("`trusted` stands alone; for one field write `result(ACTION).FIELD`")
            return Source("trusted")
        if word == "inputs":
            name = self.after_dot("an input", _INPUT)
            self.end()
            return Source("input", name)
        if word == "args":
            name = self.argument()
            self.end()
            return Source("arg", name)
        hint = did_you_mean(word, ("request", "trusted", "inputs", "args", "result", "anyone"))
        if not hint.startswith("did"):
            hint = f"a source is {_FORMS}"
        raise self.fail(f"`{word or self.text}` is no source", hint, start, max(1, len(word)))

    def after_dot(self, what: str, form: re.Pattern[str]) -> str:
        self.expect(".")
        token, start = self.take()
        if not form.fullmatch(token):
            raise self.fail(f"`{token}` cannot name {what}", "", start, max(1, len(token)))
        return token

    def argument(self) -> str:
        self.expect(".")
        match = _ARG.match(self.text, self.at)
        if match is None:
            raise self.fail("an argument's name was expected", "for example `args.start`")
        self.at = match.end()
        rest = self.text[self.at :]
        if rest and (rest[0] == "." or not (rest[0].isspace() or rest[0] in ")")):
            hint = "a path is `args.items[].id`: names joined by `.`, `[]` behind a list"
            raise self.fail(f"`{rest.split()[0]}` does not go on with the path", hint, None, len(rest.split()[0]))
        return match.group()

    def result(self) -> Source:
        action, field = self.named_result()
        rows = self.rows()
        word, start = self.peek()
        if word:
            if rows:
                self.end("join conditions by `and`")
            hint = did_you_mean(word, ("where",)) if len(word) > 2 else "conditions follow after `where`"
            raise self.fail(f"`{self.text[start:]}` is too much", hint, start, len(self.text) - start)
        return Source("result", action, field, rows)

    def inner(self) -> Source:
        """The result in which a value must have been found, in brackets where it has conditions of its own."""
        word, start = self.take()
        self.links += 1
        if self.links > MAX_LINKS:
            raise self.fail(f"a chain has at most {MAX_LINKS} results", "", start)
        if word != "(":
            action, field = self.named_result()
            after, begin = self.peek()
            if after == "where":
                hint = f"write `in ({self.text[start:].strip()})`"
                raise self.fail("what has conditions of its own stands in brackets", hint, begin, len(after))
            return Source("result", action, field)
        self.expect("result", "only a result is looked in: write `in (result(ACTION).FIELD where …)`")
        action, field = self.named_result()
        rows = self.rows()
        self.expect(")", "the bracket behind `in` is closed behind its conditions")
        return Source("result", action, field, rows)

    def named_result(self) -> tuple[str, str]:
        """The action of a result, and the field."""
        self.expect("(", "write `result(ACTION)`")
        close = self.text.find(")", self.at)
        if close < 0:
            raise self.fail("the `(` is not closed", "write `result(ACTION)`", self.at - 1)
        action = self.text[self.at : close].strip()
        if not _ACTION.fullmatch(action):
            raise self.fail(f"`{action}` cannot name an action", "", None, max(1, close - self.at))
        self.at = close + 1
        field = ""
        if self.peek()[0] == ".":
            self.take()
            field = self.field()
        return action, field

    def rows(self) -> tuple[Condition, ...]:
        """The conditions, if there are any."""
        rows: list[Condition] = []
        word, start = self.peek()
        if word == "where":
            self.take()
            rows.append(self.condition())
            while self.peek()[0] == "and":
                self.take()
                rows.append(self.condition())
            if len(rows) > MAX_CONDITIONS:
                raise self.fail(f"more than {MAX_CONDITIONS} conditions", "", start)
        return tuple(rows)

    def field(self) -> str:
        parts = [self.part()]
        while self.peek()[0] == ".":
            self.take()
            parts.append(self.part())
        return ".".join(parts)

    def part(self) -> str:
        token, start = self.take()
        if token.startswith('"') and len(token) > 2:
            return _unquoted(token)
        if not _PART.fullmatch(token):
            hint = "a name of the tool sheet; in quotes where it is not letters, digits, `_` and `-`"
            raise self.fail(f"`{token}` cannot name a field" if token else "a field was expected", hint, start)
        return token

    def condition(self) -> Condition:
        word, start = self.peek()
        if word == "call" and self.text.startswith(".", start + len(word)):
            return self.called()
        return self.test(self.field())

    def called(self) -> Condition:
        """What must hold of an argument of the call that made the result."""
        begin = self.take()[1]
        argument, kind = self.argument(), ""
        if self.peek()[0] == "as":
            self.take()
            kind, start = self.take()
            if kind not in COMPARED_TYPES:
                raise self.fail(f"`{kind}` is no type", did_you_mean(kind, COMPARED_TYPES), start, max(1, len(kind)))
        test = self.test(argument)
        if kind == "words" and test.test not in ("in_input", "in_source"):
            hint = "write `as words in …`; to compare it with one value leave `as words` out"
            raise self.fail("`words` are looked for in a text", hint, begin, len("call.") + len(argument))
        if test.test == "extreme":
            hint = "only a field of a row is the greatest or the least of its result"
            raise self.fail(f"`call.{argument}` has one value for all rows", hint, begin, len("call.") + len(argument))
        return dataclasses.replace(test, call=True, kind="" if kind == "text" else kind)

    def test(self, field: str) -> Condition:
        verb, start = self.take()
        if verb == "in":
            if self.peek()[0] in ("(", "result"):
                return Condition(field, "in_source", "", source=self.inner())
            return Condition(field, "in_input", self.input())
        if verb in ("partly", "named"):
            self.expect("in", f"write `{verb} in request`")
            return Condition(field, verb, self.input())
        if verb == "is":
            return self.value(field)
        hint = did_you_mean(verb, ("in", "is", "partly", "named")) if verb else "write `in request`, or `is args.NAME`"
        raise self.fail(
            f"`{verb}` compares nothing" if verb else "the condition ends early", hint, start, len(verb) or 1
        )

    def input(self) -> str:
        word, start = self.take()
        if word == REQUEST:
            return REQUEST
        if word == "inputs":
            return self.after_dot("an input", _INPUT)
        hint = "write `in request`, `in inputs.NAME` or `in result(ACTION).FIELD`"
        raise self.fail(f"`{word}` is no text to look in" if word else "the condition ends early", hint, start)

    def value(self, field: str) -> Condition:
        word, start = self.take()
        if word == "args":
            return Condition(field, "is_arg", self.argument())
        if word in ("max", "min"):
            return Condition(field, "extreme", word)
        if word.startswith('"') and len(word) > 2:
            return Condition(field, "is", _unquoted(word))
        hint = 'write `is args.NAME`, `is "text"`, `is max` or `is min`'
        raise self.fail(f"`{word}` is nothing to compare with" if word else "the condition ends early", hint, start)


def _unquoted(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1])
