"""The pages describe every field that the readers know, their examples hold, and every fault has its own test file."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from flyball.policy.cases import read_cases
from flyball.policy.compile import compile_bundle
from flyball.policy.diagnostics import Severity
from flyball.policy.load import read_bundle
from flyball.task.rules import VALUE_TYPES

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "src" / "flyball" / "policy"
DOC = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "writing-profiles.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "bundles" / "examples"
ASKING = {
    *("text", "whole", "flag", "choice", "duration", "texts", "items", "tables", "named", "node", "listed"),
    *("_constant", "_sources", "read_ladder"),
}
#: The readers, with the least number of fields that the search must find in each to be right.
READERS = {
    "manifest.py": 15,
    "actions.py": 8,
    "gateways.py": 4,
    "intent.py": 15,
    "allow.py": 15,
    "where.py": 9,
    "flow_rules.py": 10,
    "cases.py": 15,
}

#: Faults that need more than an edit of a file; tested in test_bundle_load.py and test_policy_yaml.py.
TESTED_ELSEWHERE = {
    "bundle_oversize",
    "bundle_yaml_missing",
    "cedar",
    "document_half_named",  # test_bundle_intent.py: it takes more than one edit
    "outside_bundle",
    "standing_privilege",  # test_standing.py: it takes a sheet
    "yaml_encoding",
    "yaml_oversize",
    # test_http_gateway.py: a target of kind `http`
    "operation_twice",
    "place_twice",
    "unknown_openapi",
    "wrong_inject",
    "wrong_intercept",
    "wrong_network",
    "wrong_path",
    "wrong_url",
}


def calls(module: str) -> list[ast.Call]:
    tree = ast.parse((POLICY / module).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def texts(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def fields_of(module: str) -> set[str]:
    """The field names that a reader asks for, literally or in a loop over literal names."""
    found: set[str] = set()
    for call in calls(module):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in ASKING:
            for argument in call.args[:2]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found.add(argument.value)
                    break
    tree = ast.parse((POLICY / module).read_text(encoding="utf-8"))
    for loop in (node for node in ast.walk(tree) if isinstance(node, (ast.For, ast.DictComp))):
        source = loop.iter if isinstance(loop, ast.For) else loop.generators[0].iter
        if isinstance(source, ast.Tuple):
            found |= texts(source)
    return {name for name in found if re.fullmatch(r"[a-z][a-z0-9_]*", name)}


@pytest.mark.parametrize("module", READERS)
def test_every_field_is_documented(module: str) -> None:
    """A field that a reader knows stands in docs/bundle.md or docs/writing-profiles.md, in code font."""
    fields = fields_of(module)
    assert len(fields) >= READERS[module], "the search for fields finds too few to be right"
    documented = set(re.findall(r"`([a-z][a-z0-9_]*)(?:: [^`]*)?`", DOC + PAGE))
    assert fields - documented == set()


def test_every_fault_has_a_file() -> None:
    """Each code that a reader or the lint may report is planted somewhere under tests/assets/bundles."""
    codes: set[str] = set()
    for path in POLICY.glob("*.py"):
        for call in calls(path.name):
            named = isinstance(call.func, ast.Attribute) and call.func.attr in ("error", "warning")
            if named and call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
                codes.add(call.args[0].value)
            if isinstance(call.func, ast.Attribute) and call.func.attr == "known":
                codes |= {one.value for one in call.args[4:5] if isinstance(one, ast.Constant)}
    planted = {
        re.search(r'"code": "(\w+)"', path.read_text(encoding="utf-8")).group(1)  # type: ignore[union-attr]
        for path in (ROOT / "tests" / "assets" / "bundles").glob("*.json")
    }
    assert len(codes) > 50
    assert codes - planted - TESTED_ELSEWHERE == set()


def test_the_documented_profile_is_sound(tmp_path: Path) -> None:
    """The profile shown in docs/bundle.md is read and compiled without an error, beside the demo's bundle.yaml."""
    example = re.search(r"```yaml\n(profile: .*?)```", DOC, re.DOTALL)
    assert example
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "settle-refund.yaml").write_text(example.group(1), encoding="utf-8")
    (tmp_path / "tools").mkdir()
    for name in ("bundle.yaml", "schema.cedarschema", "tools/desk.yaml"):
        text = (ROOT / "bundles" / "demo" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text, encoding="utf-8")
    _, problems = read_bundle(tmp_path)
    assert not problems.failed


BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
FILES = sorted([*EXAMPLES.glob("*.yaml"), *EXAMPLES.glob("tools/*.yaml"), *EXAMPLES.glob("profiles/*.yaml")])
#: Tools that only the page's fragments speak of.
BILLS = """
tools: bills
resource: tool
actions:
  bill_get:
    effect: read
    args: {number: string}
    returns: {number: id by org, iban: iban by outside, total: money by outside}
  file_read: {effect: read, args: {path: string}, returns: text by outside}
  file_download: {effect: write, args: {url: string}, returns: text by outside}
  catalogue_search:
    effect: read
    args: {query: string}
    returns: [{product_id: id by org, name: text by org}]
  order: {effect: write, args: {product: string}}
  pay: {effect: write, args: {iban: string, amount: decimal}}
"""
READS = "  - actions: [clock_now, contacts_find, mail_search, calendar_list, files_find, vault_read, bill_get]\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_the_page_shows_the_examples_as_they_are(path: Path) -> None:
    """Sheets, profiles and bundle.yaml of bundles/examples stand in the page word for word."""
    assert path.read_text(encoding="utf-8") in BLOCKS


def with_fragment(folder: Path, fragment: str) -> Path:
    """The example bundle with a fragment of the page in it: a sheet, rules, reactions or cases."""
    shutil.copytree(EXAMPLES, folder)
    (folder / "tools" / "bills.yaml").write_text(BILLS, encoding="utf-8")
    profile = folder / "profiles" / "assistant.yaml"
    text = profile.read_text(encoding="utf-8")
    if fragment.startswith("tools:"):
        (folder / "tools" / "office.yaml").unlink()
        (folder / "tools" / "fragment.yaml").write_text(fragment, encoding="utf-8")
        profile.unlink()
        shutil.rmtree(folder / "tests")
    elif fragment.startswith("reactions:"):
        profile.write_text(text + fragment, encoding="utf-8")
    elif fragment.startswith("- name:"):
        (folder / "tests" / "fragment.yaml").write_text(fragment, encoding="utf-8")
    else:
        rules = fragment if fragment.startswith("- ") else "- " + fragment.replace("\n", "\n  ").rstrip() + "\n"
        head = text[: text.index("never:")] + "allow:\n" + READS
        profile.write_text(head + "".join(f"  {line}\n" for line in rules.splitlines()), encoding="utf-8")
    return folder


@pytest.mark.parametrize("number", [n for n, block in enumerate(BLOCKS) if block not in {f.read_text() for f in FILES}])
def test_every_fragment_of_the_page_holds(number: int, tmp_path: Path) -> None:
    """What the page shows in passing is read, compiled and loaded without an error as well."""
    bundle, problems = read_bundle(with_fragment(tmp_path / "bundle", BLOCKS[number]))
    compile_bundle(bundle, problems)
    list(read_cases(bundle, problems))
    assert [found.render() for found in problems.all() if found.severity is Severity.ERROR] == []


def test_the_page_names_every_modifier_and_condition() -> None:
    """Whoever reads only this page finds every form of the little language of sources."""
    for form in (
        "inputs.NAME",
        "args.NAME",
        "result(ACTION)",
        "trusted",
        "in request",
        "is args.NAME",
        "is max",
        "sum(",
    ):
        assert form in PAGE
    for kind in VALUE_TYPES:
        assert re.search(rf"\b{kind}\b", PAGE)
