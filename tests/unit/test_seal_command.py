"""The sealing key from a command: what it prints is the key, and whatever else happens is said without it."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest
from tests.wait import until

from flyball.assembly import config, keys, seal_command
from flyball.assembly.config import ConfigRefused, SealConfig
from flyball.credential.seal import FileKey, Sealer
from flyball.kernel.errors import ConfigError

KEY = base64.b64encode(b"k" * 32).decode()


def script(folder: Path, body: str, mode: int = 0o700) -> Path:
    file = folder / "unseal"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(mode)
    return file


def asked(program: Path, *words: str, wrapped: Path | None = None, timeout_ms: int = 10_000) -> FileKey:
    return seal_command.run(SealConfig((str(program), *words), wrapped, timeout_ms))


def refused(program: Path, *words: str, **more: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        asked(program, *words, **more)  # type: ignore[arg-type]
    assert KEY not in f"{caught.value!r} {caught.value.detail} {caught.value.hint} {caught.value.__context__!r}"
    return caught.value


def test_what_it_prints_is_the_key(tmp_path: Path) -> None:
    """The same key as from a file; its arguments are handed over as they are, by no shell."""
    made = asked(script(tmp_path, 'test "$1" = "a b; exit 3" && echo "$2"'), "a b; exit 3", KEY)
    assert Sealer(FileKey([b"k" * 32])).unseal("l", Sealer(made).seal("l", b"x")) == b"x"


def test_several_keys_newest_first(tmp_path: Path) -> None:
    """Rotation as with a file: every line opens."""
    old = Sealer(FileKey([b"o" * 32])).seal("l", b"x")
    made = asked(script(tmp_path, f"echo {KEY}; echo {base64.b64encode(b'o' * 32).decode()}"))
    assert Sealer(made).unseal("l", old) == b"x"


def test_it_unwraps_what_it_is_given(tmp_path: Path) -> None:
    """The wrapped key comes on its standard input; without one there is nothing to read."""
    wrapped = tmp_path / "wrapped"
    wrapped.write_text(KEY[::-1])
    assert repr(asked(script(tmp_path, "rev"), wrapped=wrapped)) == repr(FileKey([b"k" * 32]))
    assert refused(script(tmp_path, "rev")).code == "sealing_key"


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("exit 7", "seal_command", "exit code 7"),
        (f"echo {KEY}; exit 1", "seal_command", "exit code 1"),
        ("kill -TERM $$", "seal_command", "signal 15"),
        ("true", "sealing_key", "printed no sealing key"),
        (f"echo {KEY[:-4]}", "sealing_key", "printed no sealing key"),
        (f"echo {KEY}{KEY}", "sealing_key", "printed no sealing key"),
        (f"echo {KEY}; echo and more", "sealing_key", "printed no sealing key"),
        (r"printf '\377\000\376'", "sealing_key", "printed no sealing key"),
        ("echo 'k: é' ", "sealing_key", "printed no sealing key"),
        (f"while :; do echo {KEY}; done", "seal_command", "more than a key"),
    ],
)
def test_anything_but_a_key_is_refused(tmp_path: Path, body: str, code: str, said: str) -> None:
    """A bad end, a wrong length, garbage, an endless stream: each is named, and nothing quotes what was printed."""
    fault = refused(script(tmp_path, body))
    assert fault.code == code
    assert said in fault.detail


@pytest.mark.parametrize("body", ["sleep 60", "exec >&-; sleep 60", "sleep 60 & wait"])
def test_it_is_stopped_when_its_time_is_up(tmp_path: Path, body: str) -> None:
    """Silent, with its output closed, or waiting for a child: it is killed with all that it started."""
    pid = tmp_path / "pid"
    fault = refused(script(tmp_path, f"echo $$ > {pid}; {body}"), timeout_ms=1000)
    assert "within 1 s" in fault.detail
    group = int(pid.read_text())
    until(lambda: not _group_lives(group), what="the command's processes are gone")


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    """Missing, a folder, not executable, of an unknown format: each is said, with what to do."""
    assert "is not there" in refused(tmp_path / "nothing").detail
    assert "no plain file" in refused(tmp_path).detail
    plain = script(tmp_path, f"echo {KEY}", 0o600)
    assert refused(plain).hint == f"chmod u+x {plain}"
    plain.write_bytes(b"\x7fELF")
    plain.chmod(0o700)
    assert "cannot be run" in refused(plain).detail


@pytest.mark.parametrize("mode", [0o702, 0o777, 0o703])
def test_a_program_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever writes the program chooses the key."""
    assert "can be written by other users" in refused(script(tmp_path, f"echo {KEY}", mode)).detail


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """There they could put another program in its place, or come first; the sticky bit does not help the latter."""
    (tmp_path / "open").mkdir()
    program = script(tmp_path / "open", f"echo {KEY}")
    (tmp_path / "open").chmod(mode)
    assert str(tmp_path / "open") in refused(program).detail


