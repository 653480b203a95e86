"""A person's login: once, in a browser, for the gateway's own token at a server; and its end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from importlib import metadata
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx2
from aiohttp import web
from mcp.client.auth.utils import union_scopes
from mcp.shared.auth import AuthorizationCodeResult

from flyball.edges.mcp.oauth.carrier import REVISION, Carrier, challenge_of, client_of, provider_of
from flyball.edges.mcp.oauth.logins import Kept, Logins, Storage
from flyball.edges.mcp.oauth.settings import OAuth
from flyball.edges.mcp.strict import is_safe
from flyball.enforcement.mcp import frames
from flyball.kernel.errors import ConfigError, Conflict, Unavailable

_CALLBACK: Final = "/callback"
_PAGE: Final = "<!doctype html><meta charset=utf-8><title>Flyball</title><p>{}</p><p>This page can be closed.</p>"


async def login(
    name: str,
    url: str,
    oauth: OAuth,
    logins: Logins,
    *,
    scope: str,
    port: int,
    show: Callable[[str], None],
    wait_s: float,
) -> Kept:
    """Log in: `show` is given the page for a person to open; what comes back is kept.

    Args:
        name: the server's.
        url: its URL.
        oauth: how a token is had.
        logins: where it is kept.
        scope: asked for beside what the server says and what calls were refused for; may be empty.
        port: that the browser comes back to, on loopback; 0: any.
        show: is given the page's URL.
        wait_s: how long the person has.

    Raises:
        Conflict: `no_login`: the server lets us in without, and says nothing of a login.
        Unavailable: `oauth`: it failed; the sentence says how.
        ConfigError: the port is taken; a secret cannot be read.
    """
    before = logins.read(name, url)
    answer = await _probe(url)
    granted = before.tokens.scope if before.tokens is not None and before.wanted else None
    wanted = union_scopes(union_scopes(oauth.scope or granted, before.wanted), scope)
    challenge = challenge_of(answer, wanted or "")
    # Nothing of an attempt that fails is kept: what was there before goes on.
    storage = Storage(logins, name, url, lasting=False)
    async with _Callback.listening(port) as callback:

        async def open_page(page: str) -> None:
            callback.expect(page)
            show(page)

        provider = provider_of(url, oauth, storage, redirect=callback.url, show=open_page, wait=callback.wait)
        try:
            shown = await Carrier(url, oauth, provider, storage).run(challenge, within_s=wait_s)
        except Unavailable as fault:
            if isinstance(fault.__cause__, TimeoutError) and callback.expected:
                raise Unavailable("nobody came back from the page in time", code="oauth") from fault
            if answer.status_code in (401, 403):
                raise
            why = f"the server asks for no login (it answered {answer.status_code}); {fault.detail}"
            raise Conflict(why, code="no_login", hint="leave `oauth` out") from fault
    if not shown or storage.kept.tokens is None:
        raise Unavailable("the authorization server gave no token", code="oauth")
    storage.commit()
    return storage.kept


class TakenBack(StrEnum):
    """What an authorization server took back."""

    ALL = "all"
    RENEWAL = "renewal"
    """What renews the token, not that one itself (RFC 7009, section 2.2.1: one that servers read by themselves, say),
    which is good until it ends."""
    NOTHING = "nothing"


async def logout(name: str, url: str, oauth: OAuth, logins: Logins) -> TakenBack:
    """Give the tokens back where the authorization server takes them (RFC 7009), and forget them. What it took.

    Raises:
        ConfigError: what `Logins.read` raises.
    """
    storage = Storage(logins, name, url)
    kept = storage.kept
    taken: dict[str, bool] = {}
    endpoint = None if kept.metadata is None else kept.metadata.revocation_endpoint
    if kept.tokens is not None and endpoint is not None and is_safe(str(endpoint)):
        context = provider_of(url, oauth, storage).context
        with contextlib.suppress(httpx2.HTTPError, OSError):
            async with client_of() as http:
                for kind, token in (
                    ("refresh_token", kept.tokens.refresh_token),
                    ("access_token", kept.tokens.access_token),
                ):
                    if token:
                        form = {"token": token, "token_type_hint": kind}
                        if kept.client is not None:
                            form["client_id"] = kept.client.client_id
                        form, headers = context.prepare_token_auth(form, {})
                        answer = await http.post(str(endpoint), data=form, headers=headers)
                        taken[kind] = answer.status_code == 200
    logins.forget(name)
    if taken and all(taken.values()):
        return TakenBack.ALL
    return TakenBack.RENEWAL if taken.get("refresh_token") else TakenBack.NOTHING


async def _probe(url: str) -> httpx2.Response:
    """What the server says to somebody who shows nothing: some greet everybody, and let nobody in who does not show."""
    us: frames.Object = {"name": "flyball", "version": metadata.version("flyball")}
    greeting: frames.Object = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": us}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    headers["MCP-Protocol-Version"] = REVISION
    try:
        async with client_of() as http:
            for method, params in (("initialize", greeting), ("tools/list", {})):
                asked = frames.request(1, method, params)
                request = http.build_request("POST", url, content=asked, headers=headers)
                answer = await http.send(request, stream=True, follow_redirects=False)
                await answer.aclose()
                if answer.status_code in (401, 403):
                    break
                if "Mcp-Session-Id" in answer.headers:
                    headers["Mcp-Session-Id"] = answer.headers["Mcp-Session-Id"]
    except (httpx2.HTTPError, OSError) as fault:
        raise Unavailable(f"the server cannot be reached ({type(fault).__name__})", code="server") from fault
    return answer


class _Callback:
    """Where the browser comes back to (RFC 8252, section 7.3): on loopback, for one state, once."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}{_CALLBACK}"
        self._state = ""
        self._came: asyncio.Future[AuthorizationCodeResult] = asyncio.get_running_loop().create_future()

    @classmethod
    @asynccontextmanager
    async def listening(cls, port: int) -> AsyncIterator[_Callback]:
        """Listen until it is left."""
        try:
            listener = socket.create_server(("127.0.0.1", port))
        except OSError as fault:
            raise ConfigError(f"port {port} is taken", code="port", hint="choose another with --port") from fault
        callback = cls(listener.getsockname()[1])
        app = web.Application()
        app.router.add_get(_CALLBACK, callback._came_back)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield callback
        finally:
            await runner.cleanup()

    def expect(self, page: str) -> None:
        """The page that a person is sent to; only what carries its state is taken."""
        self._state = parse_qs(urlsplit(page).query).get("state", [""])[0]

    @property
    def expected(self) -> bool:
        """Whether a person was sent there, and has not come back."""
        return bool(self._state) and (self._came.cancelled() or not self._came.done())

    async def wait(self) -> AuthorizationCodeResult:
        """What came back."""
        return await self._came

    async def _came_back(self, request: web.Request) -> web.Response:
        state, code = request.query.get("state", ""), request.query.get("code", "")
        if not self._state or not secrets.compare_digest(state.encode(), self._state.encode()) or self._came.done():
            return web.Response(status=404)  # somebody else's, or one from before
        if "error" in request.query or not code:
            why = "".join(one for one in request.query.get("error", "no code came") if one.isprintable())[:100]
            self._came.set_exception(ValueError(f"the authorization server refused: {why}"))
            return _page("Flyball was not let in.")
        self._came.set_result(AuthorizationCodeResult(code=code, state=state, iss=request.query.get("iss")))
        return _page("Flyball has what it needs.")


def _page(text: str) -> web.Response:
    shut = {
        "Content-Security-Policy": "default-src 'none'",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(text=_PAGE.format(text), content_type="text/html", headers=shut)
