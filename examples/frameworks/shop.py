"""The two tools of the examples, and what their scripted models do with them: no network, no key."""

from __future__ import annotations

REFUNDED: list[tuple[str, float]] = []
"""What was really paid back."""

SCRIPT: list[tuple[str, dict[str, object]]] = [
    ("look_up", {"order_id": "O-1042"}),
    ("refund", {"order_id": "O-1042", "amount": 40.5}),
    ("refund", {"order_id": "O-1042", "amount": 4000}),  # more than the profile allows
    ("look_up", {"order_id": "O-7"}),  # somebody else's order
]


def look_up(order_id: str) -> dict[str, object]:
    """Look an order up."""
    return {"order_id": order_id, "amount": 40.5, "state": "delivered"}


def refund(order_id: str, amount: float) -> str:
    """Pay an order's money back."""
    REFUNDED.append((order_id, amount))
    return f"refunded {amount} of {order_id}"


def show(text: object) -> None:
    """One line of what the model was told."""
    print("model was told:", text)


def done() -> None:
    """What came of it."""
    print("really refunded:", REFUNDED)
