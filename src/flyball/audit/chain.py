"""The hash chain over all records of a store, and its check.

    hash(0)   = SHA-256("flyball-chain-v1")
    hash(seq) = SHA-256( hash(seq-1) ‖ be64(seq) ‖ be64(n, or 0) ‖ be32(len task) ‖ task
                         ‖ be64(len body) ‖ body ‖ (0x00 | 0x01 ‖ SHA-256(sealed)) )

`seq` counts over the store and `n` within a task, both from 1 without gaps. Of sealed bytes only
the digest is chained, so erasing a data key (or the ciphertext's readability with it) leaves the
chain valid. The columns `kind` and `at_ms` repeat what the body says, for the sake of queries;
the body is what the hash covers, so a difference between them is a finding of its own.

What may never change: this layout. A new one takes a new first string, and this module reads both.
The writer in `crates/writer` makes the chain; this is written apart from it on purpose.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

from flyball.audit.ports import Stored
from flyball.audit.record import VERSION, Kind
from flyball.kernel.json import Json, canonical

GENESIS = hashlib.sha256(b"flyball-chain-v1").digest()
_KINDS = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written.

    `what` is a stable word, `seq` where in the chain, `column` what part of the record (empty
    where that cannot be told), `offset` the first byte that is wrong within that column (None
    where that cannot be told), `detail` a sentence.
    """

    what: str
    seq: int
    detail: str
    column: str = ""
    offset: int | None = None
    task: str = ""
    file_offset: int | None = None


def link(previous: bytes, seq: int, n: int, task: str | None, body: bytes, sealed: bytes | None) -> bytes:
    """The hash of record `seq`, which follows one with hash `previous`."""
    name = (task or "").encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(previous)
    digest.update(struct.pack(">QQI", seq, n if task is not None else 0, len(name)))
    digest.update(name)
    digest.update(struct.pack(">Q", len(body)))
    digest.update(body)
    digest.update(b"\x00" if sealed is None else b"\x01" + hashlib.sha256(sealed).digest())
    return digest.digest()


def append(previous: bytes, stored: Stored) -> Stored:
    """`stored` with the hash it has after `previous`."""
    return replace(stored, hash=link(previous, stored.seq, stored.n, stored.task, stored.body, stored.sealed))


