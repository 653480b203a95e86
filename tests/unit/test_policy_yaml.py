"""YAML as the bundle's reader takes it: strict, with places, and never a float."""

from __future__ import annotations

import pytest

from flyball.policy.diagnostics import Diagnostic, Mark, Problems, Severity, did_you_mean, visible
from flyball.policy.yaml import MAX_BYTES, MAX_NODES, Kind, Listing, Scalar, Table, parse, plain


def read(text: str | bytes) -> tuple[object, Problems]:
    problems = Problems()
    node = parse("a.yaml", text.encode() if isinstance(text, str) else text, problems)
    return (None if node is None else plain(node)), problems


def codes(problems: Problems) -> set[str]:
    return {found.code for found in problems.all()}


def test_values_keep_their_places() -> None:
    """Each value knows the line and column it begins at, from 1."""
    problems = Problems()
    node = parse("a.yaml", b"a:\n  b: [1, two]\n", problems)
    assert isinstance(node, Table)
    inner = node.entries["a"][1]
    assert isinstance(inner, Table)
    key, listing = inner.entries["b"]
    assert key == Mark("a.yaml", 2, 3)
    assert isinstance(listing, Listing)
    assert [item.mark for item in listing.items] == [Mark("a.yaml", 2, 7), Mark("a.yaml", 2, 10)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("true", Kind.BOOL),
        ("12", Kind.INT),
        ("-3", Kind.INT),
        ("12.50", Kind.DECIMAL),
        ("null", Kind.NULL),
        ("on", Kind.TEXT),
        ("no", Kind.TEXT),
        ("12:30", Kind.TEXT),
        ("0x10", Kind.TEXT),
        ("1e3", Kind.TEXT),
        ("012", Kind.TEXT),
        (".5", Kind.TEXT),
        ("2026-01-01", Kind.TEXT),
        ('"12"', Kind.TEXT),
    ],
)
def test_a_plain_scalar_is_what_it_looks_like(text: str, kind: Kind) -> None:
    """YAML 1.1's surprises (`on`, `no`, base 60, octal, dates) are text here."""
    node = parse("a.yaml", text.encode(), Problems())
    assert isinstance(node, Scalar)
    assert node.kind is kind


def test_a_decimal_keeps_the_digits_it_was_written_with() -> None:
    """12.50 stays `12.50`: a float would lose the zero, and some numbers altogether."""
    assert read("amount: 12.50")[0] == {"amount": "12.50"}
    assert read("amount: 0.1000000000000000055")[0] == {"amount": "0.1000000000000000055"}


def test_a_key_is_text_whatever_yaml_would_make_of_it() -> None:
    """`on`, `true` and `1` are keys like any other."""
    assert read("{on: 1, true: 2, 1: 3}")[0] == {"on": 1, "true": 2, "1": 3}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: 1\na: 2", "yaml_duplicate_key"),
        ("a: &x 1", "yaml_anchor"),
        ("a: *x", "yaml_alias"),
        ("a: !!int 1", "yaml_tag"),
        ("a: !x {b: 1}", "yaml_tag"),
        ("a: 1\n---\nb: 2", "yaml_documents"),
        ("", "yaml_empty"),
        ("a: [1", "yaml_syntax"),
        ("a: \x07", "yaml_syntax"),
        ('a: "\\UFFFFFFFF"', "yaml_syntax"),
        ("[" * 40 + "]" * 40, "yaml_depth"),
        ("[" + "0," * (MAX_NODES + 1) + "]", "yaml_oversize"),
        (b"a: \xff", "yaml_encoding"),
        (b"#" * (MAX_BYTES + 1), "yaml_oversize"),
    ],
)
def test_what_is_refused(text: str | bytes, code: str) -> None:
    """Whatever hides meaning or costs without bound is an error."""
    assert codes(read(text)[1]) == {code}


def test_a_finding_renders_with_its_line_and_a_caret() -> None:
    """A finding shows the place, the line, a caret under the word, and the hint."""
    problems = Problems()
    problems.add_source("a.yaml", "one\n  two: tree\n")
    problems.error("wrong", Mark("a.yaml", 2, 8), "no such number", "did you mean `three`?", 4)
    assert problems.all()[0].render() == (
        "a.yaml:2:8: error: no such number [wrong]\n    2 |   two: tree\n      |        ^^^^\n"
        "      = did you mean `three`?"
    )


def test_a_finding_cannot_steer_the_terminal() -> None:
    """Control, bidirectional and invisible characters of a bundle are shown as escapes."""
    hostile = "a\x1b[2Jb\u202ec\u200bd\x85e\u2028f"
    assert visible(hostile) == "a\\u{1b}[2Jb\\u{202e}c\\u{200b}d\\u{85}e\\u{2028}f"
    shown = Diagnostic(hostile, 1, 2, hostile, hostile, Severity.ERROR, "x", hostile).render()
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_the_caret_of_a_long_line_stays_on_the_screen() -> None:
    """A line is cut around the place that the finding is about."""
    problems = Problems()
    problems.add_source("a.yaml", "x" * 5000 + "HERE" + "y" * 5000)
    problems.error("wrong", Mark("a.yaml", 1, 5001), "here", width=4)
    _, line, caret = problems.all()[0].render().split("\n")
    assert len(line) < 200
    assert line[caret.index("^") : caret.index("^") + 4] == "HERE"


def test_a_hint_names_the_nearest_word() -> None:
    """A near miss gets a suggestion, a far one the list of what is known."""
    assert did_you_mean("heartbeet", ["ttl", "heartbeat"]) == "did you mean `heartbeat`?"
    assert did_you_mean("zzz", ["ttl", "heartbeat"]) == "known here: `heartbeat`, `ttl`"
