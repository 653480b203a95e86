"""The demo's tools: a process of its own that reads orders and sends mail for agents, and asks before it does.

It is an enforcement point with an identity of its own (a certificate with a SPIFFE ID), so what it reports is not the
agent's word. For each call it shows the agent's task token, asks the decision plane, acts only on an allow, and
reports what it returned before the agent gets it. An agent can lie to it and cannot go around it: it holds the only
login to the customers' addresses, and the only way to send mail.

JSON lines on loopback, a question and an answer each.
"""

from __future__ import annotations

import json
import os
import socketserver
import ssl
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import psycopg

from flyball.kernel.json import Json

Question = dict[str, str]
Answer = dict[str, Json]
ORDER = (
    "SELECT o.id, o.amount, c.email, o.note FROM public.orders o JOIN public.customers c ON c.id = o.customer_id"
    " WHERE o.id = %s"
)


class Tools:
    """The tools, and the way to the decision plane."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        folder = Path(environment["SHOP_CERTIFICATES"])
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        context.load_cert_chain(folder / "tool.pem", folder / "tool.key")
        self._plane = httpx.Client(base_url=environment["SHOP_DECISIONS"], verify=context, timeout=10, trust_env=False)
        self._dsn = environment["SHOP_DSN"]
        self._outbox = Path(environment["SHOP_OUTBOX"])

    def known(self) -> dict[str, Callable[[Question], Answer]]:
        """What it can be asked."""
        return {"read_order": self.read_order, "send_mail": self.send_mail}

    def read_order(self, question: Question) -> Answer:
        """One order with its customer's address and the note that the customer wrote."""
        said = self._ask(question, "read_order", {"order_id": question["order"]})
        if not said["allowed"]:
            return said
        with psycopg.connect(self._dsn) as connection:
            row = connection.execute(ORDER, (int(question["order"]),)).fetchone()
        if row is None:
            return {**said, "found": False}
        found: dict[str, Json] = {
            "id": str(row[0]),
            "ticket": f"T-{row[0]}",
            "amount": str(row[1]),
            "customer_email": str(row[2]),
            "note": str(row[3]),
        }
        # Told to the plane first: whatever the agent does with it, where it came from is known by then.
        return {**said, **self._report(question, str(said["decision"]), [found]), "order": found}

    def send_mail(self, question: Question) -> Answer:
        """One mail. What was sent stands in the outbox."""
        mail: dict[str, Json] = {"to": question["to"], "body": question["body"]}
        said = self._ask(question, "send_mail", mail)
        if said["allowed"]:
            with self._outbox.open("a") as outbox:
                outbox.write(json.dumps(mail) + "\n")
            self._report(question, str(said["decision"]), "sent")
        return said

    def _ask(self, question: Question, tool: str, args: dict[str, Json]) -> Answer:
        body = {
            "subject": {"type": "agent", "id": question["agent"]},
            "action": {"name": f"tool.{tool}", "properties": args},
            "resource": {"type": "tool", "id": tool},
            "context": {"task": question["task"]},
        }
        answer = self._plane.post("/access/v1/evaluation", json=body, headers={"Flyball-Task": question["token"]})
        answer.raise_for_status()
        told = answer.json()
        context = told["context"]
        return {
            "allowed": told["decision"] is True,
            "effect": str(context.get("effect", "")),
            "reason": str(context.get("reason", "")),
            "decision": str(context.get("id", "")),
        }

    def _report(self, question: Question, decision: str, result: Json) -> Answer:
        body = {"decision": decision, "result": result, "meta": {"rows": 1}}
        answer = self._plane.post("/access/v1/result", json=body, headers={"Flyball-Task": question["token"]})
        answer.raise_for_status()
        return {"result": answer.json()["result"]}


class Server(socketserver.ThreadingTCPServer):
    """Serves agents on loopback."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, tools: Tools) -> None:
        self.known = tools.known()
        super().__init__(("127.0.0.1", port), Handler)


class Handler(socketserver.StreamRequestHandler):
    """One agent's connection: a line in, a line out."""

    def handle(self) -> None:
        """Answer until the agent goes."""
        assert isinstance(self.server, Server)
        for line in self.rfile:
            answer: Answer
            try:
                question = json.loads(line)
                answer = {"ok": True, **self.server.known[question["tool"]](question)}
            except Exception as fault:  # noqa: BLE001 - no answer is an allow: the agent is told that it failed
                print(f"{type(fault).__name__}: {fault}", file=sys.stderr, flush=True)
                answer = {"ok": False, "error": type(fault).__name__}
            self.wfile.write(json.dumps(answer).encode() + b"\n")
            self.wfile.flush()


def main() -> None:
    """Serve until it is told to end; says on stdout that it listens."""
    with Server(int(os.environ["SHOP_PORT"]), Tools(os.environ)) as server:
        print("listening", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
