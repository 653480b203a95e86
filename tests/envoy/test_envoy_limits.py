"""What docs/limitations.md says that Envoy does not see, or does otherwise than one might think, tried line by line."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.envoy.kit import Agent, Envoy, EnvoyFlyball, Upstream, agent_of, behind
from tests.httpgateway.api import KEY, Api

from flyball.kernel.json import Json

REFUND = "/v1/invoices/I-7/refunds"
ONE = "/v1/invoices/I-7"


#: Two more actions: one whose route names no body, and one that lets any body go unread.
MORE = """
  invoices.close:
    resource: invoice
    effect: write
    args: {id: string}
    http: [{request: "POST */v1/invoices/{id}/close"}]
  invoices.attach:
    resource: invoice
    effect: write
    args: {id: string}
    http: [{request: "POST */v1/invoices/{id}/files", unread: [body]}]
"""
BUNDLE, PROFILE = "bundle.yaml", "profiles/billing.yaml"
WIDER = (
    (BUNDLE, "\nactions:\n", f"\nactions:{MORE}"),
    (PROFILE, "[invoices.release,", "[invoices.close, invoices.attach, invoices.release,"),
)


@contextmanager
def flyball_with(home: Path, *changes: tuple[str, str, str], more: str = "") -> Iterator[EnvoyFlyball]:
    """A running Flyball whose bundle has these changes (file, old, new), with more in its configuration."""
    flyball = EnvoyFlyball(home)
    for file, old, new in changes:
        edited = flyball.home / "bundle" / file
        text = edited.read_text()
        assert old in text
        edited.write_text(text.replace(old, new))
    flyball.config.write_text(flyball.config.read_text() + more)
    flyball.start()
    try:
        yield flyball
    finally:
        flyball.kill(signal.SIGTERM)


@pytest.fixture(scope="module")
def wider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoyFlyball]:
    """A Flyball whose bundle has the two actions more."""
    with flyball_with(tmp_path_factory.mktemp("wider"), *WIDER) as made:
        yield made


@pytest.fixture
def closer(wider: EnvoyFlyball) -> Iterator[Agent]:
    """An agent with a task there."""
    with agent_of(wider) as made:
        yield made


def raw(envoy: Envoy, head: str) -> bytes:
    """What Envoy answers to a request that is written out."""
    with socket.create_connection(("127.0.0.1", envoy.port), timeout=20) as connection:
        connection.sendall(head.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def last_call(agent: Agent) -> dict[str, object]:
    """The last decision of its task."""
    calls: list[dict[str, object]] = agent.server.operator.get(f"/v1/tasks/{agent.task}/story").json()["calls"]
    return calls[-1]


def test_a_long_answer_goes_on_after_the_fence(tmp_path: Path) -> None:
    """No `max_stream` is stated, which upgrades need and long answers do not: Envoy's own setting alone ends it."""
    api = Api()
    changes = ((BUNDLE, ", max_stream: 60s", ""), (BUNDLE, "GET */v1/events", "GET */v1/stream"))
    try:
        with flyball_with(tmp_path / "flyball", *changes) as flyball:
            agent = Agent(flyball)
            agent.open()
            with behind(
                tmp_path / "envoy", flyball, api, hcm_common_http_protocol_options={"max_stream_duration": "4s"}
            ) as envoy:
                shown = {**agent.shown, "authorization": f"Bearer {KEY}"}
                with envoy.client().stream("GET", "/v1/stream", headers=shown) as answer:
                    assert answer.status_code == 200
                    ticks = answer.iter_raw()
                    next(ticks)
                    flyball.operator.post(f"/v1/tasks/{agent.task}/revoke", json={"reason": "asked"}, timeout=30)
                    assert envoy.client().get("/v1/stream", headers=shown).status_code == 403
                    for _ in range(20):
                        assert b"tick" in next(ticks)
                    with pytest.raises(httpx.RemoteProtocolError):
                        list(ticks)
    finally:
        api.close()


