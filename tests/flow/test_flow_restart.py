"""A restart forgets nothing and forgives nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.flow.kit import PARCELS, Place, profile, revoke
from tests.wait import until

from flyball.credential.lease import LeaseState
from flyball.flow import bundles, end
from flyball.kernel.errors import ConfigError, Denied, Gone
from flyball.kernel.faults import FaultInjected, armed

VERIFIED = LeaseState.VERIFIED


def test_a_healthy_task_goes_on(place: Place) -> None:
    """With its token, its lease and its role; nothing is taken back that was acknowledged."""
    with place.house() as live:
        agent = live.agent().open()
        held = agent.credential()
    with place.house() as live:
        agent.live = live
        assert (live.built.recovered.restored, live.built.recovered.fenced) == (1, 0)
        assert agent.read().effect == "allow"
        agent.token = agent.beat().token.reveal()
        assert live.house.leases.get(held.lease).state is LeaseState.DELIVERED  # type: ignore[union-attr]
        assert live.roles()
        agent.end()
        assert not live.roles()


def test_an_agent_does_not_shed_its_history(place: Place) -> None:
    """What a task spent before the restart is spent after it: calls, sums, and `once_per` across tasks."""
    with place.house() as live:
        agent, once = live.agent().open(), live.agent().open("settle-refund")
        assert agent.refund("100.00").effect == "allow"
        assert once.refund("10.00").effect == "allow"
        other = live.agent(PARCELS).open("settle-refund")
        assert other.refund("10.00").reasons == ("once_per_spent",)
        once.end()
    with place.house() as live:
        agent.live = live
        assert agent.refund("20.01").reasons == ("budget_spent",)
        again = live.agent(PARCELS).open("settle-refund")
        assert again.refund("10.00").reasons == ("once_per_spent",)
        fresh = live.agent(PARCELS).open("settle-refund", {"ticket": "T-2"})
        assert fresh.refund("10.00").effect == "allow"


def test_a_budget_is_exactly_what_was_left(place: Place) -> None:
    """Neither more nor less: the second of two calls is still there, the third is not."""
    with place.house() as live:
        agent = live.agent().open("on-deny")
        assert agent.refund("100.00").effect == "allow"
    with place.house() as live:
        agent.live = live
        assert agent.refund("20.00").effect == "allow"
        assert agent.refund("0.01").reasons == ("budget_spent",)


def test_what_was_fenced_stays_fenced(place: Place) -> None:
    """Ended, revoked or suspended before, it is so after."""
    with place.house() as live:
        ended, revoked, held = (live.agent().open() for _ in range(3))
        ended.end()
        revoke(live, revoked.task)
        end.suspend_task(live.house, held.task, by="ops", reason="asked")
    with place.house() as live:
        for agent in (ended, revoked, held):
            agent.live = live
            assert agent.read().effect == "deny"
        for agent in (ended, revoked):
            with pytest.raises(Gone):
                agent.beat()
        assert live.built.recovered.restored == 1


@pytest.mark.parametrize("point", ["end.after_fence", "end.after_store"])
def test_a_fence_that_was_journalled_is_carried_out(place: Place, point: str) -> None:
    """Stopped between the fence and the store, or the store and the leases: the next start finishes it."""
    with place.house() as live:
        agent = live.agent().open()
        agent.credential()
        with armed(f"{point}:raise"), pytest.raises(FaultInjected):
            agent.end()
    with place.house() as live:
        agent.live = live
        assert agent.read().effect == "deny"
        live.watch()
        until(lambda: live.state(agent.task) == "closed")
        assert live.lease_states(agent.task) == [VERIFIED]
        assert not live.roles()


@pytest.mark.parametrize("point", ["issue.after_intent", "issue.after_target", "issue.after_active"])
def test_a_credential_that_nobody_got_is_taken_back(place: Place, point: str) -> None:
    """Stopped anywhere between intent and acknowledgement: nothing stands at the target, and the task goes on."""
    with place.house() as live:
        agent = live.agent().open()
        with armed(f"{point}:raise"), pytest.raises(FaultInjected):
            agent.credential()
    with place.house() as live:
        agent.live = live
        assert live.built.recovered.leases == 1
        assert live.house.revoker.wait(agent.task, 10)
        assert not live.roles()
        assert agent.credential().target == "orders"


def test_a_task_goes_on_under_the_profile_it_pinned(place: Place) -> None:
    """Restarted under a bundle with another profile of that name: reviewed is what it was opened with."""
    with place.house() as live:
        agent = live.agent().open()
        assert agent.refund("20.00").effect == "allow"
    narrower = profile("plain", agents="[refund-agent]").replace("on: [refund]", "on: [something-else]")
    (place.bundle / "profiles" / "plain.yaml").write_text(narrower)
    for _ in range(2):  # also when it is started once more, with the profile only in the store
        with place.house() as live:
            agent.live = live
            assert live.built.recovered.restored == 1
            assert agent.read().effect == "allow"
            young = live.agent().open()
            assert young.refund("20.00").reasons == ("resource_not_in_profile",)
            assert agent.beat().state == "open"
            # what it may still ask for is decided by its own profile; a credential is not issued under an old one
            with pytest.raises(Denied) as found:
                agent.credential()
            assert found.value.code == "profile_changed"
            young.end()
    with place.house() as live:
        agent.live = live
        assert agent.refund("20.00").effect == "allow"
        assert agent.refund("20.00").reasons == ("budget_spent",)


def test_a_bundle_that_is_activated_while_tasks_live(place: Place) -> None:
    """The same without a restart; and a bundle that cannot be used is refused while the running one stays."""
    with place.house() as live:
        agent = live.agent().open()
        before = live.house.active.digest
        changed = profile("plain", agents="[refund-agent]").replace("on: [refund]", "on: [something-else]")
        (place.bundle / "profiles" / "plain.yaml").write_text(changed)
        bundles.activate(live.house, None, by="ops")
        assert live.house.active.digest != before
        assert agent.refund("20.00").effect == "allow"
        assert live.agent().open().refund("20.00").effect == "deny"
        (place.bundle / "profiles" / "plain.yaml").write_text(changed + "nonsense: 1\n")
        running = live.house.active.digest
        with pytest.raises(ConfigError):
            bundles.activate(live.house, None, by="ops")
        assert live.house.active.digest == running
        assert agent.refund("20.00").effect == "allow"


def test_a_profile_whose_action_is_gone_goes_on_until_the_restart_and_is_fenced_then(place: Place) -> None:
    """It cannot be rebuilt under what is in force: fenced and taken back, not guessed at; other tasks go on."""
    with place.house() as live:
        odd, plain = live.agent().open(), live.agent(PARCELS).open("settle-refund")
        odd.credential()
    manifest = place.bundle / "bundle.yaml"
    manifest.write_text(
        manifest.read_text().replace("sql.select: {", "sql.query: {").replace("sql.select", "sql.query")
    )
    for file in (place.bundle / "profiles").iterdir():
        file.write_text(file.read_text().replace("sql.select", "sql.query"))
    with place.house() as live:
        assert live.built.recovered.restored == 0
        assert live.built.recovered.fenced == 2
        live.watch()
        for agent in (odd, plain):
            until(lambda a=agent: live.state(a.task) == "closed")  # type: ignore[misc]
            assert live.task(agent.task).cause == "recovered"
        assert not live.roles()


def test_a_store_from_a_backup_starts_fenced(place: Place, tmp_path: Path) -> None:
    """Behind its anchor: what was acknowledged since is unknown, so every task is fenced and every lease taken back."""
    state, backup = place.config.state_dir, tmp_path / "backup"
    with place.house() as live:
        early = live.agent().open()
        early.credential()
    backup.mkdir()
    for file in state.glob("store.db*"):
        shutil.copy(file, backup)
    with place.house() as live:
        early.live = live
        late = live.agent().open()
        late.credential()
        revoke(live, late.task)
        live.house.signer.maintain()
    for file in state.glob("store.db*"):
        file.unlink()
    for file in backup.iterdir():
        shutil.copy(file, state)
    with place.house() as live:
        early.live = late.live = live
        assert live.built.recovered.standing == "behind"
        assert (live.built.recovered.restored, live.built.recovered.fenced) == (0, 1)
        assert early.read().effect == late.read().effect == "deny"
        live.watch()
        until(lambda: live.state(early.task) == "closed")
        assert not live.roles()
        assert live.agent().open().read().effect == "allow", "new tasks are opened as ever"
