"""All that a connector may import, version 1.

A connector is a package with a function `build(name, config, clock, mode) -> Backend`. It fills the
`Backend` port, raises `TargetUnavailable` for what may pass and `TargetRefused` for what will not,
puts no secret into any error, and is held to `flyball.testing.backend_contract`. What stands here
stays as it is; a new need makes a `v2` beside it.
"""

from __future__ import annotations

from flyball.credential.backend import (
    HELD,
    Backend,
    Claim,
    DoorProbe,
    Found,
    HoldsTarget,
    Issued,
    KeepsKey,
    LeaseSpec,
    Plan,
    ProbeReport,
    RotatesAdmin,
    StepOutcome,
    TargetRefused,
    TargetUnavailable,
)
from flyball.kernel.clock import Clock, FakeClock, SystemClock
from flyball.kernel.errors import ConfigError, FlyballError
from flyball.kernel.json import Json, canonical
from flyball.kernel.private_files import read_private, write_private
from flyball.kernel.secret import Secret

__all__ = [
    "HELD",
    "Backend",
    "Claim",
    "Clock",
    "ConfigError",
    "DoorProbe",
    "FakeClock",
    "FlyballError",
    "Found",
    "HoldsTarget",
    "Issued",
    "Json",
    "KeepsKey",
    "LeaseSpec",
    "Plan",
    "ProbeReport",
    "RotatesAdmin",
    "Secret",
    "StepOutcome",
    "SystemClock",
    "TargetRefused",
    "TargetUnavailable",
    "canonical",
    "read_private",
    "write_private",
]
