"""Kernels that keep less than is wanted: the real one, with its answers about Landlock made those of an older one."""

from __future__ import annotations

import pytest
from tests.confine.kit import WALLS, within

pytestmark = WALLS

# A filter of ours before the call that asks for Landlock: what it says stands in the answer's place.
ANSWERED = """
import struct
LANDLOCK_CREATE_RULESET, SECCOMP, NO_NEW_PRIVILEGES = 444, 317, 38
LOAD, EQUAL, ANSWER, ALLOW = 0x20, 0x15, 0x06, 0x7FFF0000
def answered(how, flags=0):
    steps = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, LANDLOCK_CREATE_RULESET), (ANSWER, 0, 0, how), (ANSWER, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return libc.syscall(SECCOMP, 1, flags, struct.pack("H6xQ", len(steps), ctypes.addressof(code)))
"""


def test_without_landlock_it_is_an_error() -> None:
    """A kernel that knows no Landlock keeps nothing, and that does not pass for a wall."""
    script = """
assert answered(0x00050000 | errno.ENOSYS) == 0
try:
    found["whole"] = engine.confine_files(["/usr"], [], [])
except engine.CoreError as fault:
    found["said"] = fault.args[1]
"""
    assert within(ANSWERED + script) == {"said": "this kernel has no Landlock"}


def test_what_an_older_kernel_keeps_is_not_called_whole() -> None:
    """One of the first version keeps files alone, neither ports nor signals: they are kept, and it says so."""
    script = """
import fcntl
RECEIVE, SEND = 0xC0502100, 0xC0182101
listener = answered(0x7FC00000, flags=8)
if listener < 0:
    print(json.dumps({"busy": errno.errorcode[ctypes.get_errno()]}))
    sys.exit()
if os.fork() == 0:
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)
    while True:  # whoever asks for the version is told the first one; all else goes on to the kernel
        asked = bytearray(80)
        fcntl.ioctl(listener, RECEIVE, asked)
        ident, version = struct.unpack_from("Q", asked)[0], struct.unpack_from("6Q", asked, 32)[2] == 1
        fcntl.ioctl(listener, SEND, struct.pack("QqiI", ident, 1 if version else 0, 0, 0 if version else 1))
os.close(listener)
found["whole"] = engine.confine_files(["/usr", sys.prefix], [], [])
found["reads aside"] = tried(lambda: open("/etc/passwd").read())
"""
    found = within(ANSWERED + script)
    if found == {"busy": "EBUSY"}:
        pytest.skip("whoever runs us answers system calls already, and there can be one alone")
    assert found == {"whole": False, "reads aside": "EACCES"}
