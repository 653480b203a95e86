"""Watching before there is a profile: no Flyball runs, everything passes, and a draft comes of it."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from tests.mcp.kit import GIT, ODD, Raw, needs_git, repository
from tests.server import ROOT

from flyball.enforcement.mcp import observation
from flyball.enforcement.mcp.observation import Recording
from flyball.kernel.errors import ConfigError

PATH = os.pathsep.join(str(part) for part in (ROOT / "src", ROOT / "sdk/python/src"))
ENV = {**{k: v for k, v in os.environ.items() if not k.startswith("FLYBALL_")}, "PYTHONPATH": PATH}


def flyball(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flyball", *words],
        cwd=folder,
        env=ENV,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_an_empty_folder_to_a_draft(tmp_path: Path) -> None:
    """A real server and a real client, no bundle, no server, no approval: the file is the owner's alone, and the draft
    names what was called, as often as it was."""
    needs_git()
    repo = repository(tmp_path / "repo")
    (repo / "a.txt").write_text("two\n")
    words = ["-m", "flyball", "mcp", "--observe", "--out", "seen.jsonl", "--", *GIT]
    here = tmp_path / "empty"
    here.mkdir()

    async def work() -> None:
        async with Client(StdioServerParameters(command=sys.executable, args=words, env=ENV, cwd=here)) as client:
            await client.list_tools()
            await client.call_tool("git_status", {"repo_path": str(repo)})
            await client.call_tool("git_add", {"repo_path": str(repo), "files": ["a.txt"]})

    asyncio.run(work())
    file = here / "seen.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in here.iterdir()] == ["seen.jsonl"]
    draft = flyball(here, "profile", "draft", "--from", "seen.jsonl", "--name", "repo-work")
    assert "action: git_add" in draft
    assert "DECIDE" in draft
    assert "git_commit:" in draft  # the sheet has every tool that the server lists
    assert "action: git_commit" not in draft  # and the profile what was used


def test_it_says_all_the_time_that_it_governs_nothing_and_shows_origins(tmp_path: Path) -> None:
    """The live view has it in every line; an argument that a result held before is shown with its field."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flyball", "mcp", "--observe", "--out", "seen.jsonl", "--", *ODD],
        cwd=tmp_path, env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    client = Raw(process)
    client.greet()
    tools = client.ask("l", "tools/list")["result"]
    assert "cacheScope" not in tools  # type: ignore[operator]
    client.call(1, "look", what="x")
    client.call(2, "send", to="K-1", body="\x1b[2Jhello")
    client.call(3, "rm_rf")
    client.call(4, "plain", **{"\x1b[2J": "x"})
    _, told = process.communicate(timeout=20)
    text = told.decode()
    calls = [line for line in text.splitlines() if "send(" in line or "look(" in line]
    assert len(calls) == 2
    assert all("RECORDING, NOT GOVERNING" in line for line in calls)
    assert "to was seen in the result of look id" in text
    assert "\x1b" not in text
    assert "none governed" in text
    assert "flyball profile draft --from seen.jsonl" in text
    tools_seen, story = observation.read((tmp_path / "seen.jsonl").read_bytes())
    assert len(tools_seen) == 4
    made = story["calls"]
    assert isinstance(made, list)
    assert [one["action"] for one in made if isinstance(one, dict)] == ["look", "send", "rm_rf", "plain"]


def test_a_recording_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would go beyond the bound is not kept, nor what comes after it; what stands there is whole."""
    monkeypatch.setattr(observation, "MAX_BYTES", 300)
    recording = Recording(tmp_path / "a.jsonl")
    for number in range(9):
        recording.write({"kind": "call", "call": str(number), "action": "look" * (number % 2 + 1), "args": {}})
    recording.close()
    assert recording.full
    raw = (tmp_path / "a.jsonl").read_bytes()
    assert 200 < len(raw) <= 300
    calls = observation.read(raw)[1]["calls"]
    assert isinstance(calls, list)
    assert [one["action"] for one in calls if isinstance(one, dict)] == ["look", "looklook", "look", "looklook"][
        : len(calls)
    ]


def test_a_recording_is_never_written_over_and_a_cut_one_is_read(tmp_path: Path) -> None:
    """An existing file is refused; the last line of a killed recorder is left out."""
    recording = Recording(tmp_path / "a.jsonl")
    recording.write({"kind": "call", "call": "1", "action": "look", "args": {"n": 1}})
    recording.close()
    with pytest.raises(ConfigError):
        Recording(tmp_path / "a.jsonl")
    raw = (tmp_path / "a.jsonl").read_bytes()
    assert observation.is_recording(raw)
    for at in range(len(raw) - 40, len(raw)):
        _, story = observation.read(raw[:at])
        assert story["calls"] == []
    with pytest.raises(ValueError):
        observation.read(raw + b"[]\n")
