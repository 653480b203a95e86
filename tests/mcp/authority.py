"""An MCP server that wants OAuth and its authorization server, on loopback, and a person's browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import httpx2
from aiohttp import web
from tests.mcp.test_remote import GOOD, answered, call

from flyball.edges.mcp.oauth.client import Authorized
from flyball.edges.mcp.oauth.login import login
from flyball.edges.mcp.oauth.logins import Kept, Logins
from flyball.edges.mcp.oauth.settings import OAuth
from flyball.edges.mcp.remote import Remote

Form = dict[str, str]


class Place:
    """An MCP server and its authorization server, on loopback. It takes the tokens that are in `good`."""

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.refreshes: dict[str, str] = {"r0": "r1", "r1": "r2"}
        self.asked: list[Form] = []
        self.seen: list[str] = []
        self.registered: list[dict[str, object]] = []
        self.revoked: list[Form] = []
        self.revoking = {"refresh_token": 200, "access_token": 200}
        self.metadata_url = ""
        self.issuer = ""
        self.token_answer: Callable[[web.Request], web.Response] | None = None
        self.wanted = ""
        self.echo = False
        self._count = 0

    async def mcp(self, request: web.Request) -> web.Response:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.seen.append(shown)
        if shown not in self.good:
            place = f'Bearer resource_metadata="{self.metadata_url}"'
            return web.Response(status=401, headers={"WWW-Authenticate": place} if self.metadata_url else {})
        if self.wanted:
            told = f'Bearer error="insufficient_scope", scope="{self.wanted}"'
            return web.Response(status=403, headers={"WWW-Authenticate": told})
        body = GOOD.replace(b"[]", json.dumps([{"type": "text", "text": shown}]).encode()) if self.echo else GOOD
        return web.Response(body=body, content_type="application/json")

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append({**form, "_authorization": request.headers.get("Authorization", "")})
        if self.token_answer is not None:
            return self.token_answer(request)
        if form["grant_type"] == "refresh_token":
            after = self.refreshes.pop(form["refresh_token"], None)
            if after is None:
                return web.json_response({"error": "invalid_grant"}, status=400)
            return self._granted(after)
        return self._granted("r0" if form["grant_type"] == "authorization_code" else None)

    def _granted(self, refresh: str | None) -> web.Response:
        self._count += 1
        token = f"access-token-{self._count}"
        self.good.add(token)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": "mail.read"}
        return web.json_response({**body, **({"refresh_token": refresh} if refresh else {})})

    async def register(self, request: web.Request) -> web.Response:
        self.registered.append(await request.json())
        return web.json_response({**self.registered[-1], "client_id": "given", "client_secret": "given-secret"})

    async def revoke(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.revoked.append(form)
        return web.Response(status=self.revoking[form["token_type_hint"]])

    async def resource(self, _request: web.Request) -> web.Response:
        return web.json_response({"resource": f"{self.base}/mcp", "authorization_servers": [self.issuer]})

    async def metadata(self, _request: web.Request) -> web.Response:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "registration_endpoint": "register"}
        paths["revocation_endpoint"] = "revoke"
        found = {name: f"{self.base}/{path}" for name, path in paths.items()}
        more = {"response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"]}
        return web.json_response({"issuer": self.issuer, **found, **more})

    base = ""

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Place]:
        place = cls()
        app = web.Application()
        app.router.add_post("/mcp", place.mcp)
        app.router.add_get("/.well-known/oauth-protected-resource/mcp", place.resource)
        app.router.add_get("/.well-known/oauth-authorization-server", place.metadata)
        for name in ("token", "register", "revoke"):
            app.router.add_post(f"/{name}", getattr(place, name))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        place.base = place.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield place
        finally:
            await runner.cleanup()

    @property
    def url(self) -> str:
        return f"{self.base}/mcp"


def browsing(place: Place, change: Callable[[Form], Form] = dict) -> Callable[[str], None]:
    """A person's browser: goes back with a code, and with what `change` makes of it."""
    going: set[asyncio.Task[None]] = set()

    def show(page: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
        assert page.startswith(f"{place.base}/authorize?")
        assert asked["code_challenge_method"] == "S256"
        back = change({"code": "c", "state": asked["state"], "iss": place.issuer})

        async def go() -> None:
            async with httpx2.AsyncClient() as http:
                await http.get(asked["redirect_uri"], params=back)

        going.add(asyncio.ensure_future(go()))

    return show


async def logged_in(place: Place, logins: Logins, **more: object) -> Kept:
    given = {"oauth": OAuth(), "scope": "", "port": 0, "show": browsing(place), "wait_s": 20.0, **more}
    oauth = given.pop("oauth")
    return await login("mail", place.url, oauth, logins, **given)  # type: ignore[arg-type]


def linked(place: Place, oauth: OAuth, logins: Logins) -> tuple[Authorized, Remote]:
    one = Authorized("mail", place.url, oauth, logins)
    return one, Remote(place.url, one.shown, challenged=one.challenged)


async def called(link: Remote) -> dict[str, object]:
    return dict((await answered(link, call())).body)
