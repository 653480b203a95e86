"""A bundle's own cases, run on the real decision plane."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from flyball.assembly.scratch import scratch
from flyball.edges.cli.main import run as flyball
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
    report = run_bundle_tests(load_bundle(folder), scratch)
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
    assert re.search(r"expected +allow\n +got +deny \(argument_out_of_bounds: an argument is outside", report)
    assert re.search(r"expected +deny \(policy_forbids: .*\n +got +deny \(argument_out_of_bounds", report)
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
        (f"- name: a\n  profile: pay\n  {STEP.replace('deny', 'deny, reason: ')}", "wrong_type"),
        (f"- name: a\n  profile: pay\n  {STEP.replace('deny', '')}", "missing_field"),
        (f"- name: a\n  profile: pay\n  {STEP.replace('expect', 'expct')}", "unknown_key"),
        (f"- name: a\n  profile: pay\n  {STEP.replace('tool.pay', 'tool.pai')}", "unknown_action"),
        (f"- name: a\n  profile: pay\n  {STEP.replace('pay}', 'pay, args: {amont: 1}}')}", "unknown_argument"),
        (f"- name: a\n  profile: pay\n  {STEP.replace('pay}', 'pay, pep: sdkk}')}", "unknown_pep"),
        (f"- name: a\n  profile: pay\n  inputs: {{limt: 1}}\n  {STEP}", "unknown_input"),
        (f"- name: a\n  {STEP}", "missing_field"),
        ("- name: a\n  profile: pay\n  steps: [{report: }]", "wrong_type"),
        ("- name: a\n  profile: pay\n  steps: [{reprt: {result: 1}}]", "unknown_key"),
        ("- name: a\n  profile: pay\n  steps: [{expect: deny}]", "missing_field"),
        ("- name: a\n  profile: pay\n  steps: [{plan: [], reason: plan_to_late}]", "wrong_choice"),
        ("- name: a\n  profile: pay\n  steps: [{approve: ann, reason: plan_too_late}]", "wrong_choice"),
        ("- name: a\n  profile: pay\n  steps: [{check: {action: tool.pay}}]", "missing_field"),
        ("[]", "missing_field"),
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
    assert [found.code for found in report.diagnostics] == [code], report.render()
    assert not report.ok
    assert report.as_json()["ok"] is False


SLIPS = [
    ("action: tool.pay", "action: tool.pai", "tool.pay"),
    ("expect: deny", "expect: denny", "deny"),
    ("expect: deny", "exspect: deny", "expect"),
    ("expect: deny", "expect: deny, reason: origin_mismach", "origin_mismatch"),
    ("steps:", "stepps:", "steps"),
    ("check:", "chek:", "check"),
]


@pytest.mark.parametrize(("right", "wrong", "meant"), SLIPS)
def test_a_misspelt_word_is_told_with_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], right: str, wrong: str, meant: str
) -> None:
    """The command says what was probably meant, at the word, and says the one fault once."""
    folder = Path(shutil.copytree(BASE, tmp_path / "bundle"))
    (folder / "tests").mkdir()
    (folder / "tests" / "cases.yaml").write_text(f"- name: a\n  profile: pay\n  {STEP.replace(right, wrong)}")
    assert flyball(("test", str(folder))) == 1
    told = capsys.readouterr().out
    assert f"did you mean `{meant}`?" in told
    assert told.count(": error") == 1, told


def test_what_a_bundle_lacks_may_be_asked_for_on_purpose(tmp_path: Path) -> None:
    """A case may be about an unknown action or argument: it then says so by its reason."""
    passed, report = run(
        tmp_path,
        """
- name: strangers
  profile: pay
  inputs: {invoice: I-7, limit: "50"}
  vouched_by: https://tickets.example.org
  steps:
    - {check: {action: tool.burn, resource: pay}, expect: deny, reason: action_unknown}
    - {check: {action: tool.pay, resource: pay, args: {tip: 1}}, expect: deny, reason: argument_unknown}
""",
    )
    assert passed == [True], report


def test_a_failing_case_tells_where_the_value_came_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The call, both answers with their meaning, the argument that failed, what was demanded, where it was seen."""
    folder = Path(shutil.copytree(ROOT / "bundles" / "examples", tmp_path / "bundle"))
    cases = folder / "tests" / "assistant.yaml"
    text = cases.read_text(encoding="utf-8")
    changed = re.sub(r"expect: deny\n +reason: origin_mismatch", "expect: allow", text, count=1)
    assert changed != text
    cases.write_text(changed, encoding="utf-8")
    assert flyball(("test", str(folder))) == 1
    told = capsys.readouterr().out
    line = text[: text.index("reason: origin_mismatch")].count("\n") - 1
    assert f'tests/assistant.yaml:{line}: mail_send on mail {{"to": ["press@evil.example"]' in told
    for fact in (
        r"expected +allow\n",
        r"got +deny \(origin_mismatch: an argument does not come from where the rule demands\)",
        r"failed +to \(as email\) was \['press@evil.example'\]",
        r"wanted +request or result\(contacts_find\).email",
        r"came from +first seen in result 1 of mail_search, field body, writable by outside",
        r"to allow it +in profiles/assistant.yaml",
    ):
        assert re.search(fact, told), fact
    assert "1 failed" in told


def test_a_bundle_without_cases_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing failed, and nothing was tried either: that is said."""
    assert flyball(("test", str(shutil.copytree(BASE, tmp_path / "bundle")))) == 0
    told = capsys.readouterr().out
    assert "no cases: write some into tests/*.yaml" in told


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
