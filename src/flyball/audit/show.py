"""Records for people and for programs: filters, one line each, everything foreign escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flyball.audit.chain import parse_body
from flyball.audit.ports import RecordLog, Stored
from flyball.audit.record import Kind
from flyball.audit.text import escape, json_line
from flyball.kernel.errors import InvalidInput
from flyball.kernel.json import Json

_COMMON = frozenset({"v", "kind", "at", "task"})


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records. Empty members match everything; `agent` and `effect` look into the record."""

    kinds: frozenset[str] = frozenset()
    task: str = ""
    agent: str = ""
    lease: str = ""
    decision: str = ""
    effect: str = ""
    since_ms: int = 0
    limit: int = 100

    def check(self) -> None:
        """Refuse a filter that can match nothing because it is mistyped.

        Raises:
            InvalidInput: an unknown kind or a limit out of bounds.
        """
        unknown = sorted(self.kinds - {kind.value for kind in Kind})
        if unknown:
            raise InvalidInput(
                f"unknown kind of record: {escape(unknown[0])}",
                code="kind_unknown",
                hint="one of " + ", ".join(sorted(kind.value for kind in Kind)),
            )
        if not 1 <= self.limit <= 100_000:
            raise InvalidInput("the limit is between 1 and 100000", code="limit")

    def looks_inside(self) -> bool:
        """Whether a record's body has to be read to tell."""
        return bool(self.agent or self.lease or self.decision or self.effect)

    def takes(self, body: Mapping[str, Json]) -> bool:
        """Whether a record with this body passes the filters that look inside."""
        wanted = {"agent": self.agent, "lease": self.lease, "decision": self.decision, "effect": self.effect}
        return all(not value or body.get(name) == value for name, value in wanted.items())


def select(log: RecordLog, wanted: Filter) -> Sequence[Stored]:
    """The newest records that match, in order.

    Raises:
        InvalidInput: see `Filter.check`.
    """
    wanted.check()
    kinds = wanted.kinds or None
    task = wanted.task or None
    # Looking inside cannot be asked of the store: take more, and say no more than asked.
    scan = 200_000 if wanted.looks_inside() else wanted.limit
    found = log.select(kinds=kinds, task=task, since_ms=wanted.since_ms, limit=scan)
    if wanted.looks_inside():
        found = [stored for stored in found if wanted.takes(parse_body(stored.body)[0])]
    return found[-wanted.limit :]


def as_json(stored: Stored) -> str:
    """One record as one line of ASCII JSON. Sealed bytes are shown as their length, never opened."""
    body, problem = parse_body(stored.body)
    line: dict[str, Json] = {
        "seq": stored.seq,
        "hash": stored.hash.hex(),
        "record": body if problem is None else {"raw": base64.b64encode(stored.body).decode()},
    }
    if stored.task is not None:
        line["n"] = stored.n
    if stored.sealed is not None:
        line["sealed_bytes"] = len(stored.sealed)
    return json_line(line)


def as_line(stored: Stored) -> str:
    """One record as one line for people."""
    body, _ = parse_body(stored.body)
    when = _time(stored.at_ms)
    rest = " ".join(f"{escape(name, 40)}={_value(body[name])}" for name in sorted(body.keys() - _COMMON))
    sealed = f" [{len(stored.sealed)} bytes sealed]" if stored.sealed is not None else ""
    task = f" {escape(stored.task, 60)}" if stored.task else ""
    return f"{stored.seq:>7} {when} {escape(stored.kind, 24):<16}{task} {rest}{sealed}".rstrip()


def _time(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"@{at_ms}"


def _value(value: Json) -> str:
    if isinstance(value, str):
        return escape(value, 80)
    return escape(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")), 160)
