"""The pages describe every field that the readers know, their examples hold, and every fault has its own test file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from flyball.policy.load import read_bundle

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
    "outside_bundle",
    "yaml_encoding",
    "yaml_oversize",
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
    for name in ("bundle.yaml", "schema.cedarschema"):
        text = (ROOT / "bundles" / "demo" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text, encoding="utf-8")
    _, problems = read_bundle(tmp_path)
    assert not problems.failed
