"""Opening a task: who may, with what, and what is left when it is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.flow.kit import BASE, DESK, INPUTS, ISSUER, PARCELS, REFUNDS, Live, Place, write_bundle

from flyball.flow import end, request
from flyball.flow.asks import OpenAsk, Proof
from flyball.identity import jose
from flyball.kernel.errors import Denied, FlyballError, Gone, InvalidInput, Unauthenticated, Unavailable
from flyball.kernel.faults import FaultInjected, armed
from flyball.kernel.json import Json
from flyball.task import lifecycle
from flyball.task.spec import task_spec
from flyball.task.task import LIVE, Task


def refused(live: Live, profile: str, inputs: dict[str, Json] | None = None, *vouchers: str) -> FlyballError:
    """Open as the refund agent; the refusal, after which no task more is there than before."""
    before = len(live.house.tasks.select(limit=100_000))
    with pytest.raises(FlyballError) as found:
        live.agent().open(profile, inputs, *vouchers)
    assert len(live.house.tasks.select(limit=100_000)) == before
    return found.value


def test_a_profile_that_is_not_there_is_refused_like_one_that_is_not_the_agents(live: Live) -> None:
    """Neither says whether the profile exists: the answers are the same, word for word."""
    told, before = [], len(live.house.tasks.select(limit=1000))
    for profile in ("no-such-profile", "on-deny"):
        with pytest.raises(Denied) as found:
            live.agent(PARCELS).open(profile)
        told.append((found.value.status, found.value.code, found.value.detail, found.value.hint))
    assert told[0] == told[1]
    assert told[0][1] == "profile_not_for_agent"
    assert len(live.house.tasks.select(limit=1000)) == before


@pytest.mark.parametrize(
    "inputs",
    [
        {"ticket": "nonsense"},
        {"ticket": "T-1\n"},
        {"limit": "200.01"},
        {"limit": "0"},
        {"limit": "-5"},
        {"limit": 12.5},
        {"limit": True},
        {"more": "x"},
        {"ticket": None},
        {"ticket": {"a": "b"}},
    ],
)
def test_inputs_out_of_bounds_open_nothing(live: Live, inputs: dict[str, Json]) -> None:
    """Unknown, of another type, or past what the profile bounds: refused, all faults named."""
    assert refused(live, "plain", inputs).code == "inputs_invalid"


def test_a_missing_input_opens_nothing(live: Live) -> None:
    """Every input without `required: false` must be there."""
    agent = live.agent()
    with pytest.raises(InvalidInput, match="`limit` is missing"):
        request.open_task(live.house, agent.proof(), OpenAsk("plain", {"ticket": "T-1"}))


def test_a_stranger_of_the_trust_domain_is_no_agent(live: Live) -> None:
    """A proven identity that the bundle does not declare opens nothing."""
    with pytest.raises(Denied) as found:
        live.agent("spiffe://flyball.dev/agent/somebody").open()
    assert found.value.code == "agent_unknown"


def test_without_a_key_and_without_a_peer_there_is_nothing_to_bind_to(live: Live) -> None:
    """An identity alone makes no token: it would be worth as much to a thief."""
    agent = live.agent()
    proof = Proof(f"Bearer {agent.svid()}", (), "POST", f"{BASE}/v1/tasks", None)
    with pytest.raises(Unauthenticated) as found:
        request.open_task(live.house, proof, OpenAsk("plain", INPUTS))
    assert found.value.code == "binding_missing"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "token_missing"),
        ("Basic abc", "token_missing"),
        ("Bearer", "token_missing"),
        ("DPoP x.y.z", "token_missing"),
    ],
)
def test_no_identity_no_task(live: Live, header: str, code: str) -> None:
    """What is not a workload's bearer token is refused before anything is read of it."""
    agent = live.agent()
    with pytest.raises(Unauthenticated) as found:
        request.open_task(live.house, replace(agent.proof(), authorization=header), OpenAsk("plain", INPUTS))
    assert found.value.code == "token_missing"


def test_an_identity_for_another_audience_or_signed_by_another_is_refused(live: Live, place: Place) -> None:
    """A token meant for somebody else, or by a domain of the same name with other keys."""
    for token in (live.place.domain.issue(REFUNDS, "https://other.example"), place.domain.issue(REFUNDS, ISSUER)):
        with pytest.raises(Unauthenticated):
            request.open_task(live.house, live.agent().proof(svid=token), OpenAsk("plain", INPUTS))


