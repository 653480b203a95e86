"""Each fault of a bundle is found, at its file, line and column, and alone where it stands alone.

tests/assets/bundles/base is sound. Each JSON file beside it is named after one fault: the edit that
brings it in, and the finding that is expected.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flyball.policy.compile import compile_bundle, load_bundle
from flyball.policy.diagnostics import BundleRefused, Diagnostic, Severity
from flyball.policy.load import read_bundle

ASSETS = Path(__file__).parents[1] / "assets" / "bundles"
FAULTS = sorted(path.stem for path in ASSETS.glob("*.json"))


def planted(fault: str, folder: Path) -> dict[str, str | int]:
    """Plant one fault in a copy of the sound bundle; returns the finding that is expected."""
    shutil.copytree(ASSETS / "base", folder)
    case = json.loads((ASSETS / f"{fault}.json").read_text(encoding="utf-8"))
    if edit := case.get("edit"):
        path = folder / edit["file"]
        text = path.read_text(encoding="utf-8")
        if edit["replace"] is None:
            text = edit["with"]
        else:
            assert edit["replace"] in text, "the edit no longer fits the sound bundle"
            text = text.replace(edit["replace"], edit["with"], 1)
        path.write_text(text, encoding="utf-8")
    for name, content in case.get("add", {}).items():
        latin = content.startswith("latin1:")
        (folder / name).write_bytes(content[7:].encode("latin-1") if latin else content.encode())
    expected: dict[str, str | int] = case["expect"]
    return expected


def found_in(folder: Path) -> tuple[Diagnostic, ...]:
    bundle, problems = read_bundle(folder)
    compile_bundle(bundle, problems)
    return problems.all()


def test_the_base_bundle_is_sound() -> None:
    """The bundle that the faults are planted in has none, not even a warning."""
    assert found_in(ASSETS / "base") == ()


def test_there_is_a_file_for_each_fault() -> None:
    """The faults are there to be read; an empty glob would make every test below pass by default."""
    assert len(FAULTS) >= 75


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_at_its_place(fault: str, tmp_path: Path) -> None:
    """A planted fault gives its own code and words, at its file, line and column, with the line quoted."""
    expected = planted(fault, tmp_path / "bundle")
    found = [one for one in found_in(tmp_path / "bundle") if one.code == expected["code"]]
    places = [(one.severity.value, one.file, one.line, one.column, one.message) for one in found]
    assert tuple(expected[key] for key in ("severity", "file", "line", "column", "message")) in places


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_refuses_the_bundle_and_a_warning_does_not(fault: str, tmp_path: Path) -> None:
    """Loading raises with all findings where one is an error, and gives them as warnings where none is."""
    expected = planted(fault, tmp_path / "bundle")
    if expected["severity"] == "error":
        with pytest.raises(BundleRefused) as refused:
            load_bundle(tmp_path / "bundle")
        assert expected["code"] in {one.code for one in refused.value.diagnostics}
    else:
        loaded = load_bundle(tmp_path / "bundle")
        assert expected["code"] in {one.code for one in loaded.diagnostics}
        assert all(one.severity is Severity.WARNING for one in loaded.diagnostics)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """Faults in several files, and several in one file, all stand in one report."""
    folder = tmp_path / "bundle"
    faults = ["unknown_key", "unknown_access", "wrong_duration", "unknown_owner", "wrong_reaction"]
    shutil.copytree(ASSETS / "base", folder)
    for fault in faults:
        edit = json.loads((ASSETS / f"{fault}.json").read_text(encoding="utf-8"))["edit"]
        path = folder / edit["file"]
        path.write_text(path.read_text(encoding="utf-8").replace(edit["replace"], edit["with"], 1), encoding="utf-8")
    assert set(faults) <= {one.code for one in found_in(folder)}
