"""`flyball run --confine`: a program that tries to get out, on the real kernel. Skipped, with a word, without root."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.envoy.kit import Envoy, EnvoyFlyball, Upstream, behind
from tests.processes import children, runs
from tests.wait import until

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


def identity(flyball: EnvoyFlyball) -> Path:
    """A file with the identity of an agent."""
    svid = flyball.home / "agent.svid"
    if not svid.exists():
        svid.write_text(flyball.svid())
    return svid


def run(
    flyball: EnvoyFlyball, *words: str, open_files: Sequence[int] = (), **env: str
) -> subprocess.CompletedProcess[str]:
    """`flyball run` with the identity of an agent, by a caller that has these files open."""
    return subprocess.run(
        [sys.executable, "-m", "flyball", "run", "billing", *words],
        pass_fds=open_files,
        env={**flyball.env, "FLYBALL_SVID_FILE": str(identity(flyball)), "A_SECRET": "of-the-user", **env},
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
    assert not {"A_SECRET", "FLYBALL_SVID_FILE", "FLYBALL_CONFIG", "PYTHONPATH"} & set(environment)


def test_a_whole_confinement_is_not_called_cooperative(told: tuple[dict[str, Json], str]) -> None:
    """Nothing was missing, so nothing is said."""
    assert "cooperative" not in told[1]


@pytest.fixture
def folders() -> Iterator[Path]:
    """A TMPDIR that other users get into, as /tmp is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_its_exit_code_is_ours_and_its_folders_are_gone(flyball: EnvoyFlyball, folders: Path) -> None:
    """A confined command's exit code comes out; a signal's is 128 and its number; a missing command is 126 or 127."""
    within = {"TMPDIR": str(folders)}
    assert run(flyball, "--confine", "--", "/bin/sh", "-c", "exit 7", **within).returncode == 7
    assert run(flyball, "--confine", "--", "/bin/sh", "-c", "kill -9 $$", **within).returncode == 137
    missing = run(flyball, "--confine", "--", "no-such-command", **within)
    assert missing.returncode in (126, 127), missing.stderr
    assert "cannot be run" in missing.stderr
    assert not list(folders.iterdir())


def test_a_daemon_left_behind_ends_with_the_command(flyball: EnvoyFlyball, tmp_path: Path) -> None:
    """What forked away from the command does not outlive it."""
    marker = f"{os.getpid()}.5"
    done = run(flyball, "--confine", "--", "/bin/sh", "-c", f"(setsid sleep {marker} &) ; echo started")
    assert done.stdout.strip() == "started"
    assert not runs(f"sleep {marker}")


def test_it_ends_with_who_started_it(flyball: EnvoyFlyball, folders: Path) -> None:
    """Killed without a word, `flyball run` leaves no command behind: its ways would be gone, and its task is over."""
    marker = f"{os.getpid()}.25"
    words = [sys.executable, "-m", "flyball", "run", "billing", "--confine", "--", "/bin/sleep", marker]
    env = {**flyball.env, "FLYBALL_SVID_FILE": str(identity(flyball)), "TMPDIR": str(folders)}
    with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        until(lambda: runs(f"^/bin/sleep {marker}"), 30, "the command runs")
        (launcher,) = children(started.pid)
        assert b"FLYBALL" not in Path(f"/proc/{launcher}/environ").read_bytes()  # it is told what it needs
        started.kill()
        started.wait()
    until(lambda: not runs(f"^/bin/sleep {marker}"), 10, "the command is gone")


def test_what_was_open_is_not_handed_in(flyball: EnvoyFlyball, tmp_path: Path) -> None:
    """A file that its caller had open is no grant: the command has its standard streams and nothing else."""
    (tmp_path / "secret").write_text("of the user's shell")
    with (tmp_path / "secret").open() as file:
        number = file.fileno()
        listing = f"import os; print([n for n in range(3, 256) if os.path.lexists(f'/proc/self/fd/{{n}}')], {number})"
        done = run(flyball, "--confine", "--", PYTHON, "-c", listing, open_files=[number])
    assert done.stdout.strip() == f"[] {number}", done.stderr


CONNECTING = """
import select, socket, sys
made = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10) for _ in range(270)]
closed = set()
while len(closed) < 14:
    closed |= {one for one in select.select(made, [], [], 30)[0] if one not in closed}
print(len(closed), {one.recv(1) for one in closed})
"""


def test_connections_at_once_are_bounded(flyball: EnvoyFlyball) -> None:
    """What runs inside cannot use up our threads: beyond the bound a connection is closed and reaches nobody."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        port = server.getsockname()[1]
        done = run(flyball, "--confine", "--reach", f"127.0.0.1:{port}", "--", PYTHON, "-c", CONNECTING, str(port))
        assert done.stdout.strip() == "14 {b''}", done.stderr
        server.settimeout(0)
        reached = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                server.accept()[0].close()
                reached += 1
    assert reached == 256


RENEWED = """
import json, os
place = os.environ["FLYBALL_TASK_TOKEN_FILE"]
folder = os.path.dirname(place)
def read():
    with open(place) as file:
        return file.read()
first = read()
while read() == first:
    pass
file, around = os.stat(place), os.stat(folder)
print(json.dumps({
    "file": [file.st_uid == os.getuid(), oct(file.st_mode & 0o777)],
    "folder": [around.st_uid, around.st_gid == os.getgid(), oct(around.st_mode & 0o777)],
}))
"""


def test_credentials_are_read_and_read_anew_inside(tmp_path: Path) -> None:
    """They are the command's alone, at each moment, also where our own runtime folder is nobody else's; the folder
    that they stand in stays ours, so that nothing can be put there for root to write through."""
    brisk = EnvoyFlyball(tmp_path / "flyball", heartbeat="3s")
    brisk.start()
    own = tmp_path / "runtime"
    own.mkdir(mode=0o700)
    try:
        done = run(brisk, "--confine", "--", PYTHON, "-c", RENEWED, XDG_RUNTIME_DIR=str(own))
    finally:
        brisk.kill(signal.SIGTERM)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"file": [True, "0o600"], "folder": [0, True, "0o750"]}
    assert not list(own.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reach", "127.0.0.1"], "is not HOST:PORT"),
        (["--reach", "127.0.0.1:0"], "is not HOST:PORT"),
        (["--reach", ":80"], "is not HOST:PORT"),
        (["--reach", "192.0.2.1:80", "--reach", "192.0.2.2:80"], "would be the same one inside"),
        (["--keep-env", "FLYBALL_SVID_FILE"], "is not handed on"),
        (["--read", "/no/such/place"], "there is no /no/such/place"),
    ],
)
def test_what_cannot_be_granted_runs_nothing(flyball: EnvoyFlyball, words: list[str], said: str) -> None:
    """Each is a word of its own, before the command."""
    done = run(flyball, "--confine", *words, "--", "/bin/echo", "it ran")
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("word", ["--read", "--write"])
def test_flyballs_own_cannot_be_granted(flyball: EnvoyFlyball, tmp_path: Path, word: str) -> None:
    """A grant that holds the state or who we are, lies in it, or leads there is a usage error."""
    link = tmp_path / "link"
    link.symlink_to(flyball.state)
    deep, beside = next((flyball.state / "keys").iterdir()), flyball.state / "made-by-a-test"
    beside.touch()
    own = (flyball.state, flyball.home, flyball.state / "keys", deep, beside, identity(flyball), link, Path("/"))
    for path in own:
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
        env={**flyball.env, "FLYBALL_SVID_FILE": str(identity(flyball))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cooperative" in done.stderr
    assert "network" in done.stderr
    assert "another user" in done.stderr
