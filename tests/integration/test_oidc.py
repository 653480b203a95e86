"""OIDC against a real HTTP server on loopback: discovery, rotation, floods, outages, and bad tokens."""

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.unit.identity_kit import EC_KEY, ED_KEY, ISSUER, NOW_S, OTHER_EC_KEY, RSA_KEY, jwk

from flyball.identity import jose, jwks
from flyball.identity.oidc import OidcProviderConfig, OidcVerifier
from flyball.identity.resolve import IdentityConfig, Resolver
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import ConfigError, Unauthenticated, Unavailable


class Issuer:
    """An OIDC issuer whose every answer a test can change. `asked` counts requests by path."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.keys = [jwk(EC_KEY, kid="k1", use="sig", alg="ES256")]
        self.discovery = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.asked = {}
        self.answer = None  # path → None, or what the handler shall do instead
        self.gate = threading.Event()
        self.gate.set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # no kept connection outlives the server

    def do_GET(self):
        issuer = self.server.issuer
        issuer.asked[self.path] = issuer.asked.get(self.path, 0) + 1
        issuer.gate.wait(10)
        if issuer.answer is not None and issuer.answer(self):
            return
        if self.path == "/.well-known/openid-configuration":
            self.reply(issuer.discovery)
        elif self.path == "/keys":
            self.reply({"keys": issuer.keys})
        else:
            self.reply({}, status=404)

    def reply(self, document, status=200, raw=None, **headers):
        data = json.dumps(document).encode() if raw is None else raw
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.issuer = Issuer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.issuer
    finally:
        server.issuer.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def issuer():
    with serving() as found:
        yield found


@pytest.fixture
def clock():
    return FakeClock(NOW_S * 1000)


def make(issuer, clock, **config):
    provider = OidcProviderConfig(
        issuer.url if isinstance(issuer, Issuer) else issuer, ISSUER, allow_http_loopback=True, **config
    )
    return Resolver(IdentityConfig(issuer=ISSUER, oidc=(provider,), mode="development"), clock=clock)


@pytest.fixture
def resolver(issuer, clock):
    return make(issuer, clock)


def token(issuer, key=EC_KEY, header=None, **changes):
    claims = {"iss": issuer.url, "sub": "ci:1", "aud": ISSUER, "exp": NOW_S + 300, "iat": NOW_S} | changes
    head = {"alg": "ES256", "kid": "k1", "typ": "JWT"} | (header or {})
    return jose.sign(
        {name: value for name, value in head.items() if value is not None},
        {name: value for name, value in claims.items() if value is not None},
        key,
    )


def refusal(resolver, text, kind=Unauthenticated):
    with pytest.raises(kind) as refused:
        resolver.authenticate(text)
    assert text not in repr(refused.value)
    return refused.value.code


def test_a_good_token_becomes_a_principal(issuer, resolver):
    """Discovered, fetched once, verified; the id names issuer and subject."""
    for _ in range(5):
        principal = resolver.authenticate(token(issuer, team="refunds"))
    assert (principal.id, principal.kind, principal.issuer) == (f"oidc:{issuer.url}#ci:1", "oidc", issuer.url)
    assert principal.claims["team"] == "refunds"
    assert issuer.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}


@pytest.mark.parametrize(("key", "alg"), [(RSA_KEY, "RS256"), (RSA_KEY, "PS256"), (ED_KEY, "EdDSA")])
def test_other_algorithms(issuer, resolver, key, alg):
    """The default allow-list holds RSA's and EdDSA too."""
    issuer.keys = [jwk(key, kid="k1")]
    resolver.authenticate(token(issuer, key, {"alg": alg}))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_types(issuer, resolver, typ):
    """ID tokens and access tokens (RFC 9068) are accepted, in whatever case."""
    resolver.authenticate(token(issuer, header={"typ": typ}))


@pytest.mark.parametrize("typ", ["dpop+jwt", "flyball-task+jwt", "logout+jwt", "secevent+jwt", "", 1])
def test_type_of_another_use(issuer, resolver, typ):
    """A token that says it is for another use is refused (RFC 8725 §3.11)."""
    assert refusal(resolver, token(issuer, header={"typ": typ})) == "token_header_not_allowed"


