"""The gateway's own token for one server: shown with each request, renewed when it is due, had anew when it is refused.

Nobody is asked anything here. Where a person has to log in, the call fails and says so; `flyball mcp login` is where.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

import httpx2
import structlog
from mcp.client.auth.utils import extract_field_from_www_auth, union_scopes

from flyball.edges.mcp.oauth.carrier import Carrier, challenge_of, provider_of
from flyball.edges.mcp.oauth.logins import Logins, Storage
from flyball.edges.mcp.oauth.settings import OAuth
from flyball.kernel.errors import ConfigError, FlyballError

_FLOW_S: Final = 30.0
_EARLY_S: Final = 30.0
"""So long before its end a token is renewed."""
_AGAIN_S: Final = 15.0
"""After a renewal that failed nobody is asked for so long."""
_WANTED: Final = 1024
"""Characters of scopes that are kept for the next login: a server may name ever more."""
log = structlog.get_logger("flyball.mcp")


class Authorized:
    """Shows a server the gateway's token. One for all conversations with that server."""

    def __init__(self, name: str, url: str, oauth: OAuth, logins: Logins) -> None:
        self._name = name
        self._url = url
        self._oauth = oauth
        self._logins = logins
        self._carrier: Carrier | None = None
        self._turn = asyncio.Lock()
        self._rest_until = 0.0

    async def shown(self) -> Mapping[str, str]:
        """The header; none where there is no token yet.

        Raises:
            ConfigError: `login_required`: it cannot be renewed without a person. Or what `Logins.read` raises.
        """
        carrier = self._carrier
        if carrier is None or carrier.storage.stale or not self._fresh(carrier):
            async with self._turn:
                carrier = self._loaded()
                if not self._fresh(carrier) and self._renewable(carrier):
                    await self._renew(carrier)
                    carrier = self._loaded()
        return {"Authorization": carrier.header} if carrier.header else {}

    async def challenged(self, status: int, challenges: Sequence[str], shown: str) -> bool:
        """The server refused a request that showed `shown`: whether another one is worth showing.

        Raises:
            ConfigError: `login_required`, `insufficient_scope`: a person has to log in.
            Unavailable: `oauth`: the authorization server gives none.
        """
        headers = [("WWW-Authenticate", one) for one in challenges]
        answer = httpx2.Response(status, headers=headers, request=httpx2.Request("POST", self._url))
        more = status == 403 and extract_field_from_www_auth(answer, "error") == "insufficient_scope"
        if status != 401 and not more:
            return False
        async with self._turn:
            carrier = self._loaded()
            if carrier.header and carrier.header != shown:
                return True  # somebody was here before
            scope = extract_field_from_www_auth(answer, "scope") if more else None
            if not self._oauth.by_person:
                if not more:
                    carrier.provider.context.oauth_metadata = None  # where to ask is looked for anew
                wanted = union_scopes(self._oauth.scope, scope) or ""
                return bool(await self._shielded(carrier, challenge_of(answer, wanted)))
            if more:
                raise self._needs_more(carrier, scope or "")
            if not carrier.expire():
                raise self._needs_login()
            await self._renew(carrier)
            return self._loaded().header != shown

    # --- inside -------------------------------------------------------------------------------

    def _loaded(self) -> Carrier:
        """What there is, read anew where somebody has logged in since."""
        if self._carrier is None or self._carrier.storage.stale:
            # What needs no person is had again in a moment: it is not written down.
            storage = Storage(self._logins, self._name, self._url, lasting=self._oauth.by_person)
            provider = provider_of(self._url, self._oauth, storage)
            self._carrier = Carrier(self._url, self._oauth, provider, storage)
        return self._carrier

    def _fresh(self, carrier: Carrier) -> bool:
        ends = carrier.provider.context.token_expiry_time
        return carrier.valid and (ends is None or ends - time.time() > _EARLY_S)

    def _renewable(self, carrier: Carrier) -> bool:
        return carrier.storage.kept.tokens is not None and carrier.storage.kept.tokens.refresh_token is not None

    async def _renew(self, carrier: Carrier) -> None:
        """Renew it by its refresh token."""
        if time.monotonic() < self._rest_until:
            raise self._needs_login()
        carrier.expire()
        try:
            header = await self._shielded(carrier, None)
        except FlyballError as fault:
            log.warning("a token could not be renewed", server=self._name, why=fault.detail)
            header = ""
        if not header:
            # What is kept is still there, and may be renewed when the fault is over.
            self._rest_until = time.monotonic() + _AGAIN_S
            raise self._needs_login()

    async def _shielded(self, carrier: Carrier, answer: httpx2.Response | None) -> str:
        """A flow is not broken off with the call that began it: its refresh token may be used up already."""
        return await asyncio.shield(asyncio.ensure_future(carrier.run(answer, within_s=_FLOW_S)))

    def _needs_login(self) -> ConfigError:
        return ConfigError(
            f"a person has to log in to {self._name}", code="login_required", hint=f"flyball mcp login {self._name}"
        )

    def _needs_more(self, carrier: Carrier, scope: str) -> ConfigError:
        kept = carrier.storage.kept
        wanted = union_scopes(kept.wanted, scope) or ""
        if wanted != kept.wanted and len(wanted) <= _WANTED:
            kept.wanted = wanted
            carrier.storage.keep()
        return ConfigError(
            f"{self._name} wants more than was granted: {wanted or 'it does not say what'}",
            code="insufficient_scope",
            hint=f"flyball mcp login {self._name}",
        )
