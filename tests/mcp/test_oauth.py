"""The gateway's own token at a server that wants OAuth: had, renewed, refused; and what a hostile server gets it to do
(nothing)."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import stat
from pathlib import Path

import pytest
from aiohttp import web
from joserfc import jwk, jwt
from tests.mcp.authority import Place, called, linked, logged_in

from flyball.edges.mcp.oauth import client as clients
from flyball.edges.mcp.oauth.client import Authorized
from flyball.edges.mcp.oauth.logins import Logins
from flyball.edges.mcp.oauth.settings import OAuth
from flyball.kernel.errors import FlyballError, Unavailable


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
            with pytest.raises(FlyballError, match="another authorization server"):
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
            with pytest.raises(Unavailable, match="is not asked"):
                await one.challenged(401, [challenge], "")
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
            good = b'{"access_token": "x", "token_type": "Bearer"}'
            answers = [
                (web.Response(body=b" " * (300 << 10) + good, content_type="application/json"), "more than"),
                (web.Response(body=gzip.compress(good), headers={"Content-Encoding": "gzip"}), "encoding"),
                (web.Response(status=307, headers={"Location": f"{elsewhere.base}/token"}), "307"),
                (web.Response(status=302, headers={"Location": f"{elsewhere.base}/token"}), "302"),
                (web.Response(body=b"not json", content_type="application/json"), "[Ii]nvalid"),
                (web.Response(status=500), "500"),
            ]
            for answer, why in answers:
                place.token_answer = lambda _request, answer=answer: answer  # type: ignore[misc]
                one, link = linked(place, by_secret(place, tmp_path), logins)
                with pytest.raises(Unavailable, match=why):
                    await one.challenged(401, [], "")
                await link.end()
            assert len(place.asked) == len(answers)
            assert elsewhere.asked == []

    asyncio.run(work())


def test_an_authorization_server_that_was_down(logins: Logins) -> None:
    """What is kept outlives its fault: when it answers again the token is renewed, without a person."""

    async def work() -> None:
        async with Place.running() as place:
            await logged_in(place, logins)
            one, link = linked(place, OAuth(), logins)
            place.good.clear()
            place.token_answer = lambda _request: web.Response(status=503)
            assert "login_required" in str(await called(link))
            place.token_answer = None
            assert "login_required" in str(await called(link))  # it rests for a while
            one._rest_until = 0.0
            assert "result" in await called(link)
            assert len(place.asked) == 3
            await link.end()

    asyncio.run(work())
