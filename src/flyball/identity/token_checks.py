"""Checks that JWT-SVIDs and OIDC tokens share: time, audience, and what the token is bound to."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flyball.identity import jose
from flyball.kernel.errors import Unauthenticated
from flyball.kernel.json import Json

LEEWAY_S = 30
"""How far another machine's clock may be off, in seconds."""


def check_times(claims: Mapping[str, Json], *, now_s: float, leeway_s: float = LEEWAY_S) -> int:
    """Check `exp` (demanded), `nbf` and `iat` (where present); return the expiry in wall milliseconds.

    Raises:
        Unauthenticated: `token_expired`, `token_not_yet_valid`.
        JoseError: `claim_malformed`.
    """
    exp, nbf, iat = (jose.number(claims, name) for name in ("exp", "nbf", "iat"))
    if exp is None:
        raise jose.JoseError("claim_malformed", "the claim `exp` is missing")
    if now_s >= exp + leeway_s:
        raise Unauthenticated("the token has run out", code="token_expired", hint="fetch a fresh one")
    if (nbf is not None and nbf > now_s + leeway_s) or (iat is not None and iat > now_s + leeway_s):
        raise Unauthenticated(
            "the token is not valid yet", code="token_not_yet_valid", hint="check both machines' clocks"
        )
    return int(exp * 1000)


def check_audience(claims: Mapping[str, Json], own: Collection[str]) -> None:
    """Check that the token is meant for us: one of `own` stands in `aud`.

    Raises:
        Unauthenticated: `token_audience`.
        JoseError: `claim_malformed`.
    """
    if not set(jose.audiences(claims)) & set(own):
        raise Unauthenticated(
            "the token is meant for another audience",
            code="token_audience",
            hint="ask its issuer for a token whose audience is this Flyball's issuer",
        )


def bound_key(claims: Mapping[str, Json]) -> str | None:
    """The thumbprint of the key that the token is bound to (`cnf.jkt`), None where it is not bound.

    Raises:
        Unauthenticated: `token_binding_unsupported` for a binding that we cannot check: a bound
            token taken as a bearer token would undo the binding.
    """
    if "cnf" not in claims:
        return None
    cnf = claims["cnf"]
    jkt = cnf.get("jkt") if isinstance(cnf, dict) and set(cnf) == {"jkt"} else None
    if not isinstance(jkt, str) or len(jkt) != 43:
        raise Unauthenticated(
            "the token is bound in a way that cannot be checked here",
            code="token_binding_unsupported",
            hint="use an unbound token, or one bound by `cnf.jkt`",
        )
    return jkt


def malformed(error: jose.JoseError) -> Unauthenticated:
    """The refusal for a token that cannot be read."""
    return Unauthenticated(f"the token cannot be used: {error.detail}", code=f"token_{error.code}")
