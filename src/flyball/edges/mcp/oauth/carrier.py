"""One run of the SDK's flow: its requests carried to the network, within bounds.

A server under attack says where its metadata, its authorization server and its token endpoint are. So nothing goes in
clear, nothing follows a redirect to another origin, no answer is long, and what a client is registered with at one
authorization server goes to no other.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Final

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.utils import extract_resource_metadata_from_www_auth, issuers_match
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata
from pydantic import AnyUrl

from flyball.edges.mcp.oauth.logins import Storage
from flyball.edges.mcp.oauth.settings import OAuth
from flyball.edges.mcp.strict import is_safe
from flyball.kernel.errors import Unavailable
from flyball.kernel.hosts import is_loopback
from flyball.kernel.private_files import read_pem, read_private

REVISION: Final = "2025-11-25"
MOST_BYTES: Final = 256 << 10
"""Of one answer: metadata, a registration, tokens."""
_ANSWER_S: Final = 10.0
FAULTS: Final = (OAuthFlowError, httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError, TimeoutError)
"""What a flow can end with; pydantic's errors are ValueErrors."""
# It logs the answers of authorization servers, with a trace. What went wrong is in our own errors.
logging.getLogger("mcp.client.auth").setLevel(logging.CRITICAL + 1)

Show = Callable[[str], Awaitable[None]]
Wait = Callable[[], Awaitable[AuthorizationCodeResult]]


def client_of() -> httpx2.AsyncClient:
    """An HTTP client that goes by the system's authorities, as our links to servers do, and by no proxy."""
    return httpx2.AsyncClient(timeout=_ANSWER_S, trust_env=False, verify=_authorities())


@cache
def _authorities() -> ssl.SSLContext:
    """The system's, read once for the process: it takes tens of milliseconds of the loop that all callers share."""
    return ssl.create_default_context()


def provider_of(
    url: str, oauth: OAuth, storage: Storage, *, redirect: str = "", show: Show | None = None, wait: Wait | None = None
) -> OAuthClientProvider:
    """The SDK's flow for one server, with what is kept of it.

    Args:
        url: the server's.
        oauth: how a token is had.
        storage: where it is kept.
        redirect: where the authorization server sends the person's browser back to.
        show: is given the page that a person opens, where one is there.
        wait: gives what came back.

    Raises:
        ConfigError: `key_file`: the client's secret or key cannot be read, or is open to others.
    """
    made: OAuthClientProvider
    secret = "" if oauth.secret_file is None else read_private(oauth.secret_file).decode("ascii").strip()
    if oauth.by_person:
        if oauth.client_id:
            storage.kept.client = OAuthClientInformationFull(
                client_id=oauth.client_id,
                client_secret=secret or None,
                token_endpoint_auth_method=oauth.method if secret else "none",
                issuer=oauth.issuer,
            )
        metadata = OAuthClientMetadata(
            client_name="Flyball MCP gateway", redirect_uris=[AnyUrl(redirect or "http://127.0.0.1/callback")]
        )
        made = OAuthClientProvider(url, metadata, storage, show, wait, oauth.metadata_url or None)
    elif oauth.key_file is not None:
        signed = _signer(oauth.client_id, oauth.key_file.read_text("ascii"), read_pem(oauth.key_file))
        made = PrivateKeyJWTOAuthProvider(
            url, storage, oauth.client_id, signed.create_assertion_provider(), oauth.scope or None, oauth.issuer
        )
    else:
        made = ClientCredentialsOAuthProvider(
            url, storage, oauth.client_id, secret, oauth.method, oauth.scope or None, oauth.issuer
        )
    context, kept = made.context, storage.kept
    context.oauth_metadata, context.protected_resource_metadata = kept.metadata, kept.resource
    context.current_tokens, context.token_expiry_time = kept.tokens, kept.expires_s
    context.client_info = kept.client
    if kept.resource is not None and kept.resource.authorization_servers:
        context.auth_server_url = str(kept.resource.authorization_servers[0])
    return made


def _signer(client: str, pem: str, key: object) -> SignedJWTParameters:
    kind = type(key).__name__
    algorithm = "EdDSA" if "Ed25519" in kind else "RS256" if "RSA" in kind else "ES256"
    return SignedJWTParameters(issuer=client, subject=client, signing_key=pem, signing_algorithm=algorithm)


