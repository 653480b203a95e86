"""The bounds of the shared gateway: sessions, callers, bytes of a request."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.mcp.kit import McpServer
from tests.mcp.shared import INITIALIZE, META, MODERN, Shared, shared_gateway
from tests.server import ISSUER

DISCOVER = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": META}}


@pytest.fixture(scope="module")
def narrow(server: McpServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A gateway with an audience of its own, and room for three sessions of two callers."""
    home = tmp_path_factory.mktemp("narrow")
    with shared_gateway(
        server, home, "https://mcp.example", front__MAX_CONVERSATIONS=3, callers__MAX_CALLERS=2
    ) as running:
        yield running


def test_sessions_are_bounded(narrow: Shared) -> None:
    """Of both revisions together; one that ends leaves room for another. So are callers."""
    token = narrow.token("first")
    opened = [narrow.post("odd", token, INITIALIZE) for _ in range(2)]
    assert [one.status_code for one in opened] == [200, 200]
    stateless = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "server/discover"}
    assert narrow.post("odd", token, DISCOVER, **stateless).status_code == 200
    assert narrow.post("odd", token, DISCOVER, **stateless).status_code == 200
    full = narrow.post("odd", token, INITIALIZE)
    assert (full.status_code, full.json()["error"]["message"]) == (503, "too many sessions")
    assert narrow.post("odd", narrow.token("second"), DISCOVER, **stateless).status_code == 503
    third = narrow.post("odd", narrow.token("third"), INITIALIZE)
    assert (third.status_code, third.json()["error"]["message"]) == (503, "too many callers")
    session = opened[0].headers["mcp-session-id"]
    assert narrow.delete("odd", token, session).status_code == 204
    assert narrow.post("odd", token, INITIALIZE).status_code == 200


def test_a_token_is_for_this_gateway(narrow: Shared) -> None:
    """One that is for Flyball alone, which Flyball itself would take, opens nothing here: whoever shows it may have had
    it from a client of somebody else's."""
    assert narrow.post("odd", narrow.token("first"), {}).status_code == 400
    assert narrow.post("odd", narrow.token("first", audience=ISSUER), {}).status_code == 401


def test_a_request_without_end_is_not_read_to_it(shared: Shared) -> None:
    """It is refused while it still comes: 413."""
    place = urlsplit(shared.url)
    head = (
        f"POST /mcp/odd HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {shared.token('endless')}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with socket.create_connection((str(place.hostname), place.port or 0), timeout=20) as connection:
        connection.sendall(head.encode() + chunk * 65)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_two_tokens_are_none(shared: Shared) -> None:
    """Whichever of them was meant, somebody on the way may have looked at the other; nor is another scheme's one."""
    good = shared.token("twice")
    place = urlsplit(shared.url)
    for shown in ([f"Bearer {good}"] * 2, [f"Bearer {good}", "Bearer x"], [f"DPoP {good}"], [good], []):
        lines = "".join(f"Authorization: {one}\r\n" for one in shown)
        head = (
            f"POST /mcp/odd HTTP/1.1\r\nHost: {place.netloc}\r\n{lines}Content-Type: application/json\r\n"
            "Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        with socket.create_connection((str(place.hostname), place.port or 0), timeout=20) as connection:
            connection.sendall(head.encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 401"), shown
