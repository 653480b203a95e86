"""What came of a bundle's own cases, for people and machines: the call, what was expected, what came, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flyball.kernel.json import Json
from flyball.policy.cases import Case, Step
from flyball.policy.diagnostics import Diagnostic, visible
from flyball.policy.verdict import REASONS, Answer

_LONGEST = 300


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of one step. `why`: what the plane's record says of a wrong answer, as (label, text); often empty."""

    step: Step
    answer: Answer
    ok: bool
    why: tuple[tuple[str, str], ...] = ()

    @property
    def call(self) -> str:
        """What was asked, as one text: the action, its resource and its arguments; for other steps their kind."""
        if self.step.kind != "check":
            return self.step.kind
        question = self.step.question
        args = question.args_json if len(question.args_json) <= _LONGEST else question.args_json[:_LONGEST] + "…"
        return f"{question.action} on {question.resource.id or '(no resource)'} {args}"

    @property
    def expected(self) -> str:
        """What the case expects, with the meaning of the reason that it names."""
        if self.step.kind == "check":
            return f"{self.step.expect}{_because((self.step.reason,) if self.step.reason else ())}"
        return f"refused ({self.step.reason})" if self.step.reason else "taken"

    @property
    def got(self) -> str:
        """What came instead, with the meaning of its reasons."""
        if self.step.kind == "check":
            return f"{self.answer.effect.value}{_because(self.answer.reasons)}"
        return f"refused ({', '.join(self.answer.reasons)})" if self.answer.reasons else "taken"

    def lines(self) -> Iterator[str]:
        """The step for people: its place and call, then what was expected, what came and why."""
        mark = self.step.mark
        yield visible(f"{mark.file}:{mark.line}: {self.call}")
        facts = [("expected", self.expected), ("got", self.got), *self.why]
        width = max(len(label) for label, _ in facts)
        yield from (f"  {label:<{width}}  {visible(text)}" for label, text in facts)

    def as_json(self) -> dict[str, Json]:
        """The same for a machine."""
        return {
            "file": self.step.mark.file,
            "line": self.step.mark.line,
            "ok": self.ok,
            "kind": self.step.kind,
            "call": self.call,
            "expect": self.step.expect,
            "reason": self.step.reason,
            "effect": self.answer.effect.value,
            "reasons": list(self.answer.reasons),
            "policies": list(self.answer.policies),
            "why": [{"label": label, "text": text} for label, text in self.why],
        }


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case. `error` is why it could not run, or empty."""

    case: Case
    steps: tuple[StepResult, ...]
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether every step answered as expected."""
        return not self.error and all(step.ok for step in self.steps)

    def lines(self) -> Iterator[str]:
        """The case for people: its name and place, and below it what was wrong."""
        mark = self.case.mark
        yield f"{'ok  ' if self.ok else 'FAIL'}  {visible(self.case.name)}  {visible(mark.file)}:{mark.line}"
        if self.error:
            yield f"        {visible(self.error)}"
        for step in self.steps:
            if not step.ok:
                yield from (f"        {line}" for line in step.lines())


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all cases, and what was wrong with the files."""

    results: tuple[CaseResult, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether every case ran and passed."""
        return not self.diagnostics and all(result.ok for result in self.results)

    def summary(self) -> str:
        """The counts, in one line."""
        if self.diagnostics:
            count = len(self.diagnostics)
            return f"no case was run: {count} fault{'' if count == 1 else 's'} in tests/*.yaml"
        if not self.results:
            return "no cases: write some into tests/*.yaml of the bundle"
        failed = sum(not result.ok for result in self.results)
        return f"{len(self.results)} case{'' if len(self.results) == 1 else 's'}, {failed} failed"

    def render(self) -> str:
        """All of it for people: one line a case, below it the steps that failed, and the counts."""
        lines = [found.render() for found in self.diagnostics]
        lines += [line for result in self.results for line in result.lines()]
        return "\n".join([*lines, self.summary()])

    def as_json(self) -> dict[str, Json]:
        """The same as a JSON object."""
        cases: list[Json] = [
            {
                "name": result.case.name,
                "file": result.case.mark.file,
                "line": result.case.mark.line,
                "ok": result.ok,
                "error": result.error,
                "steps": [one.as_json() for one in result.steps],
            }
            for result in self.results
        ]
        return {"ok": self.ok, "cases": cases, "diagnostics": [found.as_json() for found in self.diagnostics]}


def _because(reasons: tuple[str, ...]) -> str:
    told = [f"{code}: {REASONS[code]}" if code in REASONS else code for code in reasons if code != "allowed"]
    return f" ({'; '.join(told)})" if told else ""
