"""A real Flyball server for tests: `flyball serve` in a process of its own, on free loopback ports."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
from tests.wait import until

from flyball.demo import database
from flyball.demo.postgres import EmbeddedPostgres, free_port
from flyball.identity.dev import DevDomain
from flyball.kernel.clock import SystemClock

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = ROOT / "bundles" / "demo"
ISSUER = "https://flyball.test.internal"
ADMIN_PASSWORD = "admin-password-of-a-test"
CONTROL_PASSWORD = "control-password-of-a-test"


def without_origins(bundle: Path) -> None:
    """Make of a copy of the demo's bundle one for tests about something else: no vouching, no origins, no mail."""
    manifest, profile = bundle / "bundle.yaml", bundle / "profiles" / "settle-refund.yaml"
    manifest.write_text(manifest.read_text().replace("actions: [sql.*, tool.refund]", "actions: [sql.*, tool.*]"))
    text = profile.read_text().replace(', vouched_by: ["spiffe://flyball.dev/desk"]', "")
    text = re.sub(r"      order_id: .*\n", "", text)
    profile.write_text(re.sub(r"  - action: tool.send_mail(?:.*\n)+?\n", "", text))


class RunningServer:
    """One state directory and the process that holds it. `start` and `kill` may alternate."""

    def __init__(
        self,
        home: Path,
        *,
        postgres: EmbeddedPostgres | None = None,
        heartbeat: str = "2s",
        vouched: bool = False,
        issuer: str = ISSUER,
    ) -> None:
        self.home = home
        self.issuer = issuer
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.port, self.decision_port = free_port(), free_port()
        self.config = home / "flyball.yaml"
        self.state = home / "state"
        self.process: subprocess.Popen[bytes] | None = None
        self._write_bundle(postgres, heartbeat, vouched)
        self.config.write_text(
            f"mode: dev\nissuer: {issuer}\nstate_dir: {self.state}\nbundle: {home}/bundle\n"
            f"control:\n  listen: 127.0.0.1:{self.port}\n"
            f"decision:\n  listen: 127.0.0.1:{self.decision_port}\n"
        )
        self.flyball("dev", "init")

    def _write_bundle(self, postgres: EmbeddedPostgres | None, heartbeat: str, vouched: bool) -> None:
        bundle = self.home / "bundle"
        subprocess.run(["cp", "-rL", str(BUNDLE), str(bundle)], check=True)
        manifest = bundle / "bundle.yaml"
        text = manifest.read_text()
        if postgres is None:
            text = text.replace("kind: postgresql", "kind: memory")
            # What goes through the gateway needs a database behind it.
            text = re.sub(r"      orders-reader:\n(?: {8}.*\n?)+", "", text)
            (bundle / "profiles" / "look-up-orders.yaml").unlink()
            text = re.sub(r"    database: orders\n    admin: .*\n    doors:\n      primary: .*\n", "", text)
            text = re.sub(r"        group: .*\n", "", text)
        else:
            text = text.replace("port: 5432", f"port: {postgres.port}")
            password = self.home / "orders-admin.password"
            password.touch(mode=0o600)
            password.write_text(ADMIN_PASSWORD)
        manifest.write_text(text)
        profile = bundle / "profiles" / "settle-refund.yaml"
        text = profile.read_text().replace("heartbeat: 2s", f"heartbeat: {heartbeat}")
        profile.write_text(text)
        if not vouched:
            without_origins(bundle)

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLYBALL_", "PG"))}
        path = os.pathsep.join(str(part) for part in (ROOT / "src", ROOT / "sdk/python/src"))
        return {**kept, "FLYBALL_CONFIG": str(self.config), "PYTHONPATH": path}

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def decision_url(self) -> str:
        return f"http://127.0.0.1:{self.decision_port}"

    @property
    def admin_token(self) -> str:
        return (self.state / "admin.token").read_text().strip()

    @property
    def operator(self) -> httpx.Client:
        return httpx.Client(base_url=self.control_url, headers={"Authorization": f"Bearer {self.admin_token}"})

    def flyball(self, *words: str, code: int | None = 0, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "flyball", *words],
            env={**self.env, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def svid(self, agent: str = "refund-agent", audience: str | Sequence[str] = "", ttl_s: int = 3600) -> str:
        """What `flyball dev svid` prints, without a start of the command."""
        domain = DevDomain.open(self.state / "dev", mode="development", clock=SystemClock())
        return domain.issue(f"spiffe://flyball.dev/agent/{agent}", audience or self.issuer, ttl_s=ttl_s)

    def start(self, **env: str) -> None:
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flyball", "serve"],
                env={**self.env, **env},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self.answers, 30, "the server answers")

    def answers(self) -> bool:
        """Whether the control API answers; fails with the log where the process has ended."""
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.control_url}/v1/health", timeout=1).status_code == 200
        return False

    def kill(self, sign: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.wait(timeout=30)

    def log(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")

    def status(self) -> dict[str, object]:
        answer = self.operator.get("/v1/status")
        assert answer.status_code == 200, answer.text
        status: dict[str, object] = json.loads(answer.text)
        return status


@contextlib.contextmanager
def running_server(
    home: Path, *, postgres: EmbeddedPostgres | None = None, heartbeat: str = "2s"
) -> Iterator[RunningServer]:
    """A started server; ended when the block is left. Without `postgres` its target is the in-memory one."""
    server = RunningServer(home, postgres=postgres, heartbeat=heartbeat)
    try:
        server.start()
        yield server
    finally:
        server.kill(signal.SIGTERM)


@contextlib.contextmanager
def shop(home: Path) -> Iterator[EmbeddedPostgres]:
    """An embedded PostgreSQL with the demo's shop in it."""
    postgres = EmbeddedPostgres(home)
    postgres.start()
    try:
        database.prepare(postgres, admin_password=ADMIN_PASSWORD, control_password=CONTROL_PASSWORD)
        yield postgres
    finally:
        postgres.stop()
