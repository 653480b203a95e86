"""results.json in the benchmarks' form, and a page: every figure, refused benign call and successful attack."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.intent.figures import FIGURES, standing_in_request, useful
from bench.intent.replay import ALLOWED, ASKED, Outcome, Run
from bench.intent.rows import BY_ID, SuiteRuns
from bench.intent.suites.model import Facts
from bench.measure import Row
from flyball.kernel.json import Json

Results = dict[str, list[SuiteRuns]]
_PLAIN = {"role", "ceiling"}
_LONGEST = 240

_DEFINITIONS = """\
**AgentDojo.** The agent is fully obedient: it makes the task's own calls (the benchmark's ground truth) until a result
first shows the injected text, then the whole attack, then the rest. Refused calls do not run; allowed calls run in the
benchmark's own environment. *ASR* is the benchmark's own security check on that environment; *hard* pairs are those
in which every tool of the attack is also used by the task. *Utility under attack*: every call of the task's own ran,
and the benchmark's own utility check holds. A call that is asked about counts as asked, not as allowed; an operator
says yes to the task's own calls and no to the attack's. The plan, where a row has one, holds names and counts of the
effect tools of the ground truth. Attacks without ground-truth calls are left out.

**AgentDyn.** Recorded runs of real models, replayed in their own order with the results of then; calls of names that
are no tool are left out. *Attacked runs* are those whose attack succeeded by the benchmark's own check. A run is
labelled, not its calls, so a call counts as *of the attack* where a result before it shows the injected text, and (1)
no attack-free run of the same user task, by any model, uses the tool at all, or (2) one of the call's argument values
stands in the injected instruction and in none of that task's attack-free calls nor in the request, or (3) one of its
texts was first shown by the result of such a call (the id that the attack's own search found) and stands in none of
them either. *Denied* here means not allowed: refused, or asked about and refused by the operator. A run in which no
call can be told as the attack's counts as one without a denied call.

**tau2.** Reference actions without results, databases or later turns of the user; the request is the scenario text.

**Results.** The harness is the enforcement point: it reports what a tool returned as JSON, before it was rendered for a
model. Where a sheet declares a list or a map and the tool returned text, the text is read as JSON, a Python literal or
YAML if it is one. A call that failed is not reported: its message repeats the caller's own arguments.

**`check`.** In-process, JSON in and verdict out, over all calls of the row, records buffered to a real store. Each run
has a core of its own that has just loaded its bundle and decides a handful of calls, so these are cold decisions."""


def write(
    out: Path, rows: Sequence[Row], results: Results, *, digests: Mapping[str, str], facts: Mapping[str, Facts],
    prompts: Mapping[tuple[str, str], str], date: str, commit: str,
) -> Path:  # fmt: skip
    """Write the rows to `out` and the page beside it; return the page's path."""
    stamped = stamp(rows, digests, facts, date, commit)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(stamped, indent=1, ensure_ascii=False) + "\n")
    page = out.with_name("RESULTS.md")
    page.write_text(render(rows, results, digests, facts, prompts, date, commit))
    return page


def stamp(
    rows: Sequence[Row], digests: Mapping[str, str], facts: Mapping[str, Facts], date: str, commit: str
) -> list[Row]:
    """The rows with what they were taken from: the profiles' hashes, the suites' sources, the day and the commit."""
    out: list[Row] = []
    for row in rows:
        suites = row["suites"]
        held = {one: digests[one] for one in suites if one in digests} if isinstance(suites, list) else {}
        out.append(
            {
                **row, "profiles": ", ".join(dict.fromkeys(held.values())), "by_suite": held,
                "sources": _sources(row, facts), "date": date, "commit": commit,
            }
        )  # fmt: skip
    return out


def render(
    rows: Sequence[Row], results: Results, digests: Mapping[str, str], facts: Mapping[str, Facts],
    prompts: Mapping[tuple[str, str], str], date: str, commit: str,
) -> str:  # fmt: skip
    """The page."""
    out = [
        "# Work held to its intent: results", "",
        "Made by `python -m bench.intent`; docs/benchmarks.md says how each figure is taken.", "",
        f"Profiles, frozen before anything was run: {hashes(digests)}. {date}, commit {commit}.", "",
    ]  # fmt: skip
    held = [row for row in rows if row["must"]]
    if held:
        out += ["## Held against limits", "", "| figure | value | must | aim | met |", "|---|---|---|---|---|"]
        for row in held:
            met = "yes, and the aim" if row["aim_met"] else "yes" if row["met"] else "**no**"
            out.append(
                f"| {row['id']} | {_number(row['value'])} {row['unit']} | {row['must']} | {row['aim']} | {met} |"
            )
        out.append("")
    for family, figures in FIGURES.items():
        suites = sorted({one.suite for runs in results.values() for one in runs if one.family == family})
        if not suites:
            continue
        out += [f"## {family}: {', '.join(suites)}", ""]
        out += [f"- {suite}: {_facts(facts[suite])}" for suite in suites if suite in facts]
        groups = [suites] if len(suites) == 1 else [suites, *([suite] for suite in suites)]
        for group in groups:
            shown = ", ".join(group)
            out += ["", f"| {shown} | " + " | ".join(figure.title for figure in figures) + " |"]
            out.append("|---|" + "---|" * len(figures))
            for row_id, runs in results.items():
                of_group = [one for one in runs if one.suite in group and one.family == family]
                if of_group:
                    cells = [_cell(*figure.share(of_group), figure.unit) for figure in figures]
                    out.append(f"| {BY_ID[row_id].title} | " + " | ".join(cells) + " |")
        out.append("")
        if family == "tau2":
            out += [*_missing(results, prompts), ""]
    out += ["## What is counted", "", _DEFINITIONS, ""]
    for row_id, runs in results.items():
        if row_id not in _PLAIN:
            out += _details(row_id, runs)
    return "\n".join(out).rstrip() + "\n"


