"""Where the recorded data of the benchmarks lies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from bench.measure import TREE
from flyball.kernel.json import Json, parse_object

_FOLDERS = {"agentdojo": ".json", "agentdyn": ".jsonl", "tau2": ".json"}


class SuiteError(Exception):
    """A suite cannot be used. The text says why, and what to do."""


def folder() -> Path:
    """The folder of the recorded data: FLYBALL_CONFORMANCE, else `shared/conformance` beside or above the tree."""
    if given := os.environ.get("FLYBALL_CONFORMANCE"):
        return Path(given)
    for above in TREE.parents:
        found = above / "shared" / "conformance"
        if found.is_dir():
            return found
    return TREE.parent / "shared" / "conformance"


def file_of(family: str, name: str) -> Path:
    """Where a suite's data would be."""
    return folder() / family / f"{name}{_FOLDERS[family]}"


def family_of(name: str) -> str:
    """The benchmark whose recorded data holds a suite of this name, or nothing."""
    return next((family for family in _FOLDERS if file_of(family, name).is_file()), "")


def read(family: str, name: str) -> dict[str, Json]:
    """A suite's data.

    Raises:
        SuiteError: it is not there.
    """
    path = file_of(family, name)
    if not path.is_file():
        raise SuiteError(
            f"no data of {family} suite `{name}`: {path} is missing (FLYBALL_CONFORMANCE names the folder)"
        )
    return parse_object(path.read_text())


def lines(family: str, name: str) -> Iterator[dict[str, Json]]:
    """A suite's data, a line at a time.

    Raises:
        SuiteError: it is not there.
    """
    path = file_of(family, name)
    if not path.is_file():
        raise SuiteError(
            f"no data of {family} suite `{name}`: {path} is missing (FLYBALL_CONFORMANCE names the folder)"
        )
    with path.open() as file:
        for line in file:
            if line.strip():
                row: dict[str, Json] = json.loads(line)
                yield row


def objects(value: Json) -> list[dict[str, Json]]:
    """The objects of a list; nothing else counts."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_map(value: Json) -> dict[str, Json]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}
