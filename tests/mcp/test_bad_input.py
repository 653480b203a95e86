"""Frames that are none, and servers and clients that misbehave: refused with a clear reason, and the rest goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import tracemalloc
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mcp.kit import ODD, McpServer, is_error, raw_gateway, text_of
from tests.processes import runs
from tests.wait import until

from flyball.edges.mcp.stdio import TOO_LONG, lines
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Malformed

PROFILE = ("--profile", "odd", "--", *ODD)
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"plain","arguments":{}}}'
NO_FRAMES = [
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
    b'{"id":1,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":1,"method":5}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}',
    b'{"jsonrpc":"2.0","id":1}',
    b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
    b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1e999999}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 100 + b"]" * 100 + b"}}",
    b'{"jsonrpc":"2.0","id":"' + b"x" * 300 + b'","method":"ping"}',
]


@pytest.mark.parametrize("raw", NO_FRAMES)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    """Nothing that two readers could read differently is read at all."""
    with pytest.raises(Malformed):
        frames.read(raw)


def test_a_message_too_long_is_refused() -> None:
    """Four mebibytes, either way."""
    with pytest.raises(Malformed):
        frames.read(b" " * frames.MAX_FRAME + CALL)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_none(raw: bytes) -> None:
    """Nothing else is ever raised."""
    with contextlib.suppress(Malformed):
        frames.read(raw)


@given(st.integers(0, len(CALL) - 1), st.integers(0, 255))
def test_a_changed_byte_is_a_message_or_none(at: int, byte: int) -> None:
    """The same, close to a real one; and what is read is written again as the same."""
    raw = bytearray(CALL)
    raw[at] = byte
    try:
        frame = frames.read(bytes(raw))
    except Malformed:
        return
    assert frames.loads(frames.dumps(frame.body)) == frame.body


def test_numbers_keep_their_digits() -> None:
    """1.50 stays 1.50, and a whole number of any size itself."""
    raw = b'{"a":[1.50,12345678901234567890,-0.10,1E+2],"b":"\\ud83d"}'
    value = frames.loads(raw)
    assert frames.dumps(value) == b'{"a":[1.50,12345678901234567890,-0.10,100],"b":"\\ud83d"}'
    assert frames.dumps({"b": "\ud83d"}) == b'{"b":"\\ud83d"}'


def test_a_client_that_sends_nonsense_is_told_and_served_on(server: McpServer) -> None:
    """Bad JSON, a line too long, params that are none, methods that do not pass, an id in use: an error each."""
    with raw_gateway(server, *PROFILE) as client:
        client.greet()
        for raw in (b"{", b"\xff", b'{"x":"' + b"y" * (5 << 20) + b'"}'):
            client.send(raw)
            assert client.read()["error"]["code"] == -32700  # type: ignore[index,call-overload]
        for params in ({}, {"name": 1}, {"name": "plain", "arguments": []}, {"name": ""}):
            assert client.ask(1, "tools/call", **params)["error"]["code"] == -32602  # type: ignore[index,call-overload,arg-type]
        assert client.ask(2, "tools/steal")["error"]["code"] == -32601  # type: ignore[index,call-overload]
        assert client.ask("flyball:1", "ping")["error"]["code"] == -32600  # type: ignore[index,call-overload]
        client.send({"jsonrpc": "2.0", "method": "notifications/odd"})
        client.send_call(3, "wait", seconds=1)
        client.send_call(3, "wait", seconds=1)
        assert client.read()["error"]["message"] == "this id is in use"  # type: ignore[index,call-overload]
        assert text_of(client.answer(3)) == "waited"


def test_more_requests_than_are_held_are_refused(server: McpServer) -> None:
    """Memory is bounded: the 129th request under way is answered with an error at once."""
    with raw_gateway(server, *PROFILE) as client:
        client.greet()
        for ident in range(129):
            client.send_call(ident, "misbehave", how="hang")
        assert client.answer(128)["error"]["code"] == -32603  # type: ignore[index,call-overload]


def test_a_server_that_lies_is_not_believed(server: McpServer) -> None:
    """Garbage, an answer to nothing, a second answer, a line too long, a result that is none: dropped or refused."""
    with raw_gateway(server, *PROFILE) as client:
        client.greet()
        assert text_of(client.call(1, "misbehave", how="garbage")) == "after garbage"
        assert text_of(client.call(2, "misbehave", how="twice")) == "first"
        assert text_of(client.call(3, "misbehave", how="long")) == "after long"
        assert client.call(4, "misbehave", how="no object")["error"]["code"] == -32603  # type: ignore[index,call-overload]
        assert len(text_of(client.call(5, "misbehave", how="big"))) == 1 << 20  # more than is reported: it passes
        assert text_of(client.call(6, "plain")) == "K-2"


def test_a_server_that_dies_leaves_its_client_told(server: McpServer) -> None:
    """The call under way gets an error, the gateway ends, and with it the task."""
    before = set(server.tasks())
    with raw_gateway(server, *PROFILE) as client:
        client.greet()
        told = client.call(1, "misbehave", how="die")
        assert told["error"]["message"] == "the server has ended"  # type: ignore[index,call-overload]
        assert client.process.wait(timeout=20) == 1
    until(lambda: set(server.tasks()) <= before, 10, "the task ended")


def test_without_flyball_nothing_passes(tmp_path: Path) -> None:
    """Killed in mid-work: a call is refused and does not reach the server, and a result that cannot be told is
    withheld, though the server has given it."""
    log, marker = tmp_path / "log", "K-2"
    alone = McpServer(tmp_path, heartbeat="60s")
    alone.start()
    try:
        alone.approve(*ODD)
        with raw_gateway(alone, *PROFILE, env={"ODD_LOG": str(log)}) as client:
            client.greet()
            assert text_of(client.call(1, "plain")) == marker
            client.send_call(2, "wait", seconds=3)
            until(lambda: b'"wait"' in log.read_bytes(), 10, "the call arrived")
            alone.kill(signal.SIGKILL)
            assert "plane_unreachable" in text_of(client.call(3, "look", what="x"))
            assert "result_not_recorded" in text_of(client.answer(2))
            assert b'"look"' not in log.read_bytes()
    finally:
        alone.kill()


def test_a_client_that_vanishes_takes_its_task_along(server: McpServer) -> None:
    """Killed without a word in mid-call: the task ends, and the server with it."""
    before = set(server.tasks())
    with raw_gateway(server, *PROFILE) as client:
        client.greet()
        client.send_call(1, "wait", seconds=60)
    until(lambda: set(server.tasks()) <= before, 10, "the task ended")


def test_the_gateways_own_end_is_the_tasks(server: McpServer) -> None:
    """SIGTERM: the task is ended, and no server is left behind, nor anything that it has started."""
    before = set(server.tasks())
    left = f"sleep 600.{os.getpid()}"
    server.approve(*ODD, name="leaves")
    leaving = ("--profile", "odd", "--name", "leaves", "--", "sh", "-c", f"{left} & exec {shlex.join(ODD)}")
    with raw_gateway(server, *leaving) as client:
        client.greet()
        assert not is_error(client.call(1, "plain"))
        os.kill(client.process.pid, signal.SIGTERM)
        assert client.process.wait(timeout=20) == 0
    until(lambda: set(server.tasks()) <= before, 10, "the task ended")
    assert not runs(f"^{left}")


def test_a_line_without_end_is_not_held() -> None:
    """No more than one message and one read, however much comes; afterwards the next line is read again."""

    class Endless:
        def __init__(self) -> None:
            self.left = 8 * frames.MAX_FRAME

        async def read(self, most: int) -> bytes:
            self.left -= most
            return b"x" * most if self.left > 0 else b"\nnext\n" if self.left > -2 * most else b""

    async def work() -> list[bytes]:
        return [line async for line in lines(cast("asyncio.StreamReader", Endless()))]

    tracemalloc.start()
    try:
        found = asyncio.run(work())
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == [TOO_LONG, b"next", b"next"]
    assert held < 3 * frames.MAX_FRAME


def test_a_line_a_little_too_long_is_one_too() -> None:
    """Its end may come in the very portion that makes it too long."""

    class Once:
        def __init__(self) -> None:
            self.portions = [b"x" * frames.MAX_FRAME, b"x\nnext\n", b"x" * frames.MAX_FRAME, b"\n"]

        async def read(self, _most: int) -> bytes:
            return self.portions.pop(0) if self.portions else b""

    async def work() -> list[bytes]:
        return [line async for line in lines(cast("asyncio.StreamReader", Once()))]

    assert asyncio.run(work()) == [TOO_LONG, b"next", b"x" * frames.MAX_FRAME]
