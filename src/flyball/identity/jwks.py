"""An OIDC issuer's keys: discovered, cached, refreshed in bounds (OIDC Discovery §4, RFC 7517).

- Fresh keys answer from memory. Keys older than `REFRESH_MS` are fetched anew on use.
- An unknown `kid` (a rotation, or a liar) fetches at once, but never more often than
  `MIN_INTERVAL_MS`, one fetch at a time, with few waiting: a flood of made-up key ids costs the
  issuer one request an interval and us no threads.
- A fetch that fails leaves the keys in force until they are `STALE_MS` old; then nothing of this
  issuer is accepted until a fetch succeeds.
- A fetch is https (http only to loopback where allowed), follows no redirect, uses no proxy from
  the environment, takes at most `MAX_BYTES` and `TOTAL_S`.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx

from flyball.identity import jose
from flyball.kernel.clock import Clock
from flyball.kernel.errors import ConfigError, Unauthenticated, Unavailable
from flyball.kernel.json import Json

REFRESH_MS = 5 * 60_000
MIN_INTERVAL_MS = 10_000
STALE_MS = 60 * 60_000
MAX_BYTES = 256 * 1024
MAX_KEYS = 100
TOTAL_S = 5.0
WAITERS = 4


class _FetchError(Exception):
    """A fetch did not give usable keys. The text names no response content."""


class IssuerKeys:
    """The keys of one issuer. Safe for many threads; no thread of its own."""

    def __init__(
        self, issuer: str, *, clock: Clock, allow_http_loopback: bool = False, client: httpx.Client | None = None
    ) -> None:
        """Nothing is fetched yet, so that an issuer that is down delays no start.

        Args:
            issuer: the issuer's identifier.
            clock: its monotonic time measures all ages here.
            allow_http_loopback: permit http to a loopback address (tests, development).
            client: the HTTP client; made when None. It must not follow redirects.
        """
        check_url(issuer, allow_http_loopback=allow_http_loopback)
        self._issuer = issuer
        self._clock = clock
        self._loopback = allow_http_loopback
        self._client = client or httpx.Client(timeout=TOTAL_S, follow_redirects=False, trust_env=False)
        self._keys: Mapping[str, jose.Jwk] = MappingProxyType({})
        self._unnamed: tuple[jose.Jwk, ...] = ()
        self._fetched_ms: int | None = None
        self._tried_ms: int | None = None
        self._flight = threading.Lock()
        self._waiters = threading.BoundedSemaphore(WAITERS)
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the last fetch failed, or empty. For `status`."""
        return self._problem

    def find(self, kid: str | None, alg: str) -> jose.Jwk:
        """The key that a token names, or the only fitting one where it names none.

        Raises:
            Unauthenticated: `oidc_key_unknown`.
            Unavailable: `oidc_keys_stale`.
        """
        if self._age() >= REFRESH_MS:
            self._refresh()
        jwk = self._look(kid, alg)
        if jwk is None and self._refresh():
            jwk = self._look(kid, alg)
        if self._age() >= STALE_MS:
            raise Unavailable(
                "the OIDC issuer's keys could not be fetched for too long",
                code="oidc_keys_stale",
                hint="see whether its discovery document and JWKS can be reached from here",
            )
        if jwk is None:
            raise Unauthenticated("the token names a key that its issuer does not publish", code="oidc_key_unknown")
        return jwk

    def _age(self) -> int:
        return STALE_MS if self._fetched_ms is None else self._clock.mono_ms() - self._fetched_ms

    def _look(self, kid: str | None, alg: str) -> jose.Jwk | None:
        if kid is not None:
            jwk = self._keys.get(kid)
            return jwk if jwk is not None and alg in jwk.algs else None
        fitting = [jwk for jwk in (*self._keys.values(), *self._unnamed) if alg in jwk.algs]
        return fitting[0] if len(fitting) == 1 else None

    def _refresh(self) -> bool:
        """Fetch, or wait for the fetch in flight. False where neither may be done now."""
        if not self._waiters.acquire(blocking=False):
            return False
        try:
            before = self._fetched_ms
            if not self._flight.acquire(timeout=TOTAL_S):
                return False
            try:
                if self._fetched_ms != before:  # somebody fetched while we waited
                    return True
                now = self._clock.mono_ms()
                if self._tried_ms is not None and now - self._tried_ms < MIN_INTERVAL_MS:
                    return False
                self._tried_ms = now
                return self._fetch()
            finally:
                self._flight.release()
        finally:
            self._waiters.release()

    def _fetch(self) -> bool:
        try:
            document = self._get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
            if document.get("issuer") != self._issuer:
                raise _FetchError("the discovery document names another issuer")
            location = document.get("jwks_uri")
            if not isinstance(location, str):
                raise _FetchError("the discovery document has no jwks_uri")
            keys, unnamed = _read(self._get(location))
        except (_FetchError, ConfigError, jose.JoseError) as error:
            self._problem = str(error)
            return False
        self._keys, self._unnamed = keys, unnamed
        self._fetched_ms = self._clock.mono_ms()
        self._problem = ""
        return True

    def _get(self, url: str) -> dict[str, Json]:
        check_url(url, allow_http_loopback=self._loopback)
        deadline = time.monotonic() + TOTAL_S  # httpx's timeout is for each read; this is for all of them
        data = bytearray()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                if response.status_code != 200:
                    raise _FetchError(f"the issuer answered {response.status_code}")
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise _FetchError("the issuer answered compressed, though asked not to")
                for chunk in response.iter_raw():  # as it comes: a chunk size would wait for the chunk to fill
                    data += chunk
                    if len(data) > MAX_BYTES:
                        raise _FetchError(f"the issuer answered more than {MAX_BYTES} bytes")
                    if time.monotonic() > deadline:
                        raise _FetchError(f"the issuer took more than {TOTAL_S} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _FetchError(f"the issuer cannot be reached ({type(error).__name__})") from error
        return jose.json_object(bytes(data))


def _read(document: Mapping[str, Json]) -> tuple[Mapping[str, jose.Jwk], tuple[jose.Jwk, ...]]:
    members = document.get("keys")
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise _FetchError(f"the JWKS is not a list of at most {MAX_KEYS} keys")
    named: dict[str, jose.Jwk] = {}
    unnamed: list[jose.Jwk] = []
    for member in members:
        if not isinstance(member, dict) or member.get("use", "sig") != "sig":
            continue
        try:
            jwk = jose.read_jwk(member)
        except jose.JoseError as error:
            if error.code == "key_private":
                raise  # an issuer that publishes a private key is not to be believed
            continue  # an issuer may publish kinds of keys that we do not know (RFC 7517 §5)
        if jwk.kid in named:
            raise _FetchError("two keys of the JWKS share a kid")
        if jwk.kid:
            named[jwk.kid] = jwk
        else:
            unnamed.append(jwk)
    if not named and not unnamed:
        raise _FetchError("the JWKS holds no key that can be used")
    return MappingProxyType(named), tuple(unnamed)


def check_url(url: str, *, allow_http_loopback: bool) -> None:
    """Refuse a URL that is not https, or http to a loopback address where that is allowed.

    Raises:
        ConfigError: `oidc_url`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError("an OIDC URL cannot be read", code="oidc_url") from error
    if not host or port == 0 or parts.username is not None:
        raise ConfigError("an OIDC URL needs a host and no user", code="oidc_url")
    if parts.scheme == "https" or (parts.scheme == "http" and allow_http_loopback and _is_loopback(host)):
        return
    raise ConfigError("an OIDC URL is not https", code="oidc_url", hint="http is for loopback tests only")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
