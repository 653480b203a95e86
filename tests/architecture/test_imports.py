"""The import contracts hold, and each of them notices the fault that it is there for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = "import sys; from importlinter.cli import lint_imports_command as lint; sys.exit(lint())"

# (file, line to plant, the contract that must break)
FAULTS = [
    ("kernel/ids.py", "from flyball.task import task as planted", "Rooms import one way"),
    ("identity/jose.py", "from flyball.flow import request as planted", "Rooms import one way"),
    ("stores/sqlite/unit.py", "from flyball.flow import end as planted", "Stores fill ports"),
    ("edges/http/app.py", "from flyball.identity import jose as planted", "The HTTP edge sees only flow"),
    ("edges/http/runner.py", "from flyball.assembly import config as planted", "Rooms import one way"),
    ("edges/cli/status.py", "from flyball.revocation import receipts as planted", "The command line sees only flow"),
    ("connectors/memory/backend.py", "from flyball.audit import chain as planted", "Connectors see only the plugin"),
    ("connectors/memory/backend.py", "from flyball.connectors import postgresql as planted", "Connectors do not know"),
    ("flow/request.py", "from flyball._core import _native as planted", "Only policy.engine touches"),
]


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(root / "src"), "PATH": "/usr/bin:/bin", "HOME": str(root)}
    line = [sys.executable, "-c", LINT, "--config", str(root / ".importlinter"), "--no-cache"]
    return subprocess.run(line, cwd=root, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_the_contracts_hold() -> None:
    """No import goes up, around a door, or into the compiled core."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "src" / "flyball", root / "src" / "flyball", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / ".importlinter", root)
    return root


@pytest.mark.parametrize(("file", "line", "contract"), FAULTS)
def test_a_planted_fault_is_noticed(copy: Path, file: str, line: str, contract: str) -> None:
    """A contract that could not break would be no contract."""
    place = copy / "src" / "flyball" / file
    before = place.read_text()
    try:
        place.write_text(f"{before}\n{line}\n")
        done = lint(copy)
    finally:
        place.write_text(before)
    assert done.returncode == 1
    assert any(contract in one and "BROKEN" in one for one in done.stdout.splitlines()), done.stdout


def test_a_new_room_needs_a_place(copy: Path) -> None:
    """The list of rooms is exhaustive: a package that stands nowhere in it is an error."""
    room = copy / "src" / "flyball" / "cellar"
    room.mkdir()
    try:
        (room / "__init__.py").write_text('"""A room nobody spoke of."""\n')
        assert lint(copy).returncode == 1
    finally:
        shutil.rmtree(room)
