"""Each wall of `--confine` alone, on the real kernel: together they hide what one of them lets through."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.confine.kit import WALLS, within

pytestmark = WALLS


# --- files and ports, by Landlock ---------------------------------------------------------------


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user outside."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        yield process
        process.kill()


FILES = """
read, write, aside = told["read"], told["write"], told["aside"]
may_read = [read, told["one"], "/usr", "/lib", "/lib64", "/dev/null"]
engine.confine_files(may_read, [write, told["mine"]], [told["granted"]])
def put(path, flags=os.O_WRONLY | os.O_CREAT):
    os.close(os.open(path, flags))
def reached(port):
    with socket.socket() as one:
        one.connect(("127.0.0.1", port))
def bound(port):
    with socket.socket() as one:
        one.bind(("127.0.0.1", port))
def abstract():
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(told["abstract"].replace("@", "\\0"))
found = {
    "reads what is granted": tried(lambda: open(read + "/file").read()),
    "lists what is granted": tried(lambda: os.listdir(read)),
    "reads one file": tried(lambda: open(told["one"]).read()),
    "writes what is granted": tried(lambda: put(write + "/new")),
    "removes there": tried(lambda: os.unlink(write + "/new")),
    "writes one file": tried(lambda: put(told["mine"], os.O_WRONLY | os.O_TRUNC)),
    "reaches a gateway": tried(lambda: reached(told["granted"])),
    "reads aside": tried(lambda: open(aside + "/file").read()),
    "lists aside": tried(lambda: os.listdir(aside)),
    "runs aside": tried(lambda: os.execv(aside + "/run", ["run"])),
    "writes aside": tried(lambda: put(aside + "/new")),
    "cuts aside": tried(lambda: os.truncate(aside + "/file", 0)),
    "writes what may be read": tried(lambda: put(read + "/file", os.O_WRONLY)),
    "makes beside what may be read": tried(lambda: put(read + "/new")),
    "removes what may be read": tried(lambda: os.unlink(read + "/file")),
    "makes a folder there": tried(lambda: os.mkdir(read + "/folder")),
    "moves it to where it may write": tried(lambda: os.rename(read + "/file", write + "/file")),
    "links it to where it may write": tried(lambda: os.link(aside + "/file", write + "/link")),
    "reaches another port": tried(lambda: reached(told["other"])),
    "listens": tried(lambda: bound(0)),
    "listens in a gateway's place": tried(lambda: bound(told["granted"])),
    "reaches an abstract socket": tried(abstract),
    "signals": tried(lambda: os.kill(told["neighbour"], 0)),
}
"""
GRANTED = {
    "reads what is granted",
    "lists what is granted",
    "reads one file",
    "writes what is granted",
    "removes there",
    "writes one file",
    "reaches a gateway",
}
NOT_PERMITTED = {"reaches an abstract socket", "signals"}


def test_landlock_alone_leaves_what_is_granted(tmp_path: Path, neighbour: subprocess.Popen[bytes]) -> None:
    """Even root, with every right on each file, reads, writes, makes and runs what is granted and nothing else; it
    reaches the granted ports and listens on none; sockets without a file and processes outside are out of reach."""
    for name in ("read", "write", "aside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
    for name in ("one", "mine"):
        (tmp_path / name).write_text("text")
    run = tmp_path / "aside" / "run"
    run.write_text("#!/bin/sh\n")
    run.chmod(0o755)
    name = f"flyball-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as granted,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        found = within(
            FILES,
            read=str(tmp_path / "read"),
            write=str(tmp_path / "write"),
            aside=str(tmp_path / "aside"),
            one=str(tmp_path / "one"),
            mine=str(tmp_path / "mine"),
            granted=granted.getsockname()[1],
            other=other.getsockname()[1],
            abstract=f"@{name}",
            neighbour=neighbour.pid,
        )
    expected = {what: "ok" if what in GRANTED else "EPERM" if what in NOT_PERMITTED else "EACCES" for what in found}
    moved = {"moves it to where it may write", "links it to where it may write"}
    assert {what: came for what, came in found.items() if what not in moved} == {
        what: came for what, came in expected.items() if what not in moved
    }
    assert {found[what] for what in moved} <= {"EACCES", "EXDEV"}


def test_a_grant_that_is_not_there_closes_nothing_and_says_so() -> None:
    """The step is an error, not half a step."""
    script = """
