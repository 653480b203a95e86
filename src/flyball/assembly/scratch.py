"""A decision plane that keeps records, in a folder that is removed afterwards: to see why it answers as it does."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flyball.credential.seal import FileKey, Sealer
from flyball.kernel.clock import SystemClock
from flyball.kernel.json import Json, parse_object
from flyball.policy.engine import Core
from flyball.stores.sqlite.native import NativeDatabase, open_store


@dataclass(frozen=True, slots=True)
class Scratch:
    """A store of its own. Each core that it makes writes there."""

    database: NativeDatabase
    cell: str
    epoch: int

    def core(self) -> Core:
        """A fresh core, with no bundle and no task."""
        return Core(
            cell=self.cell,
            node="scratch",
            epoch=self.epoch,
            deployment_key=secrets.token_bytes(32),
            writer=self.database.writer,
        )

    def decided(self, task: str) -> dict[str, Mapping[str, Json]]:
        """The bodies of a task's `decided` records, by decision, once all that was buffered is written.

        Without a task (`""`), of the decisions that were made for none.
        """
        # A unit of work of its own comes back after all that was queued before it.
        self.database.commit([("UPDATE meta SET value = value WHERE key = ?", ("none",), None)], [])
        rows = self.database.query(
            "SELECT body FROM record WHERE task IS ? AND kind = 'decided' ORDER BY seq", (task or None,)
        )
        records = [parse_object(body if isinstance(body, bytes) else str(body)) for (body,) in rows]
        return {str(record.get("decision")): record for record in records}


@contextmanager
def scratch(cell: str = "scratch") -> Iterator[Scratch]:
    """A store in a temporary folder, gone when the block ends.

    Raises:
        ConfigError, Unavailable: the temporary folder cannot hold a store.
    """
    home = Path(tempfile.mkdtemp(prefix="flyball-scratch-"))
    try:
        (home / "state").mkdir(mode=0o700)
        sealer = Sealer(FileKey.read_or_make(home / "seal.key"))
        store = open_store(home / "state", cell=cell, node="scratch", sealer=sealer, clock=SystemClock())
        database = store.database
        if not isinstance(database, NativeDatabase):
            raise TypeError("`open_store` opens the compiled writer")
        try:
            yield Scratch(database, cell, store.open_epoch())
        finally:
            store.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
