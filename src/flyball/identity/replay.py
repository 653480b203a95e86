"""Which proofs have been used: no `jti` twice inside the window (RFC 9449 §11.1).

Bounded in time by the window and in size by two limits, one for all and one for each key, so that
one client cannot fill the memory for the rest. A full memory refuses: forgetting a proof early
would let it be used again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, deque

from flyball.kernel.clock import Clock
from flyball.kernel.errors import Unauthenticated, Unavailable


class ReplayCache:
    """Used proofs, in memory, for one process. Safe for many threads.

    A proof made before the cache (two seconds of grace) is refused as `dpop_before_start`: it may
    have been used with the process before this one. For the same reason time only moves on here:
    if the wall clock steps back, proofs that may have been forgotten stay refused.
    """

    def __init__(
        self, clock: Clock, *, window_ms: int = 71_000, limit: int = 131_072, limit_per_key: int = 32_768
    ) -> None:
        """`window_ms` must be more than the oldest age plus the furthest future that a proof may have."""
        self._clock = clock
        self._window_ms = window_ms
        self._limit = limit
        self._limit_per_key = limit_per_key
        self._lock = threading.Lock()
        self._seen: set[bytes] = set()
        self._order: deque[tuple[int, bytes, str, int]] = deque()
        """(forget at, monotonic ms; digest; key; issued at, wall ms), the next to forget first."""
        self._per_key: Counter[str] = Counter()
        self._floor_ms = (clock.wall_ms() // 1000 - 2) * 1000
        """Proofs issued before this wall time may have been used and forgotten: they are refused."""

    def use(self, thumbprint: str, name: str, iat_ms: int) -> None:
        """Count the proof `name` by key `thumbprint`, issued at `iat_ms`, as used.

        Raises:
            Unauthenticated: `dpop_replayed`, `dpop_before_start`.
            Unavailable: `dpop_replay_full`.
        """
        digest = hashlib.sha256(f"{thumbprint}\0{name}".encode("utf-8", "surrogatepass")).digest()[:16]
        with self._lock:
            now = self._clock.mono_ms()
            self._forget(now)
            if iat_ms < self._floor_ms:
                raise Unauthenticated(
                    "the DPoP proof is older than this server's memory of used ones",
                    code="dpop_before_start",
                    hint="make a fresh proof and try again",
                )
            if digest in self._seen:
                raise Unauthenticated(
                    "the DPoP proof has been used before", code="dpop_replayed", hint="make a proof for each request"
                )
            if len(self._seen) >= self._limit or self._per_key[thumbprint] >= self._limit_per_key:
                raise Unavailable(
                    "too many DPoP proofs at once", code="dpop_replay_full", hint="slow down and try again"
                )
            self._seen.add(digest)
            self._per_key[thumbprint] += 1
            self._order.append((now + self._window_ms, digest, thumbprint, iat_ms))

    def __len__(self) -> int:
        with self._lock:
            return len(self._seen)

    def _forget(self, now: int) -> None:
        while self._order and self._order[0][0] <= now:
            _, digest, key, iat_ms = self._order.popleft()
            self._seen.discard(digest)
            self._per_key[key] -= 1
            if not self._per_key[key]:
                del self._per_key[key]
            # By a clock that only runs on, this proof is too old by now; if the clock steps back, the floor refuses it.
            self._floor_ms = max(self._floor_ms, iat_ms + 1)
