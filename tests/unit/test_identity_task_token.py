"""Task tokens: made and verified, bound always, by keys that rotate and survive a restart."""

import stat

import pytest
from tests.unit.identity_kit import EC_KEY, ED_KEY, ISSUER, NOW_S, WORKLOAD

from flyball.identity import jose, task_token
from flyball.identity.task_token import TaskToken
from flyball.identity.token_keys import TokenKeys
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import ConfigError, InvalidInput, Unauthenticated
from flyball.kernel.ids import task_id

TASK = task_id("local", NOW_S * 1000)
JKT = jose.thumbprint(EC_KEY.public_key())


@pytest.fixture
def clock():
    return FakeClock(NOW_S * 1000)


@pytest.fixture
def keys():
    return TokenKeys.generate()


def mint(keys, binding=f"jkt:{JKT}", life_ms=120_000):
    now = NOW_S * 1000
    return task_token.mint(
        keys, issuer=ISSUER, task=TASK, principal=WORKLOAD, binding=binding, now_ms=now, expires_ms=now + life_ms
    )


def forged(keys, header=None, **changes):
    """A token by the right key with header members and claims changed."""
    kid, key = keys.signer()
    claims = {"iss": ISSUER, "aud": ISSUER, "sub": WORKLOAD, "tid": TASK, "iat": NOW_S, "exp": NOW_S + 120}
    claims |= {"cnf": {"jkt": JKT}} | changes
    head = {"alg": "EdDSA", "kid": kid, "typ": "flyball-task+jwt", **(header or {})}
    return jose.sign(head, {name: value for name, value in claims.items() if value is not None}, key)


def refusal(token, keys, clock):
    with pytest.raises(Unauthenticated) as refused:
        task_token.verify(token, keys=keys, issuer=ISSUER, clock=clock)
    assert token not in repr(refused.value)
    return refused.value.code


def test_round_trip(keys, clock):
    """What was minted is what is verified; header and claims are those of the format."""
    token = mint(keys)
    assert jose.parse(token).header == {"alg": "EdDSA", "kid": keys.signer()[0], "typ": "flyball-task+jwt"}
    assert jose.parse(token).claims == {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": WORKLOAD,
        "tid": TASK,
        "iat": NOW_S,
        "exp": NOW_S + 120,
        "cnf": {"jkt": JKT},
    }
    read = task_token.verify(token, keys=keys, issuer=ISSUER, clock=clock)
    assert (read.task, read.principal, read.jkt, read.uid) == (TASK, WORKLOAD, JKT, None)
    assert read.binding == f"jkt:{JKT}"
    assert read.expires_ms == (NOW_S + 120) * 1000
    assert task_token.verify(mint(keys, "uid:1000"), keys=keys, issuer=ISSUER, clock=clock).binding == "uid:1000"


@pytest.mark.parametrize("binding", ["", "none", "jkt:", "jkt:short", "uid:", "uid:-1", "uid:x", "uid:٣"])
def test_there_is_no_unbound_token(keys, binding):
    """A token is bound to a key or a user, or not minted."""
    with pytest.raises(InvalidInput):
        mint(keys, binding)


@pytest.mark.parametrize(
    ("fault", "changes", "code"),
    [
        ("wrong_issuer", {"iss": "https://other"}, "task_token_audience"),
        ("wrong_audience", {"aud": "https://other"}, "task_token_audience"),
        ("two_audiences", {"aud": [ISSUER, "https://other"]}, "task_token_audience"),
        ("no_audience", {"aud": None}, "task_token_audience"),
        ("expired", {"exp": NOW_S}, "task_token_expired"),
        ("no_expiry", {"exp": None}, "task_token_malformed"),
        ("expiry_true", {"exp": True}, "task_token_malformed"),
        ("no_issue_time", {"iat": None}, "task_token_malformed"),
        ("no_task", {"tid": None}, "task_token_malformed"),
        ("not_a_task", {"tid": "lea_local_01hzz"}, "task_token_malformed"),
        ("no_principal", {"sub": None}, "task_token_malformed"),
        ("unbound", {"cnf": None}, "task_token_unbound"),
        ("bound_to_nothing", {"cnf": {}}, "task_token_unbound"),
        ("bound_twice", {"cnf": {"jkt": JKT, "uid": 1}}, "task_token_unbound"),
        ("short_thumbprint", {"cnf": {"jkt": "x"}}, "task_token_unbound"),
        ("uid_true", {"cnf": {"uid": True}}, "task_token_unbound"),
        ("uid_negative", {"cnf": {"uid": -1}}, "task_token_unbound"),
    ],
)
def test_bad_claims(keys, clock, fault, changes, code):
    """A token of our own key with this fault is refused with this code."""
    assert refusal(forged(keys, **changes), keys, clock) == code


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": "dpop+jwt"}, {"jwk": {}}, {"crit": []}])
def test_bad_header(keys, clock, header):
    """Another type, or one more header member: refused."""
    assert refusal(forged(keys, header), keys, clock) == "task_token_malformed"


def test_another_alg(keys, clock):
    """A token under another algorithm is refused, whoever signed."""
    kid, _ = keys.signer()
    token = jose.sign({"alg": "ES256", "kid": kid, "typ": task_token.TYP}, {}, EC_KEY)
    assert refusal(token, keys, clock) == "task_token_malformed"


