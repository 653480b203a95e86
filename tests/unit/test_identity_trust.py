"""Trust bundles, the development domain, and the operators' token: files that are believed."""

import base64
import json
import os
import stat

import pytest
from tests.unit.identity_kit import EC_KEY, ISSUER, NOW_S, OTHER_EC_KEY, RSA_KEY, jwk, write_bundle

from flyball.identity import jose
from flyball.identity.admin import OPERATOR, AdminTokens
from flyball.identity.dev import DevDomain, refuse_production
from flyball.identity.resolve import IdentityConfig, Resolver
from flyball.identity.trust_bundle import BundleFile, parse_bundle
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import ConfigError, InvalidInput, Unauthenticated

K1 = jwk(EC_KEY, use="jwt-svid", kid="k1")
K2 = jwk(OTHER_EC_KEY, use="jwt-svid", kid="k2")


def bundle_bytes(*keys, **members):
    return json.dumps({"keys": list(keys), **members}).encode()


def test_a_bundle_is_read():
    """JWT keys by kid, X.509 authorities, the sequence; keys of unknown kty or use are left out."""
    authority = {"kty": "EC", "use": "x509-svid", "x5c": [base64.b64encode(b"der").decode()]}
    ignored = [{"kty": "new", "use": "jwt-svid"}, {"kty": "EC", "use": "tls"}, jwk(RSA_KEY, kid="k9"), {"use": "?"}]
    read = parse_bundle("td.example", bundle_bytes(K1, K2, authority, *ignored, spiffe_sequence=7))
    assert set(read.jwt_keys) == {"k1", "k2"}
    assert (read.x509_authorities, read.sequence, read.dev) == ((b"der",), 7, False)


def test_an_empty_bundle_trusts_nobody():
    """No keys is a valid bundle: everything is revoked."""
    assert parse_bundle("td.example", b'{"keys":[]}').jwt_keys == {}


def test_a_bundle_map_gives_its_entry():
    """From a bundle map only the trust domain's own entry is taken."""
    both = json.dumps({"trust_domains": {"td.example": {"keys": [K1]}, "x.example": {"keys": [K2]}}}).encode()
    assert set(parse_bundle("td.example", both).jwt_keys) == {"k1"}
    with pytest.raises(ConfigError):
        parse_bundle("y.example", both)


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("empty", b""),
        ("not_json", b"{"),
        ("a_list", b"[]"),
        ("no_keys", b"{}"),
        ("keys_no_list", b'{"keys":{}}'),
        ("key_no_object", b'{"keys":[1]}'),
        ("duplicate_member", b'{"keys":[],"keys":[]}'),
        ("duplicate_trust_domain", b'{"trust_domains":{"td.example":{"keys":[]},"td.example":{"keys":[]}}}'),
        ("duplicate_kid", bundle_bytes(K1, {**K2, "kid": "k1"})),
        ("no_kid", bundle_bytes(jwk(EC_KEY, use="jwt-svid"))),
        ("private_key", bundle_bytes({**K1, "d": "AAAA"})),
        ("bad_point", bundle_bytes({**K1, "y": K2["y"]})),
        ("two_certificates", bundle_bytes({"kty": "EC", "use": "x509-svid", "x5c": ["AA==", "AA=="]})),
        ("certificate_not_base64", bundle_bytes({"kty": "EC", "use": "x509-svid", "x5c": ["?"]})),
        ("no_certificate", bundle_bytes({"kty": "EC", "use": "x509-svid"})),
        ("sequence_true", bundle_bytes(spiffe_sequence=True)),
        ("sequence_negative", bundle_bytes(spiffe_sequence=-1)),
        ("sequence_text", bundle_bytes(spiffe_sequence="7")),
        ("too_many_keys", bundle_bytes(*[{"kty": "x"}] * 257)),
        ("too_large", bundle_bytes(filler="x" * (1 << 20))),
    ],
)
def test_bad_bundles(fault, data):
    """A bundle with this fault is refused whole."""
    with pytest.raises(ConfigError) as refused:
        parse_bundle("td.example", data)
    assert refused.value.code == "trust_bundle"


def test_a_changed_file_is_read_again(tmp_path):
    """New keys count from the next use on; keys that are gone no longer count."""
    path = write_bundle(tmp_path / "b.json", K1)
    file = BundleFile("td.example", path, allow_dev=False)
    assert set(file.current().jwt_keys) == {"k1"}
    write_bundle(tmp_path / "new.json", K2).replace(path)
    assert set(file.current().jwt_keys) == {"k2"}
    write_bundle(path)
    assert not file.current().jwt_keys


