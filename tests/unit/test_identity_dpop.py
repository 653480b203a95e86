"""DPoP proofs: one test for each of the twelve checks of RFC 9449 §4.3, and for replay."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.identity_kit import EC_KEY, ED_KEY, NOW_S, OTHER_EC_KEY, RSA_KEY, jwk

from flyball.identity import dpop, jose
from flyball.identity.replay import ReplayCache
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import Unauthenticated, Unavailable

URL = "https://flyball.test/v1/tasks"
TOKEN = "the.task.token"
JKT = jose.thumbprint(EC_KEY.public_key())


@pytest.fixture
def clock():
    return FakeClock(NOW_S * 1000)


@pytest.fixture
def verify(clock):
    replay = ReplayCache(clock)

    def call(*proofs, method="POST", url=URL, **more):
        return dpop.verify_proof(proofs, method=method, url=url, clock=clock, replay=replay, **more)

    return call


def proof(key=EC_KEY, **changes):
    """A proof with its header members (`h_…`) and claims changed; None takes one away."""
    alg = {EC_KEY: "ES256", OTHER_EC_KEY: "ES256", ED_KEY: "EdDSA", RSA_KEY: "RS256"}[key]
    header = {"typ": "dpop+jwt", "alg": alg, "jwk": jwk(key)}
    claims = {"jti": jose.b64u(ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers().x.to_bytes(32))}
    claims |= {"htm": "POST", "htu": URL, "iat": NOW_S}
    for name, value in changes.items():
        (header if name.startswith("h_") else claims)[name.removeprefix("h_")] = value
    header = {name: value for name, value in header.items() if value is not None}
    return jose.sign(header, {name: value for name, value in claims.items() if value is not None}, key)


def refusal(verify, *proofs, **more):
    with pytest.raises(Unauthenticated) as refused:
        verify(*proofs, **more)
    assert not any(one and one in f"{refused.value.detail}{refused.value!r}" for one in proofs)
    return refused.value.code


@pytest.mark.parametrize("key", [EC_KEY, ED_KEY])
def test_a_good_proof_gives_its_keys_thumbprint(verify, key):
    """ES256 and EdDSA proofs are accepted, with and without a token."""
    made = dpop.make_proof(key, method="POST", url=URL + "?q=1#f", iat_s=NOW_S)
    assert verify(made).thumbprint == jose.thumbprint(key.public_key())
    made = dpop.make_proof(key, method="GET", url=URL, iat_s=NOW_S, access_token=TOKEN, nonce="n")
    thumbprint = jose.thumbprint(key.public_key())
    shown = verify(made, method="GET", access_token=TOKEN, thumbprint=thumbprint, nonce="n")
    assert shown.thumbprint == thumbprint


def test_1_no_header_or_two(verify):
    """Exactly one DPoP header."""
    assert refusal(verify) == "dpop_header_count"
    assert refusal(verify, proof(), proof()) == "dpop_header_count"


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.", "x" * 5000, f"{proof()}, {proof()}"])
def test_2_not_a_jwt(verify, text):
    """A header value that is no well-formed JWT, or two in one."""
    assert refusal(verify, text) == "dpop_malformed"


@pytest.mark.parametrize("claim", ["jti", "htm", "htu", "iat"])
def test_3_claim_missing(verify, claim):
    """Every claim is demanded."""
    assert refusal(verify, proof(**{claim: None})) == "dpop_malformed"


@pytest.mark.parametrize("change", [{"jti": "short"}, {"jti": "x" * 129}, {"jti": 1}, {"iat": "1"}, {"htu": 3}])
def test_3_claim_malformed(verify, change):
    """Claims have their types, and `jti` at least 96 bits' worth of characters."""
    assert refusal(verify, proof(**change)) == "dpop_malformed"


@pytest.mark.parametrize("typ", ["JWT", None, "DPoP+jwt"])
def test_4_typ(verify, typ):
    """The type is dpop+jwt."""
    assert refusal(verify, proof(h_typ=typ)) == "dpop_typ"


def test_5_alg(verify):
    """ES256 and EdDSA only: a good RS256 proof is refused."""
    assert refusal(verify, proof(RSA_KEY)) == "dpop_alg"


def test_6_signature(verify):
    """The signature is by the key that the header shows."""
    assert refusal(verify, proof(h_jwk=jwk(OTHER_EC_KEY))) == "dpop_signature"


def test_7_private_part(verify):
    """A jwk with a private part is refused."""
    assert refusal(verify, proof(h_jwk=jwk(EC_KEY, d="AAAA"))) == "dpop_private_key"


@pytest.mark.parametrize("member", [None, "x", {}, {"kty": "oct", "k": "AAAA"}])
def test_7_no_key(verify, member):
    """A header without a usable key is refused."""
    assert refusal(verify, proof(h_jwk=member)) == "dpop_jwk"


def test_7_other_header_member(verify):
    """Header members besides typ, alg and jwk are refused: above all `kid`, `jku`, `crit`."""
    assert refusal(verify, proof(h_jku="https://evil")) == "dpop_jwk"


@pytest.mark.parametrize("method", ["GET", "post", "PUT"])
def test_8_htm(verify, method):
    """The method is the request's, case included."""
    assert refusal(verify, proof(htm=method)) == "dpop_htm"


