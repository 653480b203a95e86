"""Names for things. Server-minted, sortable by time, with their kind and cell in front.

`tsk_local_01jdx…`: kind, cell, then a ULID in lower-case Crockford base 32 (48 bits of
milliseconds, 80 random bits). A task's cell is in its id because a task lives in one cell.
"""

from __future__ import annotations

import re
import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
CELL = re.compile(r"[a-z][a-z0-9-]{0,15}")
_ID = re.compile(r"(tsk|lea|rcp)_([a-z][a-z0-9-]{0,15})_([0-9a-hjkmnp-tv-z]{26})")


def ulid(wall_ms: int) -> str:
    """A ULID for the given wall time in milliseconds, in lower case (26 characters)."""
    number = (wall_ms & ((1 << 48) - 1)) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def task_id(cell: str, wall_ms: int) -> str:
    """A new task id in `cell`."""
    return f"tsk_{cell}_{ulid(wall_ms)}"


def lease_id(cell: str, wall_ms: int) -> str:
    """A new lease id in `cell`."""
    return f"lea_{cell}_{ulid(wall_ms)}"


def receipt_id(cell: str, wall_ms: int) -> str:
    """A new receipt id in `cell`."""
    return f"rcp_{cell}_{ulid(wall_ms)}"


def is_id(text: str, kind: str) -> bool:
    """Whether `text` is a well-formed id of `kind` (`tsk`, `lea`, `rcp`)."""
    match = _ID.fullmatch(text)
    return match is not None and match.group(1) == kind
