"""`flyball run --confine`: a command that has no way out but the gateways.

Another user, namespaces of its own, Landlock and seccomp together; each alone leaks (crates/confine). The gateways'
addresses are listened on inside the network namespace, and each connection is carried to the gateway outside. What
the machine or a lack of root does not allow is named, and the run is then `cooperative`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import pwd
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from flyball.edges.cli.child import Child
from flyball.edges.cli.errors import MISUSED, CliError
from flyball.kernel.json import Json

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sys/devices/system/cpu")
_ETC = (
    "alternatives ca-certificates crypto-policies gai.conf group hosts inputrc ld.so.cache ld.so.conf ld.so.conf.d "
    "localtime mime.types nsswitch.conf os-release passwd pki protocols resolv.conf services ssl terminfo"
)
DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
_KEPT = ("PATH", "LANG", "LANGUAGE", "TERM", "TZ", "COLUMNS", "LINES", "NO_COLOR")
_USERS = range(61_184, 65_520)  # left for users made in passing (systemd's dynamic ones)
_WITHIN_S = 20.0
_MOST_CONNECTIONS = 256
_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Grants:
    """What the command may reach beside the system's own programs: files to read, files to write, addresses, and
    variables of our environment."""

    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    reach: Sequence[str] = ()
    env: Sequence[str] = ()

    def refuse(self, private: Sequence[Path]) -> None:
        """Refuse a grant that holds, or lies in, what is Flyball's or says who we are.

        Raises:
            CliError: it does, or the path is not there.
        """
        for path in (*self.read, *self.write):
            if not path.exists():
                raise CliError(f"there is no {path} to grant", exit_code=MISUSED)
            own = path.resolve()
            for one in private:
                secret = one.resolve()
                if secret.is_relative_to(own) or own.is_relative_to(secret):
                    raise CliError(
                        f"{path} cannot be granted: {one} is Flyball's own, or says who you are",
                        "grant a narrower folder",
                        exit_code=MISUSED,
                    )


class Confinement:
    """A place for one command; a context manager. Use it within `Child.signals_held`."""

    def __init__(self, grants: Grants, handed: Mapping[str, str], folder: Path, user: int | None) -> None:
        """`handed` is what the command's environment says of its credentials, whose files lie in `folder`. `user` is
        the command's own (`spare_user`).

        Raises:
            CliError: an address cannot be reached from inside.
        """
        self._grants = grants
        self._folder = folder
        self._home = Path()
        self._ways = _ways(grants.reach, handed)
        self._env = {**_own_environment(grants.env), **handed}
        self._uid = user
        self._open: list[socket.socket] = []
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def __enter__(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="flyball-confined-"))
        if self._uid is not None:
            os.chown(self._home, self._uid, self._uid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def start(self, child: Child, command: Sequence[str], extra: Mapping[str, str]) -> tuple[str, ...]:
        """Start the command in there. What could not be closed comes back, each with its reason; nothing: all is.

        Raises:
            CliError: it cannot be run.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.set_inheritable(True)
            launcher = [sys.executable, "-m", "flyball.assembly.confined", str(theirs.fileno())]
            child.start(launcher, _launcher_environment())
            theirs.close()
            ours.settimeout(_WITHIN_S)
            ours.sendall(json.dumps(self._spec(command, extra)).encode() + b"\n")
            try:
                apart, listeners, _, _ = socket.recv_fds(ours, 1, len(self._ways))
                answers = ours.makefile("r", encoding="utf-8")
                told = json.loads(answers.readline() if apart else "")
                # The end of file is the command's start; a second line says why there was none.
                fault_line = answers.readline()
            except (OSError, ValueError) as fault:
                raise CliError("the command could not be confined", "nothing was run", exit_code=126) from fault
            if fault_line:
                fault_told = str(json.loads(fault_line)["fault"])
                raise CliError(fault_told, "grant its folder with --read", exit_code=126)
            for number, way in zip(listeners, self._ways, strict=True) if apart == b"1" else ():
                self._serve(socket.socket(fileno=number), way)
        return tuple(str(one) for one in told["missing"])

    def _spec(self, command: Sequence[str], extra: Mapping[str, str]) -> dict[str, Json]:
        etc = [f"/etc/{name}" for name in _ETC.split()]
        system = [path for path in (*SYSTEM, *etc) if Path(path).exists()]
        home = str(self._home)
        env: dict[str, Json] = {**self._env, **extra, "HOME": home, "TMPDIR": home}
        ways: list[Json] = [[_inside(host), port] for host, port in self._ways]
        within = Path.cwd().resolve()
        granted = [path.resolve() for path in (*self._grants.read, *self._grants.write)]
        return {
            "parent": os.getpid(),
            "command": list(command),
            "env": env,
            "folder": str(within) if any(within.is_relative_to(path) for path in granted) else home,
            "uid": self._uid,
            "read": [*system, str(self._folder), *(str(path.resolve()) for path in self._grants.read)],
            "write": [
                *(path for path in DEVICES if Path(path).exists()),
                home,
                *(str(path.resolve()) for path in self._grants.write),
            ],
            "ways": ways,
        }

    def _serve(self, listener: socket.socket, way: tuple[str, int]) -> None:
        self._open.append(listener)

        def accept() -> None:
            while True:
                try:
                    inside, _ = listener.accept()
                except OSError:
                    return
                if not self._places.acquire(blocking=False):
                    inside.close()
                    continue
                threading.Thread(target=self._carry, args=(inside, way), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def _carry(self, inside: socket.socket, way: tuple[str, int]) -> None:
        """Carry one connection to the gateway outside, until either side ends it."""
        try:
            with inside, socket.create_connection(way, timeout=_WITHIN_S) as outside:
                outside.settimeout(None)
                back = threading.Thread(target=_pump, args=(outside, inside), daemon=True)
                back.start()
                _pump(inside, outside)
                back.join()
        except OSError:
            return
        finally:
            self._places.release()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while block := source.recv(_BLOCK):
            sink.sendall(block)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _ways(reach: Sequence[str], handed: Mapping[str, str]) -> list[tuple[str, int]]:
    """The addresses outside that are to be reached from inside."""
    found: list[tuple[str, int]] = []
    if handed.get("PGHOST"):
        if handed["PGHOST"].startswith("/"):
            raise CliError(
                "the PostgreSQL gateway listens on a Unix socket only, which is out of reach for a confined command",
                "set postgresql_gateway.listen",
            )
        found.append((handed["PGHOST"], int(handed.get("PGPORT") or 5432)))
    for name in PROXIES:
        if address := handed.get(name):
            parts = urlsplit(address)
            found.append((parts.hostname or "", parts.port or 80))
    for one in reach:
        host, colon, port = one.rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise CliError(f"--reach {one!r} is not HOST:PORT", exit_code=MISUSED)
        found.append((host, int(port)))
    found = list(dict.fromkeys(found))
    inside = [(_inside(host), port) for host, port in found]
    if len(set(inside)) != len(inside):
        raise CliError("two addresses would be the same one inside", "inside, all are 127.0.0.1 with their port")
    return found


def _inside(host: str) -> str:
    """Where an address of outside is reached inside: loopback addresses stay, all others are 127.0.0.1."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.version == 4 and address.is_loopback:
            return host
    return "127.0.0.1"


def _own_environment(names: Sequence[str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
    for name in names:
        if name.startswith("FLYBALL_"):
            raise CliError(f"--keep-env {name}: who you are is not handed on", exit_code=MISUSED)
        if name in os.environ:
            kept[name] = os.environ[name]
    return kept


def _launcher_environment() -> dict[str, str]:
    """What Python needs to find this package; the command gets none of it."""
    return {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}


def spare_user() -> int | None:
    """A user that nobody is, and that runs nothing; None where we are not root and can have no other user.

    Raises:
        CliError: all are taken.
    """
    if os.geteuid() != 0:
        return None
    taken = set(_owners())
    known = {one.pw_uid for one in pwd.getpwall()}
    start = os.getpid() % len(_USERS)
    users: list[int] = [*_USERS[start:], *_USERS[:start]]
    for uid in users:
        if uid not in taken and uid not in known:
            return uid
    raise CliError("no user is left for the command", "end other confined commands")


def _owners() -> Iterator[int]:
    """The users of all processes."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                yield path.stat().st_uid
