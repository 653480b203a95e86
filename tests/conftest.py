"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A slow machine is no failure: how long an example takes, or its making, says nothing of what is tested.
settings.register_profile("flyball", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flyball")
