"""A folder with all that one Flyball needs to run: bundle, configuration, and perhaps a PostgreSQL."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.measure import CACHE, ROOT
from flyball.assembly.config import Config, load
from flyball.demo.postgres import EmbeddedPostgres, free_port
from flyball.identity.dev import DevDomain
from flyball.kernel.clock import SystemClock

ISSUER = "https://bench.flyball.dev"
TRUST_DOMAIN = "bench.flyball.dev"
AGENT = f"spiffe://{TRUST_DOMAIN}/agent/bench"
GROUP = "bench_writer"
ADMIN = "flyball_admin"


@dataclass(frozen=True)
class Setting:
    """Where one Flyball of a benchmark lives. `control` is its control API's address."""

    home: Path
    control: str

    @property
    def config(self) -> Config:
        """Its configuration."""
        return load(self.home / "flyball.yaml", {})

    def svid(self, audience: str = ISSUER, ttl_s: int = 6 * 3600) -> str:
        """A JWT-SVID of the one agent."""
        return dev_domain(self.home).issue(AGENT, audience, ttl_s=ttl_s)


def dev_domain(home: Path) -> DevDomain:
    """The benchmark's own trust domain."""
    return DevDomain.open(home / "dev", mode="development", clock=SystemClock(), trust_domain=TRUST_DOMAIN)


@contextmanager
def fresh(name: str) -> Iterator[Path]:
    """A folder on the disk under test, removed afterwards."""
    CACHE.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=CACHE))
    try:
        yield home
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(home, ignore_errors=True)


def write(
    home: Path, *, postgres: EmbeddedPostgres | None = None, timing: str = "", socket: Path | None = None
) -> Setting:
    """Write bundle, configuration and keys. With `postgres`, prepare it and let the bundle's target name it; with
    `socket`, the decision plane also listens there."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "bundle", home / "bundle")
    manifest = home / "bundle" / "bundle.yaml"
    password_file = home / "admin.password"
    password = secrets.token_urlsafe(24)
    password_file.touch(mode=0o600)
    password_file.write_text(password + "\n")
    text = (
        manifest.read_text().replace("@PASSWORD_FILE@", str(password_file)).replace("uid: 1000", f"uid: {os.getuid()}")
    )
    if postgres is not None:
        text = text.replace("port: 5432", f"port: {postgres.port}")
        prepare(postgres, password)
    manifest.write_text(text)
    return configure(home, timing, socket=socket)


def configure(home: Path, more: str = "", *, socket: Path | None = None) -> Setting:
    """Write the configuration, `more` of it at the end, and the trust domain's keys, beside a bundle that is there."""
    (home / "state").mkdir(mode=0o700)
    control = f"127.0.0.1:{free_port()}"
    decisions = "" if socket is None else str(socket)
    (home / "flyball.yaml").write_text(
        f"mode: dev\nissuer: {ISSUER}\nstate_dir: {home}/state\nbundle: {home}/bundle\n"
        f"control:\n  listen: {control}\n"
        f'  unix: ""\ndecision:\n  listen: 127.0.0.1:0\n  unix: "{decisions}"\n'
        f"dev:\n  dir: {home}/dev\n  trust_domain: {TRUST_DOMAIN}\n"
        f"log: {{level: warning}}\n{more}"
    )
    dev_domain(home)
    return Setting(home, control)


def postgres(home: Path) -> EmbeddedPostgres:
    """A PostgreSQL 18 as it comes, fsync and all, with room for a storm's connections."""
    return EmbeddedPostgres(home / "postgres", settings={"max_connections": "200"})


def prepare(server: EmbeddedPostgres, password: str) -> None:
    """The database of leases: one table, the group that carries the privilege, Flyball's own role."""
    from flyball.connectors.postgresql import setup

    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE orders")
    with psycopg.connect(server.dsn(dbname="orders"), autocommit=True) as connection:
        connection.execute("CREATE TABLE ticks (id bigint GENERATED ALWAYS AS IDENTITY, at bigint NOT NULL)")
        connection.execute("REVOKE ALL ON ticks FROM PUBLIC")
        connection.execute(f"CREATE ROLE {GROUP} NOLOGIN")
        connection.execute(f"GRANT SELECT, INSERT ON ticks TO {GROUP}")
        setup.apply(connection, admin=ADMIN, password=password, groups=[GROUP])
