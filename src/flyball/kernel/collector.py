"""Python's garbage collector, around the start of a process.

A start makes hundreds of thousands of objects, modules above all, and hardly any garbage. Left to
itself the collector looks through them again and again: while they are made, in each full pass
afterwards, and several times more on the way out. That is a third of a server's start and stop.
"""

from __future__ import annotations

import gc

_USUAL = gc.get_threshold()
_STARTING = (50_000, *_USUAL[1:])


def starting() -> None:
    """Look seldom, until `started` or the end: what is made now stays."""
    gc.set_threshold(*_STARTING)


def started() -> None:
    """Leave what is here alone from now on, and look through what comes as usual. For processes that serve."""
    gc.freeze()
    gc.set_threshold(*_USUAL)


def ending() -> None:
    """What is here goes with the process; the interpreter need not look through it first."""
    gc.freeze()
