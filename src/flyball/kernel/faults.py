"""Named places where a test may make the process fail: killed, hung, or in error.

`fault_point("issue.after_intent")` costs one comparison while nothing is armed. Arming is either
by the environment (`FLYBALL_FAULTS="revoke.after_step:kill"`, read only by `arm_from_env`, which
a process with a production configuration refuses) or, inside a test, by `armed(...)`.

The plan is a comma-separated list of `point:action` or `point:action:nth` (the nth passing, from
1; default 1). Actions: `kill` (SIGKILL of this process, as a power cut would), `raise`
(`FaultInjected`), `hang` (for ever, or until a test's `armed` block ends).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flyball.kernel.errors import ConfigError

ENV = "FLYBALL_FAULTS"
ACTIONS = frozenset({"kill", "raise", "hang"})

# Every named step of issue and revoke. The chaos tests walk this list, so a new step goes in here.
ISSUE_POINTS = (
    "issue.before_intent",
    "issue.after_intent",
    "issue.after_target",
    "issue.after_active",
    "issue.after_delivered",
)
FLOW_POINTS = ("open.after_record", "end.after_fence", "end.after_store")
REVOKE_POINTS = (
    "revoke.before_revoking",
    "revoke.after_revoking",
    "revoke.before_step",
    "revoke.after_target",
    "revoke.after_step",
    "revoke.before_probe",
    "revoke.after_probe",
    "revoke.before_receipt",
    "revoke.after_receipt",
    "journal.before_append",
    "journal.after_append",
    "journal.before_compact",
    "journal.after_compact",
)


class FaultInjected(Exception):
    """The error that an armed `raise` raises. Not a FlyballError: nothing may expect it."""


class _Plan:
    """What is armed. Counting is under a lock, so `nth` is exact across threads."""

    def __init__(self, text: str) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, tuple[str, int]] = {}
        self.passed: dict[str, int] = {}
        self.release = threading.Event()
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            point, _, rest = part.partition(":")
            action, _, nth = rest.partition(":")
            if not point or action not in ACTIONS or (nth and not nth.isascii()) or (nth and not nth.isdigit()):
                raise ConfigError(
                    f"{ENV} holds {part!r}, which is not point:action or point:action:nth",
                    code="faults",
                    hint=f"actions are {', '.join(sorted(ACTIONS))}",
                )
            self._wanted[point] = (action, int(nth or 1))

    def pass_by(self, point: str) -> str | None:
        with self._lock:
            count = self.passed[point] = self.passed.get(point, 0) + 1
            wanted = self._wanted.get(point)
            return wanted[0] if wanted is not None and wanted[1] == count else None


class _Armed:
    """What the process is armed with; one, since a fault is the process's."""

    plan: _Plan | None = None


def fault_point(name: str) -> None:
    """Pass the named place; do there what was armed, if anything.

    Raises:
        FaultInjected: `raise` is armed here.
    """
    plan = _Armed.plan
    if plan is None:
        return
    match plan.pass_by(name):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise FaultInjected(name)
        case "hang":
            plan.release.wait()
        case _:
            pass


def arm_from_env(*, production: bool, environ: Mapping[str, str] | None = None) -> bool:
    """Arm what `FLYBALL_FAULTS` asks for; called once, at start. True if anything is armed.

    Raises:
        ConfigError: a production process was asked to fail on purpose, or the plan is malformed.
    """
    text = (os.environ if environ is None else environ).get(ENV, "")
    if not text:
        return False
    if production:
        raise ConfigError(f"{ENV} is set and the configuration is a production one", code="faults", hint=f"unset {ENV}")
    _Armed.plan = _Plan(text)
    return True


@contextmanager
def armed(text: str) -> Iterator[Mapping[str, int]]:
    """Arm a plan for the length of a `with` block (tests). Yields the count of passings by point."""
    before, plan = _Armed.plan, _Plan(text)
    _Armed.plan = plan
    try:
        yield plan.passed
    finally:
        _Armed.plan = before
        plan.release.set()
