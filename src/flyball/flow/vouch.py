"""Whose word an input may be: a signed statement by somebody who is not the agent itself.

A voucher is a JWT by an issuer that this Flyball already believes (an OIDC provider, a trust
domain), whose claims hold `inputs` (an object) and perhaps `profile`. It says nothing of who may
open the task; it only lifts those inputs from `declared` to vouched.
"""

from __future__ import annotations

from flyball.flow.house import House
from flyball.kernel.errors import InvalidInput
from flyball.task.profile import VerifyVoucher, Voucher


def verifier(house: House, caller: str) -> VerifyVoucher:
    """A verifier of vouchers for inputs that the principal `caller` declares.

    The function it returns raises `InvalidInput` (`voucher_self`, `voucher_empty`), or what the
    resolver raises for a token that does not hold.
    """

    def verify(token: str) -> Voucher:
        voucher = house.resolver.authenticate(token)
        if voucher.id == caller:
            raise InvalidInput("nobody vouches for their own inputs", code="voucher_self")
        inputs = voucher.claims.get("inputs")
        if not isinstance(inputs, dict) or not inputs:
            raise InvalidInput("the voucher speaks of no inputs", code="voucher_empty", hint="put them in `inputs`")
        profile = voucher.claims.get("profile")
        # One workload vouches as itself: its trust domain holds the agent too.
        issuer = voucher.id if voucher.kind == "spiffe" else voucher.issuer
        return Voucher(issuer, inputs, profile if isinstance(profile, str) else "")

    return verify
