"""The strict reader: what it refuses, and that joserfc and it understand each other."""

import json
import warnings

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwk as peer_jwk
from joserfc import jws as peer_jws
from tests.unit.identity_kit import EC_KEY, ED_KEY, OTHER_EC_KEY, RSA_KEY, jwk, raw_token

from flyball.identity import jose

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
SIGNERS = {alg: ec.generate_private_key(curve) for alg, curve in CURVES.items()} | {
    "EdDSA": ED_KEY,
    **{f"{kind}{size}": RSA_KEY for kind in ("RS", "PS") for size in (256, 384, 512)},
}


@pytest.mark.parametrize("alg", sorted(SIGNERS))
def test_joserfc_verifies_what_we_sign_and_we_what_it_signs(alg):
    """For every algorithm, the independent library and we accept each other's tokens, and thumbprints agree."""
    key = SIGNERS[alg]
    public = jose.read_jwk(jwk(key))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peer_jwk.import_key(jose.write_jwk(key.public_key()))
        assert theirs.thumbprint() == public.thumbprint == jose.thumbprint(key.public_key())
        ours = jose.sign({"alg": alg}, {"a": "ü", "n": 1}, key)
        assert json.loads(peer_jws.deserialize_compact(ours, theirs, [alg]).payload) == {"a": "ü", "n": 1}
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        kty = jose.write_jwk(key.public_key())["kty"]
        made = peer_jws.serialize_compact({"alg": alg}, b'{"b":2}', peer_jwk.import_key(pem, kty), [alg])
    parsed = jose.parse(made)
    assert public.verify(parsed)
    assert parsed.claims == {"b": 2}
    with_other_alg = jose.Jws({**parsed.header, "alg": "none"}, parsed.claims, parsed.signing_input, b"")
    assert not public.verify(with_other_alg)


