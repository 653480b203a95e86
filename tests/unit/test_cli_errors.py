"""How commands fail: `error:` and `hint:` on stderr, and an exit code that means something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.edges.cli import render
from flyball.edges.cli.client import Client
from flyball.edges.cli.errors import CliError
from flyball.edges.cli.main import run
from flyball.kernel.secret import Secret


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(words)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("revoke",),
        ("revoke", "--task", "a", "--agent", "b"),
        ("tasks", "--limit", "0"),
        ("audit", "show", "--since", "yesterday"),
        ("completion", "tcsh"),
        ("run", "p", "--input", "novalue", "--", "true"),
        ("validate",),
    ],
)
def test_misuse_is_2_with_an_error_and_a_hint(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong words: exit code 2, one `error:` line, one `hint:` line, nothing on stdout."""
    monkeypatch.chdir(tmp_path)
    code, out, err = told(capsys, *words)
    lines = err.strip().splitlines()
    assert (code, out) == (2, "")
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")
    assert len(lines) == 2


def test_an_unreachable_server_is_1_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server: exit code 1, and the hint names `flyball serve`."""
    monkeypatch.chdir(tmp_path)
    token = tmp_path / ".flyball" / "admin.token"
    token.parent.mkdir(mode=0o700)
    token.touch(0o600)
    token.write_text("fba_" + "a" * 43)
    code, _, err = told(capsys, "status")
    assert code == 1
    assert err.startswith("error: Flyball cannot be reached at unix:")
    assert "flyball serve" in err


def test_a_broken_configuration_is_told_with_its_places(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The findings, each with file, line and caret, then the error."""
    monkeypatch.chdir(tmp_path)
    Path("flyball.yaml").write_text("mod: dev\n")
    code, _, err = told(capsys, "status")
    assert code == 1
    assert "flyball.yaml:1:1: error: there is no field `mod`" in err
    assert "^^^" in err


@pytest.mark.parametrize("addr", ["http://flyball.example:7611", "ftp://x", "unix:relative", "nonsense", "http://"])
def test_the_operators_token_never_travels_in_clear(addr: str) -> None:
    """Plain http to another machine is refused before anything is sent; so is what is no address."""
    with pytest.raises(CliError):
        Client(addr, Secret("fba_x"))


def test_foreign_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters and bidirectional overrides of a name reach the screen as escapes, in tables and lines."""
    hostile = "a\x1b[2Jb\u202ec\r\n\x9bd"
    render.table(("name",), [(hostile,)], empty="")
    render.line(hostile)
    render.fields([("name", hostile)])
    out = capsys.readouterr().out
    assert not {"\x1b", "\u202e", "\x9b", "\r"} & set(out)
    assert out.count("\\u{1b}") == 3


def test_no_colour_and_no_drawing_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Into a pipe, a table is tab-separated lines under their column names."""
    render.table(("a", "b"), [("1", "2")], empty="none")
    assert capsys.readouterr().out == "a\tb\n1\t2\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`flyball … | head -0` ends quietly."""
    env = {**os.environ, "PYTHONUNBUFFERED": ""}
    line = f"{sys.executable} -m flyball completion bash | head -c 0"
    done = subprocess.run(["sh", "-c", line], env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each shell's script is printed, and speaks of us."""
    code, out, _ = told(capsys, "completion", shell)
    assert code == 0
    assert "_FLYBALL_COMPLETE" in out


def test_completion_answers() -> None:
    """What the script asks for is answered: the commands that begin with what was typed."""
    env = {**os.environ, "_FLYBALL_COMPLETE": "complete_bash", "COMP_WORDS": "flyball rev", "COMP_CWORD": "1"}
    line = [sys.executable, "-m", "flyball"]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.split() == ["revoke"]


def test_completion_is_installed_and_completes(tmp_path: Path) -> None:
    """`flyball --install-completion` in bash writes what that bash then completes with, subcommands too."""
    (tmp_path / "flyball").write_text(f'#!/bin/sh\nexec {sys.executable} -m flyball "$@"\n')
    (tmp_path / "flyball").chmod(0o755)
    env = {**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}", "SHELL": "/bin/bash"}
    lines = (
        "flyball --install-completion && . ~/.bashrc && COMP_WORDS=(flyball target ro) COMP_CWORD=2 "
        "&& _flyball_completion flyball && echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", lines], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1:] == ["rotate"], done.stderr


def test_help_shows_arguments_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    """As a shell's user knows it: `PROFILE -- COMMAND`, no braces, no types of a programming language."""
    _, out, _ = told(capsys, "run", "--help")
    assert out.startswith("Usage: flyball run [OPTIONS] PROFILE -- COMMAND [ARG]…\n")
    assert "<str>" not in out


@pytest.mark.parametrize("words", [(), ("task",), ("mcp",), ("audit",)])
def test_without_a_command_the_help_stands_there_as_it_is(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever types the program's name alone reads its help, and no error with the help in it."""
    code, _, err = told(capsys, *words)
    assert code == 2
    assert err.startswith(f"Usage: {' '.join(['flyball', *words])} [OPTIONS] COMMAND [ARGS]...\n")
    assert "error:" not in err


def test_every_command_has_help_with_an_example_where_it_takes_more_than_an_id() -> None:
    """`--help` of every command works and says what it does."""
    from typer.main import get_command

    from flyball.edges.cli.app import build

    root = get_command(build())
    listed = getattr(root, "commands", {})
    assert len(listed) > 15
    for name, command in listed.items():
        for one in getattr(command, "commands", {"": command}).values():
            assert one.help, name
