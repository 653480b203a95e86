"""The gateway's line to the decision plane, where what answers is slow, long, or gone in the middle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

import flyball_sdk
from flyball.edges.mcp.judge import Governor, Refused
from flyball.edges.mcp.plane import MAX_ANSWER, Plane
from flyball.enforcement.mcp.checks import Ask
from flyball.kernel.errors import ConfigError, Unavailable

ALLOW = b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"decision":true}'
Work = Callable[[Plane, list[bytes]], Awaitable[None]]


def answering(home: Path, answers: list[bytes], work: Work, timeout_s: float = 20.0) -> list[bytes]:
    """Work with a plane that gives these answers in turn, whichever connection is asked on, and then hangs up;
    the requests that came."""
    came: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            while (await reader.readline()).strip():
                pass
            came.append(head + await reader.readexactly(2))
            answer = answers[len(came) - 1]
            writer.write(answer)
            if answer != ALLOW and answer:
                break
        writer.close()

    async def whole() -> None:
        async with await asyncio.start_unix_server(connected, home / "plane.sock"):
            plane = Plane(f"unix:{home / 'plane.sock'}", timeout_s=timeout_s)
            await work(plane, came)
            plane.close()

    asyncio.run(whole())
    return came


def test_an_answer_that_breaks_off_is_none_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    """Where something of an answer has come, the question may have counted: it is not put again."""

    async def work(plane: Plane, _came: list[bytes]) -> None:
        assert await plane.post("/a", b"{}", "t") == (200, {"decision": True})
        with pytest.raises(Unavailable) as refused:
            await plane.post("/b", b"{}", "t")
        assert refused.value.code == "plane_unreachable"

    came = answering(tmp_path, [ALLOW, ALLOW[:30], ALLOW], work)
    assert [one.split()[1] for one in came] == [b"/a", b"/b"]


@pytest.mark.parametrize(
    "answer",
    [
        f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_ANSWER + 1}\r\n\r\n".encode() + ALLOW[-17:].ljust(MAX_ANSWER + 1),
        b"HTTP/1.1 200 OK\r\n\r\n" + ALLOW[-17:],
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + ALLOW[-17:],
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + ALLOW[-17:],
        b"HTTP/1.1 OK 200\r\nContent-Length: 17\r\n\r\n" + ALLOW[-17:],
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (64 << 10),
        ALLOW[:-17] + b"no json, 17 bytes",
    ],
)
def test_an_answer_that_cannot_be_read_allows_nothing(tmp_path: Path, answer: bytes) -> None:
    """Too long, of no known length, or no answer at all."""

    async def work(plane: Plane, _came: list[bytes]) -> None:
        with pytest.raises(Unavailable):
            await plane.post("/a", b"{}", "t")

    answering(tmp_path, [answer], work)


def test_a_plane_that_hangs_is_given_up(tmp_path: Path) -> None:
    """In time; and the connection with it."""

    async def work(plane: Plane, came: list[bytes]) -> None:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(plane.post("/a", b"{}", "t"), 20)
        assert len(came) == 1
        assert await plane.post("/b", b"{}", "t") == (200, {"decision": True})

    assert len(answering(tmp_path, [b"", ALLOW], work, timeout_s=0.2)) == 2


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "https://127.0.0.1:1", "ftp://x", "unix", ""])
def test_an_address_that_shows_nobody_who_we_are_is_refused(address: str) -> None:
    """A Unix socket knows our user, mTLS our certificate; anything else knows nobody."""
    with pytest.raises(ConfigError) as refused:
        Plane(address)
    assert refused.value.code == "pep_address"


class Stub:
    """What a governor asks of its task: who it is, and whether it is still there."""

    id = "tsk_1"
    state = "open"
    token = flyball_sdk.Secret("t")

    async def wait_lost(self) -> None:
        await asyncio.Event().wait()

    async def watch(self, _known: str) -> str:
        await asyncio.Event().wait()
        raise AssertionError


def whole(answer: object, status: str = "200 OK") -> bytes:
    body = json.dumps(answer).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def checked(home: Path, answer: bytes) -> str:
    """The decision that a governor makes of this answer of the plane's."""
    found: list[str] = []

    async def work(plane: Plane, _came: list[bytes]) -> None:
        governor = Governor(cast("flyball_sdk.aio.Task", Stub()), plane, "agent", {})
        try:
            found.append(await governor.check(Ask("look", "look", {})))
        finally:
            governor._watching.cancel()

    answering(home, [answer], work)
    return found[0]


@pytest.mark.parametrize(
    ("status", "taken"),
    [("200 OK", True), ("409 Conflict", False), ("400 Bad Request", None), ("503 Service Unavailable", None)],
)
def test_a_result_is_taken_or_was_before_or_is_withheld(tmp_path: Path, status: str, taken: bool | None) -> None:
    """Anything but these two is an error, and so the client does not get it."""
    found: list[bool] = []

    async def work(plane: Plane, _came: list[bytes]) -> None:
        governor = Governor(cast("flyball_sdk.aio.Task", Stub()), plane, "agent", {})
        try:
            found.append(await governor.report("dec_1", "text", size=4, ms=1))
        except Unavailable as refused:
            assert refused.code == "some_reason"  # noqa: PT017 - whether it is raised is the parameter
        finally:
            governor._watching.cancel()

    answering(tmp_path, [whole({"type": "urn:flyball:some_reason"}, status)], work)
    assert found == ([] if taken is None else [taken])


ALLOWED = {"effect": "allow", "id": "dec_1"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"decision": True, "context": {"effect": "allow"}}, "denied"),
        ({"decision": True, "context": {"effect": "deny", "id": "dec_1", "reason": "why"}}, "why"),
        ({"decision": True, "context": {"effect": "require_approval", "id": "dec_1"}}, "denied"),
        ({"decision": False, "context": {**ALLOWED, "reasons": ["first", "second"]}}, "first"),
        ({"decision": "true", "context": ALLOWED}, "denied"),
        ({"decision": 1, "context": ALLOWED}, "denied"),
        ({"decision": True}, "denied"),
        ({"decision": True, "context": []}, "denied"),
        ({"decision": True, "context": {"effect": "allow", "id": 7}}, "denied"),
        ({}, "denied"),
        ([], "denied"),
    ],
)
def test_an_allow_says_so_in_all_its_parts(tmp_path: Path, answer: object, reason: str) -> None:
    """Its decision, its effect and its id: where one of them is missing or says otherwise, nothing is allowed."""
    assert checked(tmp_path, whole({"decision": True, "context": ALLOWED})) == "dec_1"
    with pytest.raises(Refused) as refused:
        checked(tmp_path, whole(answer))
    assert refused.value.refusal.reason == reason


@pytest.mark.parametrize("status", ["500 Internal Server Error", "401 Unauthorized", "202 Accepted", "302 Found"])
def test_an_allow_comes_with_200(tmp_path: Path, status: str) -> None:
    """With any other status nothing was decided, whatever the body says."""
    with pytest.raises(Unavailable):
        checked(tmp_path, whole({"decision": True, "context": ALLOWED}, status))
