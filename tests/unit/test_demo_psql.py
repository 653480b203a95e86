"""What the demo reads of a psql that is stopped while it reads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flyball.demo import unmodified

SAID = "error: the task tsk_1 is over: an operator revoked it"


def test_the_word_of_the_end_is_found_before_rows_that_come_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`flyball run` may learn of the end before psql has written what it had read already, or half a row of it."""
    thirty = "for n in range(30): print(n, 'row', sep=chr(9))"
    torn = "print(7, 'to', sep=chr(9), end='', flush=True)"
    said = f"print({SAID!r}, file=sys.stderr, flush=True)"
    text = f"import sys\n{thirty}\n{said}\n{torn}\n{said}\nprint('rn')\n{thirty}"
    monkeypatch.setattr(unmodified, "FLYBALL", [sys.executable, "-c", text])
    psql = unmodified.Psql(Path("psql"), "p", {})
    psql.read_on()
    rows, last = psql.rest(within_s=30)
    psql.stop()
    assert (rows, last[-2:]) == (61, [SAID, SAID])