@pytest.mark.parametrize(
    ("fault", "changes", "code"),
    [
        ("other_issuer", {"iss": "https://evil"}, "token_issuer_unknown"),
        ("issuer_with_slash", {"iss": "SLASH"}, "token_issuer_unknown"),
        ("no_issuer", {"iss": None}, "token_issuer_unknown"),
        ("other_audience", {"aud": "https://evil"}, "token_audience"),
        ("no_audience", {"aud": None}, "token_audience"),
        ("expired", {"exp": NOW_S - 31}, "token_expired"),
        ("no_expiry", {"exp": None}, "token_claim_malformed"),
        ("not_yet", {"nbf": NOW_S + 31}, "token_not_yet_valid"),
        ("issued_in_the_future", {"iat": NOW_S + 31}, "token_not_yet_valid"),
        ("no_issue_time", {"iat": None}, "token_claim_malformed"),
        ("no_subject", {"sub": None}, "subject_malformed"),
        ("subject_a_number", {"sub": 5}, "subject_malformed"),
        ("subject_with_control", {"sub": "a\u0000b"}, "subject_malformed"),
        ("bound_by_certificate", {"cnf": {"x5t#S256": "x"}}, "token_binding_unsupported"),
        ("bound_to_a_key", {"cnf": {"jkt": "x" * 43}}, "token_unproved"),
    ],
)
def test_bad_claims(issuer, resolver, fault, changes, code):
    """A well-signed token with this fault is refused with this code."""
    changes = {name: issuer.url + "/" if value == "SLASH" else value for name, value in changes.items()}
    assert refusal(resolver, token(issuer, **changes)) == code


@pytest.mark.parametrize(
    ("fault", "key", "header", "code"),
    [
        ("strangers_key", OTHER_EC_KEY, {}, "oidc_signature"),
        ("strangers_key_without_kid", OTHER_EC_KEY, {"kid": None}, "oidc_signature"),
        ("unknown_kid", EC_KEY, {"kid": "k9"}, "oidc_key_unknown"),
        ("kid_not_text", EC_KEY, {"kid": 1}, "token_header_not_allowed"),
        ("crit", EC_KEY, {"crit": ["exp"]}, "token_header_not_allowed"),
    ],
)
def test_bad_headers(issuer, resolver, fault, key, header, code):
    """A token whose header or key has this fault is refused with this code."""
    assert refusal(resolver, token(issuer, key, header)) == code


def test_a_verifier_answers_for_its_own_issuer_only(issuer, clock):
    """Handed a token of another issuer, signed by a key that it knows, a verifier refuses by itself."""
    config = OidcProviderConfig(issuer.url, ISSUER, allow_http_loopback=True)
    keys = jwks.IssuerKeys(issuer.url, clock=clock, allow_http_loopback=True)
    verifier = OidcVerifier(config, keys=keys, clock=clock)
    assert verifier.verify(jose.parse(token(issuer))).subject == "ci:1"
    for iss in ("https://evil", issuer.url + "/", None, 1):
        with pytest.raises(Unauthenticated) as refused:
            verifier.verify(jose.parse(token(issuer, iss=iss)))
        assert refused.value.code == "oidc_issuer"


def test_keys_from_the_header_are_never_used(issuer, resolver):
    """`jwk`, `jku` and `x5u` in a token's header change nothing."""
    header = {"jwk": jwk(OTHER_EC_KEY), "jku": f"{issuer.url}/evil", "x5u": f"{issuer.url}/evil"}
    assert refusal(resolver, token(issuer, OTHER_EC_KEY, header)) == "oidc_signature"
    assert refusal(resolver, token(issuer, OTHER_EC_KEY, header | {"kid": "k2"})) == "oidc_key_unknown"
    assert set(issuer.asked) == {"/.well-known/openid-configuration", "/keys"}


def test_alg_outside_the_providers_list(issuer, clock):
    """The provider's allow-list decides, not what the issuer's key could do."""
    resolver = make(issuer, clock, algorithms=frozenset({"RS256"}))
    assert refusal(resolver, token(issuer)) == "token_alg_not_allowed"
    assert issuer.asked == {}


