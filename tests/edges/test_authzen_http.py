"""HTTP as hostile callers send it; our own faults; TLS; stopping."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.certified import certificate, pem
from tests.edges.authzen_kit import EVALUATION, EVALUATIONS, Holder, Running, call, raw, running
from tests.wait import until

from flyball._core._native import Core, CoreError, Edge

ASSERTED = {
    "subject": {"type": "user", "id": "alice"},
    "action": {"name": "read"},
    "resource": {"type": "record", "id": "record-1"},
}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("http"), max_body=4096, max_connections=64, head_timeout_ms=1500) as edge:
        yield edge


@pytest.fixture(scope="module")
def pep(edge: Running) -> Iterator[httpx.Client]:
    with edge.client(unix=True) as client:
        yield client


def post(pep: httpx.Client, body: bytes, path: str = EVALUATION) -> httpx.Response:
    """A body as it is."""
    return pep.post(path, content=body, headers={"Content-Type": "application/json"})


def text(**change: object) -> str:
    """An evaluation's JSON, some members replaced."""
    return json.dumps({**ASSERTED, **change})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(text(x=json.loads("[" * 33 + "]" * 33)).encode(), id="deep"),
        pytest.param(b'{"a":' * 600, id="deep_and_broken"),
        pytest.param(text()[:-1].encode() + b',"action":{"name":"read"}}', id="member_twice"),
        pytest.param(text()[:-1].encode() + b',"x":{"y":[{"k":1,"k":2}]}}', id="member_twice_deep"),
        pytest.param(text()[:-1].encode() + rb',"x":{"k":1,"\u006b":2}}', id="member_twice_escaped"),
        pytest.param(text().encode() + b"\xff", id="not_utf8"),
        pytest.param(text(context={"$serde_json::private::Number": "1"}).encode(), id="reserved_name"),
        pytest.param(text().encode() * 2, id="two_values"),
        pytest.param(text(context=None).encode(), id="null_context"),
        pytest.param(text(subject={"type": "user", "id": "alice", "properties": []}).encode(), id="properties_array"),
    ],
)
def test_a_body_that_is_not_plain_json_is_refused(pep: httpx.Client, body: bytes) -> None:
    """I-JSON and our limits, on both endpoints: 400, a problem, no decision."""
    for path in (EVALUATION, EVALUATIONS):
        answer = post(pep, body, path)
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:flyball:error:malformed"


def test_a_large_body_is_refused_before_it_is_read(edge: Running, pep: httpx.Client) -> None:
    """By its announced length, and by its bytes where none is announced."""
    assert post(pep, b" " * 4097).status_code == 413
    announced = raw(edge.url, f"POST {EVALUATION} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n".encode())
    assert announced.startswith(b"HTTP/1.1 413 ")
    chunks = b"".join(b"400\r\n" + b" " * 1024 + b"\r\n" for _ in range(8)) + b"0\r\n\r\n"
    head = f"POST {EVALUATION} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert raw(edge.url, head, chunks).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_is_a_body(pep: httpx.Client) -> None:
    """In pieces, with a charset behind the type."""
    pieces = (text()[at : at + 7].encode() for at in range(0, len(text()), 7))
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert pep.post(EVALUATION, content=pieces, headers=headers).json()["decision"] is True


def test_other_paths_and_methods_are_named(pep: httpx.Client) -> None:
    """404 and 405 with what is allowed; health is open."""
    assert pep.post("/access/v1/search/subject", json={}).status_code == 404
    assert pep.post(EVALUATION + "/", json={}).status_code == 404
    wrong = pep.get(EVALUATION)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert pep.post("/health").headers["allow"] == "GET"
    assert pep.get("/health").json() == {"status": "ok"}


def test_pipelined_requests_are_answered_in_their_order(edge: Running) -> None:
    """Three requests at once; the answers carry their names in order, and a bound token's proof counts for the rest."""
    holder = Holder()
    task = edge.open(f"jkt:{holder.jkt}")
    token = edge.token(task, {"jkt": holder.jkt})
    proof = f"DPoP: {holder.proof(edge.url + EVALUATION, token)}\r\n"
    requests = b""
    for at, table in enumerate(("orders", "other", "orders")):
        body = json.dumps(call(task, table=table))
        requests += (
            f"POST {EVALUATION} HTTP/1.1\r\nHost: {edge.url[7:]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nX-Request-ID: r{at}\r\nAuthorization: DPoP {token}\r\n"
            f"{proof if at == 0 else ''}{'Connection: close' + chr(13) + chr(10) if at == 2 else ''}\r\n{body}"
        ).encode()
    answers = raw(edge.url, requests).split(b"HTTP/1.1 200 OK")[1:]
    assert [b"x-request-id: r%d\r\n" % at in answer for at, answer in enumerate(answers)] == [True] * 3
    assert [b'"decision":true' in answer for answer in answers] == [True, False, True]


