"""The demo's agent: a process of its own that has an identity, the SDK, and orders on its stdin.

It stands for any agent: what it may do is not written here. Each line on stdin is a JSON object
with `do`; each answer is one JSON line on stdout. It obeys everything, also what an attacker put
into an order's note.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal

import psycopg
from psycopg import sql

import flyball_sdk
from flyball.kernel.json import Json

Order = dict[str, str]
Answer = dict[str, Json]


class Agent:
    """Carries out one order at a time."""

    def __init__(self) -> None:
        self._task: flyball_sdk.Task | None = None
        self._credential: flyball_sdk.Credential | None = None
        self._connection: psycopg.Connection | None = None
        self._reader: threading.Thread | None = None
        self._read: Answer = {"rows": 0, "died": "", "running": False, "whole": False}
        self._streaming = threading.Event()

    def orders(self) -> dict[str, Callable[[Order], Answer]]:
        """What it can be told to do."""
        return {
            "open": self.open,
            "connect": self.connect,
            "read_order": self.read_order,
            "mail_customer": self.mail_customer,
            "refund": self.refund,
            "plain_psql": self.plain_psql,
            "long_read": self.long_read,
            "long_read_state": self.long_read_state,
            "obey": self.obey,
            "alive": self.alive,
            "tell_secret": self.tell_secret,
            "select_one": self.select_one,
            "end": self.end,
        }

    def task(self) -> flyball_sdk.Task:
        """The open task."""
        if self._task is None:
            raise RuntimeError("no task is open")
        return self._task

    def database(self) -> psycopg.Connection:
        """The agent's own connection."""
        if self._connection is None:
            raise RuntimeError("not connected")
        return self._connection

    def open(self, order: Order) -> Answer:
        """Open a task. The ticket comes with the desk's signed word for it."""
        self._task = flyball_sdk.task(
            order["profile"],
            inputs={"ticket": order["ticket"], "limit": order["limit"]},
            vouchers=[order["voucher"]],
        )
        self._task.open()
        return {"task": self._task.id}

    def connect(self, _order: Order) -> Answer:
        """Ask for the credential and log in with it."""
        self._credential = self.task().credential("orders")
        self._connection = psycopg.connect(self._credential.dsn(), autocommit=True)
        return {"lease": self._credential.lease, "role": str(self._credential.connection["user"])}

    def read_order(self, order: Order) -> Answer:
        """Read one order, through the shop's tool."""
        told = self._tool("read_order", order=order["order"])
        found = told.get("order")
        if not isinstance(found, dict):
            raise RuntimeError(f"the order was not read: {told.get('reason') or 'there is none'}")
        return {**found, "order": found["id"], "result": told["result"]}

    def mail_customer(self, order: Order) -> Answer:
        """Tell the customer, at the address that the order has."""
        return self._tool("send_mail", to=order["to"], body=order["body"])

    def _tool(self, tool: str, **args: str) -> Answer:
        """Ask one of the shop's tools, showing the task's token; the tool asks Flyball."""
        task = self.task()
        question = {"tool": tool, "agent": "refund-agent", "task": task.id, "token": task.token.reveal(), **args}
        with socket.create_connection(("127.0.0.1", int(os.environ["SHOP_PORT"])), timeout=15) as line:
            line.sendall(json.dumps(question).encode() + b"\n")
            answer: Answer = json.loads(line.makefile().readline())
        if not answer.pop("ok"):
            raise RuntimeError(f"the tool failed: {answer.get('error')}")
        return answer

    def refund(self, order: Order) -> Answer:
        """Ask whether the refund may be made, then write it."""
        amount = Decimal(order["amount"])
        decision = self.task().check("tool.refund", "tool", "refund", order_id=order["order"], amount=amount)
        insert = "INSERT INTO public.refunds (order_id, amount) VALUES (%s, %s)"
        self.database().execute(insert, (int(order["order"]), amount))
        return {"decision": decision.id}

    def plain_psql(self, order: Order) -> Answer:
        """Leave the SDK aside: the same credential, plain psql, another table."""
        if self._credential is None:
            raise RuntimeError("no credential")
        environment = {
            "PGPASSWORD": self._credential.secret.reveal(),
            "PATH": "/usr/bin:/bin",
            "PGCONNECT_TIMEOUT": "5",
        }
        where = self._credential.connection
        line = [order["psql"], "-XAtq", "-h", str(where["host"]), "-p", str(where["port"])]
        line += ["-U", str(where["user"]), "-d", str(where["database"]), "-c", order["sql"]]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=20, check=False)
        return {"exit": done.returncode, "rows": len(done.stdout.splitlines()), "said": done.stderr.strip()}

    def long_read(self, order: Order) -> Answer:
        """Start a long read that the profile permits, on a connection of its own."""
        if self._credential is None:
            raise RuntimeError("no credential")
        dsn = self._credential.dsn()
        self._reader = threading.Thread(target=self._stream, args=(dsn, order["sql"]), daemon=True)
        self._reader.start()
        if not self._streaming.wait(15):
            raise RuntimeError("the read did not start")
        return {"rows": self._read["rows"]}

    def _stream(self, dsn: str, query: str) -> None:
        try:
            with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
                self._read["running"] = True
                for count, _ in enumerate(cursor.stream(sql.SQL(query)), 1):
                    self._read["rows"] = count
                    if count == 1:
                        self._streaming.set()
                self._read |= {"whole": True, "died": "it ended by itself"}
        except psycopg.Error as fault:
            self._read["died"] = str(fault).strip().splitlines()[0]
        finally:
            self._read["running"] = False
            self._streaming.set()

    def long_read_state(self, order: Order) -> Answer:
        """How far the long read has come; waits for its end where it is told to."""
        if order.get("wait") and self._reader is not None:
            self._reader.join(timeout=float(order["wait"]))
        return dict(self._read)

    def obey(self, order: Order) -> Answer:
        """Do what the order's note says, as an obedient agent does."""
        return self._tool("send_mail", to=order["to"], body="all customers")

    def alive(self, _order: Order) -> Answer:
        """Whether the task still is."""
        return {"lost": self.task().lost}

    def tell_secret(self, _order: Order) -> Answer:
        """Tell the password: it is in the hands of the agent, as with every `released` credential."""
        return {"secret": "" if self._credential is None else self._credential.secret.reveal()}

    def select_one(self, _order: Order) -> Answer:
        """Whether the connection still works."""
        try:
            self.database().execute("SELECT count(*) FROM public.orders").fetchone()
        except psycopg.Error as fault:
            return {"works": False, "said": str(fault).strip().splitlines()[0]}
        return {"works": True}

    def end(self, _order: Order) -> Answer:
        """End the task."""
        receipts = self.task().end()
        return {"receipts": len(receipts)}


def main() -> None:
    """Read orders from stdin until it closes."""
    agent = Agent()
    known = agent.orders()
    for line in sys.stdin:
        order = json.loads(line)
        answer: Answer
        try:
            answer = {"ok": True, **known[order["do"]](order)}
        except Exception as fault:  # noqa: BLE001 - whatever it was, the story is told of it
            answer = {"ok": False, "error": f"{type(fault).__name__}: {fault}"}
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main()