def test_alg_none_and_hmac_with_the_public_key(issuer, resolver):
    """The two classics are refused before any key is looked at."""
    good = jose.parse(token(issuer))
    for alg in ("none", "HS256"):
        head = jose.b64u(json.dumps({"alg": alg, "kid": "k1"}).encode())
        forged = f"{head}.{good.signing_input.decode().split('.')[1]}.{jose.b64u(b'x')}"
        assert refusal(resolver, forged) == "token_alg_not_allowed"


def test_a_token_without_kid_needs_a_single_fitting_key(issuer, resolver):
    """One key: it is the one. Two: the token must say which."""
    resolver.authenticate(token(issuer, header={"kid": None}))
    issuer.keys.append(jwk(OTHER_EC_KEY, kid="k2"))
    with serving() as second:
        second.keys = [jwk(EC_KEY, kid="k1"), jwk(OTHER_EC_KEY, kid="k2")]
        other = make(second, FakeClock(NOW_S * 1000))
        assert refusal(other, token(second, header={"kid": None})) == "oidc_key_unknown"


def test_required_claims(issuer, clock):
    """Each required claim has the value, or one of the values, or holds it in its list."""
    required = {"environment": "production", "ref": ("main", "release"), "groups": "payments", "verified": "true"}
    resolver = make(issuer, clock, required_claims=required)
    good = {"environment": "production", "ref": "main", "groups": ["a", "payments"], "verified": True}
    resolver.authenticate(token(issuer, **good))
    for change in (
        {"environment": "staging"},
        {"environment": None},
        {"ref": "mainx"},
        {"groups": ["a"]},
        {"groups": [["payments"]]},
        {"groups": "payments,x"},
        {"verified": False},
        {"verified": {"true": 1}},
    ):
        assert refusal(resolver, token(issuer, **(good | change))) == "oidc_claim"


def test_rotation(issuer, resolver, clock):
    """A new key counts as soon as a token names it; a withdrawn one stops after the refresh."""
    resolver.authenticate(token(issuer))
    issuer.keys = [jwk(OTHER_EC_KEY, kid="k2")]
    clock.advance(jwks.MIN_INTERVAL_MS)
    resolver.authenticate(token(issuer, OTHER_EC_KEY, {"kid": "k2"}))
    assert issuer.asked["/keys"] == 2
    assert refusal(resolver, token(issuer)) == "oidc_key_unknown"


def test_a_withdrawn_key_stops_after_the_refresh_interval(issuer, resolver, clock):
    """Without any unknown kid, keys older than the refresh interval are fetched anew."""
    resolver.authenticate(token(issuer))
    issuer.keys = [jwk(OTHER_EC_KEY, kid="k2")]
    clock.advance(jwks.REFRESH_MS - 1)
    resolver.authenticate(token(issuer, exp=NOW_S + 9999))
    clock.advance(1)
    assert refusal(resolver, token(issuer, exp=NOW_S + 9999)) == "oidc_key_unknown"


def test_a_flood_of_unknown_kids_stays_bounded(issuer, resolver, clock):
    """A thousand made-up key ids cost the issuer one fetch an interval; good tokens go on."""
    resolver.authenticate(token(issuer))
    clock.advance(jwks.MIN_INTERVAL_MS)
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda n: refusal(resolver, token(issuer, header={"kid": f"x{n}"})), range(1000)))
    assert set(codes) == {"oidc_key_unknown"}
    assert issuer.asked["/keys"] == 2
    resolver.authenticate(token(issuer))
    clock.advance(jwks.MIN_INTERVAL_MS)
    refusal(resolver, token(issuer, header={"kid": "y"}))
    assert issuer.asked["/keys"] == 3


def test_a_slow_fetch_holds_few_threads_and_no_known_key(issuer, resolver, clock):
    """While a fetch hangs, known keys answer at once, and only a few callers wait for it."""
    resolver.authenticate(token(issuer))
    clock.advance(jwks.MIN_INTERVAL_MS)
    issuer.gate.clear()
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(refusal, resolver, token(issuer, header={"kid": f"x{n}"})) for n in range(12)]
        deadline = time.monotonic() + 3  # well before the fetch gives up
        while sum(one.done() for one in waiting) < 12 - jwks.WAITERS:
            assert time.monotonic() < deadline, "more callers wait than may"
            time.sleep(0.005)
        began = time.monotonic()
        resolver.authenticate(token(issuer))
        assert time.monotonic() - began < 1
        issuer.gate.set()
    assert {one.result() for one in waiting} == {"oidc_key_unknown"}
    assert issuer.asked["/.well-known/openid-configuration"] == 2


