"""The anchor: what it says of a store that is whole, cut, restored or rewritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests import stores_kit as kit

from flyball.audit.anchor import Anchor, Standing, compare
from flyball.kernel.errors import ConfigError
from flyball.stores.sqlite.store import SqliteStore


def follow(anchor: Anchor, store: SqliteStore) -> None:
    seq, head = store.records.head()
    anchor.follow(generation=store.generation, seq=seq, head=head, note=b"note\n")


def standing(anchor: Anchor, store: SqliteStore, fences: int | None = None) -> Standing:
    return compare(store.records, store.generation, anchor.read(), fences)


def test_a_new_store_and_one_that_grew_are_ok(tmp_path: Path) -> None:
    """Ahead of its anchor a store may be: the anchor follows within a bound."""
    anchor = Anchor(tmp_path / "a" / "anchor.json")
    store = kit.native_store(tmp_path / "state")
    follow(anchor, store)
    assert standing(anchor, store) is Standing.OK
    for _ in range(5):
        kit.put_task(store)
    assert standing(anchor, store) is Standing.OK
    store.close()


def test_an_anchor_that_is_gone_is_not_ok(tmp_path: Path) -> None:
    """Records and no anchor: nobody can tell, so it is said."""
    store = kit.native_store(tmp_path / "state")
    assert standing(Anchor(tmp_path / "anchor.json"), store) is Standing.MISSING
    store.close()


def test_a_store_restored_from_a_backup_is_behind(tmp_path: Path) -> None:
    """An older copy of the store is behind, also after it was opened again and grew past the anchor's number."""
    anchor = Anchor(tmp_path / "anchor.json")
    store = kit.native_store(tmp_path / "state")
    store.close()
    shutil.copytree(tmp_path / "state", tmp_path / "backup")
    store = kit.native_store(tmp_path / "state")
    for _ in range(5):
        kit.put_task(store)
    follow(anchor, store)
    store.close()
    restored = kit.native_store(tmp_path / "backup")
    assert standing(anchor, restored) is Standing.BEHIND
    for _ in range(20):
        kit.put_task(restored)
    assert standing(anchor, restored) is Standing.DIVERGED
    restored.close()


def test_a_lost_generation_is_behind(tmp_path: Path) -> None:
    """The same length but an older generation is an older store."""
    anchor = Anchor(tmp_path / "anchor.json")
    store = kit.native_store(tmp_path / "state")
    seq, head = store.records.head()
    anchor.follow(generation=store.generation + 1, seq=seq, head=head, note=b"")
    assert standing(anchor, store) is Standing.BEHIND
    store.close()


def test_an_older_journal_is_behind(tmp_path: Path) -> None:
    """A journal that has forgotten fences is noticed by their count."""
    anchor = Anchor(tmp_path / "anchor.json", fences=lambda: 3)
    store = kit.native_store(tmp_path / "state")
    follow(anchor, store)
    assert standing(anchor, store, 2) is Standing.BEHIND
    assert standing(anchor, store, 3) is Standing.OK
    store.close()


def test_it_is_private_and_replaced_whole(tmp_path: Path) -> None:
    """The file is 0600, nothing is left aside, and a reader never sees a half."""
    anchor = Anchor(tmp_path / "a" / "anchor.json")
    for seq in range(20):
        anchor.follow(generation=1, seq=seq, head=bytes(32), note=b"")
        found = anchor.read()
        assert found is not None
        assert found.seq == seq
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["anchor.json"]
    assert (tmp_path / "a" / "anchor.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change", [("v", 2), ("seq", -1), ("seq", "1"), ("hash", "00"), ("generation", None), ("hash", "zz")]
)
def test_a_malformed_anchor_is_refused(tmp_path: Path, change: tuple[str, object]) -> None:
    """What cannot be understood is no anchor, and no reason to go on."""
    anchor = Anchor(tmp_path / "anchor.json")
    anchor.follow(generation=1, seq=1, head=bytes(32), note=b"")
    body = json.loads(anchor.path.read_text()) | {change[0]: change[1]}
    anchor.path.write_text(json.dumps(body))
    with pytest.raises(ConfigError, match="malformed"):
        anchor.read()
    anchor.path.write_text("{")
    with pytest.raises(ConfigError, match="malformed"):
        anchor.read()
