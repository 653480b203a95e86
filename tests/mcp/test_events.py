"""Server-sent events as the gateway reads them: data, ids to go on after, and how long to wait."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flyball.edges.mcp.events import Events


@given(cut=st.lists(st.integers(0, 60)))
def test_events_are_the_same_however_they_arrive(cut: list[int]) -> None:
    """In whichever portions: lines joined, one space after the colon, comments and unknown fields left out."""
    stream = b": hello\r\nid: 7\r\ndata: a\r\ndata:b\r\n\r\nevent: x\ndata:  c\n\nid: 8\n\n"
    at = sorted({0, *(min(one, len(stream)) for one in cut), len(stream)})
    events = Events()
    found = [one for start, end in pairwise(at) for one in events.feed(stream[start:end])]
    assert found == [b"a\nb", b" c"]
    assert events.last == "8"


def test_an_id_that_could_be_no_header_is_none() -> None:
    """It goes back to the server as a header: with a NUL, too long, or beyond ASCII it does not, and the one before
    stays."""
    for ident in (b"a\0b", b"x" * 1025, "é".encode(), b"a\x7fb"):
        events = Events()
        list(events.feed(b"id: good\ndata: a\n\n"))
        assert list(events.feed(b"id: " + ident + b"\ndata: b\n\n")) == [b"b"]
        assert events.last == "good", ident


def test_how_long_to_wait_is_a_number() -> None:
    """Anything else leaves it as it was."""
    events = Events()
    for told, pause_s in ((b"250", 0.25), (b"soon", 0.25), (b"-1", 0.25), (b"9" * 9, 0.25), (b"3000", 3.0)):
        list(events.feed(b"retry: " + told + b"\n\n"))
        assert events.pause_s == pause_s
