"""Credentials for a command, in files that only its user can read.

The folder is 0700 and the files 0600; both are removed when the command has ended. A credential
past two thirds of its life is fetched anew and its files replaced whole: a command that reads its
file again gets the fresh one, one that does not loses its privilege when the old one expires.

Where the command is another user's, the files are that user's and the folder stays ours, 0750 with that
user's group: what runs inside reads them, and can put nothing in their place for us to write through.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import flyball_sdk
from flyball.edges.cli.errors import CliError
from flyball.kernel.hosts import is_loopback

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
AUTHORITIES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
)
"""Where programs look for the authorities that they trust (OpenSSL and httpx, requests, curl, Node, git, pip, AWS)."""
_NOT_WORD = re.compile(r"[^A-Z0-9]")


class Handover:
    """The files of a task's credentials; a context manager. `environment` points at them."""

    def __init__(self, task: flyball_sdk.Task, names: Sequence[str], *, in_env: bool, user: int | None = None) -> None:
        """Nothing is fetched yet. `in_env` puts secrets into the environment beside the files. `user`: whose command it
        is, where it is not ours."""
        self._task = task
        self._user = user
        self._names = list(dict.fromkeys(names))
        self._in_env = in_env
        self._how = "environment" if in_env else "file"
        self._folder = Path()
        self._ends: dict[str, int] = {}
        self._token = ""
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        # Nobody else gets into our own runtime folder.
        root = "" if self._user is not None else os.environ.get("XDG_RUNTIME_DIR", "")
        self._folder = Path(tempfile.mkdtemp(prefix="flyball-run-", dir=root if root and Path(root).is_dir() else None))
        try:
            self._open_to_user(self._folder)
            self._show_token()
            for name in self._names:
                self._write(name, self._get(name))
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    def refresh(self) -> None:
        """Fetch what is past two thirds of its life, and replace its files. A refusal is left to the task's end."""
        self._show_token()
        for name in self._names:
            try:
                held = self._get(name)
            except flyball_sdk.FlyballError:
                continue
            if held.expires_ms != self._ends[name]:
                self._write(name, held)

    def _show_token(self) -> None:
        """The task's token, for requests through a proxy that asks about them (`flyball-task`)."""
        token = self._task.token.reveal()
        if token != self._token:
            self.environment["FLYBALL_TASK_TOKEN_FILE"] = str(self._replace("task.token", token))
            self._token = token

    def _get(self, name: str) -> flyball_sdk.Credential | flyball_sdk.Ticket:
        """The credential, or the ticket for the gateway that holds it."""
        if name in self._task.brokered:
            return self._task.connect(name)
        return self._task.credential(name, handover=self._how)

    def _write(self, name: str, held: flyball_sdk.Credential | flyball_sdk.Ticket) -> None:
        word = _NOT_WORD.sub("_", name.upper())
        members = {"lease": held.lease, "connection": dict(held.connection), "secret": held.secret.reveal()}
        document = json.dumps({"name": name, "expires_ms": held.expires_ms, **members})
        self._ends[name] = held.expires_ms
        self.environment[f"FLYBALL_CREDENTIAL_{word}"] = str(self._replace(f"{name}.json", document))
        if self._in_env:
            self.environment[f"FLYBALL_CREDENTIAL_{word}_SECRET"] = held.secret.reveal()
        if _speaks_postgresql(held) and self.environment.get("PGPASSFILE", "") in (
            "",
            str(self._folder / f"{name}.pgpass"),
        ):
            self._postgresql(name, held)
        if isinstance(held, flyball_sdk.Ticket) and held.base_url:
            self.environment[f"FLYBALL_HTTP_{word}_URL"] = held.base_url
            self.environment[f"FLYBALL_HTTP_{word}_TICKET"] = held.secret.reveal()
            self._proxy(held)

    def _proxy(self, held: flyball_sdk.Ticket) -> None:
        """The gateway as the proxy of everything that the command calls; one ticket opens all APIs of its task."""
        self.environment |= {name: held.proxy_url for word in PROXIES for name in (word, word.lower())}
        # An inherited exception would lead around the gateway.
        direct = excepted(held.proxy_url)
        self.environment |= {"NO_PROXY": direct, "no_proxy": direct, "NODE_USE_ENV_PROXY": "1"}
        trusted = _text(held, "ca_pem")
        if file := _text(held, "proxy_ca_file"):
            trusted += Path(file).read_text("ascii")
        if trusted:
            place = str(self._replace("http-authorities.pem", trusted))
            self.environment |= dict.fromkeys(AUTHORITIES, place)
            if file:
                self.environment |= {"GIT_PROXY_SSL_CAINFO": place, "CURL_HOME": str(self._curl_home(place))}

    def _curl_home(self, authorities: str) -> Path:
        """curl has no variable for who may certify its proxy, only a file of settings. The user's own is not read then:
        it could lead around the gateway, and is none of a confined command's business."""
        home = self._folder / "curl"
        if not home.exists():
            home.mkdir(mode=0o700)
            self._open_to_user(home)
        self._put(home / ".curlrc", f'proxy-cacert = "{authorities}"\n')
        return home

    def _open_to_user(self, folder: Path) -> None:
        if self._user is not None:
            os.chown(folder, -1, self._user)
            folder.chmod(0o750)

    def _postgresql(self, name: str, held: flyball_sdk.Credential | flyball_sdk.Ticket) -> None:
        aside = self._folder / f".{name}.pgpass"
        aside.unlink(missing_ok=True)
        held.pgpass(aside)
        self.environment["PGPASSFILE"] = str(self._settle(aside, self._folder / f"{name}.pgpass"))
        for variable, member in (("HOST", "host"), ("PORT", "port"), ("USER", "user"), ("DATABASE", "database")):
            self.environment[f"PG{variable}"] = _text(held, member)
        for variable, member in (("SSLMODE", "sslmode"), ("SSLROOTCERT", "sslrootcert")):
            if held.connection.get(member):
                self.environment[f"PG{variable}"] = _text(held, member)
        if self._in_env:
            self.environment["PGPASSWORD"] = held.secret.reveal()

    def _replace(self, name: str, text: str) -> Path:
        if "/" in name or name.startswith("."):
            raise CliError(f"a credential's name cannot be a file's: {name!r}")
        return self._put(self._folder / name, text)

    def _put(self, place: Path, text: str) -> Path:
        aside = place.with_name(f".{place.name}.new")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return self._settle(aside, place)

    def _settle(self, aside: Path, place: Path) -> Path:
        """Put a whole file in its place: whose it is, it is from its first moment there."""
        if self._user is not None:
            os.chown(aside, self._user, self._user)
        aside.replace(place)
        return place


def excepted(proxy_url: str) -> str:
    """The host that is not asked through the gateway: its own, for its base URL, where it speaks TLS and so opens
    no tunnel to itself. None on loopback, where the APIs would be excepted with it."""
    there = urlsplit(proxy_url)
    host = there.hostname or ""
    return host if there.scheme == "https" and not is_loopback(host) else ""


def _speaks_postgresql(held: flyball_sdk.Credential | flyball_sdk.Ticket) -> bool:
    return all(held.connection.get(member) for member in ("host", "user", "database"))


def _text(held: flyball_sdk.Credential | flyball_sdk.Ticket, member: str) -> str:
    value = held.connection.get(member)
    return "" if value is None else str(value)
