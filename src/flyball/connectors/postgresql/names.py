"""What a lease is called at a PostgreSQL server. The scheme may never change while leases live.

`fb_<issuer, 8 hex digits>_<store's mark, 12>_<the lease's ULID>`: 51 bytes of the 63 that a role's name may
have. The ULID tells when the lease was made; the role's comment carries its whole id. The mark says whose
ledger knows the lease. It is in the name since a name cannot be lost; roles from before there were marks have
none.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from flyball.plugin.v1 import Json, TargetRefused

_ULID = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")
_LEASE = re.compile(r"lea_[a-z][a-z0-9-]{0,15}_([0-9a-hjkmnp-tv-z]{26})")
_MARK = re.compile(r"[0-9a-f]{12}")
_MARKED = re.compile(r"fb_[0-9a-f]{8}_([0-9a-f]{12})_.*")
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def prefix(issuer: str) -> str:
    """What every role of this issuer's begins with."""
    return f"fb_{hashlib.sha256(issuer.encode()).hexdigest()[:8]}_"


def role(issuer: str, lease: str, store: str = "") -> str:
    """The role's name for a lease of a store.

    Raises:
        TargetRefused: that is no lease id, or no store's mark.
    """
    if store and not _MARK.fullmatch(store):
        raise TargetRefused(f"{store[:64]!r} is no mark of a store", code="store_mark")
    match = _LEASE.fullmatch(lease)
    if match is None:
        raise TargetRefused(f"{lease[:64]!r} is no lease id", code="lease_id")
    return prefix(issuer) + (f"{store}_" if store else "") + match.group(1)


def store_of(name: str) -> str:
    """The mark of the store that a role was made for; empty where its name bears none."""
    match = _MARKED.fullmatch(name)
    return "" if match is None else match.group(1)


def comment(issuer: str, lease: str) -> str:
    """What the role's comment says."""
    return json.dumps({"flyball": 1, "issuer": issuer, "lease": lease})


def lease_of(name: str, said: str | None) -> str:
    """The lease that a role found at the target belongs to: by its comment, else by its name alone."""
    ulid = name[-26:]
    try:
        facts: Mapping[str, Json] = json.loads(said or "{}")
        lease = facts.get("lease")
    except (ValueError, AttributeError):
        lease = None
    match = _LEASE.fullmatch(lease) if isinstance(lease, str) else None
    if match is not None and match.group(1) == ulid and isinstance(lease, str):
        return lease
    return f"lea_unknown_{ulid}" if _ULID.fullmatch(ulid) else ""


def made_ms(name: str) -> int | None:
    """When the lease behind a role's name was made (wall milliseconds), if the name tells."""
    ulid = name[-26:]
    if not _ULID.fullmatch(ulid):
        return None
    number = 0
    for digit in ulid:
        number = number << 5 | _DIGITS.index(digit)
    return number >> 80
