"""What a server was shown is not in what it says, in whichever of its usual spellings."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from flyball.edges.mcp.withheld import Withheld

SECRET = 'p&ss "word" \\ 7/é'


@pytest.mark.parametrize("spelled", [SECRET, quote(SECRET, safe=""), json.dumps(SECRET)[1:-1]])
def test_a_secret_is_withheld_as_it_is_percent_encoded_and_escaped(spelled: str) -> None:
    """Each as often as it is there; what stands around it stays."""
    withheld = Withheld()
    withheld.add(SECRET)
    said = f"<{spelled}> and <{spelled}>".encode()
    assert withheld.hide(said) == b"<[withheld]> and <[withheld]>"


def test_the_latest_are_looked_for_and_short_ones_are_not() -> None:
    """A lease is renewed now and then, and what was shown a while ago is over; a few characters are everywhere."""
    withheld = Withheld()
    for number in range(40):
        withheld.add(f"secret-number-{number:03}")
    withheld.add("short")
    assert withheld.hide(b"secret-number-039 short") == b"[withheld] short"
    assert withheld.hide(b"secret-number-025") == b"[withheld]"
    assert withheld.hide(b"secret-number-000") == b"secret-number-000"