def test_a_strangers_key(keys, clock):
    """Signed by a stranger: refused, also under our key's name."""
    other = TokenKeys.generate()
    assert refusal(mint(other), keys, clock) == "task_token_key"
    header = {"alg": "EdDSA", "kid": keys.signer()[0], "typ": task_token.TYP}
    token = jose.sign(header, dict(jose.parse(mint(keys)).claims), ED_KEY)
    assert refusal(token, keys, clock) == "task_token_signature"


def test_a_clock_that_steps_back_ends_no_task(keys, clock):
    """`iat` in the future, by a clock that stepped back, does not refuse our own token."""
    token = mint(keys)
    clock.step_wall(-3_600_000)
    task_token.verify(token, keys=keys, issuer=ISSUER, clock=clock)


def test_the_last_instant(keys, clock):
    """Valid until its expiry, refused from that very instant."""
    token = mint(keys)
    clock.advance(119_999)
    task_token.verify(token, keys=keys, issuer=ISSUER, clock=clock)
    clock.advance(1)
    assert refusal(token, keys, clock) == "task_token_expired"


def test_binding_must_be_shown(keys, clock):
    """A stolen token is not enough: the key, or the user, must be shown on the request."""
    by_key = task_token.verify(mint(keys), keys=keys, issuer=ISSUER, clock=clock)
    by_user = task_token.verify(mint(keys, "uid:1000"), keys=keys, issuer=ISSUER, clock=clock)
    task_token.require_binding(by_key, proof=JKT)
    task_token.require_binding(by_user, peer_uid=1000)
    for token, shown in [
        (by_key, {}),
        (by_key, {"proof": "x" * 43}),
        (by_key, {"peer_uid": 1000}),
        (by_user, {}),
        (by_user, {"peer_uid": 1001}),
        (by_user, {"proof": JKT}),
        (by_user, {"peer_uid": 0}),
    ]:
        with pytest.raises(Unauthenticated) as refused:
            task_token.require_binding(token, **shown)
        assert refused.value.code == "task_token_unproved"


def test_task_tokens_are_made_nowhere_else():
    """A verified token cannot be built outside the room."""
    with pytest.raises(TypeError):
        TaskToken(TASK, WORKLOAD, JKT, None, 0, 1, seal=None)


@pytest.mark.parametrize(
    ("heartbeat_ms", "left_ms", "life_ms"),
    [
        (5_000, 10**9, 120_000),
        (60_000, 10**9, 180_000),
        (600_000, 10**9, 600_000),
        (5_000, 30_000, 30_000),
    ],
)
def test_life(heartbeat_ms, left_ms, life_ms):
    """Three heartbeats, held to 2 to 10 minutes, never past the hard end."""
    assert task_token.expiry_ms(now_ms=7, heartbeat_ms=heartbeat_ms, hard_end_ms=7 + left_ms) == 7 + life_ms


def test_rotation(clock):
    """After a rotation old tokens still verify, until their key is retired."""
    keys = TokenKeys.generate()
    token = mint(keys)
    old = keys.signer()[0]
    assert keys.rotate() == keys.signer()[0] != old
    task_token.verify(token, keys=keys, issuer=ISSUER, clock=clock)
    assert [key["kid"] for key in keys.jwks()["keys"]] == [keys.signer()[0], old]
    assert [key["kid"] for key in keys.edge_keys()] == [keys.signer()[0], old]
    keys.retire()
    assert refusal(token, keys, clock) == "task_token_key"
    for _ in range(5):
        keys.rotate()
    assert len(keys.jwks()["keys"]) == 1 + TokenKeys.KEEP


def test_jwks_is_public(keys):
    """The published keys are public, usable, and named by their thumbprint."""
    (member,) = keys.jwks()["keys"]
    assert set(member) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert jose.read_jwk(member).thumbprint == member["kid"]
    assert keys.edge_keys() == [{"kid": member["kid"], "x": member["x"]}]


def test_keys_survive_a_restart(tmp_path, clock):
    """Tokens from before a restart verify after it, also those from before a rotation."""
    keys = TokenKeys.open(tmp_path / "keys")
    first = mint(keys)
    keys.rotate()
    second = mint(keys)
    again = TokenKeys.open(tmp_path / "keys")
    assert again.signer()[0] == keys.signer()[0]
    for token in (first, second):
        task_token.verify(token, keys=again, issuer=ISSUER, clock=clock)
    again.retire()
    third = TokenKeys.open(tmp_path / "keys")
    assert refusal(first, third, clock) == "task_token_key"
    for _ in range(4):
        third.rotate()
    assert len(list((tmp_path / "keys").iterdir())) == 1 + TokenKeys.KEEP


def test_key_files_are_private(tmp_path):
    """The folder is 0700, the files 0600; anything wider is refused, as is a file that is no key."""
    folder = tmp_path / "keys"
    TokenKeys.open(folder)
    (path,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(ConfigError) as refused:
        TokenKeys.open(folder)
    assert "chmod 600" in refused.value.hint
    path.chmod(0o600)
    folder.chmod(0o755)
    with pytest.raises(ConfigError):
        TokenKeys.open(folder)
    folder.chmod(0o700)
    path.write_text("no key")
    with pytest.raises(ConfigError):
        TokenKeys.open(folder)
