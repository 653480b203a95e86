"""Doubting the plugin: between a backend and the rest of Flyball stands this façade.

Every answer is checked for type, shape and size before anybody relies on it; every error becomes
one of the port's two, with a bounded text that quotes nothing of an unknown error's; and every call
ends, here, after `timeout_s`, whatever the backend does. A call that was given up runs on in its own
thread until it ends by itself; steps are idempotent, so what it still does is no harm.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from flyball.credential.backend import (
    Backend,
    Claim,
    DoorProbe,
    Found,
    HoldsTarget,
    Issued,
    KeepsKey,
    LeaseSpec,
    Plan,
    ProbeReport,
    RotatesAdmin,
    StepOutcome,
    TargetRefused,
    TargetUnavailable,
)
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json, canonical
from flyball.kernel.secret import Secret

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9_.:@/-]{1,200}")
_STEP = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MARK = re.compile(r"(?:[0-9a-f]{12})?")
_VERDICTS = frozenset({"refused", "accepted", "inconclusive"})
UNSUPPORTED = "rotation_unsupported"
_MOST_BYTES = 65_536
_MOST_FOUND = 100_000
_MOST_STEPS = 20
_MOST_ABANDONED = 64


class Guarded:
    """A backend whose answers can be relied on in type and shape. It is itself a `Backend`."""

    def __init__(self, backend: Backend, *, timeout_s: float = 30.0) -> None:
        self._backend = backend
        self._timeout_s = timeout_s
        self._abandoned = threading.BoundedSemaphore(_MOST_ABANDONED)

    def __repr__(self) -> str:
        return f"Guarded({self._backend.kind!r})"

    @property
    def kind(self) -> str:
        """The connector's name."""
        return self._backend.kind

    def plan(self, spec: LeaseSpec) -> Plan:
        """Name and recipe. Asked twice: a plan that differs is no plan that a recovery could rebuild."""
        plan = self._checked("plan", lambda: self._backend.plan(spec))
        _is(plan, Plan, "plan")
        if not isinstance(plan.name, str) or not _NAME.fullmatch(plan.name):
            raise _odd("plan", "its name is none")
        _json(plan.recipe, "plan.recipe")
        if self._checked("plan", lambda: self._backend.plan(spec)) != plan:
            raise _odd("plan", "two plans of one lease differ")
        return plan

    def issue(self, plan: Plan, secret: Secret) -> Issued:
        """Create the credential. An answer that quotes the secret is refused, and the lease taken back."""
        issued = self._call("issue", lambda: self._backend.issue(plan, secret))
        _is(issued, Issued, "issue")
        for where, value in (("connection", issued.connection), ("progress", issued.progress)):
            if secret.reveal().encode() in _json(value, f"issue.{where}"):
                raise _odd("issue", f"its {where} holds the secret")
        if not _whole(issued.native_expiry_ms):
            raise _odd("issue", "its native expiry is no time")
        return issued

    def steps(self, plan: Plan) -> Sequence[str]:
        """The revoke steps."""
        steps = self._checked("steps", lambda: list(self._backend.steps(plan)))
        named = all(isinstance(step, str) and _STEP.fullmatch(step) for step in steps)
        if not steps or not named or len(steps) > _MOST_STEPS or len(set(steps)) != len(steps):
            raise _odd("steps", "they are no list of names")
        return tuple(steps)

    def run(self, step: str, plan: Plan, progress: Mapping[str, Json]) -> StepOutcome:
        """Do one revoke step."""
        outcome = self._call(step, lambda: self._backend.run(step, plan, progress))
        _is(outcome, StepOutcome, step)
        _json(outcome.observed, f"{step}.observed")
        _json(outcome.progress, f"{step}.progress")
        if not isinstance(outcome.weaknesses, tuple) or not all(isinstance(w, str) for w in outcome.weaknesses):
            raise _odd(step, "its weaknesses are no texts")
        return outcome

    def probe(self, plan: Plan, progress: Mapping[str, Json], secret: Secret | None) -> ProbeReport:
        """Try every door. A report that is not whole proves nothing, and is an error."""
        report = self._call("probe", lambda: self._backend.probe(plan, progress, secret))
        _is(report, ProbeReport, "probe")
        if not isinstance(report.doors, tuple) or not report.doors:
            raise _odd("probe", "it reports no door")
        for door in report.doors:
            _door(door, secret)
        if len({door.door for door in report.doors}) != len(report.doors):
            raise _odd("probe", "it reports a door twice")
        return report

    def inventory(self, issuer: str) -> Sequence[Found]:
        """Everything at the target with our prefix and `issuer`."""
        found = self._call("inventory", lambda: list(self._backend.inventory(issuer)))
        if len(found) > _MOST_FOUND:
            raise _odd("inventory", "it is too long")
        for item in found:
            _is(item, Found, "inventory")
            sound = isinstance(item.name, str) and isinstance(item.lease, str) and _whole(item.sessions)
            if not sound or not (item.age_ms is None or _whole(item.age_ms)):
                raise _odd("inventory", "an item of it is malformed")
            if not isinstance(item.store, str) or not _MARK.fullmatch(item.store):
                raise _odd("inventory", "an item of it bears no store's mark")
        return tuple(found)

    def inspect(self) -> Mapping[str, Json]:
        """Facts for `status`."""
        facts = self._call("inspect", self._backend.inspect)
        _json(facts, "inspect")
        return facts

    @property
    def holds(self) -> bool:
        """Whether the backend lets one Flyball of an issuer work at its target at a time."""
        return isinstance(self._backend, HoldsTarget)

    def hold(self, claim: Claim) -> None:
        """See `HoldsTarget.hold`. Where the backend has no such thing, nothing is to be held."""
        backend = self._backend
        if isinstance(backend, HoldsTarget):
            self._call("hold", lambda: backend.hold(claim))

    def let_go(self) -> None:
        """See `HoldsTarget.let_go`."""
        backend = self._backend
        if isinstance(backend, HoldsTarget):
            self._call("let_go", backend.let_go)

    @property
    def rotates(self) -> bool:
        """Whether the backend can give our own login a new secret."""
        return isinstance(self._backend, RotatesAdmin)

    def rotate_admin(self) -> None:
        """Give our own login at the target a new secret.

        Raises:
            TargetRefused: `rotation_unsupported` where the backend cannot; else see `RotatesAdmin`.
        """
        backend = self._backend
        if not isinstance(backend, RotatesAdmin):
            raise TargetRefused(f"a {backend.kind} target has no login that Flyball could rotate", code=UNSUPPORTED)
        self._call("rotate", backend.rotate_admin)

    def kept(self, plan: Plan, secret: Secret) -> Secret:
        """What a gateway uses for a lease: the key that the backend keeps, if it does, else the lease's secret."""
        backend = self._backend
        if not isinstance(backend, KeepsKey):
            return secret
        key = self._call("kept", lambda: backend.kept(plan, secret))
        _is(key, Secret, "kept")
        return key

    def _call(self, what: str, call: Callable[[], T]) -> T:
        """`_checked`, in a thread of its own that we wait for no longer than `timeout_s`."""
        if not self._abandoned.acquire(blocking=False):
            raise TargetUnavailable(f"{what}: too many calls hang at this target already")
        answers: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                answers.append(self._checked(what, call))
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                errors.append(error)
            finally:
                self._abandoned.release()

        thread = threading.Thread(target=work, name=f"flyball-target-{what}", daemon=True)
        thread.start()
        thread.join(self._timeout_s)
        if errors:
            raise errors[0]
        if not answers:
            raise TargetUnavailable(f"{what}: no answer within {self._timeout_s:g} s")
        return answers[0]

    @staticmethod
    def _checked(what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except (TargetUnavailable, TargetRefused) as error:
            bounded = type(error)(_plain(error.detail), code=error.code, hint=_plain(error.hint))
        except ConfigError as error:  # a password file that is gone, say: it may come back
            bounded = TargetUnavailable(f"{what}: {_plain(error.detail)}", hint=_plain(error.hint))
        except Exception as error:  # noqa: BLE001 - unknown: its text may quote anything, so only its type travels
            bounded = TargetUnavailable(f"{what}: the backend failed with {type(error).__name__[:60]}")
        raise bounded from None


def _door(door: object, secret: Secret | None) -> None:
    if not isinstance(door, DoorProbe):
        raise _odd("probe", "a door of it is none")
    sound = isinstance(door.door, str) and isinstance(door.detail, str) and len(door.detail) <= 1000
    if not sound or door.verdict not in _VERDICTS or not isinstance(door.control, bool) or not _whole(door.sessions):
        raise _odd("probe", "a door of it is malformed")
    if secret is not None and secret.reveal() in door.detail:
        raise _odd("probe", "a door of it holds the secret")


def _is(value: object, kind: type, what: str) -> None:
    if type(value) is not kind:
        raise _odd(what, f"it answered no {kind.__name__}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _json(value: object, what: str) -> bytes:
    if not isinstance(value, Mapping):
        raise _odd(what, "it is no mapping")
    try:
        text = canonical(dict(value))
    except (TypeError, ValueError, RecursionError):
        raise _odd(what, "it is no JSON without floats") from None
    if len(text) > _MOST_BYTES:
        raise _odd(what, "it is too large")
    return text


def _plain(text: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(text))[:300]


def _odd(what: str, why: str) -> TargetUnavailable:
    return TargetUnavailable(f"{what}: the backend's answer cannot be used: {why}", code="backend_answer")
