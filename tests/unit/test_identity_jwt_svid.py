"""JWT-SVIDs: one test for each rule of JWT-SVID.md, named after its fault."""

import dataclasses
import json

import pytest
from tests.unit.identity_kit import (
    EC_KEY,
    ED_KEY,
    ISSUER,
    NOW_S,
    OTHER_EC_KEY,
    RSA_KEY,
    WORKLOAD,
    jwk,
    raw_token,
    svid_claims,
    svid_header,
    write_bundle,
)

from flyball.identity import jose
from flyball.identity.principal import Principal
from flyball.identity.resolve import IdentityConfig, Resolver
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import Unauthenticated


@pytest.fixture
def clock():
    return FakeClock(NOW_S * 1000)


@pytest.fixture
def resolver(tmp_path, clock):
    bundle = write_bundle(
        tmp_path / "bundle.json",
        jwk(EC_KEY, use="jwt-svid", kid="k1"),
        jwk(RSA_KEY, use="jwt-svid", kid="k2"),
        jwk(OTHER_EC_KEY, use="wit-svid", kid="k3"),
        {"kty": "future", "use": "jwt-svid", "kid": "k4"},
    )
    return Resolver(IdentityConfig(issuer=ISSUER, trust_domains={"td.example": bundle}), clock=clock)


def refusal(resolver, token):
    with pytest.raises(Unauthenticated) as refused:
        resolver.authenticate(token)
    error = refused.value
    assert token not in f"{error.detail} {error.hint} {error!r}"
    return error.code


def good(**changes):
    return jose.sign(svid_header(), svid_claims(**changes), EC_KEY)


def test_a_good_svid_becomes_a_principal(resolver):
    """All rules kept: the principal is the SPIFFE ID, with the SVID's claims and expiry."""
    principal = resolver.authenticate(good(team="refunds"))
    assert (principal.id, principal.kind, principal.issuer) == (WORKLOAD, "spiffe", "td.example")
    assert principal.claims["team"] == "refunds"
    assert principal.expires_ms == (NOW_S + 300) * 1000
    assert principal.key_thumbprint is None


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_rsa_svids_are_accepted(resolver, alg):
    """The nine algorithms include RSA's six."""
    token = jose.sign(svid_header(alg=alg, kid="k2"), svid_claims(), RSA_KEY)
    assert resolver.authenticate(token).id == WORKLOAD


def test_kid_and_typ_are_optional(resolver):
    """Without `kid` the trust domain's fitting keys are tried; `typ` may be JOSE or absent."""
    for header in (svid_header(kid=None), svid_header(typ=None), svid_header(typ="JOSE")):
        assert resolver.authenticate(jose.sign(header, svid_claims(), EC_KEY)).id == WORKLOAD


def test_principals_are_made_nowhere_else(resolver):
    """A Principal cannot be built, nor copied with changes, outside the room."""
    with pytest.raises(TypeError):
        Principal("spiffe://x/y", "spiffe", "x", "x", {}, 1, None, seal=object())
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(resolver.authenticate(good()), id="spiffe://td.example/admin")
    with pytest.raises(TypeError):
        resolver.authenticate(good()).claims["sub"] = "x"


def test_not_compact(resolver):
    """The JSON serialisation is refused."""
    assert refusal(resolver, json.dumps({"payload": "e30", "signatures": []})) == "token_malformed"


@pytest.mark.parametrize(
    "extra", [{"jwk": {}}, {"jku": "https://evil"}, {"x5c": []}, {"crit": ["exp"]}, {"cty": "JWT"}, {"b64": True}]
)
def test_header_member_not_allowed(resolver, extra):
    """The header holds alg, kid and typ, and nothing else."""
    token = jose.sign({**svid_header(), **extra}, svid_claims(), EC_KEY)
    assert refusal(resolver, token) == "token_header_not_allowed"


@pytest.mark.parametrize("typ", ["jwt", "at+jwt", "dpop+jwt", "flyball-task+jwt", 1, ""])
def test_typ_not_allowed(resolver, typ):
    """The type is JWT or JOSE."""
    assert refusal(resolver, jose.sign(svid_header(typ=typ), svid_claims(), EC_KEY)) == "token_header_not_allowed"


@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", "es256", "", 5, None])
def test_alg_not_allowed(resolver, alg):
    """An algorithm outside the nine is refused before anything is verified."""
    header = json.dumps({"kid": "k1"} if alg is None else {"alg": alg, "kid": "k1"})
    assert refusal(resolver, raw_token(header, json.dumps(svid_claims()))) == "token_alg_not_allowed"


def test_alg_none_with_empty_signature(resolver):
    """The classic: no algorithm, no signature."""
    header = jose.b64u(b'{"alg":"none"}')
    token = f"{header}.{jose.b64u(json.dumps(svid_claims()).encode())}."
    assert refusal(resolver, token) == "token_malformed"


def test_eddsa_signed(resolver):
    """EdDSA is no JWT-SVID algorithm, even with a good signature."""
    token = jose.sign(svid_header(alg="EdDSA"), svid_claims(), ED_KEY)
    assert refusal(resolver, token) == "token_alg_not_allowed"


@pytest.mark.parametrize("aud", [None, [], "", "https://other", ["https://other"], ISSUER + "/", [ISSUER + ".evil"]])
def test_audience_not_ours(resolver, aud):
    """The audience must hold our very identifier."""
    assert refusal(resolver, good(aud=aud)) == "token_audience"