class ChainCheck:
    """Checks records one after the other; holds the head, and how far each task has come.

    It goes on after a finding, taking the stored hash as the next one's start where that is what
    the next one was built on: one altered record is one finding, not an avalanche.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.head = GENESIS
        self.count = 0
        self._n: dict[str, int] = {}
        self._held: Finding | None = None
        self._other_head: bytes | None = None

    def feed(self, stored: Stored) -> Iterator[Finding]:
        """Check one record; what is wrong with it."""
        where = stored.task or ""
        gap = stored.seq != self.seq + 1
        if gap:
            missing = f"{self.seq + 1}" if stored.seq == self.seq + 2 else f"{self.seq + 1} to {stored.seq - 1}"
            yield Finding("gap", stored.seq, f"record {missing} missing before this one", "seq", task=where)
        expected = link(self.head, stored.seq, stored.n, stored.task, stored.body, stored.sealed)
        if self._held is not None:
            yield from self._settle_held(stored, expected)
        elif expected != stored.hash and not gap:  # what follows a gap cannot be checked against what is gone
            self._hold(stored, expected)
        yield from self._contents(stored)
        yield from self._count_within_task(stored, intact=gap or expected == stored.hash)
        self.seq = stored.seq
        self.head = stored.hash
        self.count += 1

    def finish(self) -> Iterator[Finding]:
        """What is still open at the end of the chain."""
        if self._held is not None:
            yield self._held
            self._held = None

    def _hold(self, stored: Stored, expected: bytes) -> None:
        # Which side was altered, the contents or the hash? The next record tells: it was built on the true hash.
        self._held = Finding(
            "altered",
            stored.seq,
            "the record does not match its hash: its contents or its hash were changed",
            task=stored.task or "",
        )
        self._other_head = expected

    def _settle_held(self, stored: Stored, expected: bytes) -> Iterator[Finding]:
        held, other = self._held, self._other_head
        if held is None or other is None:
            return
        self._held = self._other_head = None
        if expected == stored.hash:
            detail = "the record does not match its hash, which the next record was built on: its contents were changed"
            yield replace(held, detail=detail, column="body" if held.column == "" else held.column)
        elif link(other, stored.seq, stored.n, stored.task, stored.body, stored.sealed) == stored.hash:
            yield replace(held, detail="the stored hash was changed; the contents are as written", column="hash")
        else:
            yield held
            self._hold(stored, expected)

    def _contents(self, stored: Stored) -> Iterator[Finding]:
        where = stored.task or ""
        body, problem = parse_body(stored.body)
        if problem is not None:
            yield replace(problem, seq=stored.seq, task=where)
            return
        kind, version = body.get("kind"), body.get("v")
        if not isinstance(kind, str) or kind not in _KINDS:
            yield Finding(
                "unknown_kind", stored.seq, f"kind {kind!r} is not one this version knows", "body", task=where
            )
        if version != VERSION or isinstance(version, bool):
            detail = f"record version {version!r} is not one this Flyball reads"
            yield Finding("unknown_version", stored.seq, detail, "body", task=where)
        for column, value, member in (
            ("kind", stored.kind, kind),
            ("at_ms", stored.at_ms, body.get("at")),
            ("task", stored.task, body.get("task")),
        ):
            if value != member:
                detail = f"column {column} holds {value!r}, the record itself says {member!r}"
                yield Finding("column_differs", stored.seq, detail, column, task=where)

    def _count_within_task(self, stored: Stored, *, intact: bool) -> Iterator[Finding]:
        # Of an altered record neither number nor task is believed, or the task's next one would be blamed too.
        task = stored.task
        if not intact:
            said = parse_body(stored.body)[0].get("task", task)
            task = said if isinstance(said, str) else task
        expected = 0 if task is None else self._n.get(task, 0) + 1
        if stored.n != expected:
            detail = f"numbered {stored.n} within its task; {expected} comes next"
            yield Finding("number", stored.seq, detail, "n", task=task or "")
        if task is not None:
            self._n[task] = stored.n if intact else expected


def parse_body(body: bytes) -> tuple[dict[str, Json], Finding | None]:
    """A record's body, and what is wrong with its encoding (with the first wrong byte), if anything."""
    try:
        loaded = cast("object", json.loads(body.decode()))
    except UnicodeDecodeError as fault:
        return {}, Finding("malformed", 0, "the body is not UTF-8", "body", fault.start)
    except json.JSONDecodeError as fault:
        offset = len(fault.doc[: fault.pos].encode())
        return {}, Finding("malformed", 0, f"the body is not JSON: {fault.msg}", "body", offset)
    except (ValueError, RecursionError) as fault:
        return {}, Finding("malformed", 0, f"the body is not JSON: {type(fault).__name__}", "body")
    if not isinstance(loaded, dict):
        return {}, Finding("malformed", 0, "the body is not a JSON object", "body", 0)
    members = cast("dict[str, Json]", loaded)
    try:
        again = canonical(members)
    except (ValueError, UnicodeEncodeError):
        return members, Finding(
            "not_canonical", 0, "the body holds what no record may (a float, a lone surrogate)", "body"
        )
    if again != body:
        offset = next(
            (i for i, (a, b) in enumerate(zip(again, body, strict=False)) if a != b), min(len(again), len(body))
        )
        return members, Finding("not_canonical", 0, "the body is not in the canonical encoding", "body", offset)
    return members, None


def verify_chain(records: Iterable[Stored]) -> tuple[ChainCheck, list[Finding]]:
    """Check a whole chain from its first record. No findings: it is as it was written, up to its end.

    That nothing is missing *after* the end only a checkpoint or the anchor can tell.
    """
    check = ChainCheck()
    findings = [finding for stored in records for finding in check.feed(stored)]
    findings.extend(check.finish())
    return check, findings
