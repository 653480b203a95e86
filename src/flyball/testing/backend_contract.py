"""What every credential backend must hold to.

Subclass `BackendContract` in a test module and give it a fixture `target` that yields a `Harness`.
A crash is told by what it leaves behind: the effect at the target is there, what the call answered
is not; so each call is made again with the progress from before it, by a fresh backend.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Protocol

import pytest

from flyball.credential.backend import (
    HELD,
    Backend,
    Claim,
    HoldsTarget,
    LeaseSpec,
    Plan,
    ProbeReport,
    RotatesAdmin,
    TargetRefused,
    TargetUnavailable,
)
from flyball.credential.issue import make_secret
from flyball.kernel.clock import Clock
from flyball.kernel.ids import lease_id, task_id
from flyball.kernel.json import Json, canonical
from flyball.kernel.secret import Secret

OURS, THEIRS = "0" * 11 + "a", "0" * 11 + "b"
"""Marks of two stores."""


class Session(Protocol):
    """A session of a lease's holder at the target."""

    def alive(self) -> bool:
        """Whether it can still do what the lease allows."""
        ...


class Harness(Protocol):
    """One target under test. Each test gets an issuer of its own."""

    access: str
    issuer: str
    clock: Clock

    def backend(self) -> Backend:
        """A fresh backend, as after a restart."""
        ...

    def login(self, plan: Plan, secret: Secret) -> Session | None:
        """Log in as the lease's holder; None when that is refused."""
        ...

    def no_control(self) -> AbstractContextManager[None]:
        """While it lasts, no control login works."""
        ...

    def down(self) -> AbstractContextManager[None]:
        """While it lasts, the target cannot be reached."""
        ...

    def rotation(self) -> AbstractContextManager[None]:
        """While it lasts, Flyball's own login is one that may be rotated; after it, it is what it was before."""
        ...


class Held:
    """A lease in a test: its spec, plan and secret, and what is known of it."""

    def __init__(self, target: Harness, issuer: str = "", ttl_ms: int = 300_000, store: str = OURS) -> None:
        now = target.clock.wall_ms()
        self.target = target
        self.spec = LeaseSpec(
            lease_id("local", now),
            task_id("local", now),
            issuer or target.issuer,
            target.access,
            now,
            now + ttl_ms,
            store,
        )
        self.plan = target.backend().plan(self.spec)
        self.secret = make_secret()
        self.progress: dict[str, Json] = {}

    def issue(self) -> Held:
        """Issue it, and keep what the target told."""
        self.progress.update(self.target.backend().issue(self.plan, self.secret).progress)
        return self

    def login(self) -> Session:
        """Log in, which must work."""
        session = self.target.login(self.plan, self.secret)
        assert session is not None
        return session

    def run(self, step: str) -> None:
        """One step, with its progress kept."""
        self.progress.update(self.target.backend().run(step, self.plan, self.progress).progress)

    def revoke(self) -> None:
        """All steps."""
        for step in self.target.backend().steps(self.plan):
            self.run(step)

    def probe(self, *, held: bool = True) -> ProbeReport:
        """The proof, with the secret or without."""
        return self.target.backend().probe(self.plan, self.progress, self.secret if held else None)


