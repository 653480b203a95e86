"""Looking at certificates' files again: when, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs
from tests.wait import until

from flyball.assembly import certificates
from flyball.assembly.certificates import Look, Renewal, looks_of
from flyball.flow.house import House


def test_what_is_said() -> None:
    """A change is logged once, whether it can be used or not; what cannot is told for as long as that is so."""
    found: list[list[Look]] = []

    def looker() -> Iterator[Look]:
        yield from found[-1]

    house = cast("House", SimpleNamespace(certificate_problems={}))
    renewal = Renewal(house, [looker, lambda: looks_of(b'[{"place":"b","changed":false,"problem":null}]')])
    said: list[list[str]] = []
    told: list[dict[str, str]] = []
    for changed, problem in [(False, ""), (True, "half"), (False, "half"), (True, "other"), (True, ""), (False, "")]:
        found.append([Look("a", changed, problem)])
        with capture_logs() as logged:
            renewal.look()
        said.append([f"{one['log_level']} {one['place']}" for one in logged])
        told.append(house.certificate_problems)
    assert said == [[], ["warning a"], [], ["warning a"], ["info a"], []]
    assert told == [{}, {"a": "half"}, {"a": "half"}, {"a": "other"}, {}, {}]


def test_a_look_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """One failure of ours is no reason never to look again."""
    monkeypatch.setattr(certificates, "EVERY_S", 0.01)
    looks: list[int] = []

    def looker() -> Iterator[Look]:
        looks.append(1)
        raise RuntimeError
        yield

    renewal = Renewal(cast("House", SimpleNamespace(certificate_problems={})), [looker])
    renewal.start()
    try:
        until(lambda: len(looks) > 1, 10, "it looks again")
    finally:
        renewal.stop()
