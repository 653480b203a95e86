"""What surrounds every request. The app inside is small and real; the wire is a real uvicorn's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.wait import until

from flyball.edges.http import peer, problems
from flyball.edges.http.peer import PeerProtocol
from flyball.edges.http.shell import Shell
from flyball.kernel.errors import ConfigError, FlyballError


async def fails(request: Request) -> Response:
    raise RuntimeError("the secret is hunter2")


async def misconfigured(request: Request) -> Response:
    raise ConfigError("/var/lib/flyball/hunter2.pem is open to other users", code="key_file", hint="chmod hunter2.pem")


async def echo(request: Request) -> Response:
    state = request.scope["state"]
    return JSONResponse({"length": len(await request.body()), "peer_uid": state.get("peer_uid")})


@contextmanager
def served(sockets: list[socket.socket], *, max_body: int = 1000, body_seconds: float = 0.5) -> Iterator[None]:
    shell = Middleware(Shell, max_body=max_body, body_seconds=body_seconds)
    routes = [Route("/fails", fails), Route("/odd", misconfigured), Route("/echo", echo, methods=["POST"])]
    app = Starlette(routes=routes, middleware=[shell], exception_handlers={FlyballError: problems.of_flyball})
    server = uvicorn.Server(uvicorn.Config(app, http=PeerProtocol, log_config=None, access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
    thread.start()
    until(lambda: server.started)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def place() -> Iterator[tuple[str, int]]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        with served([bound]):
            yield bound.getsockname()


def test_an_unforeseen_fault_is_a_problem_without_internals(place: tuple[str, int]) -> None:
    """500, a problem document with the request's id, nothing of the exception; and exactly one line in the log."""
    with structlog.testing.capture_logs() as logs:
        answer = httpx.get(f"http://{place[0]}:{place[1]}/fails", headers={"X-Request-ID": "abc.1"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "abc.1"
    assert answer.json()["instance"] == "urn:flyball:request:abc.1"
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    told = [one for one in logs if one["event"] == "a request failed"]
    assert [(one["log_level"], one["error"]) for one in told] == [("error", "RuntimeError")]
    assert "test_shell.py" in told[0]["where"][-1]
    assert "hunter2" not in str(told)


def test_a_fault_that_the_caller_cannot_mend_is_told_to_the_log_alone(place: tuple[str, int]) -> None:
    """A broken key file of ours: its path is no answer to a request, and an operator's log has it."""
    with structlog.testing.capture_logs() as logs:
        answer = httpx.get(f"http://{place[0]}:{place[1]}/odd", headers={"X-Request-ID": "abc.2"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "hunter2" not in answer.text
    assert "key_file" not in answer.text
    (told,) = [one for one in logs if one["event"] == "a request failed"]
    assert (told["request"], told["code"]) == ("abc.2", "key_file")
    assert "hunter2.pem" in told["detail"]


@pytest.mark.parametrize("offered", ["", "a b", "x" * 65, "a\tb"])
def test_a_request_id_that_is_no_plain_token_is_replaced(place: tuple[str, int], offered: str) -> None:
    """What could forge a line of a log is not echoed."""
    answer = httpx.post(f"http://{place[0]}:{place[1]}/echo", headers={"X-Request-ID": offered})
    assert answer.headers["x-request-id"] != offered
    assert len(answer.headers["x-request-id"]) == 16


def test_a_body_beyond_the_bound_is_413(place: tuple[str, int]) -> None:
    """By its declared length, and by its true one when it declares none."""
    url = f"http://{place[0]}:{place[1]}/echo"
    assert httpx.post(url, content=b"x" * 1000).json()["length"] == 1000
    declared = httpx.post(url, content=b"x" * 1001)
    chunked = httpx.post(url, content=iter([b"x" * 600, b"x" * 600]))
    for answer in (declared, chunked):
        assert answer.status_code == 413
        assert answer.json()["code"] == "body_too_large"


def test_a_body_that_does_not_arrive_is_408(place: tuple[str, int]) -> None:
    """A sender that stops in the middle holds nothing for long."""
    with socket.create_connection(place, timeout=10) as wire:
        wire.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_slow" in answer


def test_a_head_that_does_not_arrive_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that drips its request's head is closed at the deadline, for the first and for later requests."""
    monkeypatch.setattr(peer, "HEADERS_SECONDS", 0.3)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        with served([bound]):
            with socket.create_connection(bound.getsockname(), timeout=10) as wire:
                wire.sendall(b"POST /echo HT")
                assert wire.recv(1) == b""
            with socket.create_connection(bound.getsockname(), timeout=10) as wire:
                wire.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                assert wire.recv(65536).startswith(b"HTTP/1.1 200")
                wire.sendall(b"POST /ec")
                until(lambda: wire.recv(65536) == b"")


def test_every_answer_forbids_caches(place: tuple[str, int]) -> None:
    """Tokens and secrets travel in answers; no cache may keep one."""
    answer = httpx.get(f"http://{place[0]}:{place[1]}/nothing")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_kernel_says_who_is_behind_a_unix_socket(tmp_path: object, place: tuple[str, int]) -> None:
    """On a Unix socket the scope carries the peer's user id; on TCP there is none."""
    import os

    path = f"{tmp_path}/s"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
        bound.listen()
        with served([bound]), httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
            assert client.post("http://localhost/echo").json()["peer_uid"] == os.getuid()
    assert httpx.post(f"http://{place[0]}:{place[1]}/echo").json()["peer_uid"] is None
