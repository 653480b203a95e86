"""A credential that was issued to the task, in this process's memory."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from flyball_sdk._json import Json
from flyball_sdk._session import Issued
from flyball_sdk.errors import ConfigError
from flyball_sdk.model import Secret

if TYPE_CHECKING:
    from flyball_sdk._task import Task

RENEW_AT = 2 / 3


class CredentialData:
    """What a credential holds. Its repr shows no secret; the lease's end takes it back at the target.

    Attributes:
        name: the credential's name in the profile.
        lease: the lease's id.
        connection: where to connect and as whom (host, port, user, database …).
        secret: the secret, shown only by `secret.reveal()`.
        expires_ms: when the lease ends, wall milliseconds by the server's clock.
    """

    def __init__(self, issued: Issued) -> None:
        self.name = issued.name
        self.lease = issued.lease
        self.connection: Mapping[str, Json] = issued.connection
        self.secret: Secret = issued.secret
        self.expires_ms = issued.expires_ms
        self._renew_s = issued.issued_s + issued.life_s * RENEW_AT

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, lease={self.lease!r}, secret=…)"

    @property
    def due(self) -> bool:
        """Whether two thirds of its life are over, so that it is time for the next one."""
        return time.monotonic() >= self._renew_s

    def dsn(self, scheme: str = "postgresql") -> str:
        """A connection URI. **It holds the secret in clear**: hand it on, do not keep or log it."""
        host, port = self._part("host", "localhost"), self._part("port")
        place = f"[{host}]" if ":" in host else quote(host, safe="")
        user = quote(self._part("user"), safe="")
        database = quote(self._part("database"), safe="")
        rest = "&".join(
            f"{quote(name, safe='')}={quote(str(value), safe='')}"
            for name, value in self.connection.items()
            if name in ("sslmode", "sslrootcert", "target_session_attrs", "channel_binding")
        )
        password = quote(self.secret.reveal(), safe="")
        uri = f"{scheme}://{user}:{password}@{place}{':' + port if port else ''}/{database}"
        return f"{uri}?{rest}" if rest else uri

    def pgpass(self, path: str | os.PathLike[str]) -> Path:
        """Write a PGPASSFILE (mode 0600) with this credential's one line; return its path.

        Raises:
            FileExistsError: something is there already.
        """
        fields = [self._part("host", "localhost"), self._part("port", "5432"), self._part("database", "*")]
        fields += [self._part("user"), self.secret.reveal()]
        if any("\n" in one or "\r" in one or "\0" in one for one in fields):
            raise ConfigError("a field of the credential cannot stand in a password file", code="pgpass")
        line = ":".join(one.replace("\\", "\\\\").replace(":", "\\:") for one in fields)
        place = Path(path)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(line + "\n")
        return place

    def kwargs(self) -> dict[str, str | int]:
        """What `psycopg.connect(**…)` and its like take. **It holds the secret in clear**, under `password`."""
        found: dict[str, str | int] = {"password": self.secret.reveal()}
        names = {"database": "dbname"}
        for name in ("host", "port", "user", "database", "sslmode", "sslrootcert"):
            value = self.connection.get(name)
            if isinstance(value, str | int) and value != "":
                found[names.get(name, name)] = value
        return found

    def _part(self, name: str, default: str = "") -> str:
        value = self.connection.get(name)
        return default if value is None else str(value)


class TicketData(CredentialData):
    """A ticket for the gateway before a target; what the target itself takes is with the gateway alone.

    Its secret opens new sessions at the gateway until `expires_ms`; sessions that are open go on with the task. Each
    statement is decided there. `connection`, `dsn()`, `kwargs()` and `pgpass()` are as for a credential, so that a
    client need not know. For an HTTP API there are `base_url` with `headers()`, and `proxy_url`.
    """

    @property
    def user(self) -> str:
        """Whom the gateway knows it by; the next ticket has the same."""
        return self._part("user")

    @property
    def base_url(self) -> str:
        """Where the gateway is the API: what a client takes as its base URL. Empty where this is no ticket for one."""
        proxy, api = self._part("proxy"), self._part("api")
        return f"{proxy}/{api}" if proxy.startswith("http") else ""

    def headers(self) -> dict[str, str]:
        """What a client sends to `base_url` besides. **It holds the ticket in clear.**"""
        return {"Authorization": f"Bearer {self.secret.reveal()}"}

    @property
    def proxy_url(self) -> str:
        """The gateway as a proxy for the API's own URL (HTTP_PROXY). **It holds the ticket in clear.**"""
        scheme, _, place = self._part("proxy").partition("://")
        return f"{scheme}://task:{self.secret.reveal()}@{place}" if place else ""


class Ticket(TicketData):
    """A ticket of a synchronous task."""

    def __init__(self, issued: Issued, task: Task) -> None:
        super().__init__(issued)
        self._task = task

    def fresh(self) -> Ticket:
        """This ticket, or the next one once two thirds of its time are over.

        Raises:
            TaskLost, Refused, Unavailable: the next one was not given.
        """
        return self._task.connect(self.name)


class Credential(CredentialData):
    """A credential of a synchronous task."""

    def __init__(self, issued: Issued, task: Task) -> None:
        super().__init__(issued)
        self._task = task

    def fresh(self) -> Credential:
        """This credential, or the next one once two thirds of its life are over.

        Raises:
            TaskLost, Refused, Unavailable: the next one was not given.
        """
        return self._task.credential(self.name)
