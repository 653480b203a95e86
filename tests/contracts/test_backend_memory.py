"""The in-memory backend holds to the contract."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

import pytest

from flyball.connectors.memory.backend import STEPS, MemoryBackend, World, build
from flyball.credential.backend import Plan
from flyball.credential.guarded import Guarded
from flyball.kernel.clock import SystemClock
from flyball.kernel.errors import ConfigError
from flyball.kernel.secret import Secret
from flyball.testing.backend_contract import BackendContract


class _Session:
    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def alive(self) -> bool:
        return self._world.sessions(self._name) > 0


class _Memory:
    access = "writer"

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.world = World()
        self.issuer = f"i-{secrets.token_hex(4)}"

    def backend(self) -> Guarded:
        return Guarded(MemoryBackend("m", frozenset({"writer"}), self.clock, self.world), timeout_s=5)

    def login(self, plan: Plan, secret: Secret) -> _Session | None:
        ok = self.world.login(plan.name, secret, self.clock.wall_ms())
        return _Session(self.world, plan.name) if ok else None

    @contextlib.contextmanager
    def no_control(self) -> Iterator[None]:
        self.world.control = False
        yield
        self.world.control = True

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        for call in ("issue", *STEPS, "probe", "inventory", "hold", "rotate"):
            self.world.faults.arm(call, "fail", 100)
        yield
        self.world.faults.clear()

    @contextlib.contextmanager
    def rotation(self) -> Iterator[None]:
        kept = self.world.admin
        yield
        assert self.world.admin != kept
        self.world.admin = kept


class TestMemory(BackendContract):
    @pytest.fixture
    def target(self) -> _Memory:
        return _Memory()


def test_a_production_configuration_refuses_it() -> None:
    """A fake never guards anything real."""
    with pytest.raises(ConfigError):
        build("m", {"accesses": {"a": {}}}, SystemClock(), "production")
