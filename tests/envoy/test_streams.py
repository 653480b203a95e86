"""What goes on after its decision: a WebSocket through Envoy, and the time that bounds it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from tests.envoy.kit import Agent, EnvoyFlyball, behind
from tests.httpgateway.api import Sockets
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from flyball.kernel.json import Json

STATED_S = 4.0
OPEN = "that a fence ends what is already open: a stream may go on"
ROUTES: dict[str, Json] = {
    "virtual_hosts": [
        {
            "name": "shop",
            "domains": ["*"],
            "routes": [
                {
                    "match": {"prefix": "/"},
                    "route": {"cluster": "shop", "max_stream_duration": {"max_stream_duration": f"{STATED_S}s"}},
                }
            ],
        }
    ]
}


def test_a_websocket_ends_at_the_time_that_was_stated(tmp_path: Path) -> None:
    """It is decided as it opens. A fence refuses the next one and does not reach this one, which Envoy ends when the
    stated time is over; the receipt of the task's lease says how long that may be."""
    flyball = EnvoyFlyball(tmp_path / "flyball", change=("max_stream: 60s", f"max_stream: {STATED_S:.0f}s"))
    flyball.start()
    sockets = Sockets()
    try:
        agent = Agent(flyball)
        agent.open()
        assert agent.connect().status_code == 201
        upgrades: list[Json] = [{"upgrade_type": "websocket"}]
        with behind(
            tmp_path / "envoy", flyball, sockets, hcm_upgrade_configs=upgrades, hcm_route_config=ROUTES
        ) as envoy:
            url = f"ws://127.0.0.1:{envoy.port}/v1/events"
            begun = time.monotonic()
            with connect(url, additional_headers=agent.shown, open_timeout=20) as stream:
                stream.send("one")
                assert str(stream.recv(20)).startswith("one ")
                flyball.operator.post(f"/v1/tasks/{agent.task}/revoke", json={"reason": "asked"}, timeout=30)
                with pytest.raises(InvalidStatus) as refused:
                    connect(url, additional_headers=agent.shown, open_timeout=20)
                assert refused.value.response.status_code == 403
                stream.send("two")
                assert str(stream.recv(20)).startswith("two "), "a fence does not reach what Envoy has let through"
                with pytest.raises(ConnectionClosed):
                    stream.recv(30)
            assert time.monotonic() - begun < STATED_S + 2
        calls = flyball.operator.get(f"/v1/tasks/{agent.task}/story").json()["calls"]
        assert ("events.watch", "allow") in [(one["action"], one["effect"]) for one in calls]
        receipts = flyball.operator.get("/v1/receipts", params={"task": agent.task}).text
        assert (
            f"events.watch: that a fence ends what is already open: a stream may go on for {STATED_S * 1000:.0f} ms"
            in receipts
        )
    finally:
        sockets.close()
        flyball.kill(signal.SIGTERM)
