"""The HTTP backend holds to the contract: what is issued, counted and revoked is the use of a key that stays here."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.connectors.http.backend import NOT_ROTATED, HttpBackend, build
from flyball.credential.backend import Plan, TargetRefused, TargetUnavailable
from flyball.credential.guarded import Guarded
from flyball.credential.issue import make_secret
from flyball.kernel.clock import SystemClock
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret
from flyball.testing.backend_contract import BackendContract, Held, Session

KEY = "sk_live_key-of-the-contract"


class _Use:
    """A gateway that was given the key."""

    def __init__(self, backend: HttpBackend, plan: Plan) -> None:
        self._backend, self._plan = backend, plan

    def alive(self) -> bool:
        found = {one.name: one for one in self._backend.inventory(str(self._plan.recipe["issuer"]))}
        return self._plan.name in found and found[self._plan.name].sessions > 0


class _Api:
    access = "use"

    def __init__(self, home: Path) -> None:
        self.clock = SystemClock()
        self.issuer = f"i-{secrets.token_hex(4)}"
        self.file = home / "api.key"
        self.file.touch(mode=0o600)
        self.file.write_text(f"{KEY}\n")
        # One for all: entries are this process's, and after a restart there is none.
        self.http = build("api", config(self.file), self.clock, "production")

    def backend(self) -> Guarded:
        return Guarded(self.http, timeout_s=5)

    def login(self, plan: Plan, secret: Secret) -> Session | None:
        try:
            assert self.backend().kept(plan, secret).reveal() == KEY
        except TargetRefused:
            return None
        return _Use(self.http, plan)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        aside = self.file.rename(self.file.with_suffix(".aside"))
        yield
        aside.rename(self.file)

    no_control = down

    @contextlib.contextmanager
    def rotation(self) -> Iterator[None]:
        yield


def config(file: Path | None, **more: Json) -> dict[str, Json]:
    found: dict[str, Json] = {"url": "https://api.example.com", "accesses": {"use": {"delivery": "brokered"}}, **more}
    return found if file is None else {**found, "secret_file": str(file)}


class TestHttp(BackendContract):
    @pytest.fixture
    def target(self, tmp_path: Path) -> _Api:
        return _Api(tmp_path)

    def test_a_target_that_is_down_is_unavailable(self, target: _Api) -> None:  # type: ignore[override]
        """Without its key nothing is issued and nothing is proved; taking back needs nothing of the API."""
        held = Held(target).issue()
        with target.down():
            with pytest.raises(TargetUnavailable):
                target.backend().issue(held.plan, held.secret)
            with pytest.raises(TargetUnavailable):
                target.backend().kept(held.plan, held.secret)
            held.revoke()
            assert not held.probe().gone
        assert held.probe().gone

    def test_rotating_our_own_login_touches_no_lease(self, target: _Api) -> None:  # type: ignore[override]
        """There is no login of ours at an API: a rotation is refused. A new key counts from the next use on."""
        assert not target.backend().rotates
        held = Held(target).issue()
        assert held.login().alive()
        target.file.write_text("sk_live_another-key\n")
        assert target.backend().kept(held.plan, held.secret).reveal() == "sk_live_another-key"

    def test_a_rotation_that_did_not_reach_the_target_changes_nothing(self, target: _Api) -> None:  # type: ignore[override]
        """See above."""
        with pytest.raises(TargetRefused):
            target.backend().rotate_admin()

    def test_the_key_is_for_the_leases_own_secret(self, target: _Api) -> None:
        """Whoever shows another secret is given nothing; no answer but `kept` holds the key."""
        held = Held(target)
        issued = target.backend().issue(held.plan, held.secret)
        with pytest.raises(TargetRefused):
            target.backend().kept(held.plan, make_secret())
        last = [target.backend().run(step, held.plan, {}) for step in target.backend().steps(held.plan)][-1]
        with pytest.raises(TargetRefused):
            target.backend().kept(held.plan, held.secret)
        assert last.weaknesses == (NOT_ROTATED,)
        shown = repr((issued, held.plan, target.backend().inspect(), last, held.probe(), target.http))
        assert KEY not in shown


def test_what_is_refused_at_the_start(tmp_path: Path) -> None:
    """An access that hands the key out, a field that nobody knows, a file that is no key or is open to others."""
    api = _Api(tmp_path)
    for wrong in (
        {"accesses": {"use": {"delivery": "released"}}},
        {"accesses": {"use": {}}},
        {"accesses": {}},
        {"key_file": "x"},
        {"secret_file": str(tmp_path / "nowhere")},
    ):
        with pytest.raises(ConfigError):
            build("api", {**config(api.file), **wrong}, api.clock, "dev")  # type: ignore[dict-item]
    api.file.write_text("short")
    with pytest.raises(ConfigError, match="holds no key"):
        build("api", config(api.file), api.clock, "dev")
    api.file.write_text(KEY)
    api.file.chmod(0o644)
    with pytest.raises(ConfigError):
        build("api", config(api.file), api.clock, "dev")
    assert build("api", config(None), api.clock, "dev").inspect()["version"] == "no key"
