"""A `flyball serve` with a gateway in it, for the families that go through one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

import flyball_sdk
from bench import machine, setting
from bench.measure import SERVER_CORE, BenchError


@dataclass(frozen=True)
class Place:
    """One Flyball with a gateway: its setting, the profile of its tasks, and its process id."""

    setting: setting.Setting
    profile: str
    pid: int
    operator: httpx.Client

    def task(self) -> flyball_sdk.Task:
        """A task, not yet open."""
        return flyball_sdk.task(self.profile, addr=self._url, identity=self.setting.svid)

    def revoke(self, task: str) -> None:
        """Revoke a task, as its operator, over a connection that is kept."""
        self.operator.post(f"/v1/tasks/{task}/revoke", json={"reason": "bench"}).raise_for_status()

    @property
    def _url(self) -> str:
        return f"http://{self.setting.control}"


@contextmanager
def serving(home: Path, *, manifest: str, profile: str, text: str, section: str) -> Iterator[Place]:
    """Start it on the servers' core.

    Args:
        home: its folder, which may hold secrets already.
        manifest: bundle.yaml.
        profile: the one profile's name, and `text` what it says.
        section: the gateway's section of flyball.yaml.
    """
    (home / "bundle" / "profiles").mkdir(parents=True)
    (home / "bundle" / "bundle.yaml").write_text(manifest)
    (home / "bundle" / "profiles" / f"{profile}.yaml").write_text(text)
    place = setting.configure(home, section)
    log = home / "flyball.log"
    words = [sys.executable, "-m", "flyball", "serve", "--config", str(home / "flyball.yaml")]
    process = machine.start(words, core=SERVER_CORE, log=log)
    try:
        url = f"http://{place.control}"
        answers(f"{url}/v1/health", log)
        token = (home / "state" / "admin.token").read_text().strip()
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as operator:
            operator.get("/v1/tasks").raise_for_status()
            yield Place(place, profile, process.pid, operator)
    finally:
        machine.end(process)


def private(file: Path, text: str) -> Path:
    """A file that only we can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)
    return file


def answers(url: str, log: Path) -> None:
    """Wait until a server answers with 200.

    Raises:
        BenchError: it does not, within half a minute.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=1).status_code == 200:
                return
        time.sleep(0.02)
    raise BenchError(f"{url} does not answer: {log.read_text(errors='replace')[-800:] if log.exists() else ''}")
