"""Habits that no linter keeps for us, read off the source."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "sdk/python/src").rglob("*.py")])
MAX_LINES = 500
MAY_PRINT = ("src/flyball/edges/cli/", "src/flyball/demo/")


def ours(*patterns: str) -> Iterator[Path]:
    for top in ("src", "sdk", "crates", "tests", "bench", "scripts"):
        for pattern in patterns:
            for path in (ROOT / top).rglob(pattern):
                if not {"target", ".venv", "__pycache__", "node_modules", "generated", "regress"} & set(path.parts):
                    yield path


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def any_names(tree: ast.AST) -> list[int]:
    """Lines that name typing's Any."""
    found = []
    for node in ast.walk(tree):
        imported = isinstance(node, ast.ImportFrom) and node.module in ("typing", "typing_extensions")
        if imported and any(one.name == "Any" for one in node.names):
            found.append(node.lineno)
        if isinstance(node, ast.Attribute) and node.attr == "Any" and isinstance(node.value, ast.Name):
            found.append(node.lineno)
    return found


def own_door(module: str, tree: ast.AST) -> list[int]:
    """Lines on which a module of a room takes a name from that room's own door."""
    parts = module.split(".")
    if len(parts) < 3:
        return []
    room = ".".join(parts[:2])
    folder = ROOT / "src" / "/".join(parts[:2])
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(one.name == room for one in node.names):
            found.append(node.lineno)
        if isinstance(node, ast.ImportFrom) and node.module == room:
            submodules = all((folder / f"{one.name}.py").exists() or (folder / one.name).is_dir() for one in node.names)
            if not submodules:
                found.append(node.lineno)
    return found


def prints(tree: ast.AST) -> list[int]:
    """Lines that print."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_no_module_breaks_a_habit(path: Path) -> None:
    """No explicit Any, no room's module behind its own door, no print outside the command line and the demo."""
    tree = ast.parse(path.read_text())
    assert any_names(tree) == []
    if (ROOT / "src" / "flyball") in path.parents:
        assert own_door(module_of(path), tree) == []
    if not name(path).startswith(MAY_PRINT):
        assert prints(tree) == []


def test_the_habits_can_be_broken() -> None:
    """Each check above notices its fault."""
    assert any_names(ast.parse("from typing import Any"))
    assert any_names(ast.parse("import typing\nx: typing.Any"))
    assert own_door("flyball.policy.engine", ast.parse("import flyball.policy"))
    assert own_door("flyball.policy.engine", ast.parse("from flyball.policy import Bundle"))
    assert not own_door("flyball.policy.engine", ast.parse("from flyball.policy import bundle"))
    assert prints(ast.parse("print('x')"))


def test_no_file_is_longer_than_can_be_read() -> None:
    """500 lines at most, in every language, tests too; what is generated, or not ours, is not read."""
    long = {}
    for path in ours("*.py", "*.rs", "*.sh", "*.sql", "*.pyi"):
        count = len(path.read_text().splitlines())
        if count > MAX_LINES:
            long[name(path)] = count
    assert long == {}


def test_every_room_has_a_door() -> None:
    """A package's `__init__.py` says what enters, what leaves and what always holds, or at least what it is."""
    doors = {path.parent for path in PYTHON if path.name == "__init__.py"}
    packages = {path.parent for path in PYTHON if path.name != "__init__.py" and path.parent.name != "src"}
    assert sorted(map(name, packages - doors)) == []
    silent = [
        name(path / "__init__.py")
        for path in doors
        if not ast.get_docstring(ast.parse((path / "__init__.py").read_text()))
    ]
    assert silent == []


def test_the_decision_crate_neither_unwraps_nor_panics() -> None:
    """No unwrap, expect, panic, todo or indexing helper outside the tests of the pure crate."""
    found = []
    root = ROOT / "crates" / "decision" / "src"
    tests: list[Path] = []
    for path in root.rglob("*.rs"):
        home = path.parent if path.stem in ("lib", "mod") else path.with_suffix("")
        tests += [home / found for found in re.findall(r"#\[cfg\(test\)\]\s*mod (\w+);", path.read_text())]
    for path in root.rglob("*.rs"):
        text = path.read_text().partition("#[cfg(test)]")[0]
        if any(path.with_suffix("").is_relative_to(test) for test in tests):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            code = line.partition("//")[0]
            if re.search(r"\.unwrap\(\)|\.expect\(|\bpanic!|\btodo!|\bunimplemented!|\bunreachable!", code):
                found.append(f"{name(path)}:{number}")
    assert found == []


def test_architecture_names_files_that_exist() -> None:
    """ARCHITECTURE.md maps ideas to files; every path it names in backticks is there."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    paths = set(re.findall(r"`((?:src|crates|sdk|tests|docs|bench|bundles|api|scripts)/[\w./-]+)`", text))
    assert len(paths) > 40
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_documents_name_commands_that_exist() -> None:
    """Every `flyball …` in the documents begins with a command that there is."""
    from typer.main import get_command

    from flyball.edges.cli.app import build

    known = set(getattr(get_command(build()), "commands", {}))
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    named = {word for page in pages for word in re.findall(r"(?:^|`|\$ )flyball ([a-z]+)", page.read_text(), re.M)}
    assert sorted(named - known) == []


def test_the_api_document_is_json() -> None:
    """And of the version that tools read."""
    assert json.loads((ROOT / "api" / "openapi.json").read_text())["openapi"].startswith("3.1")


def test_the_threat_model_names_tests_that_exist() -> None:
    """Every control's test is a file, or a function in it, below tests/."""
    text = (ROOT / "docs" / "threat-model.md").read_text()
    missing = []
    for file, function in re.findall(r"((?:unit|edges|integration|faults|properties)/test_\w+\.py)(?:::(\w+))?", text):
        path = ROOT / "tests" / file
        if not path.exists() or (function and f"def {function}(" not in path.read_text()):
            missing.append(f"{file}::{function}")
    assert missing == []


def test_the_page_of_guards_names_guards_and_tests_that_exist() -> None:
    """Each row of docs/guards.md is a guarantee, a guard's file and function, and a test of it that is there."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split(" | ")]
        for line in (ROOT / "docs" / "guards.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| guarantee"))
    ]
    assert len(rows) > 80
    wrong = []
    for row in rows:
        _, guard, test = row
        for cell, base, colon in ((guard, ROOT / "src/flyball", ":"), (test, ROOT / "tests", "::")):
            file, _, function = cell.strip("`").partition(colon)
            path = (ROOT if file.startswith(("crates/", "sdk/")) else base) / file
            if not path.is_file() or (function and not re.search(rf"(def|class) {function}\b", path.read_text())):
                wrong.append(cell)
    assert wrong == []


def test_documents_link_to_files_that_exist() -> None:
    """A relative link of a document leads somewhere."""
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{name(page)}: {target}")
    assert broken == []