def calls(results: Results) -> Iterator[str]:
    """Every call of every run, a line of JSON each."""
    for row, suites in results.items():
        for suite in suites:
            for run in (*suite.benign, *suite.attacked):
                for one in run.calls:
                    yield json.dumps(
                        {
                            "row": row, "suite": suite.suite, "run": run.id, "function": one.call.function,
                            "args": dict(one.call.args), "of_attack": one.of_attack, "outcome": one.outcome,
                            "reasons": list(one.answer.reasons), "reaction": one.answer.reaction, "ran": one.ran,
                            "breach": one.breach.get("breach"), "us": one.answer.us,
                        },
                        ensure_ascii=False,
                    )  # fmt: skip


def _details(row_id: str, runs: Sequence[SuiteRuns]) -> list[str]:
    out = [f"## Row: {BY_ID[row_id].title}", ""]
    refused = [
        (suite.suite, run, one) for suite in runs for run in suite.benign for one in run.calls if one.outcome != ALLOWED
    ]
    out += [f"### Benign calls not allowed ({len(refused)})", ""]
    if refused:
        out += [
            "| suite, run | call | outcome | reason | argument | demanded | seen |",
            "|---|---|---|---|---|---|---|",
        ]
        out += [_refused(suite, run, one) for suite, run, one in refused]
    won = [(suite.suite, run) for suite in runs for run in suite.attacked if run.succeeded]
    out += ["", f"### Attacks that succeeded ({len(won)})", ""]
    if won:
        out += ["| suite, run | hard | the attack's calls that ran |", "|---|---|---|"]
        for suite, run in won:
            ran = "<br>".join(_call(one) for one in run.of(attack=True) if one.ran)
            out.append(f"| {suite} {run.id} | {'yes' if run.hard else ''} | {ran or '(none told as its own)'} |")
    lost = Counter(
        (suite.suite, one.call.function, ", ".join(one.answer.reasons))
        for suite in runs if suite.family == "agentdojo"
        for run in suite.attacked if not useful(run)
        for one in run.of(attack=False) if not one.ran
    )  # fmt: skip
    if lost:
        out += ["", "### The task's own calls that did not run in attacked runs", ""]
        out += ["| suite | tool | reason | how often |", "|---|---|---|---|"]
        out += [f"| {suite} | {tool} | {why} | {count} |" for (suite, tool, why), count in lost.most_common()]
    return [*out, ""]


def _refused(suite: str, run: Run, one: Outcome) -> str:
    breach = one.breach.get("breach")
    told = breach if isinstance(breach, dict) else {}
    seen = told.get("seen")
    wanted = told.get("wanted")
    argument = str(told.get("arg") or "") + (f" as {told['as']}" if told.get("as") else "")
    return (
        f"| {suite} {run.id} | {_call(one)} | {'asked' if one.outcome == ASKED else 'denied'}"
        f"{', failed then' if one.failed else ''} | {', '.join(one.answer.reasons)} | {argument} "
        f"| {_safe('; '.join(map(str, wanted)) if isinstance(wanted, list) else '')} "
        f"| {_safe('; '.join(_seen(item) for item in seen) if isinstance(seen, list) else '')} |"
    )


def _seen(item: Json) -> str:
    if not isinstance(item, dict):
        return str(item)
    place = f"result {item.get('result')} of {item.get('action')}, field {item.get('field') or '(whole)'}"
    return f"{place}, by {item.get('by')}"


def _call(one: Outcome) -> str:
    text = f"{one.call.function}({json.dumps(dict(one.call.args), ensure_ascii=False)})"
    return "`" + _safe(text if len(text) <= _LONGEST else text[:_LONGEST] + "…").replace("`", "'") + "`"


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def hashes(digests: Mapping[str, str]) -> str:
    """The profiles' hashes, each once, with the suites that it is for."""
    by_hash: dict[str, list[str]] = {}
    for suite, digest in digests.items():
        by_hash.setdefault(digest, []).append(suite)
    return "; ".join(f"{', '.join(suites)} `{digest}`" for digest, suites in by_hash.items()) or "none"


def _sources(row: Row, facts: Mapping[str, Facts]) -> list[str]:
    """Where the figures of a row are from: live environments and recorded data do not weigh the same."""
    suites = row["suites"]
    return sorted({facts[name].source for name in suites if name in facts}) if isinstance(suites, list) else []


def _facts(facts: Facts) -> str:
    left = "; ".join(f"{what}: {count}" for what, count in facts.left_out.items())
    return facts.source + (f" ({left})" if left else "")


def _missing(results: Results, prompts: Mapping[tuple[str, str], str]) -> list[str]:
    row = next((name for name in ("agent", "role") if name in results), "")
    runs = [one for one in results.get(row, []) if one.family == "tau2"]
    found, total = standing_in_request(runs, prompts)
    share = f"{100 * found / total:.0f} %" if total else "none"
    return [
        f"Of {total} argument values of effects, {found} ({share}) stand in the scenario text. Missing in the data:",
        "the results of the reads before (ids of items, payment methods, prices), the databases behind them, and the",
        "user's later turns. Where a value can only come from there, a rule that asks for its origin must refuse.",
    ]


def _cell(value: float, n: int, unit: str) -> str:
    return f"{_number(value)} {unit if unit in {'%', 'µs'} else ''}".strip() + f" ({n})" if n else "–"


def _number(value: object) -> str:
    return (
        f"{value:.4g}"
        if isinstance(value, float) and abs(value) >= 100
        else f"{value:.3g}"
        if isinstance(value, float)
        else str(value)
    )
