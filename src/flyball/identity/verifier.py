"""The port of this room: one kind of token, verified into a principal."""

from __future__ import annotations

from typing import Protocol

from flyball.identity.jose import Jws
from flyball.identity.principal import Principal


class TokenVerifier(Protocol):
    """Verifies one kind of token from one source of trust.

    `jws` is what `jose.parse` made of the token: nothing in it is trusted until this call returns.
    """

    def verify(self, jws: Jws) -> Principal:
        """The principal whom the token proves.

        Raises:
            Unauthenticated: with a stable code; never repeats the token.
        """
        ...