try:
    engine.confine_files(["/no/such/place"], [], [])
except engine.CoreError as fault:
    found = {"said": fault.args[1], "still": tried(lambda: open("/etc/passwd").read())}
"""
    found = within(script)
    assert "/no/such/place" in str(found["said"])
    assert found["still"] == "ok"


# --- system calls, by seccomp -------------------------------------------------------------------

#: Calls that lead out or undo the other walls, by their numbers.
REFUSED = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "setns": 308,
    "unshare": 272,
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "move_mount": 429,
    "open_tree": 428,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "open_by_handle_at": 304,
    "name_to_handle_at": 303,
    "keyctl": 250,
    "add_key": 248,
    "request_key": 249,
    "bpf": 321,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "kexec_load": 246,
    "reboot": 169,
    "swapon": 167,
    "swapoff": 168,
    "quotactl": 179,
    "acct": 163,
    "syslog": 103,
}
NAMESPACES = {
    "mounts": 0x00020000,
    "cgroups": 0x02000000,
    "names": 0x04000000,
    "ipc": 0x08000000,
    "users": 0x10000000,
    "processes": 0x20000000,
    "network": 0x40000000,
}
CALLS = """
engine.confine_calls()
def made(family, kind, protocol=0):
    return tried(lambda: socket.socket(family, kind, protocol).close())
