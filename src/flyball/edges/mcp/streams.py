"""One response over HTTP: its messages in order, read by one reader at a time, and again by one who lost some."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from flyball.enforcement.mcp.frames import Id, Value

QUEUED: Final = 256
"""Messages that wait for a client that reads slowly; then the server waits too."""
KEPT: Final = 32
"""Messages that were read and are kept, for a client that lost them on their way."""


class Stream:
    """The response to one request, or a stream of a server's other messages.

    `ident` and `token` are the client's own names for the request and its progress, `inner` is ours.
    """

    def __init__(self, ident: Id | None = None, token: Value = None) -> None:
        self.ident = ident
        self.token = token
        self.inner = ""
        self.done = False
        self.code: Value = None
        """The last message's error code, if it is an error."""
        self.read = 0
        """How many messages were read: the number of the last one."""
        self.turn = 0
        """Whose turn it is to read; one who took the stream up before it was taken up again reads no more."""
        self._log: deque[bytes] = deque()
        self._first = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether all was read, and nothing more comes."""
        return self.done and self.read == self._first + len(self._log)

    async def put(self, raw: bytes, *, last: bool = False) -> None:
        """One more message; waits while too many are unread."""
        while self._first + len(self._log) - self.read >= QUEUED and not self.done:
            self._room.clear()
            await self._room.wait()
        self._log.append(raw)
        self.done = self.done or last
        self._news.set()

    async def get(self, turn: int = 0) -> bytes | None:
        """The next message; None after the last, or when it is another reader's turn."""
        while turn == self.turn:
            if self.read < self._first + len(self._log):
                raw = self._log[self.read - self._first]
                self.read += 1
                if self.read - self._first > KEPT:
                    self._log.popleft()
                    self._first += 1
                self._room.set()
                return raw
            if self.done:
                break
            self._news.clear()
            await self._news.wait()
        return None

    def back(self, after: int) -> bool:
        """Go back to what follows the message of this number, with a new reader; False where that is not kept."""
        if not self._first <= after <= self.read:
            return False
        self.read = after
        self.turn += 1
        self._news.set()
        return True

    def close(self) -> None:
        """Nobody reads it any more, or nothing more comes."""
        self.done = True
        self._news.set()
        self._room.set()
