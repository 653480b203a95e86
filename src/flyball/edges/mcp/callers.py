"""Who calls the shared gateway: a token on every request, held against this gateway's audience and proved at Flyball.

One caller (a principal and its instance) has one task, whichever of the servers it speaks to, so that what one server
returned can be the origin of another's argument. Callers share no connection to any server.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import Final

import flyball_sdk
from flyball.edges.mcp.desk import Desk
from flyball.edges.mcp.judge import Settings
from flyball.enforcement.mcp import frames
from flyball.kernel.errors import Unauthenticated, Unavailable

MAX_CALLERS: Final = 256
MAX_TOKENS: Final = 1024
PROVED_S: Final = 60.0
"""A token that was proved is asked about again after so long, or at its end if that is sooner."""


@dataclass(slots=True)
class Caller:
    """A caller and its task."""

    key: tuple[str, str]
    desk: Desk
    token: str = field(default="", repr=False)
    last_s: float = field(default_factory=time.monotonic)


class Callers:
    """All callers there are."""

    def __init__(self, settings: Settings, audiences: frozenset[str], *, idle_s: float) -> None:
        self._settings = settings
        self._audiences = audiences
        self._idle_s = idle_s
        self._callers: dict[tuple[str, str], Caller] = {}
        self._proved: dict[bytes, tuple[tuple[str, str], float]] = {}
        self._lock = asyncio.Lock()

    async def of(self, token: str) -> Caller:
        """The caller behind a token.

        Raises:
            Unauthenticated: it is not for us, has run out, or Flyball does not accept it.
            Unavailable: Flyball cannot be asked, or there are too many callers.
        """
        if not 0 < len(token) <= 16_384 or not token.isascii():
            raise Unauthenticated("the token is malformed", code="invalid_token")
        now = time.monotonic()
        digest = hashlib.sha256(token.encode()).digest()
        known = self._proved.get(digest)
        if known is None or known[1] <= now:
            until_s = self._for_us(token)
            key = await self._prove(token)
            if len(self._proved) >= MAX_TOKENS:
                self._proved.clear()
            self._proved[digest] = (key, min(now + PROVED_S, now + until_s))
        else:
            key = known[0]
        async with self._lock:
            caller = self._callers.get(key)
            if caller is None:
                if len(self._callers) >= MAX_CALLERS:
                    raise Unavailable("too many callers", code="busy")
                caller = self._callers[key] = self._new(key)
        caller.token = token
        caller.last_s = now
        return caller

    def _new(self, key: tuple[str, str]) -> Caller:
        def identity() -> str:
            return caller.token

        settings = replace(self._settings, identity=identity)
        caller = Caller(key, Desk(settings, None, idle_s=self._idle_s, fixed=False))
        return caller

    def _for_us(self, token: str) -> float:
        """Seconds that the token is good for, by its own word; who signed that word is looked at next.

        Raises:
            Unauthenticated: we are not its audience, or it has run out.
        """
        try:
            part = token.split(".")[1]
            claims = frames.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except (IndexError, ValueError, binascii.Error) as fault:
            raise Unauthenticated("the token is no JWT", code="invalid_token") from fault
        if not isinstance(claims, dict):
            raise Unauthenticated("the token is no JWT", code="invalid_token")
        found = claims.get("aud")
        audiences = found if isinstance(found, list) else [found]
        if not any(isinstance(one, str) and one in self._audiences for one in audiences):
            raise Unauthenticated("the token is for somebody else", code="invalid_token")
        ends = claims.get("exp")
        left = float(ends) - time.time() if isinstance(ends, int) else 0.0
        if left <= 0:
            raise Unauthenticated("the token has run out", code="invalid_token")
        return left

    async def _prove(self, token: str) -> tuple[str, str]:
        try:
            told = await flyball_sdk.aio.whoami(token, addr=self._settings.addr)
        except (flyball_sdk.Unauthenticated, flyball_sdk.Refused, flyball_sdk.InvalidRequest) as fault:
            raise Unauthenticated("the token is not accepted", code="invalid_token") from fault
        except flyball_sdk.FlyballError as fault:
            raise Unavailable("Flyball cannot be asked", code="plane_unreachable") from fault
        return str(told["principal"]), str(told["instance"])

    def idle(self, for_s: float, busy: set[tuple[str, str]]) -> list[Caller]:
        """Take out the callers that were not heard of for so long, and have nothing open."""
        now = time.monotonic()
        gone = [one for one in self._callers.values() if now - one.last_s > for_s and one.key not in busy]
        for one in gone:
            del self._callers[one.key]
        return gone

    async def close(self) -> None:
        """End every task."""
        callers, self._callers = list(self._callers.values()), {}
        await asyncio.gather(*(one.desk.close() for one in callers), return_exceptions=True)
