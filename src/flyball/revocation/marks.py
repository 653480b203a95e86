"""The checkpoints of a revocation: what a lease has become, with the records that say so.

A mark goes into the store as one unit of work, or into the journal as one entry until the store
can take it. It carries everything needed to apply it later, by another process: the lease's whole
row (so also its revoke recipe), the states it may follow, its records, its receipt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

from flyball.audit.ports import UnitOfWork
from flyball.audit.record import Kind, Record
from flyball.credential.lease import Delivery, Lease, LeaseState
from flyball.kernel.json import Json

VERSION = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """One checkpoint. `label` is `recipe` (the intent to revoke), `step` or `receipt` (also a quarantine's).

    `expect` None inserts the lease: something found at a target that the ledger does not know.
    """

    label: str
    lease: Lease
    expect: frozenset[LeaseState] | None
    records: tuple[Record, ...] = ()
    receipt: Mapping[str, Json] | None = None
    forget_secret: bool = False

    def add_to(self, unit: UnitOfWork, *, insert: bool = False) -> None:
        """Write this mark into a unit of work."""
        unit.save_lease(self.lease, None if insert else self.expect)
        for record in self.records:
            unit.record(record)
        if self.receipt is not None:
            unit.save_row("receipt", str(self.receipt["receipt"]), self.receipt)
        if self.forget_secret:
            unit.save_secret(self.lease.id, None)

    def to_json(self) -> dict[str, Json]:
        """The journal's form."""
        return {
            "v": VERSION,
            "kind": self.label,
            "lease": lease_to_json(self.lease),
            "expect": None if self.expect is None else [*sorted(state.value for state in self.expect)],
            "records": [
                {"kind": r.kind.value, "at": r.at_ms, "task": r.task, "members": r.members} for r in self.records
            ],
            "receipt": None if self.receipt is None else dict(self.receipt),
            "forget_secret": self.forget_secret,
        }


def mark_from(value: Mapping[str, Json]) -> Mark:
    """A mark of its journal form.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    expect = value["expect"]
    receipt = value["receipt"]
    return Mark(
        label=str(value["kind"]),
        lease=lease_from_json(_object(value["lease"])),
        expect=None if expect is None else frozenset(LeaseState(str(state)) for state in _list(expect)),
        records=tuple(_record(_object(item)) for item in _list(value["records"])),
        receipt=None if receipt is None else _object(receipt),
        forget_secret=value["forget_secret"] is True,
    )


def lease_to_json(lease: Lease) -> dict[str, Json]:
    """A lease's whole row as JSON. It holds no secret."""
    fields = cast("dict[str, Json]", asdict(lease))
    fields["state"], fields["delivery"] = lease.state.value, lease.delivery.value
    fields["recipe"], fields["progress"] = dict(lease.recipe), dict(lease.progress)
    return fields


def lease_from_json(value: Mapping[str, Json]) -> Lease:
    """The lease of its JSON.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    return Lease(
        id=str(value["id"]),
        task=str(value["task"]),
        agent=str(value["agent"]),
        owner=str(value["owner"]),
        target=str(value["target"]),
        kind=str(value["kind"]),
        access=str(value["access"]),
        credential=str(value["credential"]),
        name=str(value["name"]),
        state=LeaseState(str(value["state"])),
        delivery=Delivery(str(value["delivery"])),
        created_ms=_int(value["created_ms"]),
        expires_ms=_int(value["expires_ms"]),
        epoch=_int(value["epoch"]),
        recipe=_object(value["recipe"]),
        cause=str(value["cause"]),
        step=str(value["step"]),
        progress=_object(value["progress"]),
        attempt=_int(value["attempt"]),
        due_ms=_int(value["due_ms"]),
    )


def plain(value: object) -> Json:
    """A value as records may hold it: no floats, no foreign types, text bounded.

    What a backend observed comes from outside; a record that refused it would stop a revocation.
    """
    match value:
        case None | bool() | int():
            return value
        case str():
            return value if len(value) <= 2000 else value[:2000] + "…"
        case float():
            return f"{value:.6g}"
        case Mapping():
            return {str(key)[:200]: plain(inner) for key, inner in list(value.items())[:200]}
        case Sequence() | set() | frozenset():
            return [plain(inner) for inner in list(value)[:1000]]
        case _:
            return type(value).__name__


def plain_object(value: Mapping[str, Json]) -> dict[str, Json]:
    """`plain`, for an object."""
    return {str(key)[:200]: plain(inner) for key, inner in list(value.items())[:200]}


def _record(value: Mapping[str, Json]) -> Record:
    task = value["task"]
    return Record(
        Kind(str(value["kind"])),
        _int(value["at"]),
        None if task is None else str(task),
        dict(_object(value["members"])),
    )


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return value


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value


def _int(value: Json) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("an integer was expected")
    return value
