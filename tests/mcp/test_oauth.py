"""The gateway's own token at a server that wants OAuth: had, renewed, refused, given back; and what a hostile server
gets it to do (nothing)."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from aiohttp import web
from joserfc import jwk, jwt
from tests.mcp.test_remote import GOOD, answered, call

from flyball.edges.mcp.oauth import client as clients
from flyball.edges.mcp.oauth.client import Authorized
from flyball.edges.mcp.oauth.login import login, logout
from flyball.edges.mcp.oauth.logins import Kept, Logins
from flyball.edges.mcp.oauth.settings import OAuth
from flyball.edges.mcp.remote import Remote
from flyball.edges.mcp.servers import read
from flyball.kernel.errors import ConfigError, Conflict, FlyballError, Unavailable

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
        self.revoked.append({name: str(value) for name, value in (await request.post()).items()})
        return web.Response()

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


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return Logins(tmp_path / "logins")


def test_a_person_logs_in_once_and_the_gateway_renews(logins: Logins) -> None:
    """The login is kept in a private file; a token that the server no longer takes is renewed by its refresh token,
    once for all calls, and the call goes through; the refresh token that came back is the one that is used next."""

    async def work() -> None:
        async with Place.running() as place:
            kept = await logged_in(place, logins)
            assert kept.tokens is not None
            assert (kept.tokens.scope, kept.tokens.refresh_token) == ("mail.read", "r0")
            assert stat.S_IMODE(logins.file("mail").stat().st_mode) == 0o600
            assert stat.S_IMODE(logins.folder.stat().st_mode) == 0o700
            assert place.asked[0]["resource"] == place.url
            one, link = linked(place, OAuth(), logins)
            assert "result" in await called(link)
            place.good.clear()
            shown = await one.shown()
            results = await asyncio.gather(*(one.challenged(401, [], shown["Authorization"]) for _ in range(5)))
            assert results == [True] * 5
            assert "result" in await called(link)
            place.good.clear()
            assert "result" in await called(link)
            assert [form.get("refresh_token") for form in place.asked[1:]] == ["r0", "r1"]
            assert logins.read("mail", place.url).tokens == one_token(logins, place)
            await link.end()

    def one_token(kept: Logins, place: Place) -> object:
        tokens = kept.read("mail", place.url).tokens
        assert tokens is not None
        assert tokens.refresh_token == "r2"
        assert tokens.access_token in place.good
        return tokens

    asyncio.run(work())


def test_a_token_is_renewed_before_its_end(logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a refusal: what ends within the half minute is renewed first."""

    async def work() -> None:
        async with Place.running() as place:
            await logged_in(place, logins)
            one, link = linked(place, OAuth(), logins)
            monkeypatch.setattr(clients, "_EARLY_S", 3590.0)
            await one.shown()
            assert len(place.asked) == 1
            monkeypatch.setattr(clients, "_EARLY_S", 3601.0)
            assert "result" in await called(link)
            assert place.asked[1]["grant_type"] == "refresh_token"
            assert "access-token-1" not in place.seen
            await link.end()

    asyncio.run(work())


def test_without_a_person_the_call_fails_and_says_so(logins: Logins) -> None:
    """Nobody has logged in; or the refresh token is refused: the call gets an error, the authorization server is not
    asked again for a while, and what is kept stays. A new login is taken up without a restart."""

    async def work() -> None:
        async with Place.running() as place:
            _, link = linked(place, OAuth(), logins)
            assert "login_required" in str(await called(link))
            assert place.asked == []
            await logged_in(place, logins)
            assert "result" in await called(link)
            place.good.clear()
            place.refreshes.clear()
            before = logins.file("mail").read_bytes()
            for _ in range(3):
                assert "login_required" in str(await called(link))
            assert [form["grant_type"] for form in place.asked] == ["authorization_code", "refresh_token"]
            assert logins.file("mail").read_bytes() == before
            await logged_in(place, logins)
            assert "result" in await called(link)
            await link.end()

    asyncio.run(work())


