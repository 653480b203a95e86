"""A bundle's own cases, run on the real decision plane."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flyball.policy.bundle_tests import run_bundle_tests
from flyball.policy.cases import json_text
from flyball.policy.compile import load_bundle
from flyball.policy.diagnostics import Problems
from flyball.policy.yaml import parse

ROOT = Path(__file__).parents[2]
BASE = ROOT / "tests" / "assets" / "bundles" / "base"


def run(tmp_path: Path, cases: str) -> tuple[list[bool], str]:
    """Which cases of the base bundle pass, and the report."""
    folder = Path(shutil.copytree(BASE, tmp_path / "bundle"))
    (folder / "tests").mkdir()
    (folder / "tests" / "cases.yaml").write_text(cases, encoding="utf-8")
    report = run_bundle_tests(load_bundle(folder))
    return [result.ok for result in report.results], report.render()


@pytest.mark.parametrize("name", ["demo", "authzen", "examples"])
def test_the_shipped_bundles_pass_their_own_cases(name: str) -> None:
    """Every case of every example bundle passes, and there are some."""
    report = run_bundle_tests(load_bundle(ROOT / "bundles" / name))
    assert report.ok, report.render()
    assert len(report.results) >= 3


CASES = """
- name: paid
  profile: pay
  inputs: {invoice: I-7, limit: "50"}
  vouched_by: https://tickets.example.org
  steps:
    - {check: {action: tool.pay, resource: pay, args: {amount: 20.50, to: alice}}, expect: allow}
    - {check: {action: tool.pay, resource: pay, args: {amount: 20, to: alice}}, expect: deny, reason: once_per_spent}
- name: expected the wrong thing
  profile: pay
  inputs: {invoice: I-7, limit: "50"}
  vouched_by: https://tickets.example.org
  steps:
    - {check: {action: tool.pay, resource: pay, args: {amount: 50.01, to: alice}}, expect: allow}
- name: right effect, wrong reason
  profile: pay
  inputs: {invoice: I-7, limit: "50"}
  vouched_by: https://tickets.example.org
  steps:
    - {check: {action: tool.pay, resource: pay, args: {amount: 50.01, to: alice}}, expect: deny, reason: policy_forbids}
- name: not vouched for
  profile: pay
  inputs: {invoice: I-7, limit: "50"}
  steps:
    - {check: {action: tool.pay, resource: pay, args: {amount: 1, to: alice}}, expect: allow}
- name: forbidden by hand
  profile: pay
  inputs: {invoice: I-7, limit: "50"}
  vouched_by: https://tickets.example.org
  steps:
    - {check: {action: tool.pay, resource: pay, args: {amount: 1, to: mallory}}, expect: deny, reason: policy_forbids}
    - {check: {action: sql.select, resource: ledger.accounts, pep: sdk}, expect: deny, reason: task_fenced}
"""


def test_a_case_fails_where_the_answer_is_another(tmp_path: Path) -> None:
    """Effect and reason both count; a case that cannot open its task fails with why; the rest runs on."""
    passed, report = run(tmp_path, CASES)
    assert passed == [True, False, False, False, True], report
    assert "expected allow, got deny (argument_out_of_bounds)" in report
    assert "must be vouched for by https://tickets.example.org" in report
    assert report.endswith("5 cases, 3 failed")


STEP = "steps: [{check: {action: tool.pay, resource: pay}, expect: deny}]"


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (f"- name: a\n  profile: nope\n  {STEP}", "unknown_profile"),
        (f"- name: a\n  profile: pay\n  agent: nope\n  {STEP}", "unknown_agent"),
        (f"- name: a\n  profile: pay\n  {STEP.replace('deny', 'maybe')}", "wrong_choice"),
        (f"- name: a\n  profile: pay\n  {STEP.replace('deny', 'deny, reason: x')}", "wrong_choice"),
        ("- name: a\n  profile: pay\n  steps: [{check: {action: tool.pay}}]", "missing_field"),
        ("- name: a\n  profile: pay", "missing_field"),
        ("- name: a\n  profile: pay\n  stepz: []", "unknown_key"),
        ("name: a", "wrong_shape"),
    ],
)
def test_a_case_that_cannot_be_read_is_no_success(tmp_path: Path, case: str, code: str) -> None:
    """A misspelt case is a finding with its place, and the report as a whole is not ok."""
    folder = Path(shutil.copytree(BASE, tmp_path / "bundle"))
    (folder / "tests").mkdir()
    (folder / "tests" / "cases.yaml").write_text(case, encoding="utf-8")
    report = run_bundle_tests(load_bundle(folder))
    assert code in {found.code for found in report.diagnostics}
    assert not report.ok
    assert report.as_json()["ok"] is False


def test_the_report_as_json(tmp_path: Path) -> None:
    """Each step with its line, what was expected and what came."""
    folder = Path(shutil.copytree(BASE, tmp_path / "bundle"))
    (folder / "tests").mkdir()
    (folder / "tests" / "cases.yaml").write_text(CASES, encoding="utf-8")
    report = json.loads(json.dumps(run_bundle_tests(load_bundle(folder)).as_json()))
    assert report["ok"] is False
    step = report["cases"][1]["steps"][0]
    assert (step["line"], step["ok"], step["expect"], step["effect"]) == (14, False, "allow", "deny")


def test_arguments_keep_their_digits() -> None:
    """A number reaches the decision plane as it stands in the case, text stays text."""
    node = parse("a.yaml", b'{a: 1.50, b: 7, c: "7", d: [true, ~], "e\\"": x}', Problems())
    assert node is not None
    assert json_text(node) == '{"a": 1.50, "b": 7, "c": "7", "d": [true, null], "e\\"": "x"}'
