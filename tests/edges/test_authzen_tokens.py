"""A stolen token is not enough: what a task token is bound to must be shown, on every path."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.edges.authzen_kit import EVALUATION, EVALUATIONS, Holder, Running, b64, call, compact, running
from tests.wait import until

from flyball.kernel.json import Json


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("tokens")) as edge:
        yield edge


@pytest.fixture(scope="module", params=["EdDSA", "ES256"])
def holder(request: pytest.FixtureRequest) -> Holder:
    return Holder(Ed25519PrivateKey.generate() if request.param == "EdDSA" else ec.generate_private_key(ec.SECP256R1()))


def ask(client: httpx.Client, task: str, token: str, proof: str | None = None, **more: str) -> httpx.Response:
    """One evaluation with a token in `Authorization: DPoP` and perhaps a proof."""
    headers = {"Authorization": f"DPoP {token}", **more}
    if proof is not None:
        headers["DPoP"] = proof
    return client.post(EVALUATION, json=call(task), headers=headers)


def refused(answer: httpx.Response) -> bool:
    """401, with how to do better, and no decision."""
    return (
        answer.status_code == 401
        and answer.headers["www-authenticate"].startswith('DPoP algs="ES256 EdDSA", error=')
        and answer.headers["content-type"] == "application/problem+json"
        and "decision" not in answer.json()
    )


def test_a_proof_binds_a_token_to_its_connection(edge: Running, holder: Holder) -> None:
    """The first request of a connection needs the proof, later ones do not; another connection needs its own."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    with edge.client() as first, edge.client() as thief:
        assert refused(ask(first, task, token))
        assert ask(first, task, token, holder.proof(edge.url + EVALUATION, token)).json()["decision"] is True
        assert ask(first, task, token).json()["decision"] is True
        assert refused(ask(thief, task, token))
    record = edge.records()[-1]
    assert record["binding"] == f"jkt:{holder.jkt}"
    assert record["pep"] == "sdk"


def test_a_connection_may_carry_several_tokens_each_proved(edge: Running, holder: Holder) -> None:
    """What was shown for one token says nothing of another."""
    tasks = [edge.open(f"jkt:{holder.jkt}") for _ in range(2)]
    tokens = [edge.token(task, {"jkt": holder.jkt}) for task in tasks]
    with edge.client() as client:
        assert ask(client, tasks[0], tokens[0], holder.proof(edge.url + EVALUATION, tokens[0])).status_code == 200
        assert refused(ask(client, tasks[1], tokens[1]))
        assert ask(client, tasks[1], tokens[1], holder.proof(edge.url + EVALUATION, tokens[1])).status_code == 200
        assert ask(client, tasks[0], tokens[0]).json()["decision"] is True


WRONG_PROOFS: dict[str, dict[str, Json]] = {
    "other_method": {"htm": "GET"},
    "other_url": {"htu": "http://127.0.0.1:1/access/v1/evaluation"},
    "other_path": {"htu": None},
    "other_token": {"ath": b64(b"\0" * 32)},
    "no_token_hash": {"ath": None},
    "no_id": {"jti": None},
    "empty_id": {"jti": ""},
    "no_method": {"htm": None},
    "no_time": {"iat": None},
    "too_old": {"iat": int(time.time()) - 3600},
    "from_the_future": {"iat": int(time.time()) + 3600},
    "time_is_text": {"iat": "now"},
    "wrong_type": {"header_typ": "JWT"},
    "no_key": {"header_jwk": None},
    "algorithm_none": {"header_alg": "none"},
    "algorithm_symmetric": {"header_alg": "HS256"},
    "critical_extension": {"header_crit": ["x"]},
}


@pytest.mark.parametrize("fault", WRONG_PROOFS)
def test_a_wrong_proof_is_refused(edge: Running, holder: Holder, fault: str) -> None:
    """Each of RFC 9449's checks by itself."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    change = dict(WRONG_PROOFS[fault])
    if fault == "other_path":
        change["htu"] = edge.url + EVALUATIONS
    with edge.client() as client:
        assert refused(ask(client, task, token, holder.proof(edge.url + EVALUATION, token, **change)))
        assert ask(client, task, token, holder.proof(edge.url + EVALUATION, token)).status_code == 200


def test_a_proof_works_once(edge: Running, holder: Holder) -> None:
    """A replayed proof is refused, on the same connection and on another."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    proof = holder.proof(edge.url + EVALUATION, token)
    with edge.client() as first, edge.client() as second:
        assert ask(first, task, token, proof).status_code == 200
        assert refused(ask(second, task, token, proof))
        assert refused(ask(first, task, token, proof))


