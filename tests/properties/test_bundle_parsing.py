"""No text makes the bundle's readers fail: they answer with a value or with findings."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.policy.cedar_text import quote, split_policies, unquote
from flyball.policy.compile import compile_bundle
from flyball.policy.diagnostics import Mark, Problems
from flyball.policy.intent import read_profile
from flyball.policy.load import read_bundle
from flyball.policy.regex import refused_pattern
from flyball.policy.sources import SourceError, parse_source
from flyball.policy.yaml import parse, plain

BASE = Path(__file__).parents[1] / "assets" / "bundles" / "base"
PROFILE = (BASE / "profiles" / "pay.yaml").read_text(encoding="utf-8")
MANIFEST = (BASE / "bundle.yaml").read_text(encoding="utf-8")
DESK = (BASE / "profiles" / "desk.yaml").read_text(encoding="utf-8")
SHEET = (BASE / "tools" / "desk.yaml").read_text(encoding="utf-8")
CEDAR = (BASE / "policies" / "rules.cedar").read_text(encoding="utf-8")

WORDS = st.sampled_from(
    [
        "&a ",
        "*a",
        "!!x ",
        "---\n",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "\n",
        "  ",
        '"',
        "'",
        "- ",
        "$inputs.",
        "\x00",
        "é",
        "🦀",
        "(",
        ")",
        "*",
    ]
)


@st.composite
def broken(draw: st.DrawFn, text: str) -> str:
    """`text` with some pieces cut out, doubled or put in."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = draw(st.integers(at, min(len(text), at + 30)))
        text = text[:at] + draw(st.one_of(st.just(""), WORDS, st.just(text[at:end] * 2))) + text[end:]
    return text


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_a_value_or_a_finding(data: bytes) -> None:
    """The YAML reader never raises, and where it answers nothing it says why."""
    problems = Problems()
    node = parse("a.yaml", data, problems)
    assert node is not None or problems.failed
    if node is not None:
        json.dumps(plain(node))


@given(st.one_of(broken(PROFILE), broken(DESK)))
@settings(max_examples=150)
def test_a_broken_profile_never_raises(text: str) -> None:
    """Whatever is done to a profile's text, reading it ends in a profile or in findings within its lines."""
    problems = Problems()
    node = parse("profiles/pay.yaml", text.encode("utf-8", "surrogatepass"), problems)
    places: dict[str, Mark] = {}
    if node is not None:
        read_profile("profiles/pay.yaml", node, problems, places)
    for found in problems.all():
        assert 1 <= found.line <= text.count("\n") + 2
        found.render()


@given(broken(MANIFEST), broken(DESK), broken(SHEET), broken(CEDAR))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_bundle_never_raises(
    tmp_path_factory: object, manifest: str, profile: str, sheet: str, cedar: str
) -> None:
    """A bundle broken everywhere is read to its end; what is wrong is in the findings."""
    folder = tmp_path_factory.mktemp("bundle")  # type: ignore[attr-defined]
    files = {
        "bundle.yaml": manifest,
        "profiles/desk.yaml": profile,
        "tools/desk.yaml": sheet,
        "policies/rules.cedar": cedar,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    bundle, problems = read_bundle(folder)
    if not problems.failed:
        compile_bundle(bundle, problems)
    for found in problems.all():
        found.render()


@given(st.text(max_size=60))
def test_a_quoted_text_comes_back(value: str) -> None:
    """Cedar's quoting loses nothing and lets nothing out of its quotes."""
    literal = quote(value)
    assert unquote(literal) == value
    assert re.fullmatch(r'"(?:[^"\\\n]|\\.)*"', literal)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5))
def test_policies_are_split_whatever_their_strings_hold(values: list[str]) -> None:
    """A `;`, a quote or `//` in a string or comment ends no policy."""
    text = "".join(
        f'// {json.dumps(value)} ; "\nforbid(principal, action, resource) when {{ context.x == {quote(value)} }};\n'
        for value in values
    )
    problems = Problems()
    assert len(split_policies("policies/a.cedar", text, problems)) == len(values)
    assert not problems.failed


@given(st.text("ab()[]{}*+?|\\d.^$-,19", max_size=12), st.text("ab19-.", max_size=40))
def test_a_pattern_that_is_taken_compiles_and_is_quick(pattern: str, value: str) -> None:
    """Whatever the pattern check lets through is a pattern of Python's, and matches in bounded time."""
    if not refused_pattern(pattern):
        started = time.perf_counter()
        re.fullmatch(pattern, value + "b" * 100, re.ASCII)
        assert time.perf_counter() - started < 1


SOURCE_WORDS = st.sampled_from(
    [
        *(
            "request",
            "inputs",
            "args",
            "trusted",
            "result",
            "(",
            ")",
            ".",
            " ",
            "where",
            "and",
            "in",
            "is",
            "max",
            "min",
        ),
        *("a", "b_1", "$key", "*", '"', '"x y"', "[]", "=", "é", "\n", "sum(", "-"),
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(SOURCE_WORDS, max_size=14).map("".join)))
@settings(max_examples=500)
def test_a_source_is_read_or_refused_within_itself(text: str) -> None:
    """Any text is a source that reads back from its own words, or a fault at a place within the text."""
    fault = None
    try:
        source = parse_source(text)
    except SourceError as error:
        fault = error
    if fault is not None:
        assert 0 <= fault.offset <= len(text)
        assert fault.message
    elif '"' not in text and source.kind != "const":
        assert parse_source(str(source)) == source
