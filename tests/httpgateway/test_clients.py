"""Clients as they are, through the gateway: curl, requests, httpx, websockets, Node."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys

import pytest
from tests.forked import running
from tests.httpgateway.api import KEY
from tests.httpgateway.kit import GatewayServer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from flyball.edges.cli.handover import excepted

RUN = ("run", "settle", "-i", "limit=120.00", "--")


def run(server: GatewayServer, *command: str, code: int | None = 0, **more: str) -> str:
    """The output of a command under `flyball run`, whose surroundings would lead it around every proxy."""
    return server.flyball(
        *RUN,
        *command,
        code=code,
        FLYBALL_SVID=server.svid(),
        FLYBALL_ADDR=server.control_url,
        NO_PROXY="*",
        no_proxy="*",
        **more,
    )


def test_curl(server: GatewayServer) -> None:
    """curl under `flyball run`: plain through the proxy, https through a tunnel that is looked into, by base URL."""
    script = f"""
        curl -sS http://127.0.0.1:{server.crm.port}/v1/echo; echo
        curl -sS https://localhost:{server.secure.port}/v1/echo; echo
        curl -sS -H "Authorization: Bearer $FLYBALL_HTTP_CRM_TICKET" "$FLYBALL_HTTP_CRM_URL/echo"; echo
        curl -sS http://127.0.0.1:{server.crm.port}/v1/admin; echo
        curl -sS https://localhost:{server.secure.port}/v1/admin; echo
        curl -sS https://example.com/ 2>&1; echo
    """
    out = run(server, "sh", "-c", script, code=None).splitlines()
    lines = [json.loads(line) for line in out if line.startswith("{")]
    assert [line.get("method") for line in lines[:3]] == ["GET", "GET", "GET"], out
    assert [line["reason"] for line in lines[3:5]] == ["resource_not_in_profile"] * 2, out
    assert any("response 403" in line for line in out), out
    assert KEY not in "".join(out)
    assert server.secure.seen.requests[-1][2]["authorization"] == f"Bearer {KEY}"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user cannot be had")
def test_curl_confined(server: GatewayServer) -> None:
    """With `--confine` curl reaches the APIs through the gateway, and its base URL, and no API by itself."""
    script = f"""
        curl -sS http://127.0.0.1:{server.crm.port}/v1/echo; echo
        curl -sS https://localhost:{server.secure.port}/v1/echo; echo
        curl -sS -H "Authorization: Bearer $FLYBALL_HTTP_CRM_TICKET" "$FLYBALL_HTTP_CRM_URL/echo"; echo
        curl -sS --noproxy '*' http://127.0.0.1:{server.crm.port}/v1/echo 2>&1; echo
    """
    confined = (*RUN[:-1], "--confine", "--")
    identity = {"FLYBALL_SVID": server.svid(), "FLYBALL_ADDR": server.control_url}
    out = server.flyball(*confined, "sh", "-c", script, code=None, **identity)
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert [line.get("method") for line in lines] == ["GET", "GET", "GET"], out
    assert "Failed to connect" in out or "Couldn't connect" in out, out
    assert KEY not in out


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_python(server: GatewayServer, library: str) -> None:
    """requests and httpx, unchanged, find the proxy and its authority by themselves."""
    script = f"""
import {library} as client
for url in ("http://127.0.0.1:{server.crm.port}/v1/echo", "https://localhost:{server.secure.port}/v1/echo"):
    answer = client.get(url, headers={{"Authorization": "Bearer placeholder"}})
    print(answer.status_code, "placeholder" in answer.text, "********" in answer.text)
print(client.get("https://localhost:{server.secure.port}/v1/admin").json()["reason"])
"""
    out = run(server, sys.executable, "-c", script)
    assert out.split("\n") == ["200 False True", "200 False True", "resource_not_in_profile", ""], out


def test_gateway_over_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the gateway itself takes nothing but TLS, a command's clients know its certificate, each in its own way; a
    file of settings that would lead curl around the gateway is not read."""
    made = GatewayServer(tmp_path_factory.mktemp("tls"), tls=True)
    (made.home / ".curlrc").write_text('noproxy = "*"\n')
    url = f"https://localhost:{made.secure.port}/v1"
    script = f"""
        curl -sS {url}/echo; echo
        base="$FLYBALL_HTTP_SECURE_URL/echo"
        curl -sS --noproxy '*' "$base" -H "Authorization: Bearer $FLYBALL_HTTP_SECURE_TICKET"; echo
        {sys.executable} -c 'import requests, httpx
print(*(client.get("{url}/echo").json()["method"] for client in (requests, httpx)))'
        git ls-remote {url}/none 2>&1
    """
    with contextlib.closing(made), running(made):
        out = run(made, "sh", "-c", script, code=None, HOME=str(made.home)).splitlines()
        seen = [request[2].get("authorization") for request in made.secure.seen.requests]
    lines = [json.loads(line)["method"] for line in out if line.startswith("{")]
    assert (lines, "GET GET" in out) == (["GET", "GET"], True), out
    assert any("error: 403" in line for line in out), out
    assert seen == [f"Bearer {KEY}"] * 4


@pytest.mark.parametrize(
    ("proxy", "host"),
    [
        ("https://task:secret@gateway.internal:7613", "gateway.internal"),
        ("https://task:secret@10.0.0.7:7613", "10.0.0.7"),
        ("https://task:secret@localhost:7613", ""),
        ("https://task:secret@127.0.0.1:7613", ""),
        ("https://task:secret@[::1]:7613", ""),
        ("http://task:secret@127.0.0.1:7613", ""),
    ],
)
def test_what_is_not_asked_through_the_gateway(proxy: str, host: str) -> None:
    """The gateway itself, where it speaks TLS; never what else is on this machine."""
    assert excepted(proxy) == host


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here")
def test_node(server: GatewayServer) -> None:
    """Node's fetch with the gateway's base URL and ticket."""
    script = """
const answer = await fetch(process.env.FLYBALL_HTTP_CRM_URL + "/echo",
  {headers: {authorization: "Bearer " + process.env.FLYBALL_HTTP_CRM_TICKET}});
console.log(answer.status, (await answer.json()).method);
"""
    out = run(server, "node", "--input-type=module", "-e", script)
    assert out.strip() == "200 GET", out


def test_websocket(server: GatewayServer) -> None:
    """A WebSocket passes messages both ways, without the key, and ends with its task."""
    with server.task() as task:
        ticket = task.connect("sockets")
        url = ticket.base_url.replace("http://", "ws://") + "/echo"
        with connect(url, additional_headers=ticket.headers(), proxy=None) as socket:
            socket.send("hello")
            assert socket.recv(timeout=10) == "hello " + "*" * len(KEY)
            assert server.sockets.keys[-1] == f"Bearer {KEY}"
            server.flyball("revoke", "--task", task.id)
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=10)
        assert server.sockets.closed.wait(10)
