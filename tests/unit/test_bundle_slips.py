"""One slip is one finding: what is missing only because of it is not reported beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flyball.edges.cli.main import run as flyball
from flyball.policy.compile import compile_bundle
from flyball.policy.diagnostics import Diagnostic
from flyball.policy.load import read_bundle

EXAMPLES = Path(__file__).parents[2] / "bundles" / "examples"
SHEET, PROFILE, FRAME = "tools/office.yaml", "profiles/assistant.yaml", "bundle.yaml"
TO = "to: {as: email, required: true, from: [request"

#: (file, what stands there, what is written instead, the one finding's code and file)
SLIPS = [
    (SHEET, "effect: read", "effect: rad", "wrong_choice", SHEET),
    (SHEET, "email: email by user", "email: emial by user", "wrong_returns", SHEET),
    (SHEET, "email: email by user", "email: email by usr", "wrong_returns", SHEET),
    (SHEET, "args: {to: strings, cc: ", "args: {to: stings, cc: ", "wrong_choice", SHEET),
    (SHEET, "args: {to: strings", "args: [to: strings", "yaml_syntax", SHEET),
    (SHEET, "args: {name: string}", "args: [name]", "wrong_shape", SHEET),
    (SHEET, "actions:\n", "action:\n", "unknown_key", SHEET),
    (SHEET, "contacts_find:", "contacts_fnd:", "unknown_action", PROFILE),
    (PROFILE, "inputs:\n", "input:\n", "unknown_key", PROFILE),
    (PROFILE, "{type: text", "{type: txt", "wrong_choice", PROFILE),
    (PROFILE, "allow:\n", "alow:\n", "unknown_key", PROFILE),
    (PROFILE, "ttl: 1h", "ttl: 1 hour", "wrong_duration", PROFILE),
    (PROFILE, TO, TO.replace("as: email", "as: emial"), "wrong_choice", PROFILE),
    (PROFILE, TO, TO.replace("from:", "form:"), "unknown_key", PROFILE),
    (PROFILE, TO, TO.replace("[request", "[reqest"), "wrong_source", PROFILE),
    (PROFILE, "- action: mail_send\n", "- action: mail_sned\n", "unknown_action", PROFILE),
    (FRAME, "may_report: true", "may_reprt: true", "unknown_key", FRAME),
    (FRAME, "assistant: {ids:", "assistant: {id:", "unknown_key", FRAME),
    (FRAME, "agents:\n", "agent:\n", "unknown_key", FRAME),
    (FRAME, "resource_types:\n", "resource_typs:\n", "unknown_key", FRAME),
    (FRAME, "trust_domains:", "trust_domain:", "unknown_key", FRAME),
    (FRAME, 'actions: ["*"]', "actions: [mail_sned]", "unknown_action", FRAME),
    (FRAME, "name: examples", "name: [examples", "yaml_syntax", FRAME),
]


def slipped(folder: Path, file: str, right: str, wrong: str) -> Path:
    """The example bundle with one slip in it."""
    shutil.copytree(EXAMPLES, folder)
    text = (folder / file).read_text(encoding="utf-8")
    assert right in text, "the slip no longer fits the bundle"
    (folder / file).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    return folder


def found_in(folder: Path) -> tuple[Diagnostic, ...]:
    bundle, problems = read_bundle(folder)
    compile_bundle(bundle, problems)
    return problems.all()


@pytest.mark.parametrize(("file", "right", "wrong", "code", "where"), SLIPS)
def test_one_slip_is_one_finding(tmp_path: Path, file: str, right: str, wrong: str, code: str, where: str) -> None:
    """The slip itself is found at its file; nothing that rests on it is called missing, dead or unreachable."""
    found = found_in(slipped(tmp_path / "bundle", file, right, wrong))
    assert [(one.code, one.file) for one in found] == [(code, where)], [one.render() for one in found]


def test_two_slips_are_two_findings(tmp_path: Path) -> None:
    """What is silent is only what rests on the slip: another fault in the same bundle is found beside it."""
    folder = slipped(tmp_path / "bundle", SHEET, "email: email by user", "email: emial by user")
    profile = folder / PROFILE
    text = profile.read_text(encoding="utf-8")
    profile.write_text(text.replace("result(mail_search).sender", "result(mail_search).sendr", 1), encoding="utf-8")
    assert {one.code for one in found_in(folder)} == {"wrong_returns", "unknown_field"}


def test_the_same_thing_on_several_lines_is_said_once(tmp_path: Path) -> None:
    """An action that is nowhere declared is told at the first line that names it; the hint has the other lines."""
    (found,) = found_in(slipped(tmp_path / "bundle", SHEET, "contacts_find:", "contacts_fnd:"))
    text = (EXAMPLES / PROFILE).read_text(encoding="utf-8")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if "contacts_find" in line]
    assert found.line == lines[0]
    assert found.hint == f"did you mean `contacts_fnd`?; the same on lines {', '.join(map(str, lines[1:]))}"


def test_the_code_stands_beside_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`flyball validate` and the commands that refuse a bundle show each finding's code, to look it up by."""
    folder = slipped(tmp_path / "bundle", SHEET, "effect: read", "effect: rad")
    assert flyball(("validate", str(folder))) == 1
    assert "`rad` is no `effect` of action `clock_now` [wrong_choice]" in capsys.readouterr().out
    assert flyball(("test", str(folder))) == 1
    assert "`rad` is no `effect` of action `clock_now` [wrong_choice]" in capsys.readouterr().err
