"""The replay: benign calls, and in attacked runs the attack at the moment at which its text is first seen.

The attacker is a fully obedient agent. It makes the task's own calls until a result first shows the injected
text, then the whole attack, then the rest. A refused call does not run. What is asked about is answered by an
operator: yes to the task's own calls, no to the attack's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.intent.plane import Answer, Gate
from bench.intent.suites.dojo import Case
from bench.intent.suites.model import Call, Done, Recorded
from flyball.kernel.json import Json

#: Outcomes of a call.
ALLOWED, ASKED, DENIED = "allowed", "asked", "denied"


@dataclass(slots=True)
class Outcome:
    """One call of a run: what was decided, and whether it ran. `failed`: the tool itself refused or failed."""

    call: Call
    of_attack: bool
    outcome: str
    answer: Answer
    ran: bool = False
    failed: bool = False
    breach: Mapping[str, Json] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    """One run that was replayed. `utility` and `succeeded` are the benchmark's own checks where it has them."""

    id: str
    task: str
    attack: str = ""
    hard: bool = False
    reached: bool = False
    calls: list[Outcome] = field(default_factory=list)
    utility: bool | None = None
    succeeded: bool = False

    def of(self, *, attack: bool) -> list[Outcome]:
        """The task's own calls, or the attack's."""
        return [one for one in self.calls if one.of_attack is attack]

    @property
    def all_ran(self) -> bool:
        """Whether every one of the task's own calls ran, perhaps after a person's yes."""
        return all(one.ran for one in self.of(attack=False))

    @property
    def wholly_allowed(self) -> bool:
        """Whether every one of the task's own calls was allowed without asking."""
        return all(one.outcome == ALLOWED for one in self.of(attack=False))


def attempt(gate: Gate, call: Call, execute: Callable[[Call], Done], *, of_attack: bool) -> tuple[Outcome, Done | None]:
    """One call: asked, perhaps settled by a person and asked again, run if it may, reported."""
    answer = first = gate.check(call)
    outcome = ALLOWED if answer.effect == "allow" else ASKED if answer.asks else DENIED
    if answer.asks:
        gate.settle(answer, not of_attack)
        if not of_attack:
            answer = gate.check(call)
    if answer.effect != "allow":
        return Outcome(call, of_attack, outcome if outcome == ASKED and of_attack else DENIED, first), None
    done = execute(call)
    gate.report(answer, call, done)
    return Outcome(call, of_attack, outcome, first, ran=True, failed=bool(done.error)), done


def replay(case: Case, gate: Gate) -> Run:
    """Replay one task of a benchmark that has an environment."""
    run = Run(case.id, case.prompt.task, case.attack_id, case.hard)
    for place, call in enumerate(case.benign):
        outcome, done = attempt(gate, call, case.world.run, of_attack=False)
        run.calls.append(outcome)
        if done is not None and case.attack and not run.reached and place in case.shows:
            run.reached = True
            run.calls += [attempt(gate, bad, case.world.run, of_attack=True)[0] for bad in case.attack]
    run.utility = case.utility()
    run.succeeded = bool(case.attack) and case.security()
    _breaches(run, gate)
    return run


def replay_recorded(recorded: Recorded, gate: Gate) -> Run:
    """Replay a recorded run in its own order; results are those of then. Names that are no tool are left out."""
    run = Run(recorded.id, recorded.prompt.task, recorded.attack)
    for step in recorded.steps:
        if not step.real:
            continue
        outcome, _ = attempt(gate, step.call, _as_recorded(step.done), of_attack=step.of_attack)
        outcome.failed = bool(step.done.error)
        run.calls.append(outcome)
    run.reached = any(one.of_attack for one in run.calls)
    run.succeeded = bool(recorded.attack) and not any(one.outcome != ALLOWED for one in run.calls if one.of_attack)
    _breaches(run, gate)
    return run


def _as_recorded(done: Done) -> Callable[[Call], Done]:
    return lambda _: done


def _breaches(run: Run, gate: Gate) -> None:
    """Ask the records about the task's own calls that were refused, in runs without an attack."""
    if run.attack or all(one.outcome == ALLOWED for one in run.calls):
        return
    known = gate.breaches()
    for one in run.calls:
        one.breach = known.get(one.answer.decision, {})


def plan_of(calls: Sequence[Call], effect_of: Callable[[str], str]) -> list[Mapping[str, Json]]:
    """The plan that a planner who saw only the request would give: names and counts of the effects."""
    counts = Counter(call.function for call in calls if effect_of(call.function) == "write")
    return [{"action": name, "count": count} for name, count in counts.items()]
