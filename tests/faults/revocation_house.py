"""A store that fails on demand, a journal, targets and a revoker, for the tests of revocation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests import stores_kit as kit

from flyball.audit.chain import verify_chain
from flyball.audit.fold import fold
from flyball.audit.record import Kind
from flyball.credential.lease import Lease, LeaseState
from flyball.revocation.journal import Journal
from flyball.revocation.loop import Revoker
from flyball.stores.sqlite.store import SqliteStore


class House:
    """A store that fails on demand, a journal, targets and a revoker."""

    def __init__(self, directory: Path, store: SqliteStore, database: kit.FaultyDatabase, **options: object) -> None:
        self.store, self.database = store, database
        self.journal = Journal(directory / "journal", 256 << 10)
        self.targets = {"orders": kit.Target(), "other": kit.Target()}
        self.settled: list[str] = []
        self.revoker = self.make(**options)
        self.task = kit.put_task(store)

    def make(self, **options: object) -> Revoker:
        return kit.make_revoker(
            self.store,
            self.journal,
            self.targets,
            on_settled=lambda lease: self.settled.append(lease.id),
            **options,  # type: ignore[arg-type]
        )

    def lease(self, target: str = "orders", state: LeaseState = LeaseState.DELIVERED) -> Lease:
        lease = kit.make_lease(self.task, target=target)
        kit.put_lease(self.store, lease)
        if state is not LeaseState.INTENT:
            for kind, to in ((Kind.LEASE_ACTIVE, LeaseState.ACTIVE), (Kind.LEASE_DELIVERED, LeaseState.DELIVERED)):
                unit = self.store.unit()
                before, lease = lease.state, replace(lease, state=to)
                unit.save_lease(lease, expect=frozenset({before}))
                unit.record(kit.Record(kind, kit.NOW, lease.task, {"lease": lease.id}))
                unit.commit()
                if to is state:
                    break
        self.targets[target].logins[lease.name] = True
        self.targets[target].sessions[lease.name] = 1
        return lease

    def state(self, lease: Lease) -> LeaseState:
        found = self.store.leases.get(lease.id)
        assert found is not None
        return found.state

    def check(self) -> None:
        """The chain verifies and the ledger is what the records amount to; nothing stands twice."""
        while True:  # what was held back may still be written
            head = self.store.records.head()
            stored = list(self.store.records.read(limit=10**9))
            if head == self.store.records.head():
                break
        checked, findings = verify_chain(stored)
        assert findings == []
        assert (checked.seq, checked.head) == head
        assert fold(stored).leases == {lease.id: lease.state for lease in self.store.leases.select()}
        assert len({item.body for item in stored}) == len(stored), "a record was written twice"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with kit.faulty_store(tmp_path / "state") as (store, database):
        house = House(tmp_path, store, database)
        yield house
        database.mode = "ok"
        database.gate.set()
        for target in house.targets.values():
            target.release.set()
        house.revoker.stop(1)


def gone(house: House, lease: Lease) -> bool:
    target = house.targets[lease.target]
    return lease.name not in target.logins and lease.name not in target.sessions