def forked():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
stream, datagram, raw = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
found = {
    "open": {
        "tcp": made(socket.AF_INET, stream),
        "tcp by its number": made(socket.AF_INET, stream | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 6),
        "tcp over ipv6": made(socket.AF_INET6, stream),
        "pair": tried(lambda: socket.socketpair()),
        "fork": tried(forked),
    },
    "sockets": {
        "udp": made(socket.AF_INET, datagram),
        "udp over ipv6": made(socket.AF_INET6, datagram),
        "udp, closed on exec": made(socket.AF_INET, datagram | socket.SOCK_CLOEXEC),
        "raw": made(socket.AF_INET, raw, 1),
        "sctp": made(socket.AF_INET, stream, 132),
        "mptcp": made(socket.AF_INET, stream, 262),
        "sequential": made(socket.AF_INET, 5),
        "unix": made(socket.AF_UNIX, stream),
        "unix datagram": made(socket.AF_UNIX, datagram),
        "netlink": made(16, raw),
        "packet": made(17, raw),
        "vsock": made(40, stream),
        "smc": made(43, stream),
        "xdp": made(44, raw),
        "key": made(15, raw, 2),
        "alg": made(38, 5),
        "datagram pair": tried(lambda: socket.socketpair(socket.AF_UNIX, datagram)),
        "sequential pair": tried(lambda: socket.socketpair(socket.AF_UNIX, 5)),
    },
    "calls": {name: system_call(number, 0, 0, 0, 0, 0, 0) for name, number in told["refused"].items()},
    "namespaces": {name: system_call(56, flag | 17, 0, 0, 0, 0) for name, flag in told["namespaces"].items()},
    "clone3": system_call(435, 0, 0),
    "x32": system_call(0x40000000 + 39),
    "typing": {name: system_call(16, 0, number, b"x") for name, number in (("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541C))},
    "new privileges": libc.prctl(39, 0, 0, 0, 0),
}
"""


def test_seccomp_alone_refuses_what_leads_out() -> None:
    """Each call of the list is refused to root, whatever its arguments; TCP, pairs of streams and forks are left."""
    found = within(CALLS, refused=dict(REFUSED), namespaces=dict(NAMESPACES))
    left = found.pop("open")
    assert isinstance(left, dict)
    assert set(left.values()) == {"ok"}, left
    for group in ("sockets", "calls", "namespaces", "typing"):
        tries = found.pop(group)
        assert isinstance(tries, dict)
        assert {what: came for what, came in tries.items() if came != "EPERM"} == {}, group
    assert found == {"clone3": "ENOSYS", "x32": "EPERM", "new privileges": 1}


def test_no_refused_call_is_untried() -> None:
    """The list above is the list that is refused."""
    source = (Path(__file__).parents[2] / "crates" / "confine" / "src" / "calls.rs").read_text()
    listed = source.partition("const REFUSED")[2].partition("];")[0]
    assert {line.strip().removeprefix("libc::SYS_").rstrip(",") for line in listed.splitlines() if "SYS_" in line} == (
        set(REFUSED)
    )


# --- user and namespaces ------------------------------------------------------------------------


def test_the_user_alone_is_for_good() -> None:
    """No group, no capability, in none of the three ids; root cannot be had again; and root is no other user."""
    script = """
os.setgroups([4, 27])
for uid, gid in ((0, 65000), (65000, 0)):
    try:
        engine.confine_user(uid, gid)
    except engine.CoreError as fault:
        found[f"{uid} {gid}"] = fault.args[1]
engine.confine_user(65000, 65001)
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
found |= {
    "users": os.getresuid(),
    "groups": [*os.getresgid(), *os.getgroups()],
    "root": tried(lambda: os.setuid(0)),
    "capabilities": [status[name] for name in ("CapPrm", "CapEff", "CapAmb")],
}
"""
    none = "0" * 16
    assert within(script) == {
        "0 65000": "root is no other user",
        "65000 0": "root is no other user",
        "users": [65000] * 3,
        "groups": [65001] * 3,
        "root": "EPERM",
        "capabilities": [none] * 3,
    }


def test_namespaces_alone_are_all_of_its_own(tmp_path: Path) -> None:
    """Network, mounts, IPC, name and processes are not the host's, and what is mounted there is not seen outside, even
    where mounts are shared."""
    script = """
MS_REC, MS_SHARED, CLONE_NEWNS = 1 << 14, 1 << 20, 0x20000
assert libc.unshare(CLONE_NEWNS) == 0 and libc.mount(None, b"/", None, MS_REC | MS_SHARED, None) == 0
kinds = ("net", "mnt", "ipc", "uts")
flags = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC
here = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}
told_by, tell = os.pipe()
inside = os.fork()
if inside == 0:
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # with its parent
    engine.confine_namespaces()
    found = {"same": [kind for kind in kinds if os.readlink(f"/proc/self/ns/{kind}") == here[kind]]}
    found["interfaces"] = [name for _, name in socket.if_nameindex()]
    first = os.fork()
    if first == 0:
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)
        engine.confine_proc()
        found["processes"] = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        found["nothing is run or owned there"] = os.statvfs("/proc").f_flag & flags == flags
        found["mounted"] = libc.mount(b"none", told["place"].encode(), b"tmpfs", 0, None)
        os.write(tell, json.dumps(found).encode())
        signal.pause()
    os.waitpid(first, 0)
    os._exit(0)
os.close(tell)
found = json.loads(os.read(told_by, 4096))
found["seen outside"] = [line for line in open("/proc/self/mounts") if told["place"] in line]
found["processes outside"] = len([name for name in os.listdir("/proc") if name.isdigit()]) > 2
os.kill(int(open(f"/proc/{inside}/task/{inside}/children").read()), signal.SIGKILL)
os.waitpid(inside, 0)
"""
    assert within(script, place=str(tmp_path)) == {
        "same": [],
        "interfaces": ["lo"],
        "processes": [1],
        "nothing is run or owned there": True,
        "mounted": 0,
        "seen outside": [],
        "processes outside": True,
    }