def challenge_of(answer: httpx2.Response, scope: str) -> httpx2.Response:
    """What the flow is to take for the server's challenge: its own, or, where we know which scopes to ask for, one that
    says them (the SDK asks for what a challenge of 401 says, and for nothing that its client was configured with)."""
    if not scope:
        return httpx2.Response(401, headers=answer.headers, request=answer.request)
    told = f'Bearer error="insufficient_scope", scope="{" ".join(scope.split())}"'
    place = extract_resource_metadata_from_www_auth(answer)
    if place:
        told += f', resource_metadata="{place}"'
    return httpx2.Response(403, headers={"WWW-Authenticate": told}, request=answer.request)


class Carrier:
    """Runs flows of one provider, one at a time."""

    def __init__(self, url: str, oauth: OAuth, provider: OAuthClientProvider, storage: Storage) -> None:
        self.provider = provider
        self.storage = storage
        self._url = url
        self._oauth = oauth
        self._local = is_loopback(httpx2.URL(url).host)

    @property
    def header(self) -> str:
        """What shows the token in force; empty where there is none, or its time is over."""
        context = self.provider.context
        return f"Bearer {context.current_tokens.access_token}" if context.current_tokens and self.valid else ""

    @property
    def valid(self) -> bool:
        """Whether there is a token and its time is not over."""
        return self.provider.context.is_token_valid()

    def expire(self) -> bool:
        """Take the token for one whose time is over; whether it can be renewed without anybody."""
        self.provider.context.token_expiry_time = 1.0
        return self.provider.context.can_refresh_token()

    async def run(self, challenge: httpx2.Response | None, *, within_s: float) -> str:
        """Run it; what shows the token afterwards, or nothing.

        Args:
            challenge: what the server answered. None: only see that a token whose time is over is renewed.
            within_s: how long it may take.

        Raises:
            Unavailable: `oauth`: the flow failed; the sentence says how.
        """
        request = httpx2.Request("POST", self._url, headers={"MCP-Protocol-Version": REVISION})
        flow = self.provider.async_auth_flow(request)
        try:
            async with asyncio.timeout(within_s), client_of() as http:
                outgoing = await anext(flow)
                while outgoing is not request or challenge is not None:
                    if outgoing is request and challenge is not None:
                        answer, challenge = challenge, None
                    else:
                        answer = await self._fetch(http, outgoing)
                    outgoing = await flow.asend(answer)
        except StopAsyncIteration:
            pass
        except FAULTS as fault:
            raise Unavailable(f"no token of the server's: {_told(fault)}", code="oauth") from fault
        finally:
            await flow.aclose()
        self._keep()
        return request.headers.get("Authorization", "")

    def _keep(self) -> None:
        context, kept = self.provider.context, self.storage.kept
        if (kept.metadata, kept.resource) != (context.oauth_metadata, context.protected_resource_metadata):
            kept.metadata, kept.resource = context.oauth_metadata, context.protected_resource_metadata
            self.storage.keep()

    async def _fetch(self, http: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
        self._check(request)
        request.headers["Accept-Encoding"] = "identity"
        found = await http.send(request, stream=True, follow_redirects=False)
        try:
            if found.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                raise ValueError("an answer in an encoding that was not asked for")
            body = bytearray()
            async for chunk in found.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ValueError(f"an answer of more than {MOST_BYTES} bytes")
        finally:
            await found.aclose()
        answer = httpx2.Response(found.status_code, headers=found.headers, content=bytes(body), request=request)
        answer.next_request = found.next_request
        return answer

    def _check(self, request: httpx2.Request) -> None:
        url = request.url
        if not is_safe(str(url)) or (is_loopback(url.host) and not self._local):
            raise ValueError(f"{url.scheme}://{url.host} is not asked: https, or this machine where the server is here")
        if request.method != "POST" or not self._oauth.client_id:
            return
        metadata = self.provider.context.oauth_metadata
        if metadata is None or not issuers_match(str(metadata.issuer), self._oauth.issuer):
            raise ValueError(f"the server names another authorization server than {self._oauth.issuer}")


def _told(fault: BaseException) -> str:
    if isinstance(fault, TimeoutError):
        return "the authorization server did not answer in time"
    if isinstance(fault, httpx2.HTTPError):
        return f"the authorization server cannot be reached ({type(fault).__name__})"
    return " ".join(str(fault).split())[:300] or type(fault).__name__
