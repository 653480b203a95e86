"""The control API, called as an operator."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import httpx

from flyball.edges.cli.errors import CliError, Refusal
from flyball.kernel.hosts import is_loopback
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret

MAX_ANSWER = 64 << 20
_WAIT_SECONDS = 40.0  # longer than the longest wait an operator can ask the server for


class Client:
    """Speaks to one Flyball. Use it as a context manager."""

    def __init__(self, addr: str, token: Secret) -> None:
        """Nothing is sent yet.

        Raises:
            CliError: the address cannot be used, or would send the token in clear.
        """
        self.addr = addr
        base, uds = _place(addr)
        verify: ssl.SSLContext | bool = True
        if base.startswith("https://") and os.environ.get("FLYBALL_CA_FILE"):
            try:
                verify = ssl.create_default_context(cafile=os.environ["FLYBALL_CA_FILE"])
            except (OSError, ssl.SSLError) as fault:
                raise CliError("the file that FLYBALL_CA_FILE names holds no certificates") from fault
        transport = httpx.HTTPTransport(uds=uds or None, verify=verify, trust_env=False)
        headers = {"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"}
        self._http = httpx.Client(
            base_url=base, transport=transport, headers=headers, timeout=_WAIT_SECONDS, trust_env=False
        )

    def get(self, path: str, query: Mapping[str, object] | None = None) -> dict[str, Json]:
        """GET an object."""
        pairs: list[tuple[str, str]] = []
        for name, value in (query or {}).items():
            for one in value if isinstance(value, (list, tuple, frozenset)) else [value]:
                if one is not None and one != "":
                    pairs.append((name, str(one)))
        return self._call("GET", path, params=pairs)

    def post(self, path: str, body: Mapping[str, Json] | None = None) -> dict[str, Json]:
        """POST an object; the answer."""
        return self._call("POST", path, content=json.dumps(dict(body or {})))

    def _call(
        self, method: str, path: str, *, params: list[tuple[str, str]] | None = None, content: str | None = None
    ) -> dict[str, Json]:
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            answer = self._http.request(
                method, path, params=cast("list[tuple[str, str | int | float | bool | None]]", params or []),
                content=content, headers=headers,
            )  # fmt: skip
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise CliError(
                f"Flyball cannot be reached at {self.addr} ({type(fault).__name__})",
                "start it with `flyball serve`, or name another one with --addr or FLYBALL_ADDR",
            ) from fault
        members = _members(answer)
        if answer.is_success:
            return members
        detail = str(members.get("detail") or f"Flyball answered {answer.status_code}")
        code = members.get("code")
        hint = str(members.get("hint") or "")
        if answer.status_code == 401:
            hint = "the token in `admin_token_file` is not that server's: see --config and --addr"
        findings = members.get("diagnostics")
        raise Refusal(f"{detail} [{code}]" if code else detail, hint, findings if isinstance(findings, list) else [])

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _members(answer: httpx.Response) -> dict[str, Json]:
    try:
        value: Json = answer.json()
    except ValueError as fault:
        raise CliError("the answer is not JSON: is that address a Flyball's control API?") from fault
    return value if isinstance(value, dict) else {}


def _place(addr: str) -> tuple[str, str]:
    """(base URL, Unix socket's path or empty)."""
    if addr.startswith("unix:"):
        path = addr.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise CliError(f"not an address: {addr}", "a Unix socket's path is absolute: unix:/path")
        return "http://localhost", path
    try:
        parts = urlsplit(addr)
        host = parts.hostname or ""
    except ValueError:
        host = ""
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise CliError(f"not an address: {addr}", "http(s)://host:port or unix:/path")
    if parts.scheme == "http" and not is_loopback(host):
        raise CliError("plain http to another machine would send the operator's token in clear", "use https")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", ""
