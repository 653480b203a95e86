"""Plain functions: one line each, and a denied call raises."""

from __future__ import annotations

import shop

import flyball_sdk

with flyball_sdk.task("support", inputs={"order": "O-1042"}) as task:
    look_up = task.guard("look_up", resource=("tool", "look_up"))(shop.look_up)
    refund = task.guard("refund", resource=("tool", "refund"))(shop.refund)

    for name, args in shop.SCRIPT:
        try:
            shop.show({"look_up": look_up, "refund": refund}[name](**args))  # type: ignore[operator]
        except flyball_sdk.Denied as denied:
            shop.show(denied)
shop.done()
