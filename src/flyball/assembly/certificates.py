"""Certificates of what listens here: their files are looked at again while it runs.

A workload's X509-SVID lives an hour, so whoever renews it writes new files, and no restart follows. Files that cannot
be used (half written, a key of another certificate, gone) change nothing: what was in force stays, which is logged
once for each change and told by `status`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from flyball.flow.house import House
from flyball.kernel.json import parse

log = structlog.get_logger("flyball.certificates")
EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the files of one place found.

    Attributes:
        place: where it listens.
        changed: whether the files are others than at the look before.
        problem: why they cannot be used, or empty.
    """

    place: str
    changed: bool
    problem: str


def looks_of(told: bytes) -> Iterator[Look]:
    """As the compiled listeners tell them."""
    listed = parse(told)
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict):
            yield Look(str(one["place"]), one["changed"] is True, str(one["problem"] or ""))


class Renewal:
    """Looks every few seconds, on a thread of its own: the file system may keep it waiting."""

    def __init__(self, house: House, lookers: Sequence[Callable[[], Iterator[Look]]]) -> None:
        self._house = house
        self._lookers = lookers
        self._stop, self._asked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="flyball-certificates", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def now(self) -> None:
        """Look at once. Returns before it has."""
        self._asked.set()

    def stop(self) -> None:
        """Look no more; the thread has ended when this returns, unless the file system keeps it."""
        self._stop.set()
        self._asked.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as fault:  # noqa: BLE001 - one failure is no reason never to look again
                log.error("the certificates were not looked at", error=type(fault).__name__)
            self._asked.wait(EVERY_S)
            self._asked.clear()

    def look(self) -> None:
        """One look at everything."""
        problems: dict[str, str] = {}
        for look in (one for looker in self._lookers for one in looker()):
            if look.problem:
                problems[look.place] = look.problem
            if look.changed and look.problem:
                log.warning("certificates cannot be used; those before stay", place=look.place, detail=look.problem)
            elif look.changed:
                log.info("new certificates are in force", place=look.place)
        self._house.certificate_problems = problems
