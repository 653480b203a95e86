"""Properties of what identity reads: mangled never verifies, foreign text never crashes, ids read back."""

import contextlib
import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.identity_kit import (
    EC_KEY,
    ED_KEY,
    ISSUER,
    NOW_S,
    RSA_KEY,
    WORKLOAD,
    jwk,
    svid_claims,
    svid_header,
    write_bundle,
)

from flyball.identity import dpop, jose, task_token
from flyball.identity.agents import AgentDecl
from flyball.identity.principal import spiffe_principal
from flyball.identity.replay import ReplayCache
from flyball.identity.resolve import IdentityConfig, Resolver
from flyball.identity.spiffe_id import SpiffeId
from flyball.identity.task_token import TaskToken
from flyball.identity.token_keys import TokenKeys
from flyball.identity.trust_bundle import parse_bundle
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import ConfigError, FlyballError, InvalidInput, Unauthenticated
from flyball.kernel.ids import task_id

CLOCK = FakeClock(NOW_S * 1000)
KEYS = TokenKeys.generate()
JKT = jose.thumbprint(ED_KEY.public_key())
URL = "http://127.0.0.1:7611/v1/tasks"


def _resolver():
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(
            Path(folder) / "b.json", jwk(EC_KEY, use="jwt-svid", kid="k1"), jwk(RSA_KEY, use="jwt-svid", kid="k2")
        )
        return Resolver(IdentityConfig(issuer=ISSUER, trust_domains={"td.example": bundle}), clock=CLOCK)


RESOLVER = _resolver()
SVIDS = [
    jose.sign(svid_header(), svid_claims(), EC_KEY),
    jose.sign(svid_header(kid=None), svid_claims(team="a"), EC_KEY),
    jose.sign(svid_header(alg="PS256", kid="k2"), svid_claims(), RSA_KEY),
]
TASK_TOKEN = task_token.mint(
    KEYS,
    issuer=ISSUER,
    task=task_id("local", NOW_S * 1000),
    principal=WORKLOAD,
    binding=f"jkt:{JKT}",
    now_ms=NOW_S * 1000,
    expires_ms=NOW_S * 1000 + 120_000,
)
PROOFS = [
    dpop.make_proof(key, method="POST", url=URL, iat_s=NOW_S, access_token=TASK_TOKEN) for key in (EC_KEY, ED_KEY)
]


def verify_proof(text):
    return dpop.verify_proof(
        [text],
        method="POST",
        url=URL,
        clock=CLOCK,
        replay=ReplayCache(CLOCK),
        access_token=TASK_TOKEN,
        thumbprint=jose.thumbprint(EC_KEY.public_key()) if text == PROOFS[0] else JKT,
    )


def verify_task_token(text):
    return task_token.verify(text, keys=KEYS, issuer=ISSUER, clock=CLOCK)


def test_the_tokens_below_are_good():
    """The tokens that are mangled below verify as they are: else the properties would be empty."""
    for token in SVIDS:
        assert RESOLVER.authenticate(token).id == WORKLOAD
    assert isinstance(verify_task_token(TASK_TOKEN), TaskToken)
    for proof in PROOFS:
        verify_proof(proof)


@pytest.mark.parametrize("place", range(3))
def test_a_svid_with_any_one_character_changed_never_verifies(place):
    """Every character of the token counts: another base64url character there is refused, at every place."""
    token = SVIDS[place]
    for at, before in enumerate(token):
        after = "A" if before != "A" else "B"
        with pytest.raises(Unauthenticated):
            RESOLVER.authenticate(token[:at] + after + token[at + 1 :])


def test_a_signature_has_one_spelling():
    """No other last character of a token stands for the same bytes."""
    for token in [*SVIDS, TASK_TOKEN]:
        verify = verify_task_token if token == TASK_TOKEN else RESOLVER.authenticate
        for last in set(string.ascii_letters + string.digits + "-_=") - {token[-1]}:
            with pytest.raises(Unauthenticated):
                verify(token[:-1] + last)


mangled = st.tuples(
    st.integers(0, 2000), st.integers(0, 3), st.text(min_size=1, max_size=3) | st.sampled_from(list(".=-_\n \0"))
)


def mangle(token, how):
    """Replace, insert, delete or cut at a place; the same text may come out."""
    at, kind, text = how
    at %= len(token)
    return [
        token[:at] + text + token[at + 1 :],
        token[:at] + text + token[at:],
        token[:at] + token[at + 1 :],
        token[:at],
    ][kind]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SVIDS), mangled)
def test_a_mangled_svid_never_verifies(token, how):
    """Whatever is done to a token, it is refused as unauthenticated, and nothing else is raised."""
    other = mangle(token, how)
    if other != token:
        with pytest.raises(Unauthenticated) as refused:
            RESOLVER.authenticate(other)
        assert len(other) < 8 or other not in str(refused.value)


@settings(max_examples=300, deadline=None)
@given(mangled)
def test_a_mangled_task_token_never_verifies(how):
    """The same for task tokens."""
    other = mangle(TASK_TOKEN, how)
    if other != TASK_TOKEN:
        with pytest.raises(Unauthenticated):
            verify_task_token(other)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PROOFS), mangled)
