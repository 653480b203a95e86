"""Operators, by a local token in a private file.

Whoever can read the file is an operator: it is 0600 and owned by the user that runs Flyball, and
it is read and checked again on every use, so that replacing it takes effect at once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from flyball.kernel.errors import ConfigError, Unauthenticated
from flyball.kernel.private_files import make_dir, read_private, write_private
from flyball.kernel.secret import Secret

_TOKEN = re.compile(r"fba_[A-Za-z0-9_-]{43}")
OPERATOR = "operator:local-admin"
"""The name of the one local operator, as it stands in records."""


class AdminTokens:
    """The admin token's file."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self._path = path

    def create(self) -> bool:
        """Make the file with a fresh token of 256 random bits, unless it is there. True if it was made.

        Raises:
            ConfigError: `key_file` where a file is there and cannot be used.
        """
        if self._path.exists() or self._path.is_symlink():
            self._read()
            return False
        make_dir(self._path.parent)
        write_private(self._path, f"fba_{secrets.token_urlsafe(32)}\n".encode())
        return True

    def reveal(self) -> Secret:
        """The token, for the local CLI, which is the operator by being able to read the file.

        Raises:
            ConfigError: `key_file`.
        """
        return Secret(self._read())

    def authenticate(self, authorization: str) -> str:
        """The operator's name behind an `Authorization` header, its token compared in constant time.

        Raises:
            Unauthenticated: `operator_token`.
            ConfigError: `key_file` where the file cannot be used.
        """
        scheme, _, token = authorization.partition(" ")
        own = hashlib.sha256(self._read().encode()).digest()
        shown = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        if not hmac.compare_digest(own, shown) or scheme.lower() != "bearer":
            raise Unauthenticated(
                "not the admin token",
                code="operator_token",
                hint="send `Authorization: Bearer` with the admin token from the state directory",
            )
        return OPERATOR

    def _read(self) -> str:
        text = read_private(self._path).decode("ascii", "replace").strip()
        if _TOKEN.fullmatch(text) is None:
            raise ConfigError(
                f"{self._path} does not hold an admin token", code="key_file", hint="delete it to make a new one"
            )
        return text