def test_what_is_wanted_more_is_asked_for_at_the_next_login(logins: Logins) -> None:
    """A call that a scope is missing for fails; the login after it asks for what was granted and for that."""

    async def work() -> None:
        async with Place.running() as place:
            await logged_in(place, logins)
            _, link = linked(place, OAuth(), logins)
            place.wanted = "mail.send"
            assert "insufficient_scope" in str(await called(link))
            assert logins.read("mail", place.url).wanted == "mail.send"
            place.wanted = ""
            pages: list[str] = []

            def show(page: str) -> None:
                pages.append(page)
                browsing(place)(page)

            kept = await logged_in(place, logins, show=show)
            assert parse_qs(urlsplit(pages[0]).query)["scope"] == ["mail.read mail.send"]
            assert kept.wanted == ""
            await link.end()

    asyncio.run(work())


def test_a_token_goes_to_the_server_that_it_is_of(logins: Logins) -> None:
    """Where the servers' file names another URL under the same name, the login is none."""

    async def work() -> None:
        async with Place.running() as place, Place.running() as other:
            await logged_in(place, logins)
            _, link = linked(other, OAuth(), logins)
            assert "login_required" in str(await called(link))
            assert set(other.seen) == {""}
            assert logins.read("mail", place.url).tokens is not None
            await link.end()

    asyncio.run(work())


def test_a_server_that_tells_its_token_is_not_heard(logins: Logins) -> None:
    """What we showed is taken out of what the server says."""

    async def work() -> None:
        async with Place.running() as place:
            await logged_in(place, logins)
            _, link = linked(place, OAuth(), logins)
            place.echo = True
            body = await called(link)
            assert place.seen[-1] == "access-token-1"
            assert "access-token" not in json.dumps(body)
            assert "[withheld]" in json.dumps(body)
            await link.end()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("back", "code"),
    [
        (lambda form: {"error": "access_denied", "state": form["state"]}, "refused: access_denied"),
        (lambda form: {"state": form["state"]}, "refused: no code came"),
        (lambda form: {**form, "iss": "https://elsewhere.example.com"}, "iss"),
    ],
)
def test_a_login_that_fails_leaves_the_one_before(logins: Logins, back: Callable[[Form], Form], code: str) -> None:
    """The person says no, nothing comes, or another authorization server answers (RFC 9207): the one before goes on."""

    async def work() -> None:
        async with Place.running() as place:
            await logged_in(place, logins)
            before = logins.file("mail").read_bytes()
            with pytest.raises(Unavailable, match=code):
                await logged_in(place, logins, show=browsing(place, back))
            assert logins.file("mail").read_bytes() == before
            assert len(place.asked) == 1

    asyncio.run(work())


def test_what_comes_back_with_another_state_is_nothing(logins: Logins) -> None:
    """Somebody else's page cannot end a login, nor put a code under it: it is a 404, and the login goes on waiting."""

    async def work() -> None:
        async with Place.running() as place:
            statuses: list[int] = []

            def show(page: str) -> None:
                asked = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}

                async def go() -> None:
                    async with httpx2.AsyncClient() as http:
                        for state in ("", "x", asked["state"] + "x", asked["state"], asked["state"]):
                            answer = await http.get(asked["redirect_uri"], params={"code": "c", "state": state})
                            statuses.append(answer.status_code)

                going.append(asyncio.ensure_future(go()))

            going: list[asyncio.Task[None]] = []
            await logged_in(place, logins, show=show)
            await asyncio.gather(*going, return_exceptions=True)
            assert statuses[:4] == [404, 404, 404, 200]
            assert 200 not in statuses[4:]

    asyncio.run(work())


def test_a_person_who_does_not_come_ends_the_login(logins: Logins) -> None:
    """The time is over: an error, and nothing is kept."""

    async def work() -> None:
        async with Place.running() as place:
            with pytest.raises(Unavailable, match="in time"):
                await logged_in(place, logins, show=lambda _page: None, wait_s=0.5)
            assert not logins.file("mail").exists()

    asyncio.run(work())


def secret_of(tmp_path: Path, text: str = "s3cret-of-ours") -> Path:
    file = tmp_path / "client.secret"
    file.touch(mode=0o600)
    file.write_text(text)
    return file


def by_secret(place: Place, tmp_path: Path) -> OAuth:
    return OAuth(
        grant="client_credentials",
        issuer=place.issuer,
        client_id="flyball",
        secret_file=secret_of(tmp_path),
        scope="a b",
    )


