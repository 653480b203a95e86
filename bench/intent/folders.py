"""One folder of profiles for all suites, or a folder of such folders: which of them is for which suite, by hash."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.intent.bundle import Folder, FolderError, freeze


@dataclass(frozen=True)
class Folders:
    """What was given, frozen: by the name of each folder; the name is empty where it is the one for all suites."""

    path: Path
    by_name: dict[str, Folder]

    def of(self, suite: str) -> Folder | None:
        """The folder with profiles for a suite: the one that has `profiles/SUITE.yaml`, or is named after it."""
        if "" in self.by_name:
            return self.by_name[""]
        for folder in self.by_name.values():
            if f"profiles/{suite}.yaml" in folder.files:
                return folder
        return next((one for name, one in self.by_name.items() if suite in re.split(r"[^a-z0-9]+", name.lower())), None)

    def digests(self, suites: Iterable[str]) -> dict[str, str]:
        """The hash of each suite's folder; a suite without profiles is left out."""
        found = {suite: self.of(suite) for suite in suites}
        return {suite: folder.digest for suite, folder in found.items() if folder is not None}

    def missing(self, suite: str) -> str:
        """Why there is nothing for a suite, and what would be."""
        have = ", ".join(sorted(self.by_name)) or "none"
        return (
            f"no profiles for {suite}: {self.path} would need a folder with profiles/{suite}.yaml and its tool sheets "
            f"in tools/ (it has {have}); `python -m bench.intent.author {suite}` prints what they are written from"
        )


def freeze_all(path: Path) -> Folders:
    """Read a folder of profiles, or every folder of profiles directly in it; later changes change nothing.

    Raises:
        FolderError: there is no such folder, or no profile in it.
    """
    if (path / "profiles").is_dir() or not path.is_dir():
        return Folders(path, {"": freeze(path)})
    found = {one.name: freeze(one) for one in sorted(path.iterdir()) if (one / "profiles").is_dir()}
    if not found:
        raise FolderError(f"{path} holds no profiles/*.yaml, and no folder in it does")
    return Folders(path, found)