@pytest.mark.parametrize(
    "htu",
    [
        "https://flyball.test/v1/task",
        "https://flyball.test/v1/tasks/",
        "http://flyball.test/v1/tasks",
        "https://flyball.test:444/v1/tasks",
        "https://evil.test/v1/tasks",
        "https://flyball.test@evil.test/v1/tasks",
        "https://u@flyball.test/v1/tasks",
        "/v1/tasks",
        "https:///v1/tasks",
        "https://[::1/v1/tasks",
        "https://:443/v1/tasks",
        "https://flyball.test:443:443/v1/tasks",
        "https://flyball.test/v1/\ttasks",
        "\nhttps://flyball.test/v1/tasks",
        "https://flyball.test/v1%2Ftasks",
        "https://flyball.test/V1/tasks",
    ],
)
def test_9_htu(verify, htu):
    """Another URI, or something that is none, is refused."""
    assert refusal(verify, proof(htu=htu)) == "dpop_htu"


@pytest.mark.parametrize(
    "htu",
    [
        "HTTPS://FLYBALL.test/v1/tasks",
        "https://flyball.test:443/v1/tasks",
        "https://flyball.test:/v1/tasks",
        "https://flyball.test/v1/./x/../tasks",
        "https://flyball.test/%76%31/tasks",
        "https://flyball.test/v1/tasks?a=b",
        "https://flyball.test/v1/tasks#f",
    ],
)
def test_9_htu_is_normalised(verify, htu):
    """The same URI written otherwise is the same (RFC 3986 §6.2.2, §6.2.3)."""
    verify(proof(htu=htu))


def test_9_an_empty_path_is_a_slash(verify):
    """`https://host` and `https://host/` are one URI."""
    verify(proof(htu="https://flyball.test"), url="https://flyball.test/")


@pytest.mark.parametrize("nonce", [None, "other", ""])
def test_10_nonce(verify, nonce):
    """Where a nonce was given, the proof carries it."""
    assert refusal(verify, proof(nonce=nonce), nonce="given") == "dpop_nonce"


@pytest.mark.parametrize("offset", [-61, 11])
def test_11_iat(verify, offset):
    """Older than 60 s or more than 10 s ahead is refused."""
    assert refusal(verify, proof(iat=NOW_S + offset)) == "dpop_iat"


def test_11_window(clock, verify):
    """Up to 60 s old and 10 s ahead is accepted."""
    verify(proof(iat=NOW_S + 10))
    old = proof(iat=NOW_S)
    clock.advance(60_000)
    verify(old)


@pytest.mark.parametrize("ath", [None, "x", dpop.token_hash("another.token")])
def test_12_ath(verify, ath):
    """Beside a token, the proof carries that token's hash."""
    assert refusal(verify, proof(ath=ath), access_token=TOKEN, thumbprint=JKT) == "dpop_ath"


def test_12_another_key_than_the_tokens(verify):
    """A stolen token with the thief's own good proof is refused."""
    made = dpop.make_proof(OTHER_EC_KEY, method="POST", url=URL, iat_s=NOW_S, access_token=TOKEN)
    assert refusal(verify, made, access_token=TOKEN, thumbprint=JKT) == "dpop_key"
    made = dpop.make_proof(OTHER_EC_KEY, method="POST", url=URL, iat_s=NOW_S)
    assert refusal(verify, made, thumbprint=JKT) == "dpop_key"


def test_12_a_token_that_is_bound_to_no_key(verify):
    """A proof does not make up for a token without a binding."""
    made = dpop.make_proof(EC_KEY, method="POST", url=URL, iat_s=NOW_S, access_token=TOKEN)
    assert refusal(verify, made, access_token=TOKEN) == "dpop_token_unbound"


def test_replay(verify, clock):
    """A proof counts once, all through its window."""
    made = proof(iat=NOW_S + 10)
    verify(made)
    for _ in range(14):
        assert refusal(verify, made) == "dpop_replayed"
        clock.advance(5_000)
    assert clock.wall_ms() == (NOW_S + 70) * 1000
    assert refusal(verify, made) == "dpop_replayed"  # the last instant at which its iat is still good


def test_replay_after_the_clock_stepped_back(verify, clock):
    """A used proof that was forgotten stays refused when the wall clock steps back into its window."""
    made = proof()
    verify(made)
    clock.advance(80_000)
    verify(dpop.make_proof(EC_KEY, method="POST", url=URL, iat_s=NOW_S + 80))
    clock.step_wall(-80_000)
    assert refusal(verify, made) == "dpop_before_start"


def test_replay_after_a_restart(clock):
    """A proof from before the process started may have been used: refused."""
    made = proof()
    clock.advance(5_000)
    with pytest.raises(Unauthenticated) as refused:
        dpop.verify_proof([made], method="POST", url=URL, clock=clock, replay=ReplayCache(clock))
    assert refused.value.code == "dpop_before_start"


def test_the_same_jti_by_another_key_is_another_proof(verify):
    """One client's `jti` cannot use up another's."""
    verify(proof(jti="j" * 22))
    verify(proof(OTHER_EC_KEY, jti="j" * 22))


def test_a_refused_proof_is_not_remembered(verify):
    """Proofs that fail a check take no room."""
    made = proof()
    assert refusal(verify, made, method="GET") == "dpop_htm"
    verify(made)


def test_replay_memory_is_bounded_and_refuses_when_full(clock):
    """At its limits the memory refuses: one key's limit does not touch another's; time frees it."""
    replay = ReplayCache(clock, limit=5, limit_per_key=3)
    now = clock.wall_ms()
    for place in range(3):
        replay.use("a", str(place), now)
    with pytest.raises(Unavailable) as full:
        replay.use("a", "3", now)
    assert full.value.code == "dpop_replay_full"
    replay.use("b", "0", now)
    replay.use("b", "1", now)
    with pytest.raises(Unavailable):
        replay.use("c", "0", now)
    assert len(replay) == 5
    clock.advance(71_000)
    replay.use("a", "9", clock.wall_ms())
    assert len(replay) == 1
