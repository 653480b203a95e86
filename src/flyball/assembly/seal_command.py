"""The sealing key from a command: the hook for a key management service, an HSM's tool, `age`, `systemd-creds` …

Run once, at the start, without a shell. What it prints is the key: held in memory, in no file, log or
error. What it says on stderr is thrown away, for a script that traces itself would say the key there.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from flyball.assembly.config import SealConfig
from flyball.credential.seal import FileKey
from flyball.kernel.errors import ConfigError

_MOST_BYTES = 65_536
_BY_HAND = "run it by hand, as the user that runs Flyball, to see what it says"


def run(config: SealConfig) -> FileKey:
    """The key that the command prints: base64 of 32 bytes, one key a line, newest first.

    Raises:
        ConfigError: `seal_command`: it is not there, others could replace it, it failed, took too long or said too
            much; `sealing_key`: what it printed is no key. No error quotes what it printed.
    """
    program = _untouchable(Path(config.command[0]), "the sealing key's command")
    if not os.access(program, os.X_OK):
        raise _refused(f"{program} cannot be executed", f"chmod u+x {program}")
    wrapped = None if config.wrapped is None else _untouchable(config.wrapped, "the wrapped sealing key")
    try:
        with (Path(os.devnull) if wrapped is None else wrapped).open("rb") as given:
            process = subprocess.Popen(
                [str(program), *config.command[1:]],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                umask=0o077,
                start_new_session=True,
            )
    except OSError as fault:
        raise _refused(f"{program} cannot be run: {fault.strerror}") from None
    try:
        said = _read(process, config.timeout_ms / 1000, program)
    finally:
        if process.returncode is None:  # not waited for yet, so its number is still its own
            _kill(process)
    if process.returncode != 0:
        how = (
            f"ended with exit code {process.returncode}"
            if process.returncode > 0
            else f"was ended by signal {-process.returncode}"
        )
        raise _refused(f"{program} {how}")
    return FileKey.parse(said, f"{program} printed no sealing key")


def _read(process: subprocess.Popen[bytes], timeout_s: float, program: Path) -> bytes:
    """All that it prints, until it has ended."""
    out: IO[bytes] | None = process.stdout
    assert out is not None
    deadline = time.monotonic() + timeout_s
    said = b""
    with out:
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                raise _late(program, timeout_s)
            more = os.read(out.fileno(), _MOST_BYTES)
            if not more:
                break
            said += more
            if len(said) > _MOST_BYTES:
                raise _refused(f"{program} printed more than a key")
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _late(program, timeout_s) from None
    return said


def _late(program: Path, timeout_s: float) -> ConfigError:
    return _refused(f"{program} gave no key within {timeout_s:g} s", f"{_BY_HAND}; or set seal.timeout")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _untouchable(path: Path, what: str) -> Path:
    """The file itself, which nobody but root and us can write, replace or put another in place of.

    A folder with the sticky bit (`/tmp`) may stand further up, but not hold the file: whoever comes
    first to a name there keeps it.
    """
    try:
        real = path.resolve(strict=True)
        found = real.stat()
    except OSError as fault:
        raise _refused(
            f"{what}, {path}, is not there: {fault.strerror}", "see `seal` in docs/configuration.md"
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise _refused(f"{what}, {path}, is no plain file")
    for place in dict.fromkeys((real, *real.parents, *path.absolute().parents)):
        sticky_above = place not in (real, real.parent, path.absolute().parent)
        if (why := _writable(place.stat(), sticky_above)) is not None:
            raise _refused(f"{what} is not safe at {real}: {place} {why}", f"chmod go-w {place}")
    return real


def _writable(found: os.stat_result, sticky_is_fine: bool) -> str | None:
    if found.st_uid not in (0, os.geteuid()):
        return "belongs to another user"
    if sticky_is_fine and found.st_mode & stat.S_ISVTX:
        return None
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0):
        return "can be written by other users"
    return None


def _refused(detail: str, hint: str = _BY_HAND) -> ConfigError:
    return ConfigError(detail, code="seal_command", hint=hint)
