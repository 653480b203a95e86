"""One real server for the edges' tests of a worker, and what talks to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.server import RunningServer, running_server

from flyball.identity import dpop

INPUTS = {"ticket": "T-1042", "limit": "120.00"}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose target is in memory; heartbeats are long, so that a slow machine ends no task."""
    with running_server(tmp_path_factory.mktemp("edges"), heartbeat="60s") as running:
        yield running


@dataclass
class Agent:
    """An agent's side of the wire, written out: a key, proofs, a token. No SDK between test and server."""

    server: RunningServer
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    token: str = ""
    task: str = ""
    ahead_s: int = 0

    def proof(self, path: str, *, token: str | None = None, url: str | None = None) -> str:
        import time

        where = url or self.server.control_url + path
        return dpop.make_proof(
            self.key, method="POST", url=where, iat_s=int(time.time()) + self.ahead_s, access_token=token
        )

    def open(self, body: dict[str, object] | None = None, **headers: str) -> httpx.Response:
        asked = body if body is not None else {"profile": "settle-refund", "inputs": INPUTS}
        sent = {"Authorization": f"Bearer {self.server.svid()}", "DPoP": self.proof("/v1/tasks"), **headers}
        answer = httpx.post(f"{self.server.control_url}/v1/tasks", json=asked, headers=sent)
        if answer.status_code == 201:
            self.task, self.token = answer.json()["task"], answer.json()["token"]
        return answer

    def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        proof = self.proof(path, token=self.token)
        sent = {"Authorization": f"DPoP {self.token}", "DPoP": proof, **headers}
        return httpx.post(self.server.control_url + path, json=body or {}, headers=sent)


@pytest.fixture
def agent(server: RunningServer) -> Agent:
    """An agent that has not opened a task yet."""
    return Agent(server)
