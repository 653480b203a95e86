"""What is wrong with a bundle, where, and what to do about it.

A `Diagnostic` points at one place in one file. It renders the way a compiler does, with the
source line and a caret, and as JSON for editors and CI. Everything that comes from a file is
escaped before it is shown: a bundle under review may be hostile to the reviewer's terminal.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json

_SHOWN_LINE = 160


class Severity(StrEnum):
    """An error refuses the bundle; a warning is shown and the bundle is taken."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file of the bundle: path relative to the bundle, line and column from 1."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    Args:
        file: path relative to the bundle folder.
        line, column: from 1; column counts characters.
        message: what is wrong, one sentence.
        hint: what to do, or empty.
        severity: error or warning.
        code: a stable snake_case name of the fault.
        source: the line of the file, for the rendering; empty where there is none.
        width: how many characters the caret underlines.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    code: str = "invalid"
    source: str = ""
    width: int = 1

    def render(self) -> str:
        """The finding as text: place, message and code, source line with a caret, hint."""
        place = f"{visible(self.file)}:{self.line}:{self.column}"
        out = [f"{place}: {self.severity.value}: {visible(self.message)} [{self.code}]"]
        if self.source:
            start = max(0, min(self.column - 1, len(self.source)))
            # A long line is cut around the caret, so that the caret is always on the screen.
            cut = max(0, start - _SHOWN_LINE // 2)
            shown = self.source[cut : cut + _SHOWN_LINE]
            before = visible(shown[: start - cut])
            gutter = f"{self.line:>5} | "
            caret = "^" * max(1, min(self.width, len(shown) - (start - cut)))
            out.append(f"{gutter}{before}{visible(shown[start - cut :])}")
            out.append(f"{' ' * 6}| {' ' * len(before)}{caret}")
        if self.hint:
            out.append(f"{' ' * 6}= {visible(self.hint)}")
        return "\n".join(out)

    def as_json(self) -> dict[str, Json]:
        """The finding as a JSON object with the members of the constructor, `source` and `width` left out."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "severity": self.severity.value,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
        }


class Problems:
    """Collects findings, so that all of a bundle's problems are reported at once.

    It knows the text of the files (`add_source`), to quote the line that a finding points at.
    """

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []
        self._lines: dict[str, list[str]] = {}
        self._doubts: set[tuple[str, str]] = set()

    def add_source(self, file: str, text: str) -> None:
        """Remember a file's text for quoting."""
        self._lines[file] = text.split("\n")

    def error(self, code: str, mark: Mark, message: str, hint: str = "", width: int = 1) -> Diagnostic:
        """Note a finding that refuses the bundle; the finding."""
        return self._add(Severity.ERROR, mark, (code, message, hint), width)

    def warning(self, code: str, mark: Mark, message: str, hint: str = "", width: int = 1) -> None:
        """Note a finding that is shown and does not refuse the bundle."""
        self._add(Severity.WARNING, mark, (code, message, hint), width)

    @property
    def count(self) -> int:
        """How many findings there are."""
        return len(self._found)

    def doubt(self, kind: str, of: str = "") -> None:
        """What is missing of this kind may be missing for a fault that was noted already, so it is not noted again.

        Args:
            kind: as in `known`: `action`, `argument`, `field`, `input` …
            of: only what belongs to this action or profile; empty for all.
        """
        self._doubts.add((kind, of))

    def doubted(self, kind: str, of: str = "") -> bool:
        """Whether that nothing of this kind is there says nothing."""
        return (kind, of) in self._doubts or (kind, "") in self._doubts

    def known(self, kind: str, name: str, names: Iterable[str], mark: Mark, code: str, of: str = "") -> bool:
        """Whether `name` is one of `names`; where it is not, an error with a "did you mean", unless `doubted`."""
        choices = tuple(names)
        if name in choices or not name:
            return name in choices
        if self.doubted(kind, of):
            return False
        self.error(code, mark, f"there is no {kind} `{name}`", did_you_mean(name, choices), len(name))
        return False

    def _add(self, severity: Severity, mark: Mark, said: tuple[str, str, str], width: int) -> Diagnostic:
        code, message, hint = said
        lines = self._lines.get(mark.file, [])
        source = lines[mark.line - 1].rstrip("\r") if 0 < mark.line <= len(lines) else ""
        found = Diagnostic(mark.file, mark.line, mark.column, message, hint, severity, code, source, width)
        if found not in self._found:
            self._found.append(found)
        return found

    def retract(self, found: Diagnostic) -> None:
        """Take a finding back: another one says the same, and better."""
        if found in self._found:
            self._found.remove(found)

    @property
    def failed(self) -> bool:
        """Whether any finding is an error."""
        return any(found.severity is Severity.ERROR for found in self._found)

    def all(self) -> tuple[Diagnostic, ...]:
        """Every finding, by place: file, line, column; errors first at one place.

        The same thing said of several lines of one file is one finding, at the first; its hint names the others.
        """
        ordered = sorted(self._found, key=lambda d: (d.file, d.line, d.column, d.severity.value, d.code))
        alike: dict[tuple[str, str, str], list[Diagnostic]] = {}
        for found in ordered:
            alike.setdefault((found.file, found.code, found.message), []).append(found)
        return tuple(_folded(alike[(one.file, one.code, one.message)]) for one in ordered if one is _first(alike, one))

    def without_warnings(self) -> None:
        """Take every warning back."""
        self._found = [found for found in self._found if found.severity is Severity.ERROR]


def _first(alike: Mapping[tuple[str, str, str], list[Diagnostic]], one: Diagnostic) -> Diagnostic:
    return alike[(one.file, one.code, one.message)][0]


def _folded(same: Sequence[Diagnostic]) -> Diagnostic:
    lines = sorted({one.line for one in same} - {same[0].line})
    if not lines:
        return same[0]
    others = f"the same on line{'' if len(lines) == 1 else 's'} {', '.join(map(str, lines))}"
    return dataclasses.replace(same[0], hint=f"{same[0].hint}; {others}" if same[0].hint else others)


class BundleRefused(ConfigError):
    """A bundle that cannot be taken. `diagnostics` holds every finding, warnings too."""

    default_code = "bundle_refused"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        errors = [found for found in diagnostics if found.severity is Severity.ERROR]
        first = f": {errors[0].file}:{errors[0].line}: {errors[0].message}" if errors else ""
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        super().__init__(f"the bundle has {count}{first}", hint="run `flyball validate` on the folder to see them all")
        self.diagnostics = tuple(diagnostics)


def visible(text: str) -> str:
    """`text` with everything that could steer a terminal or hide meaning written as an escape.

    C0 and C1 controls, bidirectional controls, zero-width and other format characters, lone
    surrogates and line separators; a tab becomes one blank so that a caret still lines up.
    """
    out: list[str] = []
    for char in text:
        if char == "\t":
            out.append(" ")
        elif char.isprintable():
            out.append(char)
        else:
            out.append(f"\\u{{{ord(char):x}}}")
    return "".join(out)


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of `known` that is spelt most like `word`, or empty where nothing is near."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the nearest of `known`, or, where nothing is near, all of them; empty where there are none."""
    choices = sorted(known)
    if near := nearest(word, choices):
        return f"did you mean `{near}`?"
    if not choices:
        return ""
    shown = ", ".join(f"`{choice}`" for choice in choices[:12])
    return f"known here: {shown}{', …' if len(choices) > 12 else ''}"


def render_all(diagnostics: Sequence[Diagnostic]) -> str:
    """All findings as text, with a closing line that counts them."""
    errors = sum(found.severity is Severity.ERROR for found in diagnostics)
    warnings = len(diagnostics) - errors
    counts = f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
    return "\n\n".join([*(found.render() for found in diagnostics), counts])


def all_as_json(diagnostics: Sequence[Diagnostic]) -> Mapping[str, Json]:
    """All findings as one JSON object: `ok`, `diagnostics`."""
    ok = not any(found.severity is Severity.ERROR for found in diagnostics)
    return {"ok": ok, "diagnostics": [found.as_json() for found in diagnostics]}