def test_a_mangled_proof_never_verifies(proof, how):
    """The same for DPoP proofs."""
    other = mangle(proof, how)
    if other != proof:
        with pytest.raises(Unauthenticated):
            verify_proof(other)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400) | st.binary(max_size=200).map(lambda raw: f"{jose.b64u(raw)}.{jose.b64u(raw)}.AA"))
def test_foreign_text_is_refused_everywhere(text):
    """Text that nobody signed raises nothing but refusals, in every reader."""
    for verify in (RESOLVER.authenticate, verify_task_token, verify_proof):
        with pytest.raises(Unauthenticated):
            verify(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(["sub", "aud", "exp", "nbf", "iat", "cnf", "iss", "x"]), json_values))
def test_any_claims_give_a_principal_or_a_refusal(changes):
    """Well-signed claims of any shape: the good ones' own subject, or a refusal; never another error."""
    token = jose.sign(svid_header(), {**svid_claims(), **changes}, EC_KEY)
    try:
        principal = RESOLVER.authenticate(token)
    except FlyballError:
        return
    assert principal.id == {**svid_claims(), **changes}["sub"]
    assert principal.key_thumbprint is None


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "jwk", "crit", "x5c"]), json_values, max_size=4))
def test_any_header_gives_a_principal_or_a_refusal(header):
    """The same for headers of any shape."""
    head = jose.b64u(jose.json.dumps(header).encode())
    _, body, signature = SVIDS[0].split(".")
    with pytest.raises(Unauthenticated):
        RESOLVER.authenticate(f"{head}.{body}.{signature}")


segments = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20).filter(
    lambda text: text not in (".", "..")
)
domains = st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=30)


@given(domains, st.lists(segments, max_size=5))
def test_well_formed_spiffe_ids_read_back(domain, path):
    """An id made by the rules is accepted into its parts and written back the same."""
    text = f"spiffe://{domain}" + "".join(f"/{segment}" for segment in path)
    read = SpiffeId.parse(text)
    assert (read.trust_domain, str(read)) == (domain, text)
    assert read.path == text.removeprefix(f"spiffe://{domain}")


@settings(max_examples=500)
@given(st.text(max_size=60) | st.text(string.ascii_letters + "/.:@?#%[]\n -_", max_size=40).map("spiffe://".__add__))
def test_what_is_accepted_keeps_the_rules(text):
    """Whatever is accepted is plain, has no empty or dot segment, and is written back the same."""
    try:
        read = SpiffeId.parse(text)
    except InvalidInput:
        return
    assert str(read) == text
    assert not set(text.removeprefix("spiffe://")) - set(string.ascii_letters + string.digits + "._-/")
    assert read.trust_domain == read.trust_domain.lower()
    assert not set(read.path.split("/")[1:]) & {"", ".", ".."}


@given(domains, st.lists(segments, min_size=1, max_size=4), domains, st.lists(segments, min_size=1, max_size=4))
def test_an_exact_pattern_matches_that_id_only(domain, path, other_domain, other_path):
    """An id taken as a pattern matches itself and no other id; with `/**` it stays in its trust domain."""
    text, other = f"spiffe://{domain}/{'/'.join(path)}", f"spiffe://{other_domain}/{'/'.join(other_path)}"
    principal = spiffe_principal(SpiffeId.parse(other), claims={}, expires_ms=1)
    assert AgentDecl("a", (text,), "o").matches(principal) is (text == other)
    assert AgentDecl("a", (f"spiffe://{domain}/**",), "o").matches(principal) is (domain == other_domain)


@settings(max_examples=300)
@given(json_values.map(lambda value: jose.json.dumps({"keys": value}).encode()) | st.binary(max_size=100))
def test_any_bundle_is_read_or_refused(data):
    """A trust bundle of any shape is read or refused, never anything else."""
    with contextlib.suppress(ConfigError):
        parse_bundle("td.example", data)


@settings(max_examples=300)
@given(st.text(max_size=60) | st.text("htps:/.@%41aZ?#[]", max_size=30).map("http://".__add__))
def test_normalising_a_uri_twice_is_once(text):
    """Normalisation is refused or stable."""
    try:
        once = dpop.normal_uri(text)
    except Unauthenticated:
        return
    assert dpop.normal_uri(once) == once


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20_000)), max_size=60))
def test_the_replay_memory_against_a_plain_model(steps):
    """A name is accepted at most once within its window, whatever the order and the pauses."""
    clock = FakeClock(NOW_S * 1000)
    replay = ReplayCache(clock)
    last = {}
    for name, pause in steps:
        clock.advance(pause)
        now = clock.mono_ms()
        fresh = name not in last or now - last[name] >= 71_000
        try:
            replay.use("key", str(name), clock.wall_ms())
            accepted = True
        except Unauthenticated:
            accepted = False
        assert accepted is fresh
        if accepted:
            last[name] = now
