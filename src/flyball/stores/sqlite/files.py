"""The state directory: private, and held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from flyball.kernel.errors import ConfigError
from flyball.kernel.private_files import make_dir

FILE_MODE = 0o600
STORE_NAME = "store.db"
LOCK_NAME = "lock"


class DirectoryLock:
    """An exclusive hold on a state directory, for the life of the process that took it.

    An flock, so the kernel lets go of it however the process ends; the pid in the file is only
    there to be read by people. The lock is on a file of its own: closing any descriptor of the
    database would drop SQLite's own (POSIX) locks on it.
    """

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            ConfigError: another process holds it.
        """
        path = directory / LOCK_NAME
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as busy:
            holder = os.read(self._fd, 32).decode("ascii", "replace").strip()
            os.close(self._fd)
            named = f" (process {holder})" if holder.isdigit() else ""
            raise ConfigError(
                f"the state directory {directory} is in use by another Flyball{named}",
                code="store_locked",
                hint="stop that one first, or give this one a state directory of its own",
            ) from busy
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the directory."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def prepare(directory: Path) -> None:
    """Make the state directory, for its owner alone; refuse one that others may enter or write.

    Raises:
        ConfigError: the path is no directory, belongs to another user, or is open to others.
    """
    make_dir(directory)
    found = directory.stat()
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"the state directory {directory} belongs to user {found.st_uid}",
            code="store_owner",
            hint="run Flyball as that user, or choose a directory of your own",
        )
    if found.st_mode & 0o077:
        raise ConfigError(
            f"the state directory {directory} is open to others (mode {found.st_mode & 0o777:04o})",
            code="store_mode",
            hint=f"chmod 700 {directory}",
        )


def touch_private(path: Path) -> None:
    """Make sure that `path` is there with mode 0600, before SQLite opens it (its -wal and -shm copy the mode)."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    path.chmod(FILE_MODE)
