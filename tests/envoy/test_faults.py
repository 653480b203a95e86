"""Envoy without Flyball, Flyball on its way out, and clients known by their certificates."""

from __future__ import annotations

import contextlib
import json
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from tests.edges import authzen_kit
from tests.envoy.kit import Agent, Certificates, Envoy, EnvoyFlyball, Upstream, behind
from tests.wait import until
from tests.wire import REFUNDS

from flyball._core._native import Edge

OTHER = "spiffe://flyball.dev/agent/another"
CHECK = "/envoy.service.auth.v3.Authorization/Check"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def ask(place: str, method: str, message: bytes = b"") -> bytes:
    """One gRPC call, its bytes as they are."""
    with grpc.insecure_channel(place) as channel:
        call = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
        answer: bytes = call(message, timeout=10)
        return answer


def test_without_flyball_nothing_passes(tmp_path: Path, upstream: Upstream) -> None:
    """Flyball killed: Envoy refuses; started again, it asks again. Envoy's health check sees both."""
    flyball = EnvoyFlyball(tmp_path / "flyball")
    flyball.start()
    try:
        agent = Agent(flyball)
        agent.open()
        with behind(tmp_path / "envoy", flyball, upstream) as envoy:
            client = envoy.client()
            assert client.get("/v1/invoices/I-7", headers=agent.shown).status_code == 200
            until(envoy.healthy, 15, "Envoy finds Flyball healthy")
            before = len(upstream.seen)
            flyball.kill()
            for _ in range(3):
                assert client.get("/v1/invoices/I-7", headers=agent.shown).status_code in (403, 503)
            assert len(upstream.seen) == before
            until(lambda: not envoy.healthy(), 20, "Envoy finds Flyball gone")
            flyball.start()
            until(envoy.healthy, 20, "Envoy finds Flyball again")
            told = client.get("/v1/invoices/I-7", headers=agent.shown)
            assert told.status_code == 200, told.text
    finally:
        flyball.kill(signal.SIGTERM)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[tuple[str, Edge]]:
    """An edge whose socket for Envoy is this user's."""
    place = tmp_path / "envoy.sock"
    with authzen_kit.running(tmp_path, ext_authz={"listen": [{"unix": str(place)}]}) as running:
        yield f"unix:{place}", running.edge


def test_health_says_when_it_goes(edge: tuple[str, Edge]) -> None:
    """SERVING; after `drain` NOT_SERVING while checks are still answered; an unknown service is not found."""
    place, served = edge
    assert ask(place, HEALTH) == SERVING
    served.drain()
    assert ask(place, HEALTH) == NOT_SERVING
    assert b"told no `attributes`" in ask(place, CHECK)


