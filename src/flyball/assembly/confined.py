"""The launcher of a confined command: `python -m flyball.assembly.confined FD`, started by `flyball run --confine`.

It leaves the host's namespaces, hands listeners made inside to who started it, and becomes the command: as another
user, within its files and ports, without the system calls that lead out. It says over FD what could not be done.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, cast

from flyball.kernel.json import Json
from flyball.policy.engine import (
    CoreError,
    confine_calls,
    confine_files,
    confine_namespaces,
    confine_proc,
    confine_user,
)

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HELD = {*PASSED_ON, signal.SIGCHLD}
_FROM_KERNEL = 0x80
_NOT_RUNNABLE = 126
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Spec:
    """What the launcher is told. `parent` is who started it; `uid` None: no other user can be had."""

    parent: int
    command: list[str]
    env: dict[str, str]
    folder: str
    uid: int | None
    read: list[str]
    write: list[str]
    ways: list[tuple[str, int]]
    missing: list[str] = field(default_factory=list)


def main(number: int) -> int:
    """Run the launcher; the command's exit code."""
    control = socket.socket(fileno=number)
    control.set_inheritable(False)
    spec = _spec(json.loads(control.makefile("r", encoding="utf-8").readline()))
    _end_with_parent()
    if os.getppid() != spec.parent:
        return 1
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    apart = _tried(spec, "network, mounts and process table of its own", confine_namespaces)
    listeners = _listeners(spec.ways) if apart else []
    word = b"1" if apart else b"0"
    if listeners:
        socket.send_fds(control, [word], [one.fileno() for one in listeners])
    else:
        control.sendall(word)
    for one in listeners:
        one.close()
    parent = os.getpid()
    first = os.fork()
    if first:
        control.close()
        return _attend(first)
    _end_with_parent()
    if not apart:
        if os.getppid() != parent:
            return 1
        _become(spec, control)
    _tried(spec, "its own view of processes", confine_proc)
    second = os.fork()
    if second == 0:
        _become(spec, control)
    control.close()
    os._exit(_attend(second))


def _end_with_parent() -> None:
    """Without its parent nobody would end what runs here; with the first process of a process table all of it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _spec(told: Mapping[str, Json]) -> Spec:
    texts = {name: [str(one) for one in cast("list[Json]", told[name])] for name in ("command", "read", "write")}
    ways = [(str(host), int(str(port))) for host, port in cast("list[list[Json]]", told["ways"])]
    env = {name: str(value) for name, value in cast("dict[str, Json]", told["env"]).items()}
    uid = told["uid"]
    return Spec(
        int(str(told["parent"])),
        texts["command"],
        env,
        str(told["folder"]),
        uid if isinstance(uid, int) else None,
        texts["read"],
        texts["write"],
        ways,
    )


def _tried(spec: Spec, what: str, step: Callable[[], object]) -> bool:
    """Take a step; what could not be done is noted."""
    try:
        step()
    except CoreError as fault:
        spec.missing.append(f"{what}: {fault.args[1]}")
        return False
    return True


def _listeners(ways: list[tuple[str, int]]) -> list[socket.socket]:
    """Listeners in this network namespace, whose loopback is brought up for them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
    found = []
    for host, port in ways:
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        one.bind((host, port))
        one.listen(128)
        found.append(one)
    return found


def _become(spec: Spec, control: socket.socket) -> NoReturn:
    """Give up the rest, say how far that went, and be the command."""
    try:
        _close_inherited(control)
        os.chdir(spec.folder)
        if spec.uid is not None:
            uid = spec.uid
            _tried(spec, "another user", lambda: confine_user(uid, uid))
            _end_with_parent()  # the kernel forgets it with the change of user
        else:
            spec.missing.append("another user: only root can give one")
        whole = [False]

        def files() -> None:
            whole[0] = confine_files(spec.read, spec.write, [port for _, port in spec.ways])

        if _tried(spec, "files (Landlock)", files) and not whole[0]:
            spec.missing.append("files (Landlock): this kernel keeps only a part of it")
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number in (*PASSED_ON, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        # Last: what comes after it is the command's own start.
        _tried(spec, "system calls (seccomp)", confine_calls)
        control.sendall(json.dumps({"missing": spec.missing}).encode() + b"\n")
        os.execvpe(spec.command[0], spec.command, spec.env)  # noqa: S606 - a shell is what nobody wants here
    except OSError as fault:
        told = json.dumps({"fault": f"{spec.command[0]!r} cannot be run: {fault.strerror}"})
        control.sendall(told.encode() + b"\n")
    os._exit(_NOT_RUNNABLE)


def _close_inherited(control: socket.socket) -> None:
    """Close what our caller had open beside the standard streams: it is no grant, and no wall looks at it again. The
    control socket closes itself at the command's start."""
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if number > 2 and number != control.fileno():
            with contextlib.suppress(OSError):  # the listing's own
                os.close(number)


def _attend(main_pid: int) -> int:
    """Pass signals on and reap whatever ends, until that process has; its exit code."""
    while True:
        taken = signal.sigwaitinfo(_HELD)
        if taken.si_signo != signal.SIGCHLD:
            if taken.si_code != _FROM_KERNEL:
                os.kill(main_pid, taken.si_signo)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if pid == 0:
                break
            if pid == main_pid:
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