def test_audience_among_others(resolver):
    """Our identifier may stand among others, or alone as text."""
    assert resolver.authenticate(good(aud=["x", ISSUER])).id == WORKLOAD
    assert resolver.authenticate(good(aud=ISSUER)).id == WORKLOAD


def test_expired(resolver, clock):
    """Past its expiry and the leeway of 30 s, an SVID is refused; within the leeway it is not."""
    token = good()
    clock.advance(300_000 + 29_999)
    assert resolver.authenticate(token).id == WORKLOAD
    clock.advance(1)
    assert refusal(resolver, token) == "token_expired"


@pytest.mark.parametrize("exp", [None, "1900000000", True, -5, 1e300])
def test_expiry_missing_or_malformed(resolver, exp):
    """`exp` is demanded, and is a number."""
    assert refusal(resolver, good(exp=exp)) == "token_claim_malformed"


def test_not_yet_valid(resolver):
    """`nbf` and `iat` in the future are refused."""
    assert refusal(resolver, good(nbf=NOW_S + 31)) == "token_not_yet_valid"
    assert refusal(resolver, good(iat=NOW_S + 31)) == "token_not_yet_valid"


@pytest.mark.parametrize("sub", ["spiffe://td.example", "spiffe://td.example/", "spiffe://td.example/../x"])
def test_subject_is_no_workload(resolver, sub):
    """The subject is a SPIFFE ID with a path."""
    assert refusal(resolver, good(sub=sub)) == "svid_subject"


@pytest.mark.parametrize("sub", [None, "", "agent", 7, "https://td.example/agent", "spiffe://other.example/agent"])
def test_subject_of_nobody_we_trust(resolver, sub):
    """No SPIFFE ID of a configured trust domain and no configured issuer: nobody we believe."""
    assert refusal(resolver, good(sub=sub)) == "token_issuer_unknown"


def test_key_of_another_trust_domain(tmp_path, clock):
    """A trust domain's key signs for that domain only, though both are trusted."""
    one = write_bundle(tmp_path / "one.json", jwk(EC_KEY, use="jwt-svid", kid="k1"))
    two = write_bundle(tmp_path / "two.json", jwk(OTHER_EC_KEY, use="jwt-svid", kid="k1"))
    config = IdentityConfig(issuer=ISSUER, trust_domains={"td.example": one, "two.example": two})
    resolver = Resolver(config, clock=clock)
    assert refusal(resolver, good(sub="spiffe://two.example/agent")) == "svid_signature"


def test_key_of_another_use(resolver):
    """A key in the bundle that is not for JWT-SVIDs verifies none."""
    assert refusal(resolver, jose.sign(svid_header(kid="k3"), svid_claims(), OTHER_EC_KEY)) == "svid_key_unknown"


@pytest.mark.parametrize("kid", ["other", "", 1])
def test_kid_unknown(resolver, kid):
    """A named key must be in the bundle; another key that would verify is not tried."""
    assert refusal(resolver, jose.sign(svid_header(kid=kid), svid_claims(), EC_KEY)) == "svid_key_unknown"


def test_kid_of_another_key(resolver):
    """The named key is the one that must have signed."""
    assert refusal(resolver, jose.sign(svid_header(kid="k2"), svid_claims(), EC_KEY)) == "svid_signature"


def test_signed_by_a_stranger(resolver):
    """A stranger's signature is refused, with and without the right kid."""
    for header in (svid_header(), svid_header(kid=None)):
        assert refusal(resolver, jose.sign(header, svid_claims(), OTHER_EC_KEY)) == "svid_signature"


def test_no_key_left(tmp_path, clock):
    """A bundle without a usable key trusts nobody."""
    bundle = write_bundle(tmp_path / "bundle.json", jwk(EC_KEY, kid="k1"), {"kty": "EC", "use": "tls", "kid": "k2"})
    resolver = Resolver(IdentityConfig(issuer=ISSUER, trust_domains={"td.example": bundle}), clock=clock)
    assert refusal(resolver, good()) == "svid_untrusted"


def test_too_large(resolver):
    """An SVID over 8 KiB is refused, signed well or not."""
    assert refusal(resolver, good(filler="x" * 7000)) == "token_too_large"
    assert refusal(resolver, good(filler="x" * 20000)) == "token_too_large"


def test_too_many_claims(resolver):
    """More claims than we keep are refused."""
    assert refusal(resolver, good(**{f"c{place}": 1 for place in range(64)})) == "token_malformed"


def test_bound_token_as_bearer(resolver):
    """An SVID with `cnf` counts only with proof of that key; a binding we cannot check is refused."""
    thumbprint = jose.thumbprint(ED_KEY.public_key())
    token = good(cnf={"jkt": thumbprint})
    assert refusal(resolver, token) == "token_unproved"
    assert resolver.authenticate(token, proof=thumbprint).key_thumbprint == thumbprint
    with pytest.raises(Unauthenticated):
        resolver.authenticate(token, proof=jose.thumbprint(EC_KEY.public_key()))
    assert refusal(resolver, good(cnf={"x5t#S256": "a" * 43})) == "token_binding_unsupported"
    assert refusal(resolver, good(cnf="x")) == "token_binding_unsupported"