def test_those_who_waited_for_a_fetch_are_served_by_it(issuer, resolver, clock):
    """After a rotation, callers that wait while another fetches use the keys that it brought."""
    resolver.authenticate(token(issuer))
    issuer.keys = [jwk(OTHER_EC_KEY, kid="k2")]
    clock.advance(jwks.MIN_INTERVAL_MS)
    issuer.gate.clear()
    waiters = resolver._keys[issuer.url]._waiters
    with ThreadPoolExecutor(3) as pool:
        text = token(issuer, OTHER_EC_KEY, {"kid": "k2"})
        waiting = [pool.submit(resolver.authenticate, text) for _ in range(3)]
        deadline = time.monotonic() + 3
        while waiters._value > jwks.WAITERS - 3:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        issuer.gate.set()
    assert [one.result().subject for one in waiting] == ["ci:1"] * 3
    assert issuer.asked["/keys"] == 2


def test_one_fetch_for_many_at_the_start(issuer, resolver):
    """Those who come together before the first fetch are served by one fetch, or refused, never by many."""
    with ThreadPoolExecutor(jwks.WAITERS) as pool:
        found = list(pool.map(lambda _: resolver.authenticate(token(issuer)).subject, range(jwks.WAITERS)))
    assert found == ["ci:1"] * jwks.WAITERS
    assert issuer.asked["/keys"] == 1


def test_a_server_that_is_down_keeps_cached_keys_for_a_bounded_time(clock):
    """Cached keys last an hour without the issuer; then nothing of it is accepted; its return heals."""
    with serving() as issuer:
        resolver = make(issuer, clock)
        late = token(issuer, exp=NOW_S + 99_999)
        resolver.authenticate(late)
    clock.advance(jwks.STALE_MS - 1)
    assert resolver.authenticate(late).subject == "ci:1"
    assert "cannot be reached" in resolver.problems()[issuer.url]
    clock.advance(1)
    assert refusal(resolver, late, Unavailable) == "oidc_keys_stale"


def test_an_outage_heals(issuer, resolver, clock):
    """Once the issuer answers again, its tokens are accepted again."""
    issuer.answer = lambda handler: handler.reply({}, status=503) or True
    late = token(issuer, exp=NOW_S + 99_999)
    assert refusal(resolver, late, Unavailable) == "oidc_keys_stale"
    issuer.answer = None
    assert refusal(resolver, late, Unavailable) == "oidc_keys_stale"  # not before the interval is over
    clock.advance(jwks.MIN_INTERVAL_MS)
    assert resolver.authenticate(late).subject == "ci:1"
    assert resolver.problems() == {}