def test_a_folder_above_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """They could put another folder in the place of the program's own."""
    (tmp_path / "open" / "own").mkdir(parents=True)
    program = script(tmp_path / "open" / "own", f"echo {KEY}")
    (tmp_path / "open").chmod(0o777)
    assert "is not safe" in refused(program).detail


def test_a_link_is_followed_and_both_ends_are_looked_at(tmp_path: Path) -> None:
    """A link in a safe place to a program in an unsafe one is refused; so is one in an unsafe place to a safe one."""
    for name in ("open", "own"):
        (tmp_path / name).mkdir()
    (tmp_path / "own" / "link").symlink_to(script(tmp_path / "open", f"echo {KEY}"))
    (tmp_path / "open" / "link").symlink_to(script(tmp_path / "own", f"echo {KEY}"))
    assert asked(tmp_path / "own" / "link")
    assert asked(tmp_path / "open" / "link")
    (tmp_path / "open").chmod(0o777)
    refused(tmp_path / "own" / "link")
    refused(tmp_path / "open" / "link")


def test_a_wrapped_key_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """They could have one unwrapped that they know; and a missing one is said."""
    wrapped = tmp_path / "wrapped"
    assert "is not there" in refused(script(tmp_path, "cat"), wrapped=wrapped).detail
    wrapped.write_text(KEY)
    wrapped.chmod(0o646)
    assert "the wrapped sealing key is not safe" in refused(script(tmp_path, "cat"), wrapped=wrapped).detail


def test_what_it_says_beside_is_thrown_away(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A script that traces itself says the key on stderr: neither our output nor an error has it."""
    asked(script(tmp_path, f"set -x; echo {KEY}"))
    refused(script(tmp_path, f"set -x; echo {KEY}; exit 1"))
    assert KEY not in "".join(capfd.readouterr())


def test_files_that_it_makes_are_private(tmp_path: Path) -> None:
    """Its umask lets nobody else read what it may cache."""
    asked(script(tmp_path, f"echo {KEY} > {tmp_path}/cache; echo {KEY}"))
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o600


class TestConfigured:
    """`seal` in the one configuration file."""

    def load(self, folder: Path, text: str, env: dict[str, str] | None = None) -> config.Config:
        file = folder / "flyball.yaml"
        file.write_text(text)
        return config.load(file, env or {})

    def test_the_house_s_keys_are_opened_with_it(self, tmp_path: Path) -> None:
        """What the command's key sealed opens; no key file is made."""
        loaded = self.load(tmp_path, f"seal: {{command: [{script(tmp_path, 'echo $1')}, {KEY}]}}\n")
        opened = keys.open_keys(loaded)
        assert opened.sealer.unseal("l", Sealer(FileKey([b"k" * 32])).seal("l", b"x")) == b"x"
        assert not loaded.seal_key.exists()

    def test_the_environment_gives_it_as_one_line(self, tmp_path: Path) -> None:
        """Quoted as in a shell, and over the file's."""
        env = {"FLYBALL_SEAL_COMMAND": "/bin/unseal --name 'a b'", "FLYBALL_SEAL_TIMEOUT": "3s"}
        loaded = self.load(tmp_path, "seal: {command: [/bin/other]}\n", env)
        assert loaded.seal == SealConfig(("/bin/unseal", "--name", "a b"), None, 3000)

    @pytest.mark.parametrize(
        "text",
        [
            "seal: {command: [unseal]}",
            "seal: {command: []}",
            "seal: {command: [/bin/a, [b]]}",
            "seal: {command: {a: b}}",
            "seal: {command: '/bin/a \"b'}",
            "seal: {command: [/bin/a], timeout: 1h}",
            "seal: {wrapped: key.age}",
            "seal: {command: [/bin/a]}\nseal_key: seal.key",
            "seal: {comand: [/bin/a]}",
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, tmp_path: Path, text: str) -> None:
        """A relative program, no list of words, half of a pair, two sources, a misspelling."""
        with pytest.raises(ConfigRefused):
            self.load(tmp_path, text + "\n")
