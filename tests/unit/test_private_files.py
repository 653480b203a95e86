"""What holds keys is made private, and refused where it is not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from flyball.kernel.errors import ConfigError
from flyball.kernel.private_files import make_dir, private_dir


def test_all_that_is_made_is_private(tmp_path: Path) -> None:
    """Whatever the umask: a state directory that is made on the way to one in it is as private."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o755)
    before = os.umask(0o022)
    try:
        private_dir(tmp_path / "home" / ".flyball" / "mcp-logins")
    finally:
        os.umask(before)
    modes = [
        stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("home", "home/.flyball", "home/.flyball/mcp-logins")
    ]
    assert modes == [0o755, 0o700, 0o700]


def test_what_is_no_directory_is_not_taken_for_one(tmp_path: Path) -> None:
    """A file in its place, or above it."""
    (tmp_path / "file").touch(0o600)
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"exists|directory"):
            make_dir(place)
        with pytest.raises(ConfigError):
            private_dir(place)


def test_open_to_others(tmp_path: Path) -> None:
    """A directory that others may read is refused, with what to do."""
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigError) as refused:
        private_dir(tmp_path)
    assert (refused.value.code, f"chmod 700 {tmp_path}" in str(refused.value.hint)) == ("key_file", True)
