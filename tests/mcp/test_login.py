"""A person's login at a server that wants OAuth, its end, and how it is set up."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from pydantic import AnyHttpUrl
from tests.mcp.authority import Form, Place, browsing, called, linked, logged_in

from flyball.edges.mcp.oauth import login as logging_in
from flyball.edges.mcp.oauth.login import TakenBack, logout
from flyball.edges.mcp.oauth.logins import Logins
from flyball.edges.mcp.oauth.settings import OAuth
from flyball.edges.mcp.servers import read
from flyball.kernel.errors import ConfigError, Conflict, Unavailable


def test_what_is_wanted_more_is_asked_for_at_the_next_login(logins: Logins) -> None:
    """A call that a scope is missing for fails; the login after it asks for what was granted and for that."""

    async def work() -> None:
        async with Place.running() as place:
            await logged_in(place, logins)
            _, link = linked(place, OAuth(), logins)
            place.wanted = "mail.send"
            assert "insufficient_scope" in str(await called(link))
            assert logins.read("mail", place.url).wanted == "mail.send"
            place.good.clear()
            await called(link)  # it is renewed, and still wanted
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
            assert set(statuses[4:]) <= {404}

    asyncio.run(work())


def test_a_person_who_does_not_come_ends_the_login(logins: Logins) -> None:
    """The time is over: an error, and nothing is kept."""

    async def work() -> None:
        async with Place.running() as place:
            with pytest.raises(Unavailable, match="nobody came back"):
                await logged_in(place, logins, show=lambda _page: None, wait_s=0.5)
            assert not logins.file("mail").exists()

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
            assert await logout("mail", place.url, OAuth(), logins) is TakenBack.ALL
            assert [(form["token"], form["token_type_hint"]) for form in place.revoked] == [
                ("r0", "refresh_token"),
                ("access-token-1", "access_token"),
            ]
            assert not logins.file("mail").exists()
            _, link = linked(place, OAuth(), logins)
            assert "login_required" in str(await called(link))
            await link.end()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("renewal", "access", "endpoint", "asked", "taken"),
    [
        (400, 400, "", 2, TakenBack.NOTHING),
        (400, 200, "", 2, TakenBack.NOTHING),
        (200, 400, "", 2, TakenBack.RENEWAL),
        (200, 200, "http://192.0.2.7/revoke", 0, TakenBack.NOTHING),
    ],
)
def test_a_token_that_nobody_takes_back_is_forgotten(
    logins: Logins,
    monkeypatch: pytest.MonkeyPatch,
    renewal: int,
    access: int,
    endpoint: str,
    asked: int,
    taken: TakenBack,
) -> None:
    """The authorization server refuses, or would have it in clear: it is said, and the login is gone here."""

    async def work() -> None:
        async with Place.running() as place:
            place.revoking = {"refresh_token": renewal, "access_token": access}
            kept = await logged_in(place, logins)
            assert kept.metadata is not None
            if endpoint:
                changed = kept.metadata.model_copy(update={"revocation_endpoint": AnyHttpUrl(endpoint)})
                logins.write("mail", kept.model_copy(update={"metadata": changed}))
                monkeypatch.setattr(logging_in, "client_of", lambda: pytest.fail("it is asked"))
            assert await logout("mail", place.url, OAuth(), logins) is taken
            assert len(place.revoked) == asked
            assert not logins.file("mail").exists()

    asyncio.run(work())


def test_what_is_wanted_more_is_bounded(logins: Logins) -> None:
    """A server that names scopes without end does not fill the file."""

    async def work() -> None:
        async with Place.running() as place:
            await logged_in(place, logins)
            _, link = linked(place, OAuth(), logins)
            for wanted in ("mail.send", "x" * 2000):
                place.wanted = wanted
                assert "insufficient_scope" in str(await called(link))
            assert logins.read("mail", place.url).wanted == "mail.send"
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


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (["login", "git"], 2, "error: git has no `oauth`"),
        (["login", "nope"], 2, "error: {file} names no server 'nope'\nhint: it names mail, git, robot"),
        (
            ["login", "robot"],
            2,
            "error: nobody logs in to robot\nhint: the gateway has its token by client_credentials",
        ),
        (["logout", "mail"], 0, "nobody is logged in to mail"),
        (["login", "mail"], 1, "error: the server cannot be reached (ConnectError)"),
    ],
)
def test_the_commands_say_what_is_wrong(tmp_path: Path, words: list[str], exit_code: int, said: str) -> None:
    """What cannot be logged in to is named, with what to do; usage is exit code 2."""
    registered = {"grant": "client_credentials", "client_id": "x", "issuer": "https://x", "client_secret_file": "s"}
    mail = {"url": "http://127.0.0.1:9/mcp", "oauth": {}}
    servers = {"mail": mail, "git": {"command": ["x"]}, "robot": {**mail, "oauth": registered}}
    file = tmp_path / "servers.json"
    file.write_text(json.dumps({"servers": servers}))
    done = subprocess.run(
        [sys.executable, "-m", "flyball", "mcp", *words, "--servers", str(file), "--logins", str(tmp_path / "logins")],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == exit_code, done.stderr
    assert said.format(file=file) in done.stdout + done.stderr