@pytest.mark.parametrize("fault", ["malformed", "gone", "older", "writable", "dev"])
def test_a_bad_change_keeps_the_old_bundle(tmp_path, fault):
    """A change that cannot be used leaves the old bundle in force and says so; a good one heals it."""
    path = write_bundle(tmp_path / "b.json", K1, spiffe_sequence=5)
    file = BundleFile("td.example", path, allow_dev=False)
    if fault == "malformed":
        path.write_text('{"keys":[')
    elif fault == "gone":
        path.unlink()
    elif fault == "older":
        write_bundle(path, K2, spiffe_sequence=4)
    elif fault == "writable":
        write_bundle(path, K2, spiffe_sequence=6)
        path.chmod(0o666)
    else:
        write_bundle(path, K2, spiffe_sequence=6, flyball_dev=True)
    assert set(file.current().jwt_keys) == {"k1"}
    assert file.problem
    path.unlink(missing_ok=True)
    write_bundle(path, K2, spiffe_sequence=6)
    assert set(file.current().jwt_keys) == {"k2"}
    assert file.problem == ""


def test_a_bad_bundle_stops_the_start(tmp_path):
    """At the start there is no old bundle to keep: refused."""
    with pytest.raises(ConfigError):
        BundleFile("td.example", tmp_path / "missing.json", allow_dev=False)


@pytest.fixture
def clock():
    return FakeClock(NOW_S * 1000)


def development(domain):
    return IdentityConfig(issuer=ISSUER, trust_domains={"flyball.dev": domain.bundle_path}, mode="development")


def test_the_dev_domain_issues_svids_that_verify(tmp_path, clock):
    """Its SVIDs pass the whole verification; opened again, it is the same domain and touches nothing."""
    domain = DevDomain.open(tmp_path / "dev", mode="development", clock=clock)
    resolver = Resolver(development(domain), clock=clock)
    token = domain.issue("spiffe://flyball.dev/agent/refund", ISSUER, ttl_s=60)
    assert resolver.authenticate(token).id == "spiffe://flyball.dev/agent/refund"
    before = domain.bundle_path.stat().st_mtime_ns
    again = DevDomain.open(tmp_path / "dev", mode="development", clock=clock)
    assert again.bundle_path.stat().st_mtime_ns == before
    resolver.authenticate(again.issue("spiffe://flyball.dev/agent/refund", ISSUER))
    assert resolver.problems() == {}


def test_an_svid_of_the_dev_domain_says_which_instance_it_is_for(tmp_path, clock):
    """A new one each time, or the one that is given; further claims stand beside the token's own, never for them."""
    domain = DevDomain.open(tmp_path / "dev", mode="development", clock=clock)
    config = IdentityConfig(issuer=ISSUER, trust_domains={"flyball.dev": domain.bundle_path}, mode="development")
    resolver = Resolver(config, clock=clock)

    def claims(**more):
        return resolver.authenticate(domain.issue("spiffe://flyball.dev/agent/refund", ISSUER, **more)).claims

    assert claims()["instance"] != claims()["instance"]
    assert claims(instance="pod-1")["instance"] == "pod-1"
    assert claims(claims={"inputs": {"ticket": "T-1"}})["inputs"] == {"ticket": "T-1"}
    for own in ("sub", "aud", "exp", "instance"):
        with pytest.raises(InvalidInput, match="token's own"):
            claims(claims={own: "x"})


def test_the_dev_domain_guards_its_key(tmp_path, clock):
    """Folder 0700, key 0600; a key that others may read is refused."""
    domain = DevDomain.open(tmp_path / "dev", mode="development", clock=clock)
    key = tmp_path / "dev/key.pem"
    assert stat.S_IMODE((tmp_path / "dev").stat().st_mode) == 0o700
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in domain.bundle_path.read_bytes()
    assert '"d"' not in domain.bundle_path.read_text()
    key.chmod(0o644)
    with pytest.raises(ConfigError):
        DevDomain.open(tmp_path / "dev", mode="development", clock=clock)


@pytest.mark.parametrize(
    ("spiffe_id", "audience", "ttl_s"),
    [
        ("spiffe://other.dev/a", ISSUER, 60),
        ("spiffe://flyball.dev", ISSUER, 60),
        ("spiffe://flyball.dev/a", [], 60),
        ("spiffe://flyball.dev/a", "", 60),
        ("spiffe://flyball.dev/a", ISSUER, 0),
        ("spiffe://flyball.dev/a", ISSUER, 24 * 3600 + 1),
    ],
)
def test_what_the_dev_domain_does_not_issue(tmp_path, clock, spiffe_id, audience, ttl_s):
    """No SVID for another domain, for no audience, for no time or for days."""
    domain = DevDomain.open(tmp_path / "dev", mode="development", clock=clock)
    with pytest.raises(InvalidInput):
        domain.issue(spiffe_id, audience, ttl_s=ttl_s)


