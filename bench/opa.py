"""OPA as a server: `opa run --server` with bench/rego, as its documentation starts it."""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.measure import CACHE, ROOT, BenchError
from flyball.demo.postgres import free_port


@dataclass(frozen=True)
class Opa:
    """A running OPA."""

    addr: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running(policy: Path = ROOT / "rego" / "policy.rego") -> Iterator[Opa]:
    """OPA with one file of policy on the servers' core: one processor, as its Go runtime reads the affinity.

    Raises:
        BenchError: it is not built, or does not start.
    """
    binary = machine.opa_path()
    if not binary.exists():
        raise BenchError("OPA is not built: run `make peers`")
    addr = f"127.0.0.1:{free_port()}"
    words = [str(binary), "run", "--server", "--addr", addr, "--log-level", "error", str(policy)]
    process = machine.start(words, log=CACHE / "opa.log")
    try:
        deadline = time.monotonic() + 20
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"OPA did not start; see {CACHE}/opa.log")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{addr}/health", timeout=1) as answer:
                if answer.status == 200:
                    break
            time.sleep(0.05)
        yield Opa(addr, process)
    finally:
        machine.end(process)