def test_a_smuggled_request_is_refused(edge: Running) -> None:
    """Two lengths, or a length beside chunks: the connection ends, nothing behind it is served."""
    for framing in (
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: +4",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ):
        head = f"POST {EVALUATION} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"
        answer = raw(edge.url, head.encode() + b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b'"status":"ok"' not in answer


def test_a_slow_head_is_cut_off(edge: Running) -> None:
    """A caller that dribbles its head does not keep the connection."""
    host, port = edge.url[7:].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as conn:
        conn.sendall(b"POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\n")
        started = time.monotonic()
        conn.settimeout(0.2)
        while True:
            try:
                if not conn.recv(1024):
                    break
            except TimeoutError:
                conn.sendall(b"X-A: 1\r\n")
            except ConnectionError:
                break
            assert time.monotonic() - started < 8
        assert time.monotonic() - started > 1


def test_no_more_connections_than_allowed(edge: Running) -> None:
    """The next one is closed at once, and when some end there is room again."""
    host, port = edge.url[7:].split(":")

    def served(conn: socket.socket) -> bool:
        try:
            conn.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            return conn.recv(1024).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False

    open_ones = [socket.create_connection((host, int(port)), timeout=5) for _ in range(80)]
    assert 50 <= sum(served(conn) for conn in open_ones) <= 64
    for conn in open_ones:
        conn.close()

    def again() -> bool:
        with socket.create_connection((host, int(port)), timeout=5) as conn:
            return served(conn)

    until(again, what="room for a connection")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = ("subject", "action", "resource", "context", "evaluations", "options")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(MEMBERS), JSON).map(lambda body: json.dumps(body).encode())
)
def test_malformed_bodies_never_fail_and_never_allow(pep: httpx.Client, body: bytes) -> None:
    """Any bytes: a 4xx or a denial; never a 5xx, never an allow."""
    for path in (EVALUATION, EVALUATIONS):
        answer = post(pep, body, path)
        assert answer.status_code < 500
        assert '"decision":true' not in answer.text


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(text()) - 1), st.binary(max_size=3))
def test_a_damaged_request_never_fails(pep: httpx.Client, at: int, other: bytes) -> None:
    """A good body with some bytes replaced: never a 5xx, and an allow only for what is permitted anyway."""
    good = text().encode()
    answer = post(pep, good[:at] + other + good[at + len(other) :])
    assert answer.status_code < 500


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
def test_any_token_is_refused_as_unauthenticated(edge: Running, token: str) -> None:
    """Whatever stands in the headers that prove something: 401."""
    with edge.client() as client:
        for headers in ({"Authorization": f"DPoP {token}", "DPoP": token}, {"Authorization": token}):
            assert client.post(EVALUATION, json=ASSERTED, headers=headers).status_code == 401


def test_a_store_that_is_locked_is_our_fault(tmp_path: Path) -> None:
    """Another process holds the write lock: 503 with its reason, no decision, no record; then it goes on."""
    with running(tmp_path) as edge, edge.client(unix=True) as pep:
        script = (
            "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "db.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", script, str(edge.store)]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        answer = pep.post(EVALUATION, json=ASSERTED)
        batch = pep.post(EVALUATIONS, json={**ASSERTED, "evaluations": [{}]})
        holder.communicate()
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:flyball:error:record_failed"
        assert answer.headers["content-type"] == "application/problem+json"
        item = batch.json()["evaluations"][0]
        assert (item["decision"], item["context"]["error"]["status"]) == (False, 503)
        assert edge.records() == []
        assert pep.post(EVALUATION, json=ASSERTED).json()["decision"] is True
        assert len(edge.records()) == 1


def test_without_a_bundle_nothing_is_decided(tmp_path: Path) -> None:
    """A core that has loaded none answers 401: it knows no enforcement point, and no key."""
    core = Core(cell="test", node="n", epoch=1, deployment_key=b"k" * 32)
    config = {"issuer": "x", "listen": [{"unix": str(tmp_path / "s")}]}
    edge = Edge(core, json.dumps(config).encode())
    edge.start()
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(tmp_path / "s")), base_url="http://localhost") as client:
        assert client.post(EVALUATION, json=ASSERTED).status_code == 401
    edge.stop()