def test_client_credentials_need_nobody(logins: Logins, tmp_path: Path) -> None:
    """The token is had when the server first asks for one, had anew when it takes it no more, once for calls that come
    together, and written down nowhere."""

    async def work() -> None:
        async with Place.running() as place:
            _, link = linked(place, by_secret(place, tmp_path), logins)
            assert "result" in await called(link)
            assert (place.asked[0]["grant_type"], place.asked[0]["scope"]) == ("client_credentials", "a b")
            shown = base64.b64decode(place.asked[0]["_authorization"].removeprefix("Basic ")).decode()
            assert shown == "flyball:s3cret-of-ours"
            place.good.clear()
            one, other = linked(place, by_secret(place, tmp_path), logins)
            assert await asyncio.gather(*(one.challenged(401, [], "") for _ in range(4))) == [True] * 4
            assert len(place.asked) == 2
            assert not logins.folder.exists()
            place.token_answer = lambda _request: web.json_response({"error": "invalid_client"}, status=401)
            place.good.clear()
            assert "oauth" in str(await called(link))
            await link.end()
            await other.end()

    asyncio.run(work())


def test_a_key_signs_for_its_authorization_server(logins: Logins, tmp_path: Path) -> None:
    """By private_key_jwt the assertion is for the issuer, and of a key that nobody is sent (RFC 7523)."""

    async def work() -> None:
        async with Place.running() as place:
            key = jwk.ECKey.generate_key("P-256")
            file = secret_of(tmp_path, key.as_pem(private=True).decode())
            oauth = OAuth(grant="client_credentials", issuer=place.issuer, client_id="flyball", key_file=file)
            _, link = linked(place, oauth, logins)
            assert "result" in await called(link)
            claims = jwt.decode(place.asked[0]["client_assertion"], key, algorithms=["ES256"]).claims
            assert (claims["iss"], claims["sub"]) == ("flyball", "flyball")
            assert str(claims["aud"]).rstrip("/") == place.issuer
            await link.end()

    asyncio.run(work())


def test_what_is_registered_at_one_goes_to_no_other(logins: Logins, tmp_path: Path) -> None:
    """A server that names another authorization server gets it neither the secret nor a registration; a person is not
    sent there."""

    async def work() -> None:
        async with Place.running() as place, Place.running() as thief:
            oauth = by_secret(place, tmp_path)
            by_person = OAuth(issuer=place.issuer, client_id="flyball", secret_file=oauth.secret_file)
            place.issuer = thief.base
            _, link = linked(place, oauth, logins)
            assert "oauth" in str(await called(link))
            with pytest.raises(FlyballError, match=r"another authorization server|once more"):
                await logged_in(place, logins, oauth=by_person, show=pytest.fail)
            assert (place.asked, thief.asked, place.registered, thief.registered) == ([], [], [], [])
            await link.end()

    asyncio.run(work())


@pytest.mark.parametrize(
    "place_of_metadata", ["http://192.0.2.7/meta", "ftp://example.com/meta", "http://example.com/meta", "//x/meta"]
)
def test_nothing_goes_in_clear(logins: Logins, tmp_path: Path, place_of_metadata: str) -> None:
    """A server cannot have us ask somewhere in clear, or by another protocol."""

    async def work() -> None:
        async with Place.running() as place:
            place.metadata_url = place_of_metadata
            one, link = linked(place, by_secret(place, tmp_path), logins)
            challenge = f'Bearer resource_metadata="{place_of_metadata}"'
            with pytest.raises(Unavailable) as refused:
                await one.challenged(401, [challenge], "")
            assert "is not asked" in refused.value.detail or "no token" in refused.value.detail
            assert place.asked == []
            await link.end()

    asyncio.run(work())


def test_a_server_elsewhere_has_nothing_asked_of_this_machine(logins: Logins, tmp_path: Path) -> None:
    """What listens on loopback here is not asked because a server on the web names it."""

    async def work() -> None:
        async with Place.running() as place:
            oauth = by_secret(place, tmp_path)
            one = Authorized("mail", "https://mail.example.com/mcp", oauth, logins)
            challenge = f'Bearer resource_metadata="{place.base}/.well-known/oauth-protected-resource/mcp"'
            with pytest.raises(Unavailable, match="is not asked"):
                await one.challenged(401, [challenge], "")

    asyncio.run(work())


