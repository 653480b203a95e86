"""The calls that every load sends: ten kinds, the same for Flyball and for OPA.

`STAMP` becomes a number of its own in every request (the generator writes it), so that no two
requests of a run have the same arguments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

STAMP = "0#######0"


@dataclass(frozen=True)
class Call:
    """One kind of call: the action's name without its class, the resource, the arguments."""

    action: str
    resource: str
    args: dict[str, object]


CALLS: tuple[Call, ...] = (
    Call("orders_read", "orders", {"order_id": f"O-{STAMP}"}),
    Call("orders_refund", "refunds", {"order_id": f"O-{STAMP}", "amount": 84.50}),
    Call("orders_cancel", "orders", {"order_id": f"O-{STAMP}"}),
    Call("stock_read", "prices", {"order_id": f"O-{STAMP}", "rows": 250}),
    Call("stock_reserve", "stock", {"order_id": f"O-{STAMP}", "pieces": 3}),
    Call("mail_send", "outbox", {"order_id": f"O-{STAMP}", "to": "first.last@customers.example"}),
    Call("ledger_post", "ledger", {"order_id": f"O-{STAMP}", "amount": 12.25, "currency": "EUR"}),
    Call("ledger_read", "ledger", {"order_id": f"O-{STAMP}", "rows": 100}),
    Call("files_read", "share/tickets/1042", {"order_id": f"O-{STAMP}", "path": "letters/first.txt"}),
    Call("files_write", "share/tickets/1042", {"order_id": f"O-{STAMP}", "bytes": 65536}),
)


def text(value: object) -> str:
    """JSON without white space."""
    return json.dumps(value, separators=(",", ":"))


def authzen(call: Call, task: str, access_class: str) -> str:
    """The call as an AuthZEN evaluation."""
    return text(
        {
            "subject": {"type": "agent", "id": "bench-agent"},
            "action": {"name": f"{access_class}.{call.action}", "properties": call.args},
            "resource": {"type": "shelf", "id": call.resource},
            "context": {"task": task},
        }
    )


def opa(call: Call, task: str) -> str:
    """The call as OPA's input. What Flyball knows of the task itself, OPA must be told."""
    return text(
        {
            "input": {
                "subject": {"type": "agent", "id": "bench-agent"},
                "action": {"name": call.action.replace("_", ".", 1), "properties": call.args},
                "resource": {"type": "shelf", "id": call.resource},
                "task": {"id": task, "profile": "settle", "owner": "shop", "limit": 500, "ticket": "T-1"},
            }
        }
    )
