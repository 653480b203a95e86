"""Drafts of tools whose names and schemas make it hard: nothing is dropped in silence, and nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flyball.edges.cli.main import run as flyball
from flyball.kernel.json import Json
from flyball.policy.draft import draft_files, draft_notes
from flyball.policy.draft_kinds import kind_of


@pytest.mark.parametrize(
    ("name", "schema", "values", "kind"),
    [
        ("to", {"type": "string"}, (), ""),
        ("recipients", {"type": "array", "items": {"type": "string"}}, (), ""),
        ("to", {"type": "string", "format": "email"}, (), "email"),
        ("recipients", {"type": "array", "items": {"type": "string", "format": "email"}}, (), "email"),
        ("to", {"type": "string", "description": "E-mail address of whom it goes to"}, (), "email"),
        ("to", {"type": "string", "description": "The channel's id"}, (), "id"),
        ("to", {"type": "string"}, ("ana@house.example", "kim@else.example"), "email"),
        ("to", {"type": "string"}, ("#general",), ""),
        ("to", {"type": "string", "examples": ["+43 660 1234567"]}, (), "phone"),
        ("email", {"type": "string"}, (), "email"),
        ("email", {"type": "string"}, ("17", "18"), "number"),
        ("amount", {"type": "number"}, ("12.50",), "money"),
        ("user_id", {"type": "string"}, ("U17", "U18"), "id"),
        ("start", {"type": "string"}, ("2026-03-05T10:00",), "datetime"),
    ],
)
def test_what_is_known_counts_before_the_name(
    name: str, schema: dict[str, Json], values: tuple[str, ...], kind: str
) -> None:
    """Values that were seen first, then format and description; a name that may mean anything decides nothing."""
    assert kind_of(name, schema, values) == kind


def test_an_argument_of_which_nothing_is_known_is_marked() -> None:
    """`to` without a format is compared as text, and the mark asks as what it should be."""
    tool: Json = {"name": "post", "parameters": {"properties": {"to": {"type": "string"}}}}
    line = next(
        line
        for line in draft_files("x", schemas=[tool])["profiles/x.yaml"].splitlines()
        if line.strip().startswith("to:")
    )
    assert "as: text" in line
    assert "DECIDE: as what it is compared" in line


def test_no_tool_is_dropped_in_silence() -> None:
    """An odd name becomes an action's name beside the original; a tool of the same name gets its server's before it."""
    one: Json = {"name": "send", "description": "Sends a mail"}
    other: Json = {"name": "send", "description": "Sends a chat message"}
    odd: Json = {"name": "7 files/read — all"}
    schemas: Json = {"mail": {"tools": [one, odd, one]}, "chat": {"tools": [other]}, "odd": [{"description": "x"}]}
    sheet = draft_files("x", schemas=schemas)["tools/x.yaml"]
    for action in ("  send:", "  chat.send:", "  files_read_all:"):
        assert sheet.count(f"\n{action}\n") == 1, sheet
    assert "its server calls it 'send'" in sheet
    assert "its server calls it '7 files/read" in sheet
    told = "\n".join(draft_notes(schemas))
    assert "`chat.send`" in told
    assert "`files_read_all`" in told
    assert "without a name" in told


def test_the_words_are_the_tools_own() -> None:
    """`asked` holds the verbs of the tool's name and description and no others; synonyms stand in a comment."""
    tool: Json = {"name": "note_forward", "description": "Forwards a note, or deletes the get list of it all."}
    text = draft_files("x", schemas=[tool])["profiles/x.yaml"]
    line = next(line for line in text.splitlines() if "asked:" in line)
    assert "asked: [forward*, delet*]" in line
    assert "DECIDE" in line
    assert "# DECIDE, people also say: verbs(send)" in text


def drafted(folder: Path, *more: str) -> int:
    (folder / "mail.json").write_text(json.dumps([{"name": "send", "parameters": {"properties": {"to": {}}}}]))
    words = ("profile", "draft", "--from", str(folder / "mail.json"), "--name", "notes", "--out", str(folder / "out"))
    return flyball((*words, *more))


def test_a_folder_without_bundle_yaml_gets_a_sound_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `--out` writes is validated as it stands; a second draft writes over nothing, with --force not over it."""
    assert drafted(tmp_path) == 0
    assert flyball(("validate", str(tmp_path / "out"))) == 0
    mine = tmp_path / "out" / "bundle.yaml"
    mine.write_text(mine.read_text() + "# mine\n")
    profile = tmp_path / "out" / "profiles" / "notes.yaml"
    profile.write_text("mine too\n")
    capsys.readouterr()
    assert drafted(tmp_path) == 1
    assert "--force" in capsys.readouterr().err
    assert profile.read_text() == "mine too\n"
    assert drafted(tmp_path, "--force") == 0
    assert "bundle.yaml is left as it is" in capsys.readouterr().err
    assert mine.read_text().endswith("# mine\n")
    assert profile.read_text().startswith("profile: notes")
