"""Records read from a store's file, with no server: for `flyball audit show`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from flyball.audit import export, show
from flyball.audit.chain import parse_body
from flyball.audit.ports import Stored
from flyball.audit.record import Kind
from flyball.audit.text import json_line
from flyball.audit.verify import read_records
from flyball.revocation import receipts

FORMS = ("line", "json", "ocsf")

receipt_lines = receipts.render
"""A receipt's payload as lines for people, escaped."""


def shown(
    store: Path,
    *,
    kinds: frozenset[str] = frozenset(),
    task: str = "",
    agent: str = "",
    lease: str = "",
    decision: str = "",
    effect: str = "",
    since_ms: int = 0,
    limit: int = 100,
    form: str = "line",
) -> Iterator[str]:
    """The newest records that match, oldest first, one line each.

    Args:
        store: the store's file; it may be a copy, or in use.
        form: `line` for people, `json`, or `ocsf` (decisions only).

    Raises:
        InvalidInput: an unknown kind, or a limit out of bounds.
        ConfigError: the file cannot be read.
    """
    wanted = show.Filter(kinds, task, agent, lease, decision, effect, since_ms, limit)
    wanted.check()
    found: deque[Stored] = deque(maxlen=limit)
    for stored in read_records(store):
        if kinds and stored.kind not in kinds:
            continue
        if (form == "ocsf" and stored.kind != Kind.DECIDED) or stored.at_ms < since_ms:
            continue
        if task and stored.task != task:
            continue
        if not wanted.looks_inside() or wanted.takes(parse_body(stored.body)[0]):
            found.append(stored)
    for stored in found:
        if form == "ocsf":
            yield json_line(export.ocsf(stored))
        else:
            yield show.as_json(stored) if form == "json" else show.as_line(stored)
