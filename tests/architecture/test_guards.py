"""Who may make a task, a lease, a principal: only its own room, and those who restore what that room once made."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "src" / "flyball"

# class → (module, function) that may call it
MAKERS: Mapping[str, frozenset[tuple[str, str]]] = {
    "Task": frozenset({("task/lifecycle.py", "open_task"), ("stores/sqlite/rows.py", "task_from")}),
    "Lease": frozenset(
        {
            ("credential/issue.py", "plan_lease"),
            ("stores/sqlite/rows.py", "lease_from"),
            ("revocation/marks.py", "lease_from_json"),
            ("revocation/sweep.py", "_take"),  # what stands at a target unknown: made only to be revoked
        }
    ),
    "Principal": frozenset(
        {("identity/principal.py", name) for name in ("spiffe_principal", "oidc_principal", "peer_principal")}
    ),
    "TaskToken": frozenset({("identity/task_token.py", "verify")}),
}


def makers(tree: ast.AST, classes: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(class, innermost function around the call) for every call of one of the classes, under whatever name."""
    names = {name: name for name in classes}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {one.asname: one.name for one in node.names if one.asname and one.name in classes}

    def walk(node: ast.AST, inside: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            within = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else inside
            if isinstance(child, ast.Call):
                called = child.func
                name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
                if name in names:
                    yield names[name], within
            yield from walk(child, within)

    yield from walk(tree, "")


def found() -> dict[str, set[tuple[str, str]]]:
    """Every place in which one of the classes is made."""
    places: dict[str, set[tuple[str, str]]] = {name: set() for name in MAKERS}
    for path in sorted(ROOT.rglob("*.py")):
        for name, function in makers(ast.parse(path.read_text()), frozenset(MAKERS)):
            places[name].add((str(path.relative_to(ROOT)), function))
    return places


@pytest.mark.parametrize("name", MAKERS)
def test_made_only_where_it_may_be(name: str) -> None:
    """No task without a proven principal, no lease without a live task: nobody else can make one up."""
    assert found()[name] == set(MAKERS[name])


@pytest.mark.parametrize(
    "line",
    [
        "def f():\n    return Task(id='x')",
        "from flyball.task.task import Task as T\ndef f():\n    return T()",
        "import flyball.task.task as t\ndef f():\n    return t.Task()",
    ],
)
def test_a_stranger_is_noticed(line: str) -> None:
    """By its name, by another name, through its module."""
    assert list(makers(ast.parse(line), frozenset(MAKERS))) == [("Task", "f")]
