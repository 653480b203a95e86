"""The gateway's side towards a server over HTTP: what it sends, and what it does with one that misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from tests.certified import certificate, pem
from tests.mcp.inner import MODERN

from flyball.edges.mcp import remote
from flyball.edges.mcp.remote import Remote, bearer
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Frame, Object, Value

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
GOOD = b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}'
SCHEMA: Object = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "absent": {"type": "string", "x-mcp-header": "Absent"},
        "in": {"type": "object", "properties": {"deep": {"type": "boolean", "x-mcp-header": "Deep"}}},
    },
}


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None, **more: object) -> AsyncIterator[Remote]:
    """A link to a server that answers so, over TLS where it has some."""
    app = web.Application()
    app.router.add_route("*", "/mcp", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    scheme = "http" if tls is None else "https"
    link = Remote(f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/mcp", **more)  # type: ignore[arg-type]
    try:
        yield link
    finally:
        await link.end()
        await runner.cleanup()


def call(**arguments: Value) -> bytes:
    params: Object = {"name": "t", "arguments": arguments, "_meta": MODERN}
    return frames.request(1, "tools/call", params)


async def answered(link: Remote, raw: bytes) -> Frame:
    await link.send(raw)
    async with asyncio.timeout(20):
        async for message in link.messages():
            return frames.frame_of(message)
    raise AssertionError("nothing came")


def test_arguments_that_a_server_wants_in_headers_get_there() -> None:
    """By the schema's annotations, encoded where they must be; what is absent is not mirrored. The method and the name
    are the body's own."""
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(body=GOOD, content_type="application/json")

    async def work() -> None:
        async with serving(answer, schema=lambda _name: SCHEMA) as link:
            await answered(link, call(**{"region": "köln", "count": 3, "in": {"deep": True}}))

    asyncio.run(work())
    mirrored = {name: value for name, value in seen[0].items() if name.startswith("mcp-")}
    assert mirrored == {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "t",
        "mcp-param-region": "=?base64?a8O2bG4=?=",
        "mcp-param-count": "3",
        "mcp-param-deep": "true",
    }


async def _encoded(_request: web.Request) -> web.StreamResponse:
    headers = {"Content-Encoding": "gzip"}
    return web.Response(body=gzip.compress(GOOD), headers=headers, content_type="application/json")


async def _elsewhere(request: web.Request) -> web.StreamResponse:
    if request.query_string:
        return web.Response(body=GOOD, content_type="application/json")
    raise web.HTTPTemporaryRedirect(f"{request.url}?again")


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(80):
        await response.write(b"data: " + b"x" * (64 << 10) + b"\n")
    await response.write(b"\ndata: " + GOOD + b"\n\n")
    return response


async def _endless_json(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(80):
        await response.write(b" " * (64 << 10))
    await response.write(GOOD)
    return response


async def _half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b'data: {"jsonrpc":"2.0","id":1,"result":{"cont')
    assert request.transport is not None
    request.transport.abort()
    return response


async def _nothing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=202)


async def _page(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>", status=502, content_type="text/html")


@pytest.mark.parametrize("answer", [_encoded, _elsewhere, _endless, _endless_json, _half, _nothing, _page])
def test_a_server_that_does_not_answer_as_it_should(answer: Answer) -> None:
    """Compressed unasked, sent elsewhere, without end, dead in the middle of an answer, without one, a page instead:
    the request is answered with an error of ours, and nothing of what came is passed on."""

    async def work() -> None:
        async with serving(answer) as link:
            told = await answered(link, call())
            assert told.body["error"] == {"code": frames.INTERNAL, "message": "the server did not answer"}

    asyncio.run(work())


def test_a_server_that_is_not_there() -> None:
    """The same."""

    async def work() -> None:
        link = Remote("http://127.0.0.1:1/mcp")
        assert "error" in (await answered(link, call())).body
        await link.end()

    asyncio.run(work())


def test_a_server_that_no_authority_vouches_for_is_shown_nothing(tmp_path: Path) -> None:
    """Its certificate names it, by an authority that the system does not know: not even a request gets there."""
    authority = certificate("authority", [], None)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*pem(tmp_path, "server", certificate("server", [], authority)))
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.Response(body=GOOD, content_type="application/json")

    async def work() -> None:
        async with serving(answer, tls) as link:
            told = await answered(link, call())
            assert told.body["error"] == {"code": frames.INTERNAL, "message": "the server did not answer"}

    asyncio.run(work())
    assert not seen


