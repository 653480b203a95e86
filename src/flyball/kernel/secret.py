"""A value that must not be seen.

`Secret` keeps a credential out of logs, errors, records and reprs (invariant 9). Python cannot
reliably wipe memory, so the promise is about what is *written*, not about RAM.
"""

from __future__ import annotations

import hmac
from typing import Never


class Secret:
    """A secret string. Only `reveal()` shows it; repr, str and format never do."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself. Call it at the last moment and keep the result local."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash would let a set compare secrets in variable time

    def __reduce__(self) -> Never:
        raise TypeError("a Secret cannot be pickled; seal it instead")
