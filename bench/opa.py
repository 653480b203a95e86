"""OPA as a server with bench/rego, as its documentation starts it: by itself, and with its plugin for Envoy."""

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
    with _running(machine.opa_path(), [str(policy)]) as peer:
        yield peer


@contextlib.contextmanager
def running_for_envoy(socket: Path, policy: Path, path: str, *, logs: bool = False) -> Iterator[Opa]:
    """The same with the plugin, which answers Envoy's gRPC at a Unix socket with the decision at `path`. With `logs` it
    keeps a record, too: its decision log, on the console as its documentation shows it first, which is a file here.

    Raises:
        BenchError: it is not built, or does not start.
    """
    plugin = f"plugins.envoy_ext_authz_grpc.addr=unix://{socket}", f"plugins.envoy_ext_authz_grpc.path={path}"
    kept = ("decision_logs.console=true",) if logs else ()
    words = [word for setting in (*plugin, *kept) for word in ("--set", setting)]
    with _running(machine.opa_path().with_name("opa-envoy"), [*words, str(policy)]) as peer:
        deadline = time.monotonic() + 20
        while not socket.exists():
            if time.monotonic() > deadline:
                raise BenchError(f"OPA's plugin does not listen; see {CACHE}/opa.log")
            time.sleep(0.05)
        yield peer


@contextlib.contextmanager
def _running(binary: Path, more: list[str]) -> Iterator[Opa]:
    if not binary.exists():
        raise BenchError(f"{binary.name} is not built: run `make peers`")
    addr = f"127.0.0.1:{free_port()}"
    words = [str(binary), "run", "--server", "--addr", addr, "--log-level", "error", *more]
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