def test_a_link_reads_no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the system's takes tens of milliseconds, in which a shared gateway answers nobody: once for all links."""

    def read(_context: ssl.SSLContext, _purpose: object = None) -> None:
        raise AssertionError("read for one link")

    async def work() -> None:
        await Remote("https://127.0.0.1:1/mcp").end()

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", read)
    asyncio.run(work())


def test_closing_the_response_is_the_cancellation() -> None:
    """In the stateless revision: the server sees its client go, and nothing more is passed on."""
    gone = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if json.loads(await request.read())["method"] != "tools/call":
            return web.Response(status=202)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n')
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            gone.set()
            raise
        return response

    async def work() -> None:
        async with serving(answer) as link:
            assert (await answered(link, call())).method == "notifications/progress"
            await link.send(frames.notification("notifications/cancelled", {"requestId": 1}))
            await asyncio.wait_for(gone.wait(), 20)

    asyncio.run(work())


def test_what_is_shown_is_the_gateways_own(tmp_path: Path) -> None:
    """The token in its file, read for each request; where it cannot be read nothing is sent, and the answer says so."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        return web.Response(body=GOOD, content_type="application/json")

    file = tmp_path / "token"

    async def work() -> None:
        async with serving(answer, shown=bearer(file)) as link:
            for token in ("first", "second"):
                file.write_text(f"{token}\n")
                await answered(link, call())
            file.unlink()
            told = await answered(link, call())
            assert "bearer_file" in str(told.body["error"])

    asyncio.run(work())
    assert seen == ["Bearer first", "Bearer second"]


def test_no_cookie_goes_back() -> None:
    """One server's callers share no state but what the protocol has; a cookie would be one more."""
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Cookie"))
        response = web.Response(body=GOOD, content_type="application/json")
        response.set_cookie("session", "s")
        return response

    async def work() -> None:
        async with serving(answer) as link:
            named = Remote(link._url.replace("127.0.0.1", "localhost"))  # an address has no cookies
            for _ in range(2):
                await answered(named, call())
            await named.end()

    asyncio.run(work())
    assert seen == [None, None]


def test_what_a_lease_put_into_headers_is_kept_from_the_client() -> None:
    """The part that is the secret, beside the header that it stood in."""

    async def answer(request: web.Request) -> web.StreamResponse:
        text = {"content": [{"type": "text", "text": f"{request.headers['X-Key']} and the-secret and its-bearer"}]}
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": text})

    async def shown() -> dict[str, str]:
        return {"X-Key": "user:the-secret", "Authorization": "Bearer its-bearer"}

    def hide(raw: bytes) -> bytes:
        return raw.replace(b"the-secret", b"[lease]")

    async def work() -> None:
        async with serving(answer, shown=shown, hide=hide) as link:
            assert b"[withheld] and [lease] and [withheld]" in (await answered(link, call())).raw

    asyncio.run(work())


def test_a_stream_is_taken_up_again_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the older revision that breaks its stream off after each event, never answers, and would have us
    wait for weeks."""
    monkeypatch.setattr(remote, "_LONGEST_PAUSE_S", 0.001)
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            return web.Response(status=204)
        if request.method == "POST" and json.loads(await request.read())["method"] == "initialize":
            body = {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-11-25"}}
            return web.json_response(body, headers={"Mcp-Session-Id": "s"})
        asked.append(request.headers.get("Last-Event-ID", ""))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"id: e{len(asked)}\nretry: 99999999\ndata: \n\nid: torn".encode())
        return response

    async def work() -> None:
        async with serving(answer) as link:
            await answered(link, frames.request(0, "initialize", {}))
            told = await answered(link, frames.request(1, "tools/call", {"name": "t"}))
            assert "error" in told.body

    asyncio.run(work())
    assert asked == ["", *(f"e{at}" for at in range(1, remote.RESUMED + 1))]