def test_unknown_methods_and_services_are_told_so(edge: tuple[str, Edge]) -> None:
    """UNIMPLEMENTED and NOT_FOUND, and the connection goes on."""
    place, _ = edge
    for method, message, code in (
        ("/envoy.service.auth.v3.Authorization/Other", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/grpc.health.v1.Health/Watch", b"", grpc.StatusCode.UNIMPLEMENTED),
        (HEALTH, b"\x0a\x01x", grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(grpc.RpcError) as told:
            ask(place, method, message)
        assert told.value.code() is code  # type: ignore[attr-defined]


@pytest.mark.parametrize("message", [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x00", b"\x0a\x02\x22\x00"])
def test_what_is_no_check_is_refused(edge: tuple[str, Edge], message: bytes) -> None:
    """Broken messages are errors, which Envoy counts as such; missing attributes are denied with their name."""
    place, _ = edge
    answer, code = b"", None
    with contextlib.suppress(grpc.RpcError):
        answer = ask(place, CHECK, message)
    if not answer:
        with pytest.raises(grpc.RpcError) as told:
            ask(place, CHECK, message)
        code = told.value.code()  # type: ignore[attr-defined]
    denied = b"Envoy told no `" in answer and b"malformed" in answer
    assert denied or code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)


def test_a_check_beyond_all_bounds_is_refused(edge: tuple[str, Edge]) -> None:
    """A message of a megabyte is not read."""
    place, _ = edge
    with pytest.raises(grpc.RpcError) as told:
        ask(place, CHECK, b"\x0a" + b"\x80\x80\x40" + b"\x00" * (1 << 20))
    assert told.value.code() in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED)  # type: ignore[attr-defined]


def test_who_is_no_enforcement_point_is_told_nothing(tmp_path: Path) -> None:
    """On plain loopback nobody is known: UNAUTHENTICATED, an error for Envoy, which refuses. Health is for all."""
    with authzen_kit.running(tmp_path, ext_authz={"listen": [{"tcp": "127.0.0.1:0"}]}) as running:
        place = next(one["ext_authz_tcp"] for one in running.places if "ext_authz_tcp" in one)
        assert ask(place, HEALTH) == SERVING
        with pytest.raises(grpc.RpcError) as told:
            ask(place, CHECK)
        assert told.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def mesh(envoy: Envoy, certificates: Certificates, spiffe: str) -> httpx.Client:
    """A client with that certificate."""
    context = ssl.create_default_context(cafile=certificates.authority[0])
    context.load_cert_chain(*certificates.of("client", spiffe))
    return httpx.Client(base_url=f"https://localhost:{envoy.port}", verify=context, timeout=20)


def test_a_token_is_of_use_to_its_own_workload_alone(
    tmp_path: Path, flyball: EnvoyFlyball, upstream: Upstream, agent: Agent, certificates: Certificates
) -> None:
    """The client's certificate, as Envoy verified it, names the token's principal; by itself it is not enough."""
    with behind(tmp_path / "envoy", flyball, upstream, tls=certificates) as envoy:
        with mesh(envoy, certificates, REFUNDS) as own, mesh(envoy, certificates, OTHER) as thief:
            assert own.get("/v1/invoices/I-7", headers=agent.shown).status_code == 200
            told = thief.get("/v1/invoices/I-7", headers=agent.shown)
            assert (told.status_code, told.json()["type"]) == (403, "urn:flyball:error:task_mismatch")
            assert own.get("/v1/invoices/I-7").status_code == 401


def test_alone_a_certificate_names_its_one_task(tmp_path: Path, upstream: Upstream, certificates: Certificates) -> None:
    """`principal: alone`: one task and no token passes; with a second task nobody guesses; a stranger has none."""
    flyball = EnvoyFlyball(tmp_path / "flyball", principal="alone")
    flyball.start()
    try:
        agent = Agent(flyball)
        agent.open()
        with behind(tmp_path / "envoy", flyball, upstream, tls=certificates) as envoy:
            with mesh(envoy, certificates, REFUNDS) as own, mesh(envoy, certificates, OTHER) as stranger:
                told = own.get("/v1/invoices/I-7")
                assert told.status_code == 200, told.text
                assert stranger.get("/v1/invoices/I-7").json()["type"] == "urn:flyball:error:task_mismatch"
                second = Agent(flyball)
                second.open()
                assert own.get("/v1/invoices/I-7").json()["type"] == "urn:flyball:error:task_mismatch"
                assert own.get("/v1/invoices/I-7", headers=second.shown).status_code == 200
    finally:
        flyball.kill(signal.SIGTERM)


def test_required_refuses_clients_without_a_certificate(tmp_path: Path, upstream: Upstream) -> None:
    """`principal: required`: a token over plain HTTP is refused."""
    flyball = EnvoyFlyball(tmp_path / "flyball", principal="required")
    flyball.start()
    try:
        agent = Agent(flyball)
        agent.open()
        with behind(tmp_path / "envoy", flyball, upstream) as envoy:
            told = envoy.client().get("/v1/invoices/I-7", headers=agent.shown)
            assert (told.status_code, told.json()["type"]) == (403, "urn:flyball:error:task_mismatch")
    finally:
        flyball.kill(signal.SIGTERM)


def test_a_decision_reaches_envoys_metadata(
    tmp_path: Path, flyball: EnvoyFlyball, upstream: Upstream, agent: Agent
) -> None:
    """Access logs can name decision, task and action: they stand in the filter's dynamic metadata."""
    log = tmp_path / "access.log"
    names = {
        name: f"%DYNAMIC_METADATA(envoy.filters.http.ext_authz:{name})%" for name in ("decision", "task", "action")
    }
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    entry = {
        "name": "envoy.access_loggers.file",
        "typed_config": {"@type": kind, "path": str(log), "log_format": {"json_format": names}},
    }
    with behind(tmp_path / "envoy", flyball, upstream, hcm_access_log=[entry]) as envoy:
        told = envoy.client().get("/v1/invoices/I-7", headers=agent.shown)
        until(lambda: log.exists() and log.read_text().strip(), 20, "Envoy has logged")
        line = json.loads(log.read_text().splitlines()[0])
    assert line == {"decision": told.headers["flyball-decision"], "task": agent.task, "action": "invoices.get"}
