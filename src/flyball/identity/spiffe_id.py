"""SPIFFE IDs: `spiffe://<trust domain>[/<path>]` (SPIFFE-ID.md §2).

Read strictly and in lower case only. The standard calls scheme and trust domain case-insensitive
when compared and asks everyone to emit lower case; accepting two spellings of one identity buys
nothing here and would let a pattern miss one of them, so upper case is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flyball.kernel.errors import InvalidInput

MAX_BYTES = 2048
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_PATH = re.compile(r"(?:/[A-Za-z0-9._-]+)+")
_DOT_SEGMENT = re.compile(r"/\.\.?(?:/|$)")


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """A parsed SPIFFE ID. `path` is empty for a trust domain's own id, else starts with `/`."""

    trust_domain: str
    path: str

    @classmethod
    def parse(cls, text: str) -> SpiffeId:
        """Read an id.

        Raises:
            InvalidInput: `spiffe_id`, for anything outside SPIFFE-ID.md §2.
        """
        if len(text) > MAX_BYTES:
            raise _refused(f"it is longer than {MAX_BYTES} bytes")
        rest = text.removeprefix("spiffe://")
        if rest == text:
            raise _refused("the scheme is not `spiffe://`")
        domain, slash, tail = rest.partition("/")
        path = slash + tail
        if _TRUST_DOMAIN.fullmatch(domain) is None:
            raise _refused("the trust domain is not 1 to 255 of `a-z 0-9 . _ -`")
        if path and (_PATH.fullmatch(path) is None or _DOT_SEGMENT.search(path)):
            raise _refused("the path has an empty, dot or foreign-character segment")
        return cls(domain, path)

    @classmethod
    def parse_workload(cls, text: str) -> SpiffeId:
        """Read an id that names a workload: one with a path.

        Raises:
            InvalidInput: `spiffe_id`.
        """
        parsed = cls.parse(text)
        if not parsed.path:
            raise _refused("it names a trust domain, not a workload")
        return parsed

    def member_of(self, trust_domain: str) -> bool:
        """Whether the id belongs to `trust_domain`, given as a name or as `spiffe://name`."""
        return self.trust_domain == trust_domain_name(trust_domain)

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}{self.path}"


def trust_domain_name(text: str) -> str:
    """The name of a trust domain, given as a name or as `spiffe://name`.

    Raises:
        InvalidInput: `spiffe_id`.
    """
    parsed = SpiffeId.parse(text if text.startswith("spiffe://") else f"spiffe://{text}")
    if parsed.path:
        raise _refused("a trust domain has no path")
    return parsed.trust_domain


def _refused(why: str) -> InvalidInput:
    return InvalidInput(f"not a SPIFFE ID: {why}", code="spiffe_id")
