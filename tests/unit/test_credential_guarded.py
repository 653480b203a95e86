"""The façade doubts the backend: odd answers, unknown errors and hanging calls reach nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import pytest

from flyball.connectors.memory.backend import MemoryBackend, World
from flyball.credential.backend import (
    DoorProbe,
    Found,
    Issued,
    LeaseSpec,
    Plan,
    ProbeReport,
    StepOutcome,
    TargetRefused,
    TargetUnavailable,
)
from flyball.credential.guarded import Guarded
from flyball.kernel.clock import SystemClock
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret

PLAN = Plan("name", {"issuer": "i", "lease": "l", "expires_ms": 1 << 50})
SECRET = Secret("a-secret-it-was-given")
SPEC = LeaseSpec("lea_local_" + "0" * 26, "t", "i", "w", 1, 1 << 50)


class Odd:
    """A backend that answers with whatever it was told to."""

    kind = "odd"

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def _say(self) -> object:
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer

    def plan(self, spec: LeaseSpec) -> Plan:
        return self._say()  # type: ignore[return-value]

    def issue(self, plan: Plan, secret: Secret) -> Issued:
        return self._say()  # type: ignore[return-value]

    def steps(self, plan: Plan) -> Sequence[str]:
        return self._say()  # type: ignore[return-value]

    def run(self, step: str, plan: Plan, progress: Mapping[str, Json]) -> StepOutcome:
        return self._say()  # type: ignore[return-value]

    def probe(self, plan: Plan, progress: Mapping[str, Json], secret: Secret | None) -> ProbeReport:
        return self._say()  # type: ignore[return-value]

    def inventory(self, issuer: str) -> Sequence[Found]:
        return self._say()  # type: ignore[return-value]

    def inspect(self) -> Mapping[str, Json]:
        return self._say()  # type: ignore[return-value]


def door(**changes: object) -> DoorProbe:
    members: dict[str, object] = {"door": "d", "verdict": "refused", "control": True, "detail": "", "sessions": 0}
    return DoorProbe(**(members | changes))  # type: ignore[arg-type]


ODD: dict[str, list[object]] = {
    "plan": [None, Plan("", {}), Plan("a b", {}), Plan("n" * 201, {}), Plan("n", {"x": 1.5}), Plan("n", None)],  # type: ignore[arg-type]
    "issue": [
        None,
        {},
        Issued({"password": SECRET.reveal()}, {}, 1),
        Issued({}, {"kept": ["x", SECRET.reveal()]}, 1),
        Issued({"x": object()}, {}, 1),  # type: ignore[dict-item]
        Issued({"x": "y" * 70_000}, {}, 1),
        Issued({}, {}, -1),
        Issued({}, {}, True),
        Issued({}, {}, "soon"),  # type: ignore[arg-type]
        Issued([], {}, 1),  # type: ignore[arg-type]
    ],
    "steps": [None, [], [""], ["A"], [1], ["a", "a"], [f"s{n}" for n in range(30)], "kill me"],
    "run": [None, StepOutcome({"x": 0.1}), StepOutcome(weaknesses=["a"]), StepOutcome(weaknesses=(1,))],  # type: ignore[arg-type]
    "probe": [
        None,
        True,
        ProbeReport(()),
        ProbeReport([door()]),  # type: ignore[arg-type]
        ProbeReport((door(), door())),
        ProbeReport((door(verdict="fine"),)),
        ProbeReport((door(control=1),)),
        ProbeReport((door(sessions=-1),)),
        ProbeReport((door(sessions=None),)),
        ProbeReport((door(detail=f"tried {SECRET.reveal()}"),)),
        ProbeReport((None,)),  # type: ignore[arg-type]
    ],
    "inventory": [
        None,
        [None],
        [Found("n", "l", -1, 0)],
        [Found("n", "l", None, True)],
        [Found(1, "l", 1, 1)],
        [Found("n", "l", 1, 1, "x\n")],
    ],  # type: ignore[arg-type]
    "inspect": [None, [], {"x": {1, 2}}],
}
CASES = [(call, answer) for call, answers in ODD.items() for answer in answers]


def ask(call: str, backend: Guarded) -> object:
    return {
        "plan": lambda: backend.plan(SPEC),
        "issue": lambda: backend.issue(PLAN, SECRET),
        "steps": lambda: backend.steps(PLAN),
        "run": lambda: backend.run("kill", PLAN, {}),
        "probe": lambda: backend.probe(PLAN, {}, SECRET),
        "inventory": lambda: backend.inventory("i"),
        "inspect": backend.inspect,
    }[call]()


@pytest.mark.parametrize(("call", "answer"), CASES, ids=[f"{call}-{n}" for n, (call, _) in enumerate(CASES)])
def test_an_odd_answer_is_no_answer(call: str, answer: object) -> None:
    """Of a wrong type or shape, too large, or quoting the secret: TargetUnavailable, which quotes nothing of it."""
    with pytest.raises(TargetUnavailable) as caught:
        ask(call, Guarded(Odd(answer)))
    assert SECRET.reveal() not in f"{caught.value!r} {caught.value.detail}"


@pytest.mark.parametrize("call", sorted(ODD))
def test_an_unknown_error_travels_by_its_type_alone(call: str) -> None:
    """Its text may quote a secret; neither the error nor its chain carries it on."""
    with pytest.raises(TargetUnavailable) as caught:
        ask(call, Guarded(Odd(KeyError(f"quoting {SECRET.reveal()}"))))
    error = caught.value
    assert "KeyError" in error.detail
    assert SECRET.reveal() not in f"{error!r} {error.__cause__!r} {error.__context__!r}"


@pytest.mark.parametrize("call", sorted(ODD))
def test_known_errors_keep_their_kind_and_are_bounded(call: str) -> None:
    """Refused stays refused; a long or unprintable text is cut and cleaned; a missing file may come back."""
    with pytest.raises(TargetRefused) as caught:
        ask(call, Guarded(Odd(TargetRefused("no\x1b[31m" + "x" * 5000, code="why"))))
    assert caught.value.code == "why"
    assert len(caught.value.detail) <= 300
    assert "\x1b" not in caught.value.detail
    with pytest.raises(TargetUnavailable):
        ask(call, Guarded(Odd(ConfigError("the file is gone"))))


def test_a_plan_that_differs_from_itself_is_refused() -> None:
    """A recovery could not rebuild it."""
    backend = Odd(None)
    plans = iter([Plan("a", {}), Plan("b", {})])
    backend.plan = lambda spec: next(plans)  # type: ignore[method-assign]
    with pytest.raises(TargetUnavailable):
        Guarded(backend).plan(SPEC)


def test_a_hanging_backend_is_given_up_in_time() -> None:
    """Every call ends by the façade's timeout; what hangs on goes on alone."""
    world = World()
    guarded = Guarded(MemoryBackend("m", frozenset({"w"}), SystemClock(), world), timeout_s=0.1)
    plan = guarded.plan(SPEC)
    world.faults.arm("kill", "hang")
    began = time.monotonic()
    with pytest.raises(TargetUnavailable, match="no answer within"):
        guarded.run("kill", plan, {})
    assert time.monotonic() - began < 2
    assert guarded.run("deny_login", plan, {}).observed == {"role": "absent"}
    world.faults.release()