def _drip(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    try:
        for _ in range(400):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        pass
    handler.close_connection = True
    return True


def _good(handler):
    """What would do at either place, so that only the fault is wrong with it."""
    return {**handler.server.issuer.discovery, "keys": handler.server.issuer.keys}


FAULTS = {
    "not_found": lambda h: h.reply(_good(h), status=404) or True,
    "error_with_content": lambda h: h.reply(_good(h), status=500) or True,
    "redirect": lambda h: h.reply({}, status=302, Location=h.server.issuer.url + "/keys") or True,
    "not_json": lambda h: h.reply(None, raw=b"<html>") or True,
    "a_list": lambda h: h.reply([]) or True,
    "duplicate_members": lambda h: h.reply(None, raw=b'{"keys":[],"keys":[]}') or True,
    "too_large": lambda h: h.reply({**_good(h), "x": "x" * (jwks.MAX_BYTES + 1)}) or True,
    "compressed": lambda h: (
        h.reply(None, raw=gzip.compress(json.dumps(_good(h)).encode()), Content_Encoding="gzip") or True
    ),
    "dripping": _drip,
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
def test_bad_answers(issuer, resolver, monkeypatch, fault, path):
    """An answer with this fault, at either place, gives no keys; the refusal comes in bounded time."""
    monkeypatch.setattr(jwks, "TOTAL_S", 0.3)
    issuer.answer = lambda handler: handler.path == path and FAULTS[fault](handler)
    began = time.monotonic()
    assert refusal(resolver, token(issuer), Unavailable) == "oidc_keys_stale"
    assert time.monotonic() - began < 5
    assert resolver.problems()[issuer.url]
    if fault == "redirect":
        assert issuer.asked.get("/keys", 0) == (path == "/keys")  # it was not followed


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("another_issuer", {"issuer": "https://evil.test"}),
        ("issuer_with_slash", {"issuer": "SLASH"}),
        ("no_issuer", {"issuer": None}),
        ("no_jwks_uri", {"jwks_uri": None}),
        ("jwks_uri_not_text", {"jwks_uri": ["x"]}),
        ("jwks_over_http", {"jwks_uri": "http://idp.example/keys"}),
        ("jwks_on_localhost_name", {"jwks_uri": "LOCALHOST"}),
        ("jwks_from_a_file", {"jwks_uri": "file:///etc/passwd"}),
        ("jwks_with_user", {"jwks_uri": "https://u:p@idp.example/keys"}),
    ],
)
def test_bad_discovery(issuer, resolver, fault, change):
    """A discovery document with this fault gives no keys."""
    written = {"SLASH": issuer.url + "/", "LOCALHOST": issuer.url.replace("127.0.0.1", "localhost") + "/keys"}
    change = {name: written.get(value, value) if isinstance(value, str) else value for name, value in change.items()}
    issuer.discovery = {name: value for name, value in (issuer.discovery | change).items() if value is not None}
    assert refusal(resolver, token(issuer), Unavailable) == "oidc_keys_stale"
    assert "/keys" not in issuer.asked


@pytest.mark.parametrize(
    ("fault", "keys"),
    [
        ("no_keys", []),
        ("only_for_encryption", [jwk(EC_KEY, kid="k1", use="enc")]),
        ("same_kid_twice", [jwk(EC_KEY, kid="k1"), jwk(OTHER_EC_KEY, kid="k1")]),
        ("private_key", [jwk(EC_KEY, kid="k1"), jwk(OTHER_EC_KEY, kid="k2", d="AAAA")]),
        ("too_many", [jwk(EC_KEY, kid=f"k{n}") for n in range(101)]),
        ("symmetric", [{"kty": "oct", "k": "AAAA", "kid": "k1"}]),
    ],
)
def test_bad_jwks(issuer, resolver, fault, keys):
    """A JWKS with this fault gives no keys."""
    issuer.keys = keys
    assert refusal(resolver, token(issuer), Unavailable) == "oidc_keys_stale"


def test_unknown_kinds_of_keys_are_left_out(issuer, resolver):
    """An issuer may publish kinds of keys that we do not know, beside one that we do."""
    issuer.keys = [{"kty": "AKP", "kid": "pq"}, "junk", {"kty": "EC", "crv": "P-256", "kid": "broken"}, *issuer.keys]
    resolver.authenticate(token(issuer))


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example",
        "http://127.0.0.1:1",
        "ftp://idp.example",
        "https://",
        "https://u@idp.example",
        "https://idp.example?x=1",
        "https://idp.example#f",
        "https://idp.example:0",
        "https://[::1",
        "https://idp.example/\n",
    ],
)
def test_issuers_that_are_refused(url):
    """An issuer is https, without user, query and fragment."""
    with pytest.raises(ConfigError):
        OidcProviderConfig(url, ISSUER)


def test_configurations_that_are_refused(clock):
    """No audience, an algorithm that is not asymmetric, an issuer twice, http in production."""
    url = "https://idp.example"
    for provider in ({"audience": ""}, {"algorithms": frozenset({"HS256"})}, {"algorithms": frozenset()}):
        with pytest.raises(ConfigError):
            OidcProviderConfig(**({"issuer": url, "audience": ISSUER} | provider))
    twice = OidcProviderConfig(url, ISSUER)
    with pytest.raises(ConfigError):
        Resolver(IdentityConfig(issuer=ISSUER, oidc=(twice, twice)), clock=clock)
    loopback = OidcProviderConfig("http://127.0.0.1:1", ISSUER, allow_http_loopback=True)
    with pytest.raises(ConfigError) as refused:
        Resolver(IdentityConfig(issuer=ISSUER, oidc=(loopback,)), clock=clock)
    assert refused.value.code == "dev_in_production"
