"""Files that hold keys: made private, and refused when they are not.

A directory is 0700 and a file 0600, both owned by the user that runs us. Files are written beside
their place, synced and renamed, so that a crash leaves the old one or the new one.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from flyball.kernel.errors import ConfigError

_MAX_BYTES = 65_536


def make_dir(path: Path) -> None:
    """Make `path` and all that is missing above it, each 0700. A directory that is there stays as it is.

    Raises:
        OSError: it cannot be made, or is something else.
    """
    # `parents=True` would make those above by the umask: a state directory among them would be open to others.
    for one in reversed(path.parents):
        if not one.exists():
            one.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def private_dir(path: Path) -> None:
    """Make `path` (0700) where it is missing, and all that is missing above it, and check it where it is not.

    Raises:
        ConfigError: `key_file` where it is open to others or not ours.
    """
    try:
        if not path.exists():
            make_dir(path)
    except OSError as error:
        raise _refused(path, "cannot be made") from error
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise _refused(path, "is not a directory")
    _check(path, found, "chmod 700")


def read_private(path: Path) -> bytes:
    """The contents of a private file.

    Raises:
        ConfigError: `key_file` where it is missing, a link, too large, open to others or not ours.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _refused(path, "cannot be opened (missing, or a symbolic link)") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _refused(path, "is not a plain file")
        _check(path, found, "chmod 600")
        if found.st_size > _MAX_BYTES:
            raise _refused(path, "is too large")
        data = os.read(descriptor, _MAX_BYTES)  # one read gives all of a plain file this small
    finally:
        os.close(descriptor)
    return data


def write_private(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file whole: beside its place, synced, then renamed over it. `mode` is its final mode."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def write_pem(path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
    """Write a private key (PKCS#8 PEM) as a private file."""
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def read_pem(path: Path) -> object:
    """Read a private key from a private file.

    Raises:
        ConfigError: `key_file`.
    """
    try:
        return load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused(path, "does not hold a private key in PEM") from error


def _check(path: Path, found: os.stat_result, advice: str) -> None:
    if found.st_uid != os.geteuid():
        raise _refused(path, "belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(f"{path} is open to other users", code="key_file", hint=f"{advice} {path}")


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path} {why}", code="key_file")