class BackendContract:
    """The suite."""

    def test_a_plan_is_pure_and_deterministic(self, target: Harness) -> None:
        """The same spec gives the same plan, from any backend; another lease or issuer another name."""
        held = Held(target)
        assert target.backend().plan(held.spec) == held.plan
        assert Held(target).plan.name != held.plan.name
        assert Held(target, issuer="https://elsewhere").plan.name != held.plan.name
        assert len(held.plan.name.encode()) <= 200
        assert target.login(held.plan, held.secret) is None
        assert not list(target.backend().inventory(target.issuer))

    def test_an_unknown_access_is_refused(self, target: Harness) -> None:
        """No plan for an access that the target does not have."""
        held = Held(target)
        spec = LeaseSpec("lea_local_" + "0" * 26, "t", target.issuer, "no-such-access", 0, held.spec.expires_ms)
        with pytest.raises(TargetRefused):
            target.backend().plan(spec)

    def test_an_issued_lease_works_and_ends_no_later_than_asked(self, target: Harness) -> None:
        """The holder can log in, the target's own expiry is not after the lease's, and one thing is found."""
        held = Held(target)
        issued = target.backend().issue(held.plan, held.secret)
        assert issued.native_expiry_ms <= held.spec.expires_ms
        assert held.login().alive()
        (found,) = target.backend().inventory(target.issuer)
        assert (found.name, found.lease) == (held.plan.name, held.spec.lease)
        assert found.age_ms is not None
        assert found.age_ms < 60_000

    def test_an_expired_lease_is_not_issued(self, target: Harness) -> None:
        """What would be born dead is refused, and leaves nothing."""
        held = Held(target, ttl_ms=0)
        with pytest.raises(TargetRefused):
            held.issue()
        assert not list(target.backend().inventory(target.issuer))

    def test_issuing_again_completes_the_same_lease(self, target: Harness) -> None:
        """A crash after the effect: the same issue again makes one working credential, not two and no error."""
        held = Held(target).issue()
        held.issue()
        assert held.login().alive()
        assert len(list(target.backend().inventory(target.issuer))) == 1

    def test_a_lease_on_its_way_out_is_not_issued_again(self, target: Harness) -> None:
        """After the first revoke step a late issue is refused and brings no login back (lease rule 10)."""
        held = Held(target).issue()
        held.run(target.backend().steps(held.plan)[0])
        with pytest.raises(TargetRefused):
            held.issue()
        assert target.login(held.plan, held.secret) is None

    def test_the_first_step_denies_new_logins(self, target: Harness) -> None:
        """After it, and after every further step, no new login is let in."""
        held = Held(target).issue()
        assert target.login(held.plan, held.secret) is not None
        for step in target.backend().steps(held.plan):
            held.run(step)
            assert target.login(held.plan, held.secret) is None, step

    def test_revoked_is_gone(self, target: Harness) -> None:
        """Sessions are dead, every door refuses beside a good control, nothing is found."""
        held = Held(target).issue()
        sessions = [held.login() for _ in range(3)]
        held.revoke()
        report = held.probe()
        assert report.gone, report
        assert not any(session.alive() for session in sessions)
        assert not list(target.backend().inventory(target.issuer))

    def test_each_step_can_be_repeated_after_a_crash(self, target: Harness) -> None:
        """Each step twice, the second time knowing only what was known before the first."""
        held = Held(target).issue()
        session = held.login()
        for step in target.backend().steps(held.plan):
            target.backend().run(step, held.plan, dict(held.progress))
            held.run(step)
        assert held.probe().gone
        assert not session.alive()

    def test_a_crash_before_the_answer_of_issue_leaves_nothing(self, target: Harness) -> None:
        """Issued, used, and nothing known of it but the intent: revoking from the intent alone leaves nothing."""
        held = Held(target).issue()
        session = held.login()
        held.progress.clear()
        held.revoke()
        assert held.probe().gone
        assert not session.alive()

    def test_steps_in_a_wrong_order_do_no_harm(self, target: Harness) -> None:
        """Backwards first, then forwards: it ends the same."""
        held = Held(target).issue()
        session = held.login()
        for step in reversed(target.backend().steps(held.plan)):
            held.run(step)
        held.revoke()
        assert held.probe().gone
        assert not session.alive()

    def test_absent_is_done(self, target: Harness) -> None:
        """A lease that never reached the target is revoked without an error, and proved gone; so is one gone before."""
        held = Held(target)
        held.revoke()
        assert held.probe().gone
        held.revoke()
        assert held.probe(held=False).gone

    def test_without_the_secret_absence_is_the_proof(self, target: Harness) -> None:
        """Nobody holds the secret of an orphan: while it exists nothing is proved, once dropped it is."""
        held = Held(target).issue()
        assert not held.probe(held=False).gone
        held.revoke()
        assert held.probe(held=False).gone

    def test_a_living_lease_is_not_gone(self, target: Harness) -> None:
        """The probe of a working password says accepted."""
        held = Held(target).issue()
        report = held.probe()
        assert not report.gone
        assert any(door.verdict == "accepted" for door in report.doors)

    def test_a_refused_password_of_a_living_role_is_no_proof(self, target: Harness) -> None:
        """The holder may have changed its password: a refusal of the old one alone proves nothing."""
        held = Held(target).issue()
        report = target.backend().probe(held.plan, held.progress, make_secret())
        assert not report.gone

    def test_no_proof_without_a_control_login(self, target: Harness) -> None:
        """A door at which nobody can log in refuses the revoked one too, and proves nothing by it."""
        held = Held(target).issue()
        held.revoke()
        with target.no_control():
            report = held.probe()
            assert not report.gone
            assert all(door.verdict == "inconclusive" for door in report.doors)
        assert held.probe().gone

    def test_a_target_that_is_down_is_unavailable(self, target: Harness) -> None:
        """Every call says so in time, and the probe proves nothing; once back, it goes on as if nothing had been."""
        held = Held(target).issue()
        backend = target.backend()
        with target.down():
            with pytest.raises(TargetUnavailable):
                backend.issue(held.plan, held.secret)
            for step in backend.steps(held.plan):
                with pytest.raises(TargetUnavailable):
                    backend.run(step, held.plan, held.progress)
            with suppress(TargetUnavailable):
                assert not backend.probe(held.plan, held.progress, held.secret).gone
            with pytest.raises(TargetUnavailable):
                backend.inventory(target.issuer)
        held.revoke()
        assert held.probe().gone

    def test_rotating_our_own_login_touches_no_lease(self, target: Harness) -> None:
        """Sessions go on, new leases are issued, old ones are revoked and proved gone by a backend made afterwards."""
        with target.rotation():
            held = Held(target).issue()
            session = held.login()
            _rotating(target.backend()).rotate_admin()
            assert session.alive()
            after = Held(target).issue()
            for one in (held, after):
                one.revoke()
                assert one.probe().gone
            assert not session.alive()

    def test_a_rotation_that_did_not_reach_the_target_changes_nothing(self, target: Harness) -> None:
        """It says so in time; afterwards we still get in, and the next rotation goes through."""
        with target.rotation():
            backend = _rotating(target.backend())
            with target.down(), pytest.raises(TargetUnavailable):
                backend.rotate_admin()
            assert not list(target.backend().inventory(target.issuer))
            backend.rotate_admin()
            assert not list(target.backend().inventory(target.issuer))

    def test_only_its_own_issuers_are_found(self, target: Harness) -> None:
        """Another deployment's leases at the same target are none of ours (lease rule 9)."""
        ours, theirs = Held(target).issue(), Held(target, issuer=f"{target.issuer}-other").issue()
        assert [found.lease for found in target.backend().inventory(target.issuer)] == [ours.spec.lease]
        held_by_others = target.backend().inventory(f"{target.issuer}-other")
        assert [found.lease for found in held_by_others] == [theirs.spec.lease]
        ours.revoke()
        assert theirs.login().alive()
        theirs.revoke()

    def test_each_bears_its_stores_mark(self, target: Harness) -> None:
        """Another store's leases are told from ours, and from those without a mark; all of them are the issuer's."""
        held = {store: Held(target, store=store).issue() for store in (OURS, THEIRS, "")}
        found = {one.lease: one.store for one in target.backend().inventory(target.issuer)}
        assert found == {one.spec.lease: store for store, one in held.items()}
        sessions = {store: one.login() for store, one in held.items()}
        held[OURS].revoke()
        assert held[OURS].probe().gone
        assert sessions[THEIRS].alive()
        assert sessions[""].alive()
        for store in (THEIRS, ""):
            held[store].revoke()
            assert held[store].probe().gone

    def test_one_flyball_of_an_issuer_works_there_at_a_time(self, target: Harness) -> None:
        """A second is refused, also one with a copy of our store, until the first has gone; other issuers are not."""
        first, beside, second = (_holding(target.backend()) for _ in range(3))
        ours = Claim(target.issuer, OURS, "one")
        first.hold(ours)
        beside.hold(ours)  # another target of ours at the same server
        _holding(target.backend()).hold(Claim(f"{target.issuer}-other", THEIRS, "two"))
        for other in (Claim(target.issuer, THEIRS, "two"), Claim(target.issuer, OURS, "two")):
            with pytest.raises(TargetUnavailable) as caught:
                second.hold(other)
            assert caught.value.code == HELD
            first.hold(ours)
        first.let_go()
        with pytest.raises(TargetUnavailable):
            second.hold(Claim(target.issuer, THEIRS, "two"))
        beside.let_go()
        second.hold(Claim(target.issuer, THEIRS, "two"))
        with pytest.raises(TargetUnavailable):
            first.hold(ours)

    def test_a_target_that_is_down_is_not_held(self, target: Harness) -> None:
        """It says so in time, and is held once it is back."""
        backend, claim = _holding(target.backend()), Claim(target.issuer, OURS, "one")
        with target.down(), pytest.raises(TargetUnavailable) as caught:
            backend.hold(claim)
        assert caught.value.code != HELD
        backend = _holding(target.backend())
        backend.hold(claim)

    def test_sessions_are_counted(self, target: Harness) -> None:
        """The inventory tells how many sessions a role has."""
        held = Held(target).issue()
        kept = [held.login(), held.login()]
        (found,) = target.backend().inventory(target.issuer)
        assert found.sessions == len(kept)
        assert all(session.alive() for session in kept)
        held.revoke()

    def test_a_plan_survives_the_store(self, target: Harness) -> None:
        """Name and recipe as JSON and back are enough to revoke with."""
        held = Held(target).issue()
        session = held.login()
        stored: Mapping[str, Json] = json.loads(canonical(dict(held.plan.recipe)))
        held.plan = Plan(held.plan.name, stored)
        held.progress = json.loads(canonical(held.progress))
        held.revoke()
        assert held.probe().gone
        assert not session.alive()

    def test_an_unknown_step_is_refused(self, target: Harness) -> None:
        """A step of another version of the backend is no step."""
        held = Held(target)
        with pytest.raises(TargetRefused):
            target.backend().run("no_such_step", held.plan, {})

    def test_the_secret_shows_nowhere(self, target: Harness, caplog: pytest.LogCaptureFixture) -> None:
        """Not in the plan, in what is answered, in an error and its causes, or in a log."""
        caplog.set_level(logging.DEBUG)
        held = Held(target)
        backend = target.backend()
        issued = backend.issue(held.plan, held.secret)
        held.progress.update(issued.progress)
        shown = [repr(backend), repr(held.plan), repr(issued), repr(held.probe()), repr(backend.inspect())]
        for step in backend.steps(held.plan):
            shown.append(repr(backend.run(step, held.plan, held.progress)))
        with target.down():
            for call in (
                lambda: backend.issue(held.plan, held.secret),
                lambda: backend.probe(held.plan, held.progress, held.secret),
            ):
                try:
                    shown.append(repr(call()))
                except TargetUnavailable as error:
                    shown += [repr(error), repr(error.__cause__), repr(error.__context__), error.detail, error.hint]
        shown += [record.getMessage() for record in caplog.records]
        assert held.secret.reveal() not in "\n".join(shown)


def _holding(backend: Backend) -> HoldsTarget:
    """The backend as one that holds its target; where nobody else can be, nothing is to be held."""
    if not isinstance(backend, HoldsTarget) or not getattr(backend, "holds", True):
        pytest.skip("this backend's target is this process's alone")
    return backend


def _rotating(backend: Backend) -> RotatesAdmin:
    """The backend as one that can rotate our own login; what has no such login is not tested for it."""
    if not isinstance(backend, RotatesAdmin) or not getattr(backend, "rotates", True):
        pytest.skip("this backend does not rotate a login of ours")
    return backend