def test_over_the_unix_socket_the_token_is_bound_to_the_user(live: Live) -> None:
    """No key, but a peer whose user the kernel names: a bearer token that counts for that user only."""
    agent = live.agent(PARCELS)
    proof = Proof(f"Bearer {agent.svid()}", (), "POST", f"{BASE}/v1/tasks", 1000)
    opened = request.open_task(live.house, proof, OpenAsk("plain", INPUTS))
    assert opened.token_type == "Bearer"
    assert live.task(opened.task).binding == "uid:1000"


def test_an_agent_that_is_a_user_is_not_another_user(live: Live) -> None:
    """Where the bundle says which user an agent runs as, its identity shown by another user is refused."""
    host = live.agent("spiffe://flyball.dev/agent/host-agent")
    proof = Proof(f"Bearer {host.svid()}", (), "POST", f"{BASE}/v1/tasks", 4711)
    assert request.open_task(live.house, proof, OpenAsk("plain", INPUTS)).token_type == "Bearer"
    with pytest.raises(Denied) as found:
        request.open_task(
            live.house, replace(proof, authorization=f"Bearer {host.svid()}", peer_uid=0), OpenAsk("plain", INPUTS)
        )
    assert found.value.code == "peer_uid_mismatch"


@pytest.mark.parametrize("state", ["suspended", "quarantined", "offboarded"])
def test_an_agent_that_is_not_active_opens_nothing(place: Place, state: str) -> None:
    """Nor does it hold what it held: anything but `active` ends its tasks. Other agents are not touched."""
    with place.house() as live:
        mine, other = live.agent().open(), live.agent(PARCELS).open()
        held, kept = mine.credential(), other.credential()
        done = end.set_agent_state(live.house, "refund-agent", state, by="ops", reason="asked")
        assert done.tasks == (mine.task,)
        assert [one["lease"] for one in done.receipts] == [held.lease]
        assert live.roles() == {live.house.leases.get(kept.lease).name}  # type: ignore[union-attr]
        assert refused(live, "plain").code == f"agent_{state}"
        assert live.task(mine.task).cause == "agent_state"
        assert other.read().effect == "allow"
        if state == "offboarded":
            with pytest.raises(FlyballError, match="offboarded for good"):
                end.set_agent_state(live.house, "refund-agent", "active", by="ops", reason="a mistake")
        else:
            end.set_agent_state(live.house, "refund-agent", "active", by="ops", reason="settled")
            assert live.agent().open().read().effect == "allow"
            assert mine.read().effect == "deny"


def test_a_voucher_lifts_an_input_from_the_agents_word(live: Live) -> None:
    """A profile that asks for somebody's word takes it from whom it names, and from nobody else."""
    assert "must be vouched for" in refused(live, "vouched").detail
    agent = live.agent().open("vouched", None, voucher(live, DESK, {"limit": "120.00"}))
    assert live.task(agent.task).inputs["limit"].vouched_by == DESK
    assert live.task(agent.task).inputs["ticket"].vouched_by == ""


def voucher(live: Live, by: str, inputs: dict[str, Json], **more: Json) -> str:
    """A workload's signed word."""
    key = live.place.domain._key
    now = live.house.clock.wall_ms() // 1000
    header: dict[str, Json] = {"alg": "ES256", "kid": live.place.domain._kid, "typ": "JWT"}
    claims: dict[str, Json] = {"sub": by, "aud": [ISSUER], "iat": now, "exp": now + 300, "inputs": inputs, **more}
    return jose.sign(header, claims, key)


@pytest.mark.parametrize(
    ("by", "inputs", "more", "code"),
    [
        (REFUNDS, {"limit": "120.00"}, {}, "voucher_self"),
        (PARCELS, {"limit": "120.00"}, {}, ""),
        (DESK, {"limit": "119.00"}, {}, "voucher_mismatch"),
        (DESK, {}, {}, "voucher_empty"),
        (DESK, {"limit": "120.00"}, {"profile": "another"}, ""),
        (DESK, {"limit": "120.00"}, {"aud": ["https://other.example"]}, ""),
        (DESK, {"limit": "120.00"}, {"exp": 1}, ""),
    ],
)
def test_a_voucher_that_does_not_hold_opens_nothing(
    live: Live, by: str, inputs: dict[str, Json], more: dict[str, Json], code: str
) -> None:
    """The agent's own word, another's, another value, nothing, another profile, another audience, too old."""
    found = refused(live, "vouched", None, voucher(live, by, inputs, **more))
    assert not code or found.code == code


