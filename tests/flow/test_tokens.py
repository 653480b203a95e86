"""A stolen task token is not enough: without its key, its user and its task it is worth nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.flow.kit import BASE, INPUTS, PARCELS, Agent, Live, Place

from flyball.flow import request
from flyball.flow.asks import OpenAsk, Proof
from flyball.flow.house import House
from flyball.identity import dpop
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import FlyballError, Gone, NotFound, Unauthenticated

USES: list[Callable[[House, Proof, str], object]] = [
    request.heartbeat,
    lambda house, proof, task: request.credential(house, proof, task, "orders"),
    request.end_task,
    lambda house, proof, task: request.report_result(house, proof, task, "dec_x", {}),
]
NAMES = ["heartbeat", "credential", "end", "result"]


@pytest.fixture
def agent(live: Live) -> Agent:
    """An agent with a live task."""
    return live.agent().open()


def refused(live: Live, use: Callable[[House, Proof, str], object], proof: Proof, task: str) -> FlyballError:
    """Use it; the refusal, after which the task is as it was."""
    with pytest.raises(Unauthenticated) as found:
        use(live.house, proof, task)
    return found.value


@pytest.mark.parametrize("use", USES, ids=NAMES)
def test_the_token_alone_is_worth_nothing(live: Live, agent: Agent, use: Callable[[House, Proof, str], object]) -> None:
    """As DPoP without a proof, as a bearer token, with and without one: refused at every route."""
    bare = Proof(f"DPoP {agent.token}", (), "POST", f"{BASE}/x", None)
    refused(live, use, bare, agent.task)
    bearer = replace(bare, authorization=f"Bearer {agent.token}")
    assert refused(live, use, bearer, agent.task).code == "task_token_unproved"
    proved = agent.proof("/x", token=agent.token, bearer=True)
    assert refused(live, use, proved, agent.task).code == "task_token_unproved"
    # peer credentials are no key: a token bound to a key is not bound to a user
    refused(live, use, replace(bearer, peer_uid=0), agent.task)
    assert live.state(agent.task) == "open"


@pytest.mark.parametrize("use", USES, ids=NAMES)
def test_a_thief_with_a_key_of_its_own(live: Live, agent: Agent, use: Callable[[House, Proof, str], object]) -> None:
    """A good proof by another key."""
    thief = live.agent(PARCELS)
    refused(live, use, thief.proof("/x", token=agent.token), agent.task)
    assert live.state(agent.task) == "open"


def test_another_tasks_token(live: Live, agent: Agent) -> None:
    """One's own good token opens no other task."""
    other = live.agent(PARCELS).open()
    found = refused(live, request.heartbeat, other.shown(), agent.task)
    assert found.code == "task_mismatch"


def test_a_proof_counts_once(live: Live, agent: Agent) -> None:
    """The same proof again is a replay."""
    shown = agent.shown()
    request.heartbeat(live.house, shown, agent.task)
    refused(live, request.heartbeat, shown, agent.task)


def test_a_proof_is_for_one_method_one_address_and_one_token(live: Live, agent: Agent) -> None:
    """Caught on its way to another route, by another method, or made for an earlier token, it counts for nothing."""
    shown = agent.shown()
    refused(live, request.heartbeat, replace(shown, url=f"{BASE}/elsewhere"), agent.task)
    refused(live, request.heartbeat, replace(shown, method="GET"), agent.task)
    for token in ("an.earlier.token", ""):
        elsewhere = agent.proof(f"/v1/tasks/{agent.task}", token=token)
        shown = replace(elsewhere, authorization=f"DPoP {agent.token}")
        assert refused(live, request.heartbeat, shown, agent.task).code in ("dpop_ath", "dpop_malformed")
    two = agent.shown()
    refused(live, request.heartbeat, replace(two, dpop=(*two.dpop, *agent.shown().dpop)), agent.task)


def test_an_old_proof(live: Live, agent: Agent) -> None:
    """A proof kept for later."""
    made = dpop.make_proof(
        agent.key,
        method="POST",
        url=f"{BASE}/x",
        iat_s=live.house.clock.wall_ms() // 1000 - 3600,
        access_token=agent.token,
    )
    refused(live, request.heartbeat, Proof(f"DPoP {agent.token}", (made,), "POST", f"{BASE}/x"), agent.task)


def test_a_token_bound_to_a_user_counts_for_that_user_only(live: Live) -> None:
    """From another user's process, or from a connection that names none, it is refused."""
    agent = live.agent(PARCELS)
    proof = Proof(f"Bearer {agent.svid()}", (), "POST", f"{BASE}/v1/tasks", 1000)
    opened = request.open_task(live.house, proof, OpenAsk("plain", INPUTS))
    shown = Proof(f"Bearer {opened.token.reveal()}", (), "POST", f"{BASE}/x", 1000)
    assert request.heartbeat(live.house, shown, opened.task).token_type == "Bearer"
    for peer in (1001, 0, None):
        refused(live, request.heartbeat, replace(shown, peer_uid=peer), opened.task)
    # nor does a key help: the token is bound to a user, not to it
    refused(live, request.heartbeat, agent.proof("/x", token=opened.token.reveal()), opened.task)


def test_a_heartbeat_renews_the_token(place: Place) -> None:
    """The old token runs out and the new one goes on; after its end a token is refused though its task lives."""
    import time

    clock = FakeClock(time.time_ns() // 10**6)
    with place.house(clock=clock) as live:
        agent = live.agent().open()
        assert agent.opened is not None
        clock.advance(agent.opened.expires_in * 1000 - 1000)
        renewed = agent.beat()
        clock.advance(2000)
        with pytest.raises(Unauthenticated) as found:
            agent.beat()
        assert found.value.code == "task_token_expired"
        agent.token = renewed.token.reveal()
        assert agent.beat().state == "open"


def test_a_token_of_an_ended_task(live: Live, agent: Agent) -> None:
    """It says so (410), and brings nothing back; ending again is no error."""
    agent.end()
    for use in (agent.beat, agent.credential):
        with pytest.raises(Gone):
            use()
    assert agent.end().tasks == (agent.task,)


def test_a_lease_is_acknowledged_by_its_own_task_only(live: Live, agent: Agent) -> None:
    """Another task's holder may not say that a credential arrived; an unknown lease is unknown."""
    held = agent.credential(deliver=False)
    other = live.agent(PARCELS).open()
    with pytest.raises(Unauthenticated):
        request.delivered(live.house, other.shown(), held.lease)
    with pytest.raises(NotFound):
        request.delivered(live.house, agent.shown(), "lea_local_nothing")
    request.delivered(live.house, agent.shown(), held.lease)
    request.delivered(live.house, agent.shown(), held.lease)
    assert live.kinds(agent.task).count("lease_delivered") == 1
    agent.end()
