"""An agent's side of the wire, written out: a key, proofs, a token. No SDK between test and server."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from tests.server import RunningServer

from flyball.identity import dpop
from flyball.identity.dev import DevDomain
from flyball.kernel.clock import SystemClock

REFUNDS = "spiffe://flyball.dev/agent/refund-agent"
EVALUATION = "/access/v1/evaluation"


def svid(server: RunningServer, spiffe_id: str = REFUNDS) -> str:
    """An identity of the server's development domain, made here."""
    return DevDomain.open(server.state / "dev", mode="development", clock=SystemClock()).issue(spiffe_id, server.issuer)


class Wire:
    """One agent with one task. Every call is one request; what goes wrong is httpx's to tell."""

    def __init__(self, server: RunningServer, *, timeout_s: float = 20.0, unix: Path | None = None) -> None:
        self.server = server
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.task = self.token = self.lease = self.secret = ""
        transport = None if unix is None else httpx.HTTPTransport(uds=str(unix))
        self._control = httpx.Client(base_url=server.control_url, timeout=timeout_s, transport=transport)
        self._decision = httpx.Client(base_url=server.decision_url, timeout=timeout_s)

    def proof(self, url: str) -> str:
        """A fresh proof by this agent's key."""
        token = self.token or None
        return dpop.make_proof(self.key, method="POST", url=url, iat_s=int(time.time()), access_token=token)

    def open(self, ticket: str = "T-1042") -> httpx.Response:
        """Open a task."""
        self.token = ""
        headers = {"Authorization": f"Bearer {svid(self.server)}", "DPoP": self.proof(self._url("/v1/tasks"))}
        body = {"profile": "settle-refund", "inputs": {"ticket": ticket, "limit": "120.00"}}
        answer = self._control.post("/v1/tasks", json=body, headers=headers)
        if answer.status_code == 201:
            self.task, self.token = answer.json()["task"], answer.json()["token"]
        return answer

    def post(self, path: str) -> httpx.Response:
        """A request of the task's."""
        headers = {"Authorization": f"DPoP {self.token}", "DPoP": self.proof(self._url(path))}
        return self._control.post(path, json={}, headers=headers)

    def beat(self) -> httpx.Response:
        """A heartbeat; its token is taken over."""
        answer = self.post(f"/v1/tasks/{self.task}/heartbeat")
        if answer.status_code == 200:
            self.token = answer.json()["token"]
        return answer

    def credential(self, *, deliver: bool = True) -> httpx.Response:
        """The credential, acknowledged unless told otherwise."""
        answer = self.post(f"/v1/tasks/{self.task}/credentials/orders")
        if answer.status_code == 201:
            self.lease, self.secret = answer.json()["lease"], answer.json()["secret"]
            if deliver:
                self.post(f"/v1/leases/{self.lease}/delivered")
        return answer

    def end(self) -> httpx.Response:
        """End the task."""
        return self.post(f"/v1/tasks/{self.task}/end")

    def check(
        self, action: str = "sql.select", kind: str = "table", resource: str = "orders.public.orders", **args: object
    ) -> httpx.Response:
        """A check at the decision plane, with a proof."""
        url = self.server.decision_url + EVALUATION
        body = {
            "subject": {"type": "agent", "id": REFUNDS},
            "action": {"name": action, "properties": args},
            "resource": {"type": kind, "id": resource},
            "context": {"task": self.task},
        }
        headers = {"Authorization": f"DPoP {self.token}", "DPoP": self.proof(url)}
        return self._decision.post(EVALUATION, json=body, headers=headers)

    def allowed(self) -> str:
        """Check a read; its decision where it was answered allow, else nothing."""
        answer = self.check()
        if answer.status_code == 200 and answer.json()["decision"] is True:
            return decision_id(answer)
        return ""

    def close(self) -> None:
        """Drop the connections."""
        self._control.close()
        self._decision.close()

    def _url(self, path: str) -> str:
        return self.server.control_url + path


def decision_id(answer: httpx.Response) -> str:
    """The decision that an answer of the decision plane names."""
    return str(answer.json()["context"]["id"])
