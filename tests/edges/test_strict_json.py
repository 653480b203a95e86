"""Bodies are read so that no two readers could read them differently."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.edges.http import strict_json
from flyball.kernel.errors import InvalidInput

WHOLE = st.integers(min_value=-(2**63), max_value=2**63 - 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | WHOLE | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_ordinary_json_is_read_as_it_is(value: object) -> None:
    """What json.dumps writes, without floats, comes back unchanged."""
    assert strict_json.loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    """Any bytes are a value or an InvalidInput, and never another error."""
    with suppress(InvalidInput):
        strict_json.loads(data)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b"9223372036854775808",
        b"1" * 5000,
        b"[" * 33 + b"]" * 33,
        b"[" * 50_000,
        b'{"a": 1} x',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"'a'",
        b"",
    ],
)
def test_what_could_be_read_differently_is_refused(text: bytes) -> None:
    """Duplicates, non-numbers, half surrogates, numbers beyond 64 bits, depth, trailing bytes, a byte-order mark."""
    with pytest.raises(InvalidInput):
        strict_json.loads(text)


def test_a_decimal_keeps_its_source_text() -> None:
    """120.10 stays "120.10": a float would no longer be what was written."""
    assert strict_json.loads(b'{"limit": 120.10, "e": 1e2}') == {"limit": "120.10", "e": "1e2"}
