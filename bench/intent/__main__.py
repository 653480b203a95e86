"""`python -m bench.intent --suite NAME[,NAME] --profiles FOLDER --out FILE [--rows ROW[,ROW]]`."""

from __future__ import annotations

import argparse
import datetime
import sys
import time
import traceback
from pathlib import Path

from bench.intent import report
from bench.intent.bundle import FolderError
from bench.intent.figures import rows_of
from bench.intent.folders import freeze_all
from bench.intent.rows import BY_ID, ROWS, run_row
from bench.intent.suites import AnySuite, SuiteError, open_suite
from bench.machine import facts
from bench.measure import ROOT, Row
from bench.report import merge_intent
from flyball.kernel.errors import FlyballError
from flyball.policy.diagnostics import BundleRefused
from flyball.policy.engine import CoreError

_SUITES = "workspace,travel,shopping,dailylife,airline,retail"


def main() -> int:
    """Replay the suites; 0 if every row was taken, whether its limits are met or not."""
    words = _arguments()
    try:
        chosen = [BY_ID[name] for name in _names(words.rows)] or list(ROWS)
        suites = [open_suite(name, live=not words.recorded) for name in _names(words.suite)]
        folders = freeze_all(words.profiles) if words.profiles else None
    except KeyError as error:
        print(f"error: no such row: {error.args[0]}\nhint: one of {', '.join(BY_ID)}", file=sys.stderr)
        return 2
    except (SuiteError, FolderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    names = [suite.name for suite in suites]
    digests = folders.digests(names) if folders is not None else {}
    without = [folders.missing(name) for name in names if name not in digests] if folders is not None else []
    print(f"profiles: {report.hashes(digests) if digests else 'none; rows of profiles are left out'}", flush=True)
    for one in without:
        print(f"note: {one}", flush=True)
    results: report.Results = {}
    failed = False
    began = time.monotonic()
    for row in chosen:
        for suite in suites:
            try:
                found = run_row(row, suite, folders.of(suite.name) if folders is not None else None)
            except (FlyballError, FolderError, CoreError) as error:
                print(f"error: row {row.id}, suite {suite.name}: {error}", file=sys.stderr)
                for fault in error.diagnostics if isinstance(error, BundleRefused) else ():
                    print(fault.render(), file=sys.stderr)
                failed = True
                continue
            except Exception:
                # One row that cannot be taken does not cost the others.
                print(f"error: row {row.id}, suite {suite.name} was not taken:", file=sys.stderr)
                traceback.print_exc()
                failed = True
                continue
            if found is not None:
                results.setdefault(row.id, []).append(found)
                print(
                    f"  {time.monotonic() - began:6.1f} s  {row.id}, {suite.name}: {len(found.benign)} benign, "
                    f"{len(found.attacked)} attacked", file=sys.stderr, flush=True,
                )  # fmt: skip
    rows = list(rows_of(results))
    for taken in rows:
        taken["without_profiles"] = without
    _finish(words, rows, results, digests, suites)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.intent", description="Work held to its intent, replayed.")
    parser.add_argument("--suite", default=_SUITES, help=f"suites by name, by commas (default {_SUITES})")
    parser.add_argument(
        "--profiles", type=Path, help="folder with tools/*.yaml and profiles/*.yaml, or a folder of such folders"
    )
    parser.add_argument(
        "--out", type=Path, help="the rows here, every call's page beside; by default bench/intent/results.json, and "
        "the section of bench/RESULTS.md is made anew",
    )  # fmt: skip
    parser.add_argument("--rows", default="", help=f"some of {', '.join(BY_ID)}, by commas; all by default")
    parser.add_argument("--recorded", action="store_true", help="AgentDojo from its recorded ground truth, not live")
    parser.add_argument("--calls", type=Path, help="write every call of every run here, a line of JSON each")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _finish(
    words: argparse.Namespace, rows: list[Row], results: report.Results, digests: dict[str, str], suites: list[AnySuite]
) -> None:
    prompts = {(suite.name, prompt.task): prompt.text for suite in suites for prompt in suite.prompts()}
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    told, commit = {suite.name: suite.facts() for suite in suites}, facts()["commit"]
    out: Path = words.out or ROOT / "intent" / "results.json"
    page = report.write(
        out, rows, results, digests=digests, facts=told, prompts=prompts, date=now, commit=commit,
    )  # fmt: skip
    if words.out is None:
        merge_intent(report.stamp(rows, digests, told, now, commit))
    if words.calls:
        words.calls.write_text("".join(line + "\n" for line in report.calls(results)))
    for row in rows:
        limit = f"  must {row['must']}: {'met' if row['met'] else 'NOT MET'}" if row["must"] else ""
        print(f"{row['id']}: {row['value']} {row['unit']} (n {row['n']}){limit}")
    print(f"profiles: {report.hashes(digests)}; {out}, {page}")


if __name__ == "__main__":
    sys.exit(main())
