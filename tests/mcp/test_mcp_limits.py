"""What docs/limitations.md says of the MCP gateway, tried line by line, where no other test of this folder does."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.mcp.kit import ODD, McpServer, is_error, raw_gateway, text_of
from tests.mcp.shared import Shared
from tests.mcp.test_asking import asked, begun

from flyball.kernel.json import Json

TWICE = "  - {action: misbehave, at_most: 2}\n"


def test_a_call_that_goes_on_is_decided_and_counted_once_more(tmp_path: Path) -> None:
    """A server answers that it needs input; the client makes the call again with its answers and the server's state:
    a second decision, and the last call of a budget of two."""
    server = McpServer(tmp_path, heartbeat="60s")
    profile = server.home / "bundle" / "profiles" / "odd.yaml"
    twice = profile.read_text().replace("wait, misbehave,", "wait,").replace("allow:\n", f"allow:\n{TWICE}", 1)
    profile.write_text(twice)
    server.start()
    try:
        server.approve(*ODD)
        with raw_gateway(server, "--profile", "odd", "--", *ODD) as client:
            client.greet()
            arguments: Json = {"how": "input"}
            told = client.ask(1, "tools/call", name="misbehave", arguments=arguments)["result"]
            assert isinstance(told, dict)
            assert told["resultType"] == "input_required"
            more: dict[str, Json] = {"requestState": told["requestState"], "inputResponses": {"q": {"roots": []}}}
            done = client.ask(2, "tools/call", name="misbehave", arguments=arguments, **more)
            assert text_of(done) == "went on with mine"
            assert "budget_spent" in text_of(client.call(3, "misbehave", how="input"))
            (task,) = server.tasks()
            effects = [one["effect"] for one in server.calls(task) if one["action"] == "misbehave"]
            assert effects == ["allow", "allow", "deny"]
    finally:
        server.kill(signal.SIGTERM)


def test_a_change_is_not_noticed_before_the_next_look(server: McpServer, tmp_path: Path) -> None:
    """The server lists a tool otherwise than was approved, and nobody has looked since: a call of it passes. The next
    list takes it away."""
    flag = tmp_path / "changed"
    with raw_gateway(server, "--profile", "odd", "--", *ODD, env={"ODD_CHANGED": str(flag)}) as client:
        client.greet()
        assert not is_error(client.call(1, "sneak"))
        flag.touch()
        assert not is_error(client.call(2, "sneak"))
        client.ask("p1", "tools/list")
        client.ask("p2", "tools/list", cursor="")
        assert "tool_changed" in text_of(client.call(3, "sneak"))


def test_who_makes_the_call_anew_is_asked_anew(shared: Shared) -> None:
    """A client that leaves the state away gets the question again, each time under the reference of the first; one that
    brings it along gets a plain result."""
    token = begun(shared, "anew")
    results = [asked(shared, token).json()["result"] for _ in range(3)]
    assert [one["resultType"] for one in results] == ["input_required"] * 3
    (reference,) = {one["_meta"]["dev.flyball/decision"]["reference"] for one in results}
    brought = asked(shared, token, requestState=results[-1]["requestState"], inputResponses={}).json()["result"]
    assert (brought["resultType"], brought["isError"]) == ("complete", True)
    assert reference in str(brought["content"])
