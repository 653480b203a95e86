"""What a server is shown and may not tell: kept out of what it says."""

from __future__ import annotations

import json
from collections import deque
from typing import Final
from urllib.parse import quote

import structlog

_SHORTEST: Final = 8
"""Characters of a secret that is looked for: a shorter one would be found where it is not."""
log = structlog.get_logger("flyball.mcp")


class Withheld:
    """The latest secrets, each as it is, percent-encoded, and as JSON escapes it."""

    def __init__(self) -> None:
        self._secrets: deque[bytes] = deque(maxlen=16)

    def add(self, secret: str) -> None:
        """Look for this one from now on."""
        for one in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            if len(one) >= _SHORTEST and one.encode() not in self._secrets:
                self._secrets.append(one.encode())

    def hide(self, raw: bytes) -> bytes:
        """What a server says, without them."""
        for secret in self._secrets:
            if secret in raw:
                log.warning("a server told what it was given; it is withheld")
                raw = raw.replace(secret, b"[withheld]")
        return raw
