"""`flyball run`'s child: it gets our signals, and we get its end. Real processes throughout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.wait import until

HARNESS = """
import sys
from flyball.edges.cli.child import Child
from flyball.edges.cli.errors import CliError
child = Child()
try:
    with child.signals_held():
        child.start(sys.argv[1:], __import__("os").environ)
        print("started", flush=True)
        while not child.ended(0.2):
            pass
except CliError as fault:
    sys.exit(fault.exit_code)
sys.exit(child.exit_code)
"""


def run(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HARNESS), *command],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=20)
    return process.returncode


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_passed_on(code: int) -> None:
    """The command's own exit code is ours."""
    assert finish(run("sh", "-c", f"exit {code}")) == code


def test_death_by_a_signal_is_128_plus_its_number() -> None:
    """As a shell says it."""
    assert finish(run("sh", "-c", "kill -KILL $$")) == 128 + signal.SIGKILL


def test_a_command_that_is_not_there_is_127(tmp_path: Path) -> None:
    """And one that cannot be run is 126."""
    assert finish(run("no-such-command-anywhere")) == 127
    plain = tmp_path / "plain"
    plain.write_text("no program")
    plain.chmod(0o600)
    assert finish(run(str(plain))) == 126


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_command_once(tmp_path: Path, number: signal.Signals) -> None:
    """A signal sent to us is the command's, once; the command decides what comes of it."""
    heard = tmp_path / "heard"
    script = (
        "import signal,sys,time\n"
        f"signal.signal({int(number)}, lambda n, f: open({str(heard)!r}, 'a').write(f'{{n}} '))\n"
        f"open({str(tmp_path / 'ready')!r}, 'w')\n"
        f"while not __import__('os').path.exists({str(tmp_path / 'leave')!r}): time.sleep(0.01)\n"
        "sys.exit(7)\n"
    )
    process = run(sys.executable, "-c", script)
    until((tmp_path / "ready").exists)
    process.send_signal(number)
    until(lambda: heard.exists() and heard.read_text())
    (tmp_path / "leave").touch()
    assert finish(process) == 7
    assert heard.read_text() == f"{int(number)} "


def test_the_command_does_not_inherit_held_signals() -> None:
    """Our holding of signals ends at the command: it can be interrupted."""
    process = run("sh", "-c", "grep SigBlk /proc/self/status; exec sleep 60")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    blocked = next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))
    os.kill(process.pid, signal.SIGTERM)
    assert blocked == 0
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    process.stdout.close()