def test_a_proof_by_another_key_is_refused(edge: Running, holder: Holder) -> None:
    """A thief's own key, a key that is not the header's, a header with the private key in it."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    url = edge.url + EVALUATION
    thief = Holder()
    with edge.client() as client:
        assert refused(ask(client, task, token, thief.proof(url, token)))
        assert refused(ask(client, task, token, thief.proof(url, token, header_jwk=holder.jwk)))
        assert refused(ask(client, task, token, holder.proof(url, token, header_jwk={**holder.jwk, "d": "AA"})))


def test_a_proof_for_a_host_that_is_not_ours_is_refused(edge: Running, holder: Holder) -> None:
    """A proof made for somebody else does not count because the request names his host."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    proof = holder.proof("http://evil.test" + EVALUATION, token)
    with edge.client() as client:
        assert refused(ask(client, task, token, proof, Host="evil.test"))


def test_a_key_bound_token_is_no_bearer_token(edge: Running, holder: Holder) -> None:
    """RFC 9449, 7.1: sent as Bearer it is refused, on TCP and on the Unix socket."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    for unix in (False, True):
        with edge.client(unix=unix) as client:
            answer = client.post(EVALUATION, json=call(task), headers={"Authorization": f"Bearer {token}"})
            assert refused(answer)


def test_a_user_bound_token_counts_on_that_users_socket_only(edge: Running) -> None:
    """The kernel's word for the user; not on TCP, not with a proof, not for another user's token."""
    uid = os.getuid()
    task = edge.open(f"uid:{uid}")
    token, others = edge.token(task, {"uid": uid}), edge.token(task, {"uid": uid + 1})
    with edge.client(unix=True) as socket, edge.client() as tcp:
        for client, shown, good in ((socket, token, True), (tcp, token, False), (socket, others, False)):
            answer = client.post(EVALUATION, json=call(task), headers={"Authorization": f"Bearer {shown}"})
            assert answer.json().get("decision") is True if good else refused(answer)
        anybody = Holder()
        assert refused(ask(tcp, task, token, anybody.proof(edge.url + EVALUATION, token)))


WRONG_TOKENS: dict[str, dict[str, Json]] = {
    "run_out": {"iat": int(time.time()) - 600, "exp": int(time.time()) - 1},
    "other_issuer": {"iss": "https://other.test"},
    "other_audience": {"aud": "https://other.test"},
    "other_type": {"header_typ": "JWT"},
    "unknown_key": {"header_kid": "k2"},
    "algorithm_none": {"header_alg": "none"},
    "extra_header": {"header_jku": "https://evil.test"},
    "bound_to_nothing": {"cnf": {}},
    "bound_to_two": {"cnf": {"jkt": "x", "uid": 0}},
    "no_task": {"tid": ""},
}


@pytest.mark.parametrize("fault", WRONG_TOKENS)
def test_a_wrong_token_is_refused(edge: Running, holder: Holder, fault: str) -> None:
    """Each check of the token by itself."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt}, **WRONG_TOKENS[fault])
    with edge.client() as client:
        assert refused(ask(client, task, token, holder.proof(edge.url + EVALUATION, token)))


def test_a_token_by_another_signer_is_refused(edge: Running, holder: Holder) -> None:
    """Somebody else's signature under our key id."""
    task = edge.open(f"jkt:{holder.jkt}")
    header: dict[str, Json] = {"alg": "EdDSA", "kid": "k1", "typ": "flyball-task+jwt"}
    now = int(time.time())
    claims: dict[str, Json] = {"iss": "https://flyball.test", "aud": "https://flyball.test", "sub": "x", "tid": task}
    token = compact(header, {**claims, "iat": now, "exp": now + 60, "cnf": {"jkt": holder.jkt}}, holder.key)
    with edge.client() as client:
        assert refused(ask(client, task, token, holder.proof(edge.url + EVALUATION, token)))


