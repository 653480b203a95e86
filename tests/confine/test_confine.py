"""`flyball run --confine`: a program that tries to get out, on the real kernel. Skipped, with a word, without root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.envoy.kit import Envoy, EnvoyFlyball, Upstream, behind

from flyball.kernel.json import Json

PROBE = Path(__file__).with_name("probe.py")
PYTHON = "/usr/bin/python3"
LAYERS = ("the network namespace", "another user", "Landlock", "seccomp")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason=f"needs root: {', '.join(LAYERS)} are not tried here"),
    pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"needs {PYTHON} for the program inside"),
]

FEWER = ("setpriv", "--bounding-set", "-sys_admin,-setuid", "--inh-caps", "-sys_admin,-setuid")

#: What each attempt may end in. Nothing else counts as closed.
CLOSED = {
    "tcp loopback": {"EACCES"},
    "tcp routable": {"EACCES"},
    "signal": {"ESRCH", "EPERM"},
    "state": {"EACCES"},
    "state folder": {"EACCES"},
    "own file of the user": {"EACCES"},
    "identity": {"EACCES"},
    "write beside": {"EACCES"},
    "clone3": {"ENOSYS"},
}


@pytest.fixture(scope="module")
def flyball(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoyFlyball]:
    made = EnvoyFlyball(tmp_path_factory.mktemp("flyball"))
    made.start()
    yield made
    made.kill(signal.SIGTERM)


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory, flyball: EnvoyFlyball) -> Iterator[Envoy]:
    upstream = Upstream()
    with behind(tmp_path_factory.mktemp("envoy"), flyball, upstream) as made:
        yield made
    upstream.close()


@pytest.fixture(scope="module")
def listening() -> Iterator[int]:
    """A port on which this host listens on all addresses."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield int(server.getsockname()[1])


def routable() -> str:
    """An address of this host that is not loopback."""
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    return next((one for one in found if "." in one), "192.0.2.1")


def run(flyball: EnvoyFlyball, *words: str, profile: str = "billing", **env: str) -> subprocess.CompletedProcess[str]:
    """`flyball run` with the identity of an agent."""
    svid = flyball.home / "agent.svid"
    if not svid.exists():
        svid.write_text(flyball.svid())
    return subprocess.run(
        [sys.executable, "-m", "flyball", "run", profile, *words],
        env={**flyball.env, "FLYBALL_SVID_FILE": str(svid), "A_SECRET": "of-the-user", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, flyball: EnvoyFlyball, envoy: Envoy, listening: int
) -> tuple[dict[str, Json], str]:
    """What the probe found, and what the command line said."""
    granted = tmp_path_factory.mktemp("granted")
    for folder in (granted, *granted.parents):
        if folder.is_relative_to(Path("/tmp")) and folder != Path("/tmp"):
            folder.chmod(0o755)
    shutil.copy(PROBE, granted / "probe.py")
    private = tmp_path_factory.mktemp("private") / "notes"
    private.write_text("mine")
    private.chmod(0o644)
    assert flyball.process is not None
    asked: dict[str, Json] = {
        "control": flyball.port,
        "routable": routable(),
        "listening": listening,
        "state": str(flyball.state),
        "private": str(private),
        "svid": str(flyball.home / "agent.svid"),
        "server": flyball.process.pid,
        "proxy": envoy.port,
    }
    command = [PYTHON, str(granted / "probe.py"), json.dumps(asked)]
    words = ["--confine", "--read", str(granted), "--reach", f"127.0.0.1:{envoy.port}", "--", *command]
    done = run(flyball, *words)
    assert done.returncode == 0, (done.stdout, done.stderr)
    found: dict[str, Json] = json.loads(done.stdout)
    return found, done.stderr


@pytest.mark.parametrize("who", ["own", "child"])
def test_no_way_out_is_open(told: tuple[dict[str, Json], str], who: str) -> None:
    """Sockets of every kind, Flyball's files and process, namespaces: closed for the program and for its children."""
    tries = told[0][who]
    assert isinstance(tries, dict)
    left = {what: came for what, came in tries.items() if str(came) not in CLOSED.get(what, {"EPERM"})}
    assert left == {}


def test_through_the_proxy_it_works(told: tuple[dict[str, Json], str]) -> None:
    """The one way that is left leads to the enforcement point, which decides."""
    assert told[0]["proxy"] == "ok 200"


def test_it_is_another_user_with_a_home_and_an_empty_machine(told: tuple[dict[str, Json], str]) -> None:
    """A user that nobody is, a folder of its own, its own processes alone, no variable that was not granted."""
    found = told[0]
    assert found["uid"] not in (0, 65_534)
    assert found["home"] == "ok"
    processes, environment = found["processes"], found["environment"]
    assert isinstance(processes, list)
    assert isinstance(environment, list)
    assert len(processes) <= 3
    assert not {"A_SECRET", "FLYBALL_SVID_FILE", "FLYBALL_CONFIG"} & set(environment)


def test_a_whole_confinement_is_not_called_cooperative(told: tuple[dict[str, Json], str]) -> None:
    """Nothing was missing, so nothing is said."""
    assert "cooperative" not in told[1]


def test_its_exit_code_is_ours_and_its_folders_are_gone(flyball: EnvoyFlyball) -> None:
    """A confined command's exit code comes out; a signal's is 128 and its number; a missing command is 126 or 127."""
    assert run(flyball, "--confine", "--", "/bin/sh", "-c", "exit 7").returncode == 7
    assert run(flyball, "--confine", "--", "/bin/sh", "-c", "kill -9 $$").returncode == 137
    missing = run(flyball, "--confine", "--", "no-such-command")
    assert missing.returncode in (126, 127), missing.stderr
    assert "cannot be run" in missing.stderr
    assert not list(Path("/tmp").glob("flyball-confined-*"))


def test_a_daemon_left_behind_ends_with_the_command(flyball: EnvoyFlyball, tmp_path: Path) -> None:
    """What forked away from the command does not outlive it."""
    marker = f"{os.getpid()}.5"
    done = run(flyball, "--confine", "--", "/bin/sh", "-c", f"(setsid sleep {marker} &) ; echo started")
    assert done.stdout.strip() == "started"
    listed = subprocess.run(["pgrep", "-f", f"sleep {marker}"], capture_output=True, text=True, check=False)
    assert listed.stdout == ""


@pytest.mark.parametrize("word", ["--read", "--write"])
def test_flyballs_own_cannot_be_granted(flyball: EnvoyFlyball, word: str) -> None:
    """A grant that holds the state, or lies in it, is a usage error."""
    for path in (flyball.state, flyball.home, flyball.state / "keys", Path("/")):
        done = run(flyball, "--confine", word, str(path), "--", "/bin/true")
        assert done.returncode == 2, (path, done.stderr)
        assert "cannot be granted" in done.stderr


def test_grants_without_confine_are_a_usage_error(flyball: EnvoyFlyball) -> None:
    """Nobody shall believe that they do anything."""
    done = run(flyball, "--read", "/usr", "--", "/bin/true")
    assert (done.returncode, "--confine" in done.stderr) == (2, True)


def test_without_root_it_says_cooperative(flyball: EnvoyFlyball) -> None:
    """Where namespaces and another user cannot be had, each is named, and the word is `cooperative`."""
    done = subprocess.run(
        [*FEWER, sys.executable, "-m", "flyball", "run", "billing", "--confine", "--", "/bin/true"],
        env={**flyball.env, "FLYBALL_SVID_FILE": str(flyball.home / "agent.svid")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cooperative" in done.stderr
    assert "network" in done.stderr
    assert "another user" in done.stderr
