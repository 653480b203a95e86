"""The synchronous client's side of the wire: one connection pool, one request and its whole answer."""

from __future__ import annotations

import httpx

from flyball_sdk import _settings
from flyball_sdk._session import MAX_ANSWER, Answer, Request
from flyball_sdk._shared import CONTROL_IDLE_S, limits
from flyball_sdk.errors import Unavailable


def client(
    place: _settings.Endpoint, timeout_s: float, *, connections: int = 8, idle_s: float = CONTROL_IDLE_S
) -> httpx.Client:
    """A pool of connections to one place. It follows nothing, and takes nothing of the environment."""
    transport = httpx.HTTPTransport(
        uds=place.uds or None, verify=_settings.tls(place), limits=limits(connections, idle_s), trust_env=False
    )
    return httpx.Client(transport=transport, timeout=timeout_s, follow_redirects=False, trust_env=False)


def exchange(client: httpx.Client, request: Request) -> Answer:
    """Send a request; its answer, read whole.

    Raises:
        Unavailable: there is none, or it is too large.
    """
    try:
        with client.stream(
            request.method, request.url, headers=dict(request.headers), content=request.content
        ) as response:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER:
                    raise Unavailable("the server's answer is too large", code="answer")
            return Answer(response.status_code, bytes(content), response.headers.get("Date", ""))
    except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:  # RuntimeError: the client is closed
        raise Unavailable(f"Flyball cannot be reached ({type(error).__name__})", code="unreachable") from error