@pytest.mark.parametrize("mode", ["production", "", "prod", "Development"])
def test_the_dev_domain_refuses_production(tmp_path, clock, mode):
    """The issuer runs in development only; an unknown mode counts as production."""
    with pytest.raises(ConfigError) as refused:
        refuse_production(mode)
    assert refused.value.code == "dev_in_production"
    with pytest.raises(ConfigError):
        DevDomain.open(tmp_path / "dev", mode=mode, clock=clock)
    assert not (tmp_path / "dev").exists()


@pytest.mark.parametrize("disguise", ["none", "mark_removed", "bundle_map", "renamed_keys_kept_mark", "mark_null"])
def test_production_refuses_a_dev_bundle(tmp_path, clock, disguise):
    """A development bundle is refused by its mark, or by its keys where the mark was taken off."""
    domain = DevDomain.open(tmp_path / "dev", mode="development", clock=clock)
    bundle = json.loads(domain.bundle_path.read_text())
    if disguise == "mark_removed":
        del bundle["flyball_dev"]
    elif disguise == "bundle_map":
        bundle = {"trust_domains": {"flyball.dev": bundle}}
    elif disguise == "renamed_keys_kept_mark":
        bundle["keys"][0]["kid"] = "k1"
    elif disguise == "mark_null":
        bundle["keys"][0]["kid"], bundle["flyball_dev"] = "k1", None
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle))
    with pytest.raises(ConfigError) as refused:
        Resolver(IdentityConfig(issuer=ISSUER, trust_domains={"flyball.dev": path}), clock=clock)
    assert refused.value.code == "dev_in_production"


def test_the_admin_token(tmp_path):
    """Made once with mode 0600; it authenticates as a bearer token, and only it."""
    admins = AdminTokens(tmp_path / "state" / "admin.token")
    assert admins.create() is True
    assert admins.create() is False
    path = tmp_path / "state" / "admin.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = admins.reveal().reveal()
    assert len(token) == 47
    assert admins.authenticate(f"Bearer {token}") == OPERATOR
    for shown in ("", "Bearer", "Bearer ", token, f"Basic {token}", f"Bearer {token}x", "Bearer \udcff", "Bearer ü"):
        with pytest.raises(Unauthenticated) as refused:
            admins.authenticate(shown)
        assert token not in repr(refused.value)


@pytest.mark.parametrize(
    "fault", ["missing", "open_to_group", "link", "garbage", "fifo", "folder", "large", "not_ours"]
)
def test_an_admin_token_file_that_is_not_private_is_refused(tmp_path, monkeypatch, fault):
    """Whatever is wrong with the file, nobody is an operator."""
    path = tmp_path / "admin.token"
    admins = AdminTokens(path)
    admins.create()
    token = admins.reveal().reveal()
    if fault == "missing":
        path.unlink()
    elif fault == "open_to_group":
        path.chmod(0o640)
    elif fault == "link":
        path.rename(tmp_path / "real")
        path.symlink_to(tmp_path / "real")
    elif fault == "garbage":
        path.write_text("hello")
    elif fault == "fifo":
        path.unlink()
        os.mkfifo(path, 0o600)
    elif fault == "folder":
        path.unlink()
        path.mkdir(0o700)
    elif fault == "not_ours":
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    else:
        path.write_text("x" * 70_000)
    with pytest.raises(ConfigError) as refused:
        admins.authenticate(f"Bearer {token}")
    assert refused.value.code == "key_file"


def test_a_replaced_admin_token_counts_at_once(tmp_path):
    """Replacing the file ends the old token."""
    admins = AdminTokens(tmp_path / "admin.token")
    admins.create()
    old = admins.reveal().reveal()
    (tmp_path / "admin.token").unlink()
    admins.create()
    with pytest.raises(Unauthenticated):
        admins.authenticate(f"Bearer {old}")


def test_a_resolver_needs_its_own_name(tmp_path, clock):
    """Without an issuer there is no audience to hold tokens against."""
    with pytest.raises(ConfigError):
        Resolver(IdentityConfig(issuer=""), clock=clock)


def test_thumbprints_of_keys_in_a_bundle_are_the_keys_own():
    """The bundle's keys are the ones that were written."""
    read = parse_bundle("td.example", bundle_bytes(K1))
    assert read.jwt_keys["k1"].thumbprint == jose.thumbprint(EC_KEY.public_key())