def test_rfc7638_example_thumbprint():
    """The RSA key of RFC 7638 §3.1 has the thumbprint printed there."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    read = jose.read_jwk({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
    assert read.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert read.algs == {"RS256"}


@pytest.mark.parametrize(
    ("fault", "token"),
    [
        ("two_parts", "e30.e30"),
        ("four_parts", "e30.e30.e30.e30"),
        ("empty_part", "e30..e30"),
        ("json_serialisation", '{"payload":"e30","protected":"e30","signature":"e30"}'),
        ("padding", "e30=.e30.e30"),
        ("standard_alphabet", "e30.e30.ab+/"),
        ("white_space", "e30.e30.e3 0"),
        ("newline_at_end", "e30.e30.e30\n"),
        ("stray_bits", "e31.e30.e30"),
        ("impossible_length", "e30.e30.e30aa"),
        ("header_is_a_list", f"{jose.b64u(b'[]')}.e30.e30"),
        ("not_utf8", f"{jose.b64u(bytes([0x7B, 0xFF, 0x7D]))}.e30.e30"),
        ("duplicate_header_member", raw_token('{"alg":"ES256","alg":"none"}', "{}")),
        ("duplicate_claim", raw_token('{"alg":"ES256"}', '{"sub":"a","sub":"b"}')),
        ("nested_duplicate", raw_token('{"alg":"ES256"}', '{"cnf":{"jkt":"a","jkt":"b"}}')),
        ("infinite_number", raw_token('{"alg":"ES256"}', '{"exp":1e999}')),
        ("nan", raw_token('{"alg":"ES256"}', '{"exp":NaN}')),
        ("very_deep", raw_token('{"alg":"ES256"}', '{"a":' + "[" * 5000 + "]" * 5000 + "}")),
        ("huge_integer", raw_token('{"alg":"ES256"}', '{"exp":' + "9" * 5000 + "}")),
        ("non_ascii", "ё30.e30.e30"),
    ],
)
def test_malformed(fault, token):
    """A token with this fault is refused as malformed, and the refusal does not repeat it."""
    with pytest.raises(jose.JoseError) as refused:
        jose.parse(token)
    assert refused.value.code == "malformed"
    assert token not in str(refused.value)


def test_too_large():
    """A token over the limit is refused before it is read."""
    with pytest.raises(jose.JoseError) as refused:
        jose.parse("e30.e30." + "A" * jose.MAX_TOKEN)
    assert refused.value.code == "too_large"


def test_crit_is_always_refused():
    """A header with `crit` asks for an extension that nobody here knows."""
    parsed = jose.parse(jose.sign({"alg": "ES256", "crit": ["b64"], "b64": False}, {}, EC_KEY))
    with pytest.raises(jose.JoseError) as refused:
        jose.check_header(parsed, algs={"ES256"})
    assert refused.value.code == "header_not_allowed"


def test_a_key_verifies_only_its_own_kind():
    """No algorithm confusion: an EC key verifies no other algorithm, another key nothing."""
    parsed = jose.parse(jose.sign({"alg": "ES256"}, {}, EC_KEY))
    assert jose.read_jwk(jwk(EC_KEY)).verify(parsed)
    assert not jose.read_jwk(jwk(OTHER_EC_KEY)).verify(parsed)
    assert not jose.read_jwk(jwk(EC_KEY, alg="ES384")).verify(parsed)
    assert not jose.read_jwk(jwk(RSA_KEY)).verify(parsed)


@pytest.mark.parametrize(
    ("fault", "member", "code"),
    [
        ("private_part", jwk(EC_KEY, d="AAAA"), "key_private"),
        ("symmetric", {"kty": "oct", "k": "c2VjcmV0"}, "key_unsupported"),
        ("unknown_curve", {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, "key_unsupported"),
        ("x25519", {"kty": "OKP", "crv": "X25519", "x": "AA"}, "key_unsupported"),
        ("no_kty", {"crv": "P-256"}, "key_unsupported"),
        ("short_coordinate", {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}, "key_malformed"),
        ("off_the_curve", jwk(EC_KEY, y=jose.write_jwk(OTHER_EC_KEY.public_key())["y"]), "key_malformed"),
        ("missing_part", {"kty": "EC", "crv": "P-256", "x": "AAAA"}, "key_malformed"),
        ("part_not_text", jwk(EC_KEY, x=1), "key_malformed"),
        ("kid_not_text", jwk(EC_KEY, kid=1), "key_malformed"),
        ("short_ed25519", {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, "key_malformed"),
        ("huge_exponent", jwk(RSA_KEY, e=jose.b64u(b"\1" * 8)), "key_malformed"),
        ("even_exponent", jwk(RSA_KEY, e="Ag"), "key_malformed"),
    ],
)
def test_bad_keys(fault, member, code):
    """A key with this fault is refused with this code."""
    with pytest.raises(jose.JoseError) as refused:
        jose.read_jwk(member)
    assert refused.value.code == code


def test_short_rsa_key():
    """An RSA key under 2048 bits is refused."""
    with pytest.raises(jose.JoseError):
        jose.read_jwk(jwk(rsa.generate_private_key(65537, 1024)))


@pytest.mark.parametrize("value", [True, "1", -1, 1 << 60, [1], None])
def test_dates_that_are_none(value):
    """A bool, a text, a negative or absurd number, or null is no date."""
    with pytest.raises(jose.JoseError):
        jose.number({"exp": value}, "exp")


@pytest.mark.parametrize("value", [1, {"a": 1}, [1], ["a", None], ["a"] * 17])
def test_audiences_that_are_none(value):
    """An audience is a text or a short list of texts."""
    with pytest.raises(jose.JoseError):
        jose.audiences({"aud": value})


def test_sign_refuses_an_algorithm_that_the_key_cannot_do():
    """A key signs only with its own algorithm."""
    for key, alg in ((EC_KEY, "ES384"), (ED_KEY, "ES256"), (RSA_KEY, "EdDSA"), (EC_KEY, "none")):
        with pytest.raises(jose.JoseError):
            jose.sign({"alg": alg}, {}, key)
