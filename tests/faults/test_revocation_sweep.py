"""Sweeps: orphans are removed by the common path, young and known ones are left, after a restore it only looks."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests import stores_kit as kit

from flyball.audit.chain import verify_chain
from flyball.audit.fold import fold
from flyball.audit.record import Kind
from flyball.credential.backend import Claim, Found, LeaseSpec, Plan, TargetRefused, TargetUnavailable
from flyball.credential.claims import Claims
from flyball.credential.lease import Lease, LeaseState
from flyball.kernel.clock import FakeClock
from flyball.kernel.ids import lease_id
from flyball.revocation.journal import Journal
from flyball.revocation.loop import Lane, Revoker
from flyball.revocation.sweep import Sweeper
from flyball.stores.sqlite.store import SqliteStore

OURS, THEIRS = "0" * 11 + "a", "0" * 11 + "b"


class Field:
    def __init__(self, directory: Path) -> None:
        self.store: SqliteStore = kit.native_store(directory / "state")
        self.target = kit.Target()
        self.targets = {"orders": self.target}
        self.clock = FakeClock()
        self.revoker: Revoker = kit.make_revoker(self.store, Journal(directory / "journal", 256 << 10), self.targets)
        self.claims = Claims(self.targets, Claim("flyball.example", OURS, "1"))
        self.sweeper = Sweeper(
            revoker=self.revoker,
            leases=self.store.leases,
            backends=self.targets,
            claims=self.claims,
            clock=self.clock,
            cell="local",
            epoch=self.store.epoch,
            grace_ms=60_000,
            patience_s=2,
        )
        self.task = kit.put_task(self.store)

    def stray(self, name: str | None = None, store: str = "") -> str:
        name = name or f"flyball_{lease_id('local', kit.NOW)}"
        self.target.stores[name] = store
        self.target.logins[name] = True
        self.target.sessions[name] = 2
        return name

    def delivered(self) -> Lease:
        lease = kit.put_lease(self.store, kit.make_lease(self.task, state=LeaseState.DELIVERED))
        self.target.logins[lease.name] = True
        return lease

    def settle(self) -> None:
        assert self.revoker.wait("", 5)
        findings = verify_chain(self.store.records.read(limit=10**6))[1]
        assert findings == []


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    yield made
    made.target.release.set()
    made.revoker.stop(1)
    made.store.close()


def test_an_orphan_is_written_down_and_removed(field: Field) -> None:
    """What no lease knows is revoked by the same steps and proved gone, with its record and a receipt."""
    name, kept = field.stray(), field.delivered()
    (swept,) = field.sweeper.sweep()
    assert swept.orphans == (name,)
    field.settle()
    assert list(field.target.logins) == [kept.name]
    assert [step for step, at in field.target.calls if at == name] == [*kit.STEPS, "probe"]
    kinds = [stored.kind for stored in field.store.records.read()]
    assert kinds.count(Kind.ORPHAN) == 1
    assert kinds.index(Kind.ORPHAN) < kinds.index(Kind.LEASE_STEP)
    (row,) = [lease for lease in field.store.leases.select() if lease.task == ""]
    assert (row.name, row.state, row.cause) == (name, LeaseState.VERIFIED, "orphan")
    state = fold(field.store.records.read())
    assert state.leases[row.id] is LeaseState.VERIFIED
    assert field.store.receipts("")[0]["outcome"] == "verified"
    assert field.sweeper.sweep()[0].orphans == ()


def test_a_young_one_is_left_alone(field: Field) -> None:
    """Within the grace period nothing is judged, by the target's age or by ours where it tells none."""
    name = field.stray()
    inventory = field.target.inventory
    for age in (59_999, None):
        field.target.inventory = lambda issuer, age=age: [replace(f, age_ms=age) for f in inventory(issuer)]  # type: ignore[method-assign,misc]
        (swept,) = field.sweeper.sweep()
        assert (swept.orphans, swept.young) == ((), (name,))
    field.clock.advance(60_000)
    assert field.sweeper.sweep()[0].orphans == (name,)
    field.settle()
    assert field.target.logins == {}


@pytest.mark.parametrize("state", [state for state in LeaseState if state is not LeaseState.VERIFIED])
def test_what_a_lease_knows_is_no_orphan(field: Field, state: LeaseState) -> None:
    """A lease in any state but VERIFIED speaks for its name."""
    lease = kit.put_lease(field.store, kit.make_lease(field.task, state=state))
    field.target.logins[lease.name] = True
    assert field.sweeper.sweep()[0].orphans == ()


def test_what_came_back_after_verified_is_removed_anew(field: Field) -> None:
    """VERIFIED is final: the same name found again gets a lease of its own."""
    lease = field.delivered()
    field.revoker.submit(lease, "revoked", Lane.KILL)
    assert field.revoker.wait(field.task.id, 5)
    field.stray(lease.name)
    assert field.sweeper.sweep()[0].orphans == (lease.name,)
    field.settle()
    assert field.target.logins == {}
    found = field.store.leases.get(lease.id)
    assert found is not None
    assert found.state is LeaseState.VERIFIED
    assert len([row for row in field.store.leases.select() if row.name == lease.name]) == 2


def test_a_name_that_is_no_lease_of_ours_still_goes(field: Field) -> None:
    """The backend says it carries our mark; that its lease id cannot be read does not save it."""
    name = field.stray("flyball_garbage\x1b[2J")
    assert field.sweeper.sweep()[0].orphans == (name,)
    field.settle()
    assert field.target.logins == {}


