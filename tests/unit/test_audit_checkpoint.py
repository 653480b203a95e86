"""Signed notes against C2SP's rules, checkpoints, and when they are signed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import stores_kit as kit

from flyball.audit.anchor import Anchor
from flyball.audit.checkpoint import (
    Checkpoint,
    CheckpointSigner,
    NoteSigner,
    NoteVerifier,
    verify_checkpoint,
    verify_note,
)
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import InvalidInput, Unavailable

NOTES = json.loads((Path(__file__).parents[1] / "conformance/transparency-log/notes.json").read_text())
SIGNER = NoteSigner("https://flyball.example", kit.KEY)


@pytest.mark.parametrize("case", NOTES["notes"], ids=lambda case: case["name"])
def test_notes_by_the_published_cases(case: dict[str, object]) -> None:
    """Every published note is taken or refused as its author says."""
    verifiers = [NoteVerifier.parse(key) for key in case["vkeys"]]  # type: ignore[attr-defined]
    note = str(case["note"]).encode()
    if case["valid"]:
        assert verify_note(note, verifiers).endswith("\n")
    else:
        with pytest.raises(InvalidInput):
            verify_note(note, verifiers)


@pytest.mark.parametrize(
    "case", [c for c in NOTES["checkpoint_bodies"] if not c["valid"]], ids=lambda case: case["name"]
)
def test_malformed_checkpoints_are_refused(case: dict[str, object]) -> None:
    """No published malformed body becomes well-formed by our generation line."""
    for text in (str(case["body"]), str(case["body"]) + "generation 1\n"):
        with pytest.raises(InvalidInput):
            Checkpoint.parse(text)


def test_what_is_signed_verifies_and_comes_back() -> None:
    """A checkpoint goes through a note and back; its key string too."""
    checkpoint = Checkpoint("https://flyball.example/chain", 42, bytes(range(32)), 7)
    verifier = NoteVerifier.parse(str(SIGNER.verifier()))
    assert verify_checkpoint(SIGNER.sign(checkpoint.text()), [verifier]) == checkpoint
    assert checkpoint.text().splitlines()[3] == "generation 7"


@pytest.mark.parametrize("line", ["generation 07", "generation", "generation -1", "generations 1", "generation 1 2"])
def test_a_malformed_generation_is_refused(line: str) -> None:
    """The fourth line is `generation <n>` and nothing else."""
    text = Checkpoint("o", 1, bytes(32), 1).text().replace("generation 1", line)
    with pytest.raises(InvalidInput):
        Checkpoint.parse(text)


def test_any_changed_byte_of_a_note_is_noticed() -> None:
    """No byte of a signed checkpoint can be changed unnoticed."""
    note = SIGNER.sign(Checkpoint("o", 3, bytes(32), 1).text())
    for at in range(len(note)):
        changed = bytearray(note)
        changed[at] ^= 1
        with pytest.raises(InvalidInput):
            verify_checkpoint(bytes(changed), [SIGNER.verifier()])


@pytest.mark.parametrize("text", ["no newline", "bell\x07\n", "carriage\r\n"])
def test_what_is_no_note_is_not_signed(text: str) -> None:
    """Control characters and a missing newline are refused before signing."""
    with pytest.raises(InvalidInput):
        SIGNER.sign(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_a_key_name_is_checked(name: str) -> None:
    """Names that would make a note ambiguous are refused."""
    with pytest.raises(InvalidInput):
        NoteSigner(name, kit.KEY)


def test_signing_every_n_records_every_t_and_at_the_end(tmp_path: Path) -> None:
    """Nothing new: nothing signed. N records or T milliseconds: signed. Closing signs the last head."""
    clock = FakeClock()
    store = kit.native_store(tmp_path / "state")
    anchor = Anchor(tmp_path / "anchor" / "anchor.json")
    keeper = CheckpointSigner(
        store.records,
        SIGNER,
        issuer="https://flyball.example",
        clock=clock,
        anchor=anchor,
        every_records=5,
        every_ms=1000,
    )
    keeper.maintain()
    assert keeper.last == (0, b"")
    anchored = anchor.read()
    assert anchored is not None
    assert anchored.seq == 1, "the anchor follows every durable head, signed or not"
    for _ in range(4):
        kit.put_task(store)
    keeper.maintain()
    assert keeper.last[0] == 5
    kit.put_task(store)
    keeper.maintain()
    assert keeper.last[0] == 5
    clock.advance(1000)
    keeper.maintain()
    assert keeper.last[0] == 6
    kit.put_task(store)
    keeper.close()
    seq, note = keeper.last
    signed = verify_checkpoint(note, [SIGNER.verifier()])
    assert (signed.seq, signed.hash, signed.generation) == (seq, store.records.head()[1], store.generation)
    assert signed.origin == "https://flyball.example/chain"
    again = CheckpointSigner(store.records, SIGNER, issuer="https://flyball.example", clock=clock)
    assert again.last == (seq, note)
    store.close()


def test_a_store_that_takes_no_checkpoint_takes_it_later(tmp_path: Path) -> None:
    """A full store stops no maintenance; the checkpoint is signed when there is room."""
    with kit.faulty_store(tmp_path / "state") as (store, database):
        keeper = CheckpointSigner(store.records, SIGNER, issuer="i", clock=FakeClock(), every_records=1)
        database.mode = "refuse"
        keeper.maintain()
        assert keeper.last == (0, b"")
        database.mode = "ok"
        keeper.maintain()
        assert keeper.last[0] == 1


def test_an_anchor_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """Not following is told to the caller, and tried again the next time."""
    store = kit.native_store(tmp_path / "state")
    (tmp_path / "anchor").write_text("a file where a directory should be")
    anchor = Anchor(tmp_path / "anchor" / "anchor.json")
    keeper = CheckpointSigner(store.records, SIGNER, issuer="i", clock=FakeClock(), anchor=anchor)
    for _ in range(2):
        with pytest.raises(Unavailable, match="anchor"):
            keeper.maintain()
    (tmp_path / "anchor").unlink()
    keeper.maintain()
    assert anchor.read() is not None
    store.close()