def test_a_policy_may_refuse_the_opening(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A hand-written forbid on `task.open`: the task that was recorded is fenced and closed, and no token leaves."""
    rule = """
        @id("closed-shop")
        forbid (principal, action == Flyball::Action::"task.open", resource)
        when { context.task.owner == "payments" };
    """
    place = Place(tmp_path_factory.mktemp("p"), policies=rule)
    with place.house() as live:
        agent = live.agent()
        with pytest.raises(Denied) as found:
            agent.open()
        assert found.value.code == "policy_forbids"
        assert found.value.hint.startswith("decision dec_")
        (row,) = live.house.tasks.select()
        assert row.state.value == "closed"
        assert live.agent(PARCELS).open().read().effect == "allow"


def test_no_record_no_task(place: Place) -> None:
    """A store that cannot take the record: refused as our own fault, and the plane knows no task of it."""
    with place.house() as live:
        live.built.store.close()
        with pytest.raises(Unavailable):
            live.agent().open()
        assert live.house.core.tasks() == []


@pytest.mark.parametrize("how", ["revoked", "suspended", "offboarded"])
def test_ended_between_record_and_plane_it_is_not_opened(
    place: Place, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended, suspended, or its agent offboarded before the plane knew it: it does not come to life there."""
    write_bundle(place.bundle)
    with place.house() as live:

        def stop(name: str) -> None:
            if name == "open.after_record":
                (row,) = live.house.tasks.select(states=LIVE)
                if how == "revoked":
                    end.revoke_task(live.house, row.id, by="ops", reason="test")
                elif how == "suspended":
                    end.suspend_task(live.house, row.id, by="ops", reason="test")
                else:
                    end.set_agent_state(live.house, "refund-agent", how, by="ops", reason="test")

        monkeypatch.setattr(request, "fault_point", stop)
        with pytest.raises(Gone) as found:
            live.agent().open()
        assert found.value.code == "task_fenced"
        assert live.house.core.tasks() == []
        assert [row.state.value for row in live.house.tasks.select()] == ["closed"]


def test_an_agent_stopped_while_it_opens_has_no_task(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offboarded between the look at the agent and the record: no list of its tasks had this one, and it ends."""
    write_bundle(place.bundle)
    real = lifecycle.open_task
    with place.house() as live:

        def stop(**members: object) -> Task:
            end.set_agent_state(live.house, "refund-agent", "offboarded", by="ops", reason="test")
            return real(**members)  # type: ignore[arg-type]  # what was given is handed on

        monkeypatch.setattr(request.lifecycle, "open_task", stop)
        with pytest.raises(Denied) as found:
            live.agent().open()
        assert found.value.code == "agent_offboarded"
        assert live.house.core.tasks() == []
        assert [row.state.value for row in live.house.tasks.select()] == ["closed"]


def test_a_fence_meets_a_task_that_comes_into_the_plane_meanwhile(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened in the plane between the fence and its record: who opens sees no record yet, so the fence looks again."""
    write_bundle(place.bundle)
    with place.house() as live:
        agent = live.agent().open()
        core = live.house.core
        row = live.house.tasks.get(agent.task)
        assert row is not None
        core.fence(row.id, "revoked")
        core.close(row.id)  # so the plane does not know it, as before the end of an opening

        def opened(name: str) -> None:
            if name == "end.after_fence":
                core.open(task_spec(row, bytes(32)))

        monkeypatch.setattr(end, "fault_point", opened)
        end.revoke_task(live.house, row.id, by="ops", reason="test")
        assert core.tasks() == []


def test_died_between_record_and_plane_it_is_rebuilt_and_ends_unheard(place: Place) -> None:
    """Killed after the record: the next start knows the task, nobody has its token, and silence ends it."""
    write_bundle(place.bundle)
    with place.house() as live, armed("open.after_record:raise"), pytest.raises(FaultInjected):
        live.agent().open()
    with place.house() as live:
        (row,) = live.house.tasks.select()
        assert live.built.recovered.restored == 1
        assert live.house.core.tasks() == [row.id]