def test_a_bound_connection_does_not_outlive_its_token(edge: Running, holder: Holder) -> None:
    """What was shown counts as long as the token, not as long as the connection."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt}, exp=int(time.time()) + 2)
    with edge.client() as client:
        assert ask(client, task, token, holder.proof(edge.url + EVALUATION, token)).status_code == 200
        until(lambda: ask(client, task, token).status_code != 200, what="the token's end")
        assert refused(ask(client, task, token))


def test_headers_that_prove_something_stand_once(edge: Running, holder: Holder) -> None:
    """Two proofs, two authorizations, or both kinds of token: refused."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    url = edge.url + EVALUATION
    auth = ("Authorization", f"DPoP {token}")
    for headers in (
        [auth, ("DPoP", holder.proof(url, token)), ("DPoP", holder.proof(url, token))],
        [auth, auth, ("DPoP", holder.proof(url, token))],
    ):
        with edge.client() as client:
            assert client.post(EVALUATION, json=call(task), headers=headers).status_code == 401
    with edge.client(unix=True) as client:
        answer = client.post(EVALUATION, json=call(task), headers=[auth, ("Flyball-Task", token)])
        assert answer.status_code == 400


def test_a_stranger_is_asked_who_he_is(edge: Running) -> None:
    """Nothing shown: 401 before anything of the body is read."""
    with edge.client() as client:
        for path in (EVALUATION, EVALUATIONS):
            assert refused(client.post(path, content=b"{", headers={"Content-Type": "application/json"}))
            assert refused(client.post(path, json=call("x"), headers={"Flyball-Task": "x"}))
            assert refused(client.post(path, json=call("x"), headers={"Authorization": "Basic x"}))


def test_an_enforcement_point_hands_in_the_tasks_token(edge: Running, holder: Holder) -> None:
    """Known by its connection it needs no proof of the task's key; without the token it may not ask for the task."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    with edge.client(unix=True) as client:
        answer = client.post(EVALUATION, json=call(task), headers={"Flyball-Task": token})
        assert answer.json()["decision"] is True
        assert edge.records()[-1]["pep"] == "gateway"
        assert client.post(EVALUATION, json=call(task)).json()["context"]["reason"] == "pep_task_proof"
        assert refused(client.post(EVALUATION, json=call(task), headers={"Flyball-Task": token + "x"}))


def test_a_stolen_token_is_handed_in_by_nobody_else(edge: Running, holder: Holder) -> None:
    """A good token in `Flyball-Task` on a connection that is no enforcement point's: it is worth nothing there."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    with edge.client() as client:
        assert refused(client.post(EVALUATION, json=call(task), headers={"Flyball-Task": token}))


def test_what_an_enforcement_point_handed_in_is_not_shown(edge: Running, holder: Holder) -> None:
    """A token that came in `Flyball-Task` is no more proved in `Authorization` than before."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    with edge.client(unix=True) as client:
        assert client.post(EVALUATION, json=call(task), headers={"Flyball-Task": token}).status_code == 200
        assert refused(ask(client, task, token))


def test_names_in_the_body_never_outrank_the_token(edge: Running, holder: Holder) -> None:
    """Another task or another subject than the token's: denied."""
    task, other = (edge.open(f"jkt:{holder.jkt}") for _ in range(2))
    token = edge.token(task, {"jkt": holder.jkt})
    foreign = call(task, subject={"type": "agent", "id": "other-agent"})
    with edge.client() as client:
        assert ask(client, task, token, holder.proof(edge.url + EVALUATION, token)).json()["decision"] is True
        for body in (call(other), foreign):
            answer = client.post(EVALUATION, json=body, headers={"Authorization": f"DPoP {token}"})
            assert answer.status_code == 200
            assert answer.json() == {
                "decision": False,
                "context": {"effect": "deny", "reason": "task_mismatch", "reasons": ["task_mismatch"]},
            }


def test_without_a_task_only_a_registered_enforcement_point_asks(edge: Running, holder: Holder) -> None:
    """A token that comes by itself asserts no subject, whatever the bundle says; an enforcement point
    only for its resource types."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    with edge.client() as client:
        headers = {"Authorization": f"DPoP {token}", "DPoP": holder.proof(edge.url + EVALUATION, token)}
        asserted = call(None, "read", resource={"type": "record", "id": "record-1"})
        answer = client.post(EVALUATION, json=asserted, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:flyball:error:pep_may_not_assert")
    with edge.client(unix=True) as client:
        assert client.post(EVALUATION, json=call(None)).status_code == 403


def test_a_fenced_task_is_denied_on_a_bound_connection(edge: Running, holder: Holder) -> None:
    """The token names the task; whether it lives is asked each time."""
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    with edge.client() as client:
        assert ask(client, task, token, holder.proof(edge.url + EVALUATION, token)).json()["decision"] is True
        edge.core.fence(task, "ended")
        answer = ask(client, task, token).json()
        assert (answer["decision"], answer["context"]["reason"]) == (False, "task_fenced")