def test_answers_are_bounded(logins: Logins, tmp_path: Path) -> None:
    """An answer without end, in an encoding that was not asked for, or that leads elsewhere gives no token."""

    async def work() -> None:
        async with Place.running() as place, Place.running() as elsewhere:
            answers = [
                web.Response(body=b" " * (300 << 10), content_type="application/json"),
                web.Response(body=b"x", headers={"Content-Encoding": "gzip"}),
                web.Response(status=307, headers={"Location": f"{elsewhere.base}/token"}),
                web.Response(status=302, headers={"Location": f"{elsewhere.base}/token"}),
                web.Response(body=b"not json", content_type="application/json"),
                web.Response(status=500),
            ]
            for answer in answers:
                place.token_answer = lambda _request, answer=answer: answer  # type: ignore[misc]
                one, link = linked(place, by_secret(place, tmp_path), logins)
                with pytest.raises(Unavailable):
                    await one.challenged(401, [], "")
                await link.end()
            assert len(place.asked) == len(answers)
            assert elsewhere.asked == []

    asyncio.run(work())


def test_a_server_that_wants_no_login_is_told(logins: Logins) -> None:
    """There is nothing to log in to: a conflict that says so, not a page."""

    async def work() -> None:
        async with Place.running() as place:
            place.good.add("")
            place.issuer = "https://nowhere.invalid"
            with pytest.raises(Conflict, match="asks for no login"):
                await logged_in(place, logins)

    asyncio.run(work())


def test_a_token_is_given_back(logins: Logins) -> None:
    """Logging out revokes both tokens there (RFC 7009) and forgets them here."""

    async def work() -> None:
        async with Place.running() as place:
            await logged_in(place, logins)
            assert await logout("mail", place.url, OAuth(), logins)
            assert [(form["token"], form["token_type_hint"]) for form in place.revoked] == [
                ("r0", "refresh_token"),
                ("access-token-1", "access_token"),
            ]
            assert not logins.file("mail").exists()
            _, link = linked(place, OAuth(), logins)
            assert "login_required" in str(await called(link))
            await link.end()

    asyncio.run(work())


def test_a_file_that_is_no_login_is_refused(logins: Logins) -> None:
    """Broken, or open to others: an error that says what to do, and nothing is shown."""

    async def work() -> None:
        async with Place.running() as place:
            await logged_in(place, logins)
            file = logins.file("mail")
            file.chmod(0o644)
            with pytest.raises(ConfigError) as refused:
                logins.read("mail", place.url)
            assert refused.value.code == "key_file"
            file.chmod(0o600)
            file.write_text("{}")
            with pytest.raises(ConfigError) as refused:
                logins.read("mail", place.url)
            assert refused.value.code == "logins"
            _, link = linked(place, OAuth(), logins)
            assert "logins" in str(await called(link))
            assert "access-token-1" not in place.seen
            await link.end()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("oauth", "why"),
    [
        ([], "is an object"),
        ({"grand": "x"}, "no member"),
        ({"grant": "password"}, "knows the grants"),
        ({"grant": "client_credentials"}, "has `client_id` and one of"),
        ({"client_id": "x"}, "together"),
        ({"issuer": "https://x"}, "together"),
        ({"client_secret_file": "x"}, "of a `client_id`"),
        ({"client_id": "x", "issuer": "https://x", "client_key_file": "k"}, "client_credentials alone"),
        (
            {
                "grant": "client_credentials",
                "client_id": "x",
                "issuer": "y",
                "client_key_file": "k",
                "client_secret_file": "s",
            },
            "one of",
        ),
        ({"client_metadata_url": "http://x/y"}, "https URL with a path"),
        ({"client_metadata_url": "https://x"}, "https URL with a path"),
        ({"client_metadata_url": "https://x/y", "client_id": "x", "issuer": "https://x"}, "no `client_id`"),
        (
            {"client_id": "x", "issuer": "y", "client_secret_file": "s", "token_endpoint_auth_method": "none"},
            "client_secret_basic",
        ),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, oauth: object, why: str) -> None:
    """A member that is unknown, half or for something else is refused by name."""
    file = tmp_path / "servers.json"
    file.write_text(json.dumps({"servers": {"mail": {"url": "https://x/mcp", "oauth": oauth}}}))
    with pytest.raises(ConfigError, match=why):
        read(file)


def test_oauth_is_of_servers_at_a_url(tmp_path: Path) -> None:
    """A command has no OAuth, and one token is enough."""
    file = tmp_path / "servers.json"
    for one in ({"command": ["x"]}, {"url": "https://x/mcp", "bearer_file": "t"}):
        file.write_text(json.dumps({"servers": {"mail": {**one, "oauth": {}}}}))
        with pytest.raises(ConfigError, match="goes with a `url`"):
            read(file)
