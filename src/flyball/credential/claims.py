"""This Flyball's claim on its targets: of one issuer, one works at a target at a time.

Asked before anything is issued and before anything is taken for an orphan; never before a revocation, since
what is ours to take back is taken back whoever else is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from flyball.credential.backend import Backend, Claim, HoldsTarget
from flyball.kernel.errors import FlyballError


class Claims:
    """The claim, and the targets on which it is made. Thread-safe, as the backends are."""

    def __init__(self, backends: Mapping[str, Backend], claim: Claim) -> None:
        self._backends = backends
        self.claim = claim

    def hold(self, target: str) -> None:
        """Take a target, or make sure that it is still ours.

        Raises:
            TargetUnavailable: another Flyball of this issuer is at work there (`HELD`), or the target did not answer.
        """
        backend = self._backends[target]
        if isinstance(backend, HoldsTarget):
            backend.hold(self.claim)

    def let_go(self) -> None:
        """Hold nothing any more. A target that does not answer notices by itself when we have gone."""
        for backend in self._backends.values():
            if isinstance(backend, HoldsTarget):
                with suppress(FlyballError):
                    backend.let_go()
