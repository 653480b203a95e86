"""The rows of the table: how the gate is made, and the runs of each suite."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.intent.bundle import Folder, Loaded, has_kinds, load, load_role
from bench.intent.plane import ExactGate, Gate, plane
from bench.intent.replay import Run, plan_of, replay, replay_recorded
from bench.intent.suites import AnySuite
from bench.intent.suites.dojo import Case, DataSuite, LiveSuite
from bench.intent.suites.model import Call, Prompt, Recorded


@dataclass(frozen=True, slots=True)
class RowSpec:
    """One row. `ladder` replaces the profile's reactions; `plan`: declared at open; `kinds`: a profile per kind."""

    id: str
    title: str
    profile: bool = True
    plan: bool = False
    kinds: bool = False
    ladder: str = ""
    exact: bool = False
    only_dojo: bool = False


ROWS: tuple[RowSpec, ...] = (
    RowSpec("role", "a role: every tool that the suite's tasks use (floor)", profile=False),
    RowSpec("agent", "one profile per agent"),
    RowSpec("agent-plan", "one profile per agent + plan declared at open", plan=True, only_dojo=True),
    RowSpec("kind", "a profile per kind of task", kinds=True),
    RowSpec("kind-plan", "a profile per kind of task + plan declared at open", kinds=True, plan=True, only_dojo=True),
    RowSpec("freeze", "one profile per agent, freeze at the first breach", ladder="freeze", only_dojo=True),
    RowSpec("revoke", "one profile per agent, revoke at the first breach", ladder="revoke", only_dojo=True),
    RowSpec("ceiling", "names + exact arguments (a ceiling, not a policy)", profile=False, exact=True, only_dojo=True),
)
BY_ID = {row.id: row for row in ROWS}


@dataclass
class SuiteRuns:
    """What came of one row on one suite."""

    suite: str
    family: str
    benign: list[Run] = field(default_factory=list)
    attacked: list[Run] = field(default_factory=list)
    effects: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run_row(row: RowSpec, suite: AnySuite, folder: Folder | None) -> SuiteRuns | None:
    """Run one row on one suite; None where the row is not for it.

    Raises:
        FolderError: the folder has no profile for the suite.
        BundleRefused: the bundle's own reader, lint or compiler found faults.
    """
    dojo = isinstance(suite, LiveSuite | DataSuite)
    if (row.only_dojo and not dojo) or (row.profile and folder is None):
        return None
    if row.kinds and not (folder is not None and has_kinds(folder, suite.name)):
        return None
    out = SuiteRuns(suite.name, suite.family)
    began = time.monotonic()
    with _gates(row, suite, folder) as (open_gate, effect_of):
        for make in _benign(suite):
            out.benign.append(make(open_gate))
        for make in _attacked(suite):
            out.attacked.append(make(open_gate))
        for run in (*out.benign, *out.attacked):
            for one in run.calls:
                out.effects.setdefault(one.call.function, effect_of(one.call.function))
    out.seconds = time.monotonic() - began
    return out


OpenGate = Callable[[Prompt, Sequence[Call]], Gate]
Make = Callable[[OpenGate], Run]


@contextmanager
def _gates(row: RowSpec, suite: AnySuite, folder: Folder | None) -> Iterator[tuple[OpenGate, Callable[[str], str]]]:
    if row.exact:
        yield lambda _, benign: ExactGate(benign), lambda _: "write"
        return
    with tempfile.TemporaryDirectory(prefix="flyball-intent-") as into:
        loaded = _load(row, suite, folder, Path(into))
        for found in loaded.compiled.diagnostics if row.id in {"agent", "kind"} else ():
            print(f"    {found.render().splitlines()[0]}", file=sys.stderr)
        with plane(loaded, ladder=row.ladder) as behind:

            def open_gate(prompt: Prompt, benign: Sequence[Call]) -> Gate:
                return behind.open(prompt, plan_of(benign, behind.effect_of) if row.plan else None)

            yield open_gate, behind.effect_of
            for what, count in behind.unreported.items():
                print(f"    result refused by the plane, {count} times: {what}", file=sys.stderr)


def _load(row: RowSpec, suite: AnySuite, folder: Folder | None, into: Path) -> Loaded:
    tools = suite.tools()
    if row.profile and folder is not None:
        return load(folder, suite.name, tools, into, by_task=row.kinds)
    return load_role(suite.name, tools, _used(suite), into)


def _used(suite: AnySuite) -> set[str]:
    if isinstance(suite, LiveSuite | DataSuite):
        return {call.function for make in suite.benign() for call in make().benign}
    return {step.call.function for run in suite.benign() for step in run.steps if step.real}


def _benign(suite: AnySuite) -> Iterator[Make]:
    if isinstance(suite, LiveSuite | DataSuite):
        for case in suite.benign():
            yield _of_case(case)
    else:
        for recorded in suite.benign():
            yield _of_recorded(recorded)


def _attacked(suite: AnySuite) -> Iterator[Make]:
    if isinstance(suite, LiveSuite | DataSuite):
        for case in suite.attacked():
            yield _of_case(case)
    else:
        for recorded in suite.attacked():
            yield _of_recorded(recorded)


def _of_case(make: Callable[[], Case]) -> Make:
    def go(gate: OpenGate) -> Run:
        case = make()
        return replay(case, gate(case.prompt, case.benign))

    return go


def _of_recorded(recorded: Recorded) -> Make:
    return lambda gate: replay_recorded(recorded, gate(recorded.prompt, ()))