def test_a_backend_without_a_plan_for_it(field: Field) -> None:
    """A plan that is refused (the access is unknown) does not stop the removal: the name is enough."""

    def refuse(spec: LeaseSpec) -> Plan:
        raise TargetRefused("unknown access")

    field.target.plan = refuse  # type: ignore[method-assign]
    field.stray()
    field.sweeper.sweep()
    field.settle()
    assert field.target.logins == {}


def test_another_stores_are_reported_and_left_alone(field: Field) -> None:
    """Our issuer and another store's mark: told, never touched. With our own mark, or none, it goes."""
    theirs, own, unmarked = field.stray(store=THEIRS), field.stray(store=OURS), field.stray()
    (swept,) = field.sweeper.sweep()
    assert [item.name for item in swept.foreign] == [theirs]
    assert set(swept.orphans) == {own, unmarked}
    field.settle()
    assert list(field.target.logins) == [theirs]
    assert [name for _, name in field.target.calls if name == theirs] == []
    assert field.sweeper.foreign("orders") == {THEIRS: 1}


def test_nothing_is_judged_where_another_flyball_is_at_work(field: Field) -> None:
    """While another of our issuer holds the target, not even what bears no mark is an orphan: it may be that one's."""
    name = field.stray()
    field.target.held_by_another = True
    (swept,) = field.sweeper.sweep()
    assert (swept.orphans, swept.error[:11]) == ((), "target_held")
    assert field.target.logins == {name: True}
    field.target.held_by_another = False
    assert field.sweeper.sweep()[0].orphans == (name,)
    field.settle()


def test_what_a_lost_store_left_is_taken_on_an_operators_word(field: Field) -> None:
    """By the same steps, with a receipt; that store's alone, once, and never while another Flyball is at work."""
    lost, other = field.stray(store=THEIRS), field.stray(store="0" * 11 + "c")
    field.target.held_by_another = True
    with pytest.raises(TargetUnavailable):
        field.sweeper.left_by("orders", THEIRS)
    field.target.held_by_another = False
    (item,) = field.sweeper.left_by("orders", THEIRS)
    field.target.hang.add("kill")
    field.sweeper.adopt("orders", item)
    kit.until(lambda: ("kill", lost) in field.target.calls)
    assert field.sweeper.left_by("orders", THEIRS) == []
    field.target.release.set()
    field.settle()
    assert list(field.target.logins) == [other]
    (row,) = field.store.leases.select()
    assert (row.name, row.state, row.cause) == (lost, LeaseState.VERIFIED, "adopted")
    for name in (field.stray(store=OURS), field.stray()):
        assert field.sweeper.left_by("orders", field.target.stores[name]) == []


def test_a_delivered_credential_that_is_gone_is_noted(field: Field) -> None:
    """Somebody else removed it: said, and left to its task."""
    lease = field.delivered()
    del field.target.logins[lease.name]
    (swept,) = field.sweeper.sweep()
    assert swept.missing == (lease.name,)
    found = field.store.leases.get(lease.id)
    assert found is not None
    assert found.state is LeaseState.DELIVERED


def test_after_a_restore_it_only_looks(field: Field) -> None:
    """Observing, it names orphans and touches nothing, until an operator lets it act."""
    name = field.stray()
    field.sweeper.observe_only()
    assert field.sweeper.sweep()[0].orphans == (name,)
    assert field.sweeper.stats()["observing"] is True
    assert field.revoker.wait("", 2)
    assert field.target.calls == []
    assert field.store.leases.select() == []
    field.sweeper.act()
    field.sweeper.sweep()
    field.settle()
    assert field.target.logins == {}


def test_a_target_that_fails_or_hangs_delays_no_other(field: Field) -> None:
    """Each target is swept apart; an error is told, a hanging one is not swept twice at once."""
    calls: list[str] = []

    def hang(issuer: str) -> Sequence[Found]:
        calls.append(issuer)
        field.target.release.wait()
        return []

    broken, hanging = kit.Target(), kit.Target()
    broken.fail["inventory"] = 1
    broken.inventory = lambda issuer: broken._maybe("inventory", Plan("", {})) or []  # type: ignore[method-assign,func-returns-value]
    hanging.inventory = hang  # type: ignore[method-assign]
    field.targets |= {"broken": broken, "hanging": hanging}
    field.sweeper._patience_s = 0
    name = field.stray()
    field.sweeper.sweep()

    def stand(target: str) -> dict[str, object]:
        return field.sweeper.stats()["targets"][target]  # type: ignore[index,call-overload,return-value]

    kit.until(lambda: stand("orders")["orphans"] == [name])
    kit.until(lambda: "target_unavailable" in str(stand("broken")["error"]))
    assert stand("hanging")["error"] == "no answer yet"
    field.sweeper.sweep()
    assert [t.name for t in threading.enumerate()].count("flyball-sweep-hanging") == 1
    assert calls == ["flyball.example"]
    field.settle()


def test_nothing_is_judged_when_the_ledger_cannot_be_read(tmp_path: Path) -> None:
    """A store that cannot be read makes no orphans."""
    with kit.faulty_store(tmp_path / "state") as (store, database):
        target = kit.Target()
        target.logins["flyball_x"] = True
        revoker = kit.make_revoker(store, Journal(tmp_path / "j", 256 << 10), {"t": target})
        sweeper = Sweeper(
            revoker=revoker,
            leases=store.leases,
            backends={"t": target},
            claims=Claims({"t": target}, Claim("i", "", "")),
            clock=FakeClock(),
            cell="local",
            epoch=1,
        )
        database.mode = "blind"
        (swept,) = sweeper.sweep()
        assert (swept.orphans, swept.error[:17]) == ((), "store_unavailable")
        assert target.logins == {"flyball_x": True}