def test_stop_answers_what_is_in_flight_and_takes_no_more(tmp_path: Path) -> None:
    """While callers keep asking, every request is answered whole or its connection refused; the socket goes."""
    with running(tmp_path) as edge:
        path, statuses = edge.socket, []

        def ask() -> None:
            with edge.client(unix=True) as client:
                while True:
                    try:
                        statuses.append(client.post(EVALUATION, json=ASSERTED).status_code)
                    except httpx.TransportError:
                        return

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(statuses) > 50)
        edge.edge.stop(2000)
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert set(statuses) == {200}
        assert not os.path.exists(path)
        assert len(edge.records()) >= len(statuses)


def test_a_plain_listener_beyond_loopback_is_refused(tmp_path: Path) -> None:
    """So is any configuration with a member that is unknown, or a value out of range."""
    core = Core(cell="test", node="n", epoch=1, deployment_key=b"k" * 32)
    good = {"issuer": "x", "listen": [{"unix": str(tmp_path / "s")}]}
    for change in (
        {"listen": [{"tcp": "0.0.0.0:0"}]},
        {"listen": []},
        {"extra": 1},
        {"issuer": ""},
        {"workers": 0},
        {"max_body": 10},
        {"public_url": "https://x/path"},
        {"token_keys": [{"kid": "k", "x": "AA"}]},
    ):
        with pytest.raises(CoreError) as caught:
            Edge(core, json.dumps({**good, **change}).encode())
        assert caught.value.args[0] == "edge_config"


def test_a_socket_is_its_owners_and_a_file_is_left_alone(tmp_path: Path) -> None:
    """Mode 0600 from the first moment; a stale socket is replaced, one in use and other files are not."""
    core = Core(cell="test", node="n", epoch=1, deployment_key=b"k" * 32)
    place = tmp_path / "edge.sock"
    config = json.dumps({"issuer": "x", "listen": [{"unix": str(place)}]}).encode()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(place))
    stale.close()
    edge = Edge(core, config)
    edge.start()
    assert place.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CoreError) as caught:
        Edge(core, config).start()
    assert caught.value.args[0] == "edge_listen"
    edge.stop()
    place.write_text("precious")
    with pytest.raises(CoreError):
        Edge(core, config).start()
    assert place.read_text() == "precious"


def test_a_client_certificate_makes_the_enforcement_point(tmp_path: Path) -> None:
    """mTLS: the one declared SPIFFE ID may assert subjects; another, two at once, none at all, one whose key signs
    certificates, or a stranger's authority may not."""
    ca, other_ca = certificate("ca", [], None), certificate("other", [], None)
    gateway = "spiffe://dev.test/gateway"
    server = pem(tmp_path, "server", certificate("server", [], ca))
    ca_file = pem(tmp_path, "ca", ca)[0]
    tls = {"addr": "127.0.0.1:0", "cert_pem": server[0], "key_pem": server[1], "client_ca_pem": ca_file}
    clients = {
        "gateway": certificate("a", [gateway], ca),
        "someone": certificate("b", ["spiffe://dev.test/someone"], ca),
        "two": certificate("c", [gateway, "spiffe://dev.test/x"], ca),
        "foreign": certificate("d", [gateway], other_ca),
        "signer": certificate("e", [gateway], ca, signs=True),  # X509-SVID 4.3: a leaf's key signs no certificates
        "none": None,
    }
    with running(tmp_path, listen=[{"tls": tls}]) as edge:
        url = "https://localhost:" + edge.places[0]["tls"].rsplit(":", 1)[1]
        outcome: dict[str, int] = {}
        for name, pair in clients.items():
            context = ssl.create_default_context(cafile=ca_file)
            if pair is not None:
                context.load_cert_chain(*pem(tmp_path, name, pair))
            try:
                with httpx.Client(verify=context, base_url=url, timeout=10) as client:
                    outcome[name] = client.post(EVALUATION, json=ASSERTED).status_code
            except httpx.TransportError:
                outcome[name] = 0
        assert outcome == {"gateway": 200, "someone": 401, "two": 401, "foreign": 0, "signer": 401, "none": 401}
        assert edge.records()[-1]["binding"] == f"pep:{gateway}"
        holder = Holder()
        task = edge.open(f"jkt:{holder.jkt}")
        token = edge.token(task, {"jkt": holder.jkt})
        with httpx.Client(verify=ssl.create_default_context(cafile=ca_file), base_url=url) as client:
            headers = {"Authorization": f"DPoP {token}", "DPoP": holder.proof(url + EVALUATION, token)}
            assert client.post(EVALUATION, json=call(task), headers=headers).json()["decision"] is True