def test_answers_are_no_origin(tmp_path: Path, upstream: Upstream) -> None:
    """A rule that wants a value from an answer finds none: what came back through Envoy was reported to nobody, though
    the action says what it returns. The labels that it says are on the task as soon as it is allowed."""
    route = '    http: [{request: "GET */v1/invoices/{id}"'
    returns = '    returns: {path: id by org, body: "text by org, internal"}\n'
    wanted = "{amount: {max: 50}, key: {as: id, from: [result(invoices.get).path]}}"
    changes = ((BUNDLE, route, returns + route), (PROFILE, "{amount: {max: 50}}", wanted))
    with flyball_with(tmp_path / "flyball", *changes) as flyball:
        agent = Agent(flyball)
        agent.open()
        with behind(tmp_path / "envoy", flyball, upstream) as envoy:
            client = envoy.client(headers=agent.shown)
            assert client.get(ONE).json()["path"] == ONE
            told = client.post(REFUND, json={"amount": 1}, headers={"idempotency-key": ONE})
            assert (told.status_code, told.json()["type"]) == (403, "urn:flyball:error:origin_mismatch")
        story = flyball.operator.get(f"/v1/tasks/{agent.task}/story").json()
        assert {one["label"] for one in story["labels"]} == {"org", "internal"}
        assert story["results"] == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl, which speaks HTTP/2")
def test_a_body_that_nothing_announces_is_not_seen(
    tmp_path: Path, flyball: EnvoyFlyball, upstream: Upstream, agent: Agent
) -> None:
    """A GET over HTTP/2 with a body and no length: where Envoy hands no bodies over it passes with it, though its route
    names none; where Envoy does, it is refused."""

    def get(envoy: Envoy) -> tuple[str, int]:
        before = len(upstream.seen)
        words = ["curl", "-sS", "--http2-prior-knowledge", "-X", "GET", "-T", "-", "-H", f"flyball-task: {agent.token}"]
        done = subprocess.run(
            [*words, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"http://127.0.0.1:{envoy.port}{ONE}"],
            input="unseen", capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        return done.stdout, len(upstream.seen) - before

    with behind(tmp_path / "unseen", flyball, upstream, with_request_body=None) as envoy:
        assert get(envoy) == ("2 200", 1)
        assert upstream.seen[-1]["body"] == "unseen"
    with behind(tmp_path / "seen", flyball, upstream) as envoy:
        assert get(envoy) == ("2 400", 0)


def test_what_envoy_is_told_not_to_ask_about_passes(tmp_path: Path, flyball: EnvoyFlyball, upstream: Upstream) -> None:
    """A route for which the filter is off: no token, no decision, and the service answers. The route beside it asks."""
    off: dict[str, Json] = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        "disabled": True,
    }
    open_route: dict[str, Json] = {
        "match": {"prefix": "/open"},
        "route": {"cluster": "shop"},
        "typed_per_filter_config": {"envoy.filters.http.ext_authz": off},
    }
    routes: list[Json] = [open_route, {"match": {"prefix": "/"}, "route": {"cluster": "shop"}}]
    change: dict[str, Json] = {"virtual_hosts": [{"name": "shop", "domains": ["*"], "routes": routes}]}
    with behind(tmp_path / "envoy", flyball, upstream, hcm_route_config=change) as envoy:
        before = len(flyball.decided())
        assert envoy.client().delete("/open/anything").status_code == 200
        assert len(flyball.decided()) == before
        assert envoy.client().get(ONE).status_code == 401


def test_an_empty_body_must_say_so(tmp_path: Path, wider: EnvoyFlyball, closer: Agent, upstream: Upstream) -> None:
    """A POST without a body and without `content-length` is refused, by the guide's Envoy and by one that hands no
    bodies over; with `content-length: 0` it passes both."""
    for name, change in (("guide", {}), ("none", {"with_request_body": None})):
        with behind(tmp_path / name, wider, upstream, **change) as envoy:  # type: ignore[arg-type]
            for more in ("", "content-length: 0\r\n"):
                head = f"POST {ONE}/close HTTP/1.1\r\nhost: shop\r\nflyball-task: {closer.token}\r\n{more}"
                status = raw(envoy, f"{head}connection: close\r\n\r\n").split()[1]
                assert status == (b"200" if more else b"400"), name


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "application/xml", "multipart/form-data; boundary=x"]
)
def test_other_bodies_than_json_go_unread_or_not_at_all(
    tmp_path: Path, wider: EnvoyFlyball, closer: Agent, upstream: Upstream, kind: str
) -> None:
    """Where the route reads the body they are refused; with `unread: [body]` they pass, and are not on record."""
    sent = {**closer.shown, "content-type": kind}
    with behind(tmp_path / "envoy", wider, upstream) as envoy:
        told = envoy.client().post(REFUND, content=b"amount=1", headers=sent)
        assert (told.status_code, told.json()["type"]) == (400, "urn:flyball:error:malformed")
        told = envoy.client().post(f"{ONE}/files", content=b"amount=500", headers=sent)
        assert told.status_code == 200, told.text
        assert told.json()["body"] == "amount=500"
        assert last_call(closer)["args"] == {"id": "I-7"}


