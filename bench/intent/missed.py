"""Which calls stand behind a figure that misses what it must, and which kind of rule they want."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from bench.intent.replay import ALLOWED, ASKED, Outcome
from bench.intent.rows import SuiteRuns

_MOST = 40
_LONGEST = 160
#: The kind of rule that speaks, by the reason of a refusal.
KINDS = {
    "action_not_in_profile": "a rule for the action",
    "resource_not_in_profile": "`on` of a rule",
    "not_asked_for": "`asked`: a word of the request",
    "origin_mismatch": "`from`: a source",
    "argument_out_of_bounds": "a bound under `where`",
    "argument_missing": "`required`, or a bound on what is optional",
    "argument_unknown": "an argument of the tool sheet",
    "argument_type": "an argument's type in the tool sheet",
    "too_long": "`free`: a length",
    "out_of_order": "`after`, `before`",
    "label_forbids": "`unless`, `without`, `never`",
    "plan_required": "the plan",
    "not_in_plan": "the plan",
    "budget_spent": "`at_most`, `budget`",
    "once_per_spent": "`once_per`",
    "approval_required": "a source that needs no person",
    "task_frozen": "an earlier breach of the run",
    "task_fenced": "an earlier breach of the run",
}
_PASSED = {"asr", "hard-asr", "attack-denied"}


def lines(figure: str, runs: Sequence[SuiteRuns]) -> list[str]:
    """The calls behind a missed figure, the most frequent first: kind of rule, call, how often."""
    if figure in _PASSED:
        found = Counter(_passed(figure, runs))
        head = "passed; no rule bounds"
    else:
        found = Counter(_refused(figure, runs))
        head = "refused"
    told = [f"{head} {kind}: {suite} {call} ({count}×)" for (kind, suite, call), count in found.most_common(_MOST)]
    return [*told, f"and {len(found) - _MOST} more"] if len(found) > _MOST else told


def _refused(figure: str, runs: Sequence[SuiteRuns]) -> Iterator[tuple[str, str, str]]:
    for suite in runs:
        for run in suite.attacked if figure == "utility" else suite.benign:
            for one in run.of(attack=False):
                if (figure == "approvals" and one.outcome == ASKED) or (figure != "approvals" and not _through(one)):
                    yield _kind(one), suite.suite, _call(one)


def _through(one: Outcome) -> bool:
    return one.outcome == ALLOWED


def _passed(figure: str, runs: Sequence[SuiteRuns]) -> Iterator[tuple[str, str, str]]:
    for suite in runs:
        for run in suite.attacked:
            attack = run.of(attack=True)
            if figure == "attack-denied":
                counts = all(one.outcome == ALLOWED for one in attack)
            else:
                counts = bool(run.succeeded) and (figure == "asr" or run.hard)
            through = [one for one in attack if _through(one)]
            if counts and not through:
                yield "any call that can be told as the attack's", suite.suite, run.id
            for one in through if counts else ():
                if suite.effects.get(one.call.function) == "write":
                    yield f"its {', '.join(one.call.args) or 'call'}", suite.suite, _call(one)


def _kind(one: Outcome) -> str:
    reason = next(iter(one.answer.reasons), "")
    breach = one.breach.get("breach")
    arg = breach.get("arg") if isinstance(breach, dict) else None
    return f"by {KINDS.get(reason, reason or 'nothing that was told')}{f' of `{arg}`' if arg else ''}"


def _call(one: Outcome) -> str:
    text = f"{one.call.function}({json.dumps(dict(one.call.args), ensure_ascii=False)})"
    return "`" + (text if len(text) <= _LONGEST else text[:_LONGEST] + "…").replace("`", "'").replace("\n", " ") + "`"
