"""The gateway's line to the decision plane, where what answers is slow, long, or gone in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from flyball.edges.mcp.plane import MAX_ANSWER, Plane
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
        f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_ANSWER + 1}\r\n\r\n".encode() + b" " * (MAX_ANSWER + 1),
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