def test_what_goes_upstream_is_the_path_as_it_was_sent(
    tmp_path: Path, flyball: EnvoyFlyball, envoy: Envoy, upstream: Upstream
) -> None:
    """Decided on decoded, once. The guide's Envoy (`normalize_path`) sends on what needs no escape without one, another
    sends what it got. In the template case and slashes count; what stands in a variable counts as it is written, also
    where a service cuts it."""
    agent = Agent(flyball)
    agent.open()

    def get(through: Envoy, path: str) -> tuple[bytes, object]:
        head = f"GET {path} HTTP/1.1\r\nhost: shop\r\nflyball-task: {agent.token}\r\nconnection: close\r\n\r\n"
        status = raw(through, head).split()[1]
        return status, upstream.seen[-1]["path"] if status == b"200" else None

    plain = {"hcm_normalize_path": False, "hcm_path_with_escaped_slashes_action": "KEEP_UNCHANGED"}
    with behind(tmp_path / "envoy", flyball, upstream, **plain) as second:
        assert get(second, "/v1/invoices/%49%2d7") == (b"200", "/v1/invoices/%49%2d7")
        assert last_call(agent)["args"] == {"id": "I-7"}
    for sent, passed in (
        ("%49%2d7", "I-7"),
        ("I-a%20b", "I-a%20b"),
        ("I-7.json", "I-7.json"),
        ("I-%C3%A9", "I-%C3%A9"),
    ):
        assert get(envoy, f"/v1/invoices/{sent}") == (b"200", f"/v1/invoices/{passed}")
    for path in ("/V1/invoices/I-7", "/v1/Invoices/I-7", "/v1/invoices/I-7/"):
        assert get(envoy, path) == (b"403", None)
        assert last_call(agent)["action"] == "http:unrouted"


def test_who_steals_a_token_can_use_it_here(envoy: Envoy, agent: Agent) -> None:
    """Shown by somebody without the task's key it passes at this Envoy; at Flyball itself it is of no use."""
    bare = httpx.Client(headers=agent.shown)
    assert bare.get(f"http://127.0.0.1:{envoy.port}{ONE}").status_code == 200
    for scheme in ("Bearer", "DPoP"):
        told = bare.post(
            f"{agent.server.control_url}/v1/tasks/{agent.task}/connect", json={"credential": "billing"},
            headers={"authorization": f"{scheme} {agent.token}"},
        )  # fmt: skip
        assert told.status_code == 401, told.text


def test_beside_the_http_gateway_envoy_has_no_credentials(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> None:
    """Leases of `http` targets are lent to the HTTP gateway where that listens, and Envoy's requests lack them."""
    target = (
        f"kind: http\n    url: http://127.0.0.1:{upstream.port}\n    secret_file: billing.key\n"
        "    gateway: {inject: bearer, networks: [127.0.0.1]}"
    )
    for more, status in (("", 200), ("http_gateway:\n  listen: 127.0.0.1:0\n", 403)):
        home = tmp_path_factory.mktemp("flyball")  # a socket's path must be short
        key = home / "billing.key"
        key.touch(mode=0o600)
        key.write_text("a-key-of-the-api-0123456789")
        with flyball_with(home, (BUNDLE, "kind: memory", target), more=more) as flyball:
            agent = Agent(flyball)
            agent.open()
            assert agent.connect().status_code == 201
            with behind(tmp_path_factory.mktemp("envoy"), flyball, upstream) as envoy:
                told = envoy.client().delete("/v1/invoices/I-7/hold", headers=agent.shown)
                assert told.status_code == status, told.text
                assert (status == 200) == ("credential_not_lent" not in told.text)
