"""Sealing: what opens, and all that does not."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.credential.seal import FileKey, Sealer, SealError
from flyball.kernel.errors import ConfigError

SEALER = Sealer(FileKey([b"k" * 32]))


@given(st.binary(max_size=200))
def test_what_is_sealed_opens_for_its_owner_alone(plain: bytes) -> None:
    """The same lease opens it; another lease, another use or another key does not."""
    sealed = SEALER.seal("lea_1", plain)
    assert SEALER.unseal("lea_1", sealed) == plain
    assert not plain or plain not in sealed or len(plain) < 8
    for attempt in (
        lambda: SEALER.unseal("lea_2", sealed),
        lambda: SEALER.unwrap("lea_1", sealed),
        lambda: Sealer(FileKey([b"x" * 32])).unseal("lea_1", sealed),
    ):
        with pytest.raises(SealError):
            attempt()


@given(st.integers(0, 40), st.integers(1, 255))
def test_a_flipped_byte_opens_nothing(at: int, flip: int) -> None:
    """Anywhere: version, key id, nonce, ciphertext, tag."""
    sealed = bytearray(SEALER.seal("lea_1", b"secret text here"))
    sealed[at] ^= flip
    with pytest.raises(SealError):
        SEALER.unseal("lea_1", bytes(sealed))


@given(st.binary(max_size=60))
def test_rubbish_opens_nothing(sealed: bytes) -> None:
    """No other error than SealError, whatever it is given."""
    with pytest.raises(SealError):
        SEALER.unseal("lea_1", sealed)
    with pytest.raises(SealError):
        SEALER.open_record(b"d" * 32, "t", "l", sealed)


def test_two_seals_differ() -> None:
    """Equal secrets do not show as equal."""
    assert SEALER.seal("lea_1", b"same") != SEALER.seal("lea_1", b"same")


def test_a_record_is_bound_to_its_task_and_label() -> None:
    """The format shared with the decision plane: version, nonce, ciphertext; the nonce's first bit marks ours."""
    key = os.urandom(32)
    sealed = SEALER.seal_record(key, "tsk_1", "dec_1", b"arguments")
    assert sealed[0] == 1
    assert sealed[1] & 0x80
    assert len(sealed) == 1 + 12 + len(b"arguments") + 16
    assert SEALER.open_record(key, "tsk_1", "dec_1", sealed) == b"arguments"
    for task, label in (("tsk_2", "dec_1"), ("tsk_1", "dec_2")):
        with pytest.raises(SealError):
            SEALER.open_record(key, task, label, sealed)


def test_erasing_the_wrapped_key_erases_what_it_sealed() -> None:
    """Inputs open through the wrapped key of their own task, and through nothing else."""
    key = os.urandom(32)
    wrapped = SEALER.wrap("tsk_1", key)
    sealed = SEALER.seal_inputs("tsk_1", wrapped, b"{}")
    assert SEALER.open_inputs("tsk_1", wrapped, sealed) == b"{}"
    with pytest.raises(SealError):
        SEALER.open_inputs("tsk_1", SEALER.wrap("tsk_1", os.urandom(32)), sealed)
    with pytest.raises(SealError):
        SEALER.unwrap("tsk_2", wrapped)


class TestFileKey:
    """The key file."""

    def test_it_is_made_private_and_read_again(self, tmp_path: Path) -> None:
        """The first start makes it, 0600; the next reads the same key."""
        path = tmp_path / "key"
        sealed = Sealer(FileKey.read_or_make(path)).seal("l", b"x")
        assert path.stat().st_mode & 0o777 == 0o600
        assert Sealer(FileKey.read_or_make(path)).unseal("l", sealed) == b"x"

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
    def test_it_is_refused_when_others_can_read_it(self, tmp_path: Path, mode: int) -> None:
        """A key that others can read is no key."""
        path = tmp_path / "key"
        FileKey.read_or_make(path)
        path.chmod(mode)
        with pytest.raises(ConfigError):
            FileKey.read(path)

    @pytest.mark.parametrize("text", ["", "\n", "short", "é", base64.b64encode(b"a" * 31).decode(), "=" * 44])
    def test_it_is_refused_when_it_holds_something_else(self, tmp_path: Path, text: str) -> None:
        """Neither padded nor cut to fit."""
        path = tmp_path / "key"
        path.touch(mode=0o600)
        path.write_text(text)
        with pytest.raises(ConfigError):
            FileKey.read(path)

    def test_rotation_keeps_old_keys_opening(self, tmp_path: Path) -> None:
        """The first line seals, every line opens, and a removed line opens no more."""
        path = tmp_path / "key"
        old = Sealer(FileKey.read_or_make(path)).seal("l", b"x")
        kept = path.read_text()
        new = base64.b64encode(os.urandom(32)).decode()
        path.write_text(f"{new}\n{kept}")
        both = Sealer(FileKey.read(path))
        assert both.unseal("l", old) == b"x"
        fresh = both.seal("l", b"y")
        path.write_text(f"{new}\n")
        alone = Sealer(FileKey.read(path))
        assert alone.unseal("l", fresh) == b"y"
        with pytest.raises(SealError):
            alone.unseal("l", old)

    def test_no_key_shows(self) -> None:
        """A repr tells the key's id only."""
        key = b"k" * 32
        assert "kkkk" not in repr(FileKey([key]))
