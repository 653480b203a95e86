"""Which declared agent a principal is.

A pattern is matched against the principal's whole id. `*` stands for any characters within one
path segment, `**` (only at the end) for all the rest. No wildcard may stand in the part that says
*who vouches*: a trust domain or an issuer is always named in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from flyball.identity.principal import Principal
from flyball.identity.spiffe_id import SpiffeId
from flyball.kernel.errors import ConfigError, Denied, InvalidInput


@dataclass(frozen=True, slots=True)
class AgentDecl:
    """One agent as the bundle declares it.

    Attributes:
        name: the agent's name.
        ids: ids or patterns, `spiffe://…` or `oidc:<issuer>#…`.
        owner: who answers for it.
        uid: a Unix user whose processes are this agent on the local socket, or None.
        instance: the claim of its proof that tells one running instance from another (a pod's uid, say);
            empty where the principal itself is the instance.

    Raises:
        ConfigError: `agent_pattern` where an id cannot be matched safely.
    """

    name: str
    ids: tuple[str, ...]
    owner: str
    uid: int | None = None
    instance: str = ""

    def __post_init__(self) -> None:
        for pattern in self.ids:
            compile_pattern(pattern)

    def matches(self, principal: Principal) -> bool:
        """Whether the principal is this agent."""
        if principal.kind == "peer":
            return self.uid is not None and principal.uid == self.uid
        return any(compile_pattern(pattern).fullmatch(principal.id) for pattern in self.ids)


def match_agent(principal: Principal, decls: Iterable[AgentDecl]) -> AgentDecl:
    """The one declaration that the principal matches.

    An exact id does not win over another agent's pattern: two that match are a mistake in the
    bundle, and guessing would hand one agent's privilege to another.

    Raises:
        Denied: `agent_unknown` where none matches, `agent_ambiguous` where several do.
    """
    found = [decl for decl in decls if decl.matches(principal)]
    if not found:
        raise Denied(
            "no declared agent has this identity",
            code="agent_unknown",
            hint="declare the agent in the bundle, with this identity among its ids",
        )
    if len(found) > 1:
        raise Denied(
            "several declared agents have this identity: " + ", ".join(sorted(decl.name for decl in found)[:5]),
            code="agent_ambiguous",
            hint="narrow the patterns until one is left",
        )
    return found[0]


_COMPILED: dict[str, re.Pattern[str]] = {}
_OIDC = re.compile(r"oidc:(https?://[^#*\s]+)#(\S+)")


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression, to be matched in full.

    Raises:
        ConfigError: `agent_pattern`.
    """
    known = _COMPILED.get(pattern)
    if known is None:
        _check(pattern)
        pieces = re.split(r"(\*\*|\*)", pattern)
        text = "".join({"**": ".+", "*": "[^/]*"}.get(piece, re.escape(piece)) for piece in pieces)
        known = re.compile(text)
        if len(_COMPILED) < 65_536:  # a bound for long lives with many reloads
            _COMPILED[pattern] = known
    return known


def _check(pattern: str) -> None:
    wild = pattern.replace("**", "*")
    try:
        if pattern.startswith("spiffe://"):
            domain, _, path = pattern.removeprefix("spiffe://").partition("/")
            SpiffeId.parse_workload(f"spiffe://{domain}/" + path.replace("**", "x").replace("*", "x"))
        elif _OIDC.fullmatch(pattern) is None:
            raise InvalidInput("it is neither `spiffe://…` nor `oidc:<issuer>#<subject>`")
    except InvalidInput as error:
        raise _refused(pattern, error.detail) from error
    if "**" in pattern and (not pattern.endswith("**") or pattern.count("**") > 1 or "***" in pattern):
        raise _refused(pattern, "`**` may stand only once, at the end")
    if wild.count("*") > 8:  # each `*` multiplies the work of matching
        raise _refused(pattern, "more than 8 wildcards")


def _refused(pattern: str, why: str) -> ConfigError:
    return ConfigError(f"agent id {pattern!r} cannot be used: {why}", code="agent_pattern")
