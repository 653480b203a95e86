"""Where the gateway's tokens for servers are kept: one private file a server.

Both who logs in (`flyball mcp login`) and the gateway that renews write it, whole or not at all.
"""

# mypy: disable-error-code="explicit-any"
# (pydantic's BaseModel brings `Any` in through its metaclass; nothing here names it)

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mcp.shared.auth import OAuthClientInformationFull, OAuthMetadata, OAuthToken, ProtectedResourceMetadata
from pydantic import BaseModel, ConfigDict, ValidationError

from flyball.kernel.errors import ConfigError
from flyball.kernel.private_files import private_dir, read_private, write_private

VERSION: Final = 1


class Kept(BaseModel):
    """What is known of one server. `url` is the server that it is of: none of it goes to another."""

    model_config = ConfigDict(extra="forbid")

    version: int = VERSION
    url: str
    client: OAuthClientInformationFull | None = None
    tokens: OAuthToken | None = None
    expires_s: float | None = None
    """When the access token ends (seconds since the epoch); None: nobody said."""
    metadata: OAuthMetadata | None = None
    resource: ProtectedResourceMetadata | None = None
    wanted: str = ""
    """Scopes that a call was refused for want of."""


@dataclass(frozen=True, slots=True)
class Logins:
    """The folder of all servers' files."""

    folder: Path

    def file(self, name: str) -> Path:
        """A server's file."""
        return self.folder / f"{name}.json"

    def stamp(self, name: str) -> tuple[int, ...]:
        """Changes whenever the file does."""
        try:
            found = self.file(name).stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self, name: str, url: str) -> Kept:
        """What is kept of a server at this URL; nothing of one at another.

        Raises:
            ConfigError: `logins`: the file is none of ours. `key_file`: others can read it.
        """
        file = self.file(name)
        if not file.exists():
            return Kept(url=url)
        try:
            kept = Kept.model_validate_json(read_private(file))
        except ValidationError as fault:
            raise ConfigError(
                f"{file} is no login", code="logins", hint="move it away, and `flyball mcp login` again"
            ) from fault
        return kept if kept.url == url and kept.version == VERSION else Kept(url=url)

    def write(self, name: str, kept: Kept) -> None:
        """Keep it.

        Raises:
            ConfigError: `logins`: it cannot be written.
        """
        try:
            private_dir(self.folder)
            write_private(self.file(name), kept.model_dump_json(indent=1, exclude_none=True).encode())
        except OSError as fault:
            raise ConfigError(f"cannot write {self.file(name)}: {fault.strerror}", code="logins") from fault

    def forget(self, name: str) -> bool:
        """Remove it; whether there was one."""
        try:
            self.file(name).unlink()
        except FileNotFoundError:
            return False
        return True


class Storage:
    """What is known of one server, as the SDK's flow reads and writes it (its `TokenStorage`).

    It is in the server's file, or, where it is not `lasting`, in memory until `commit`.
    """

    def __init__(self, logins: Logins, name: str, url: str, *, lasting: bool = True) -> None:
        self._logins = logins
        self._name = name
        self._lasting = lasting
        self.kept = logins.read(name, url) if lasting else Kept(url=url)
        self._stamp = logins.stamp(name)

    @property
    def stale(self) -> bool:
        """Whether somebody else has written since."""
        return self._lasting and self._logins.stamp(self._name) != self._stamp

    def keep(self) -> None:
        """Write `kept`, where it is lasting."""
        if self._lasting:
            self._logins.write(self._name, self.kept)
            self._stamp = self._logins.stamp(self._name)

    def commit(self) -> None:
        """Write it from now on, and now."""
        self._lasting = True
        self.keep()

    async def get_tokens(self) -> OAuthToken | None:
        """The tokens, also those whose time is over: they may be renewed."""
        return self.kept.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep new tokens. What is wanted stays so: a token that is renewed grants no more than the one before."""
        self.kept.tokens = tokens
        self.kept.expires_s = None if tokens.expires_in is None else time.time() + tokens.expires_in
        self.keep()

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """What the authorization server registered us as."""
        return self.kept.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep a registration."""
        self.kept.client = client_info
        self.keep()