def test_a_target_where_everything_hangs_costs_no_more_threads() -> None:
    """Past a bound of hanging calls, further ones are refused at once."""
    world = World()
    guarded = Guarded(MemoryBackend("m", frozenset({"w"}), SystemClock(), world), timeout_s=0.001)
    plan = guarded.plan(SPEC)
    world.faults.arm("kill", "hang", 1000)
    before = threading.active_count()
    for _ in range(64):
        with pytest.raises(TargetUnavailable):
            guarded.run("kill", plan, {})
    with pytest.raises(TargetUnavailable, match="too many"):
        guarded.run("kill", plan, {})
    assert threading.active_count() <= before + 64
    world.faults.clear()


def test_a_backend_without_a_login_of_ours_refuses_to_rotate_one() -> None:
    """Rotation is an optional capability: where it is missing the façade says so, and with a code of its own."""
    guarded = Guarded(Odd(None))
    assert not guarded.rotates
    with pytest.raises(TargetRefused) as caught:
        guarded.rotate_admin()
    assert caught.value.code == "rotation_unsupported"


def test_a_rotation_that_hangs_is_given_up() -> None:
    """Like every call at a target, it ends here in time."""
    backend = MemoryBackend("m", frozenset({"w"}), SystemClock(), World())
    backend.faults.arm("rotate", "hang")
    guarded = Guarded(backend, timeout_s=0.05)
    assert guarded.rotates
    with pytest.raises(TargetUnavailable):
        guarded.rotate_admin()
    backend.faults.release()
