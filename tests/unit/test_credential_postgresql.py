"""The PostgreSQL connector without a server: configuration, names, SCRAM, setup."""

from __future__ import annotations

import base64
import copy
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.connectors.postgresql import names, scram, setup
from flyball.connectors.postgresql.backend import build
from flyball.connectors.postgresql.config import Door, Login, local, read
from flyball.connectors.postgresql.faults import translate
from flyball.connectors.postgresql.probe import _authentication
from flyball.connectors.postgresql.wire import Refusal, _refusal
from flyball.credential.backend import LeaseSpec, TargetRefused, TargetUnavailable
from flyball.kernel.clock import FakeClock
from flyball.kernel.errors import ConfigError
from flyball.kernel.ids import lease_id
from flyball.kernel.json import Json
from flyball.kernel.secret import Secret

GOOD: dict[str, Json] = {
    "kind": "postgresql",
    "database": "shop",
    "admin": {"user": "flyball_admin", "password_file": "/etc/flyball/admin"},
    "doors": {"primary": {"host": "127.0.0.1"}},
    "accesses": {"writer": {"group": "writers", "grants": [], "delivery": "released"}},
}


def changed(path: str, value: Json) -> dict[str, Json]:
    found = copy.deepcopy(GOOD)
    *folders, last = path.split("/")
    here: dict[str, Json] = found
    for folder in folders:
        inner = here[folder]
        assert isinstance(inner, dict)
        here = inner
    here[last] = value
    return found


def test_a_small_configuration_is_enough() -> None:
    """Database, admin, one door, one access; the rest has defaults."""
    config = read("orders", GOOD)
    assert (config.primary.port, config.primary.sslmode) == (5432, "disable")
    assert config.accesses["writer"].groups == ("writers",)


def test_a_remote_door_has_tls_by_default() -> None:
    """Only this machine is talked to in the clear without saying so."""
    assert read("o", changed("doors/primary", {"host": "db.example"})).primary.sslmode == "require"
    assert [local(host) for host in ("localhost", "127.0.0.9", "::1", "/run/pg", "10.0.0.1", "db")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("databse", "x"),
        ("database", None),
        ("database", 3),
        ("database", "a\x00b"),
        ("admin", None),
        ("admin/password", "in the clear"),
        ("admin/user", ""),
        ("doors", {}),
        ("doors", None),
        ("doors", {"one": {"host": "h"}}),
        ("doors", {"one": {"host": "h", "kind": "standby"}}),
        ("doors/second", {"host": "h", "kind": "primary"}),
        ("doors/primary/host", ""),
        ("doors/primary/port", 0),
        ("doors/primary/port", True),
        ("doors/primary/port", "5432"),
        ("doors/primary/sslmode", "prefer"),
        ("doors/primary/sslmode", "verify-full"),
        ("doors/primary/certificate_sha256", "ab"),
        ("doors/primary/certificate_sha256", "a" * 64),
        ("doors/primary/console", {"user": "u", "password_file": "p"}),
        ("accesses", {}),
        ("accesses/writer/group", []),
        ("accesses/writer/group", "pg_read_all_data"),
        ("accesses/writer/group", "fb_00000000_x"),
        ("accesses/writer/door", "no-such-door"),
        ("accesses/writer/connection_limit", 0),
        ("limits", {"statement_ms": 1}),
        ("limits", {"no_such_limit": 1}),
    ],
)
def test_anything_odd_is_refused(path: str, value: Json) -> None:
    """Unknown, missing, of a wrong type, out of bounds, or in contradiction; never a guess."""
    with pytest.raises(ConfigError) as caught:
        read("orders", changed(path, value))
    assert "in the clear" not in caught.value.detail


def test_a_recipe_holds_all_but_the_secret(tmp_path: Path) -> None:
    """A backend built from a lease's recipe plans nothing new and revokes the same; no password is in it."""
    file = tmp_path / "admin"
    file.touch(mode=0o600)
    file.write_text("the-admin-password")
    backend = build("orders", changed("admin/password_file", str(file)), FakeClock(), "dev")
    plan = backend.plan(LeaseSpec(lease_id("local", 1), "t", "https://i", "writer", 1, 2))
    again = build("orders", plan.recipe["config"], FakeClock(), "dev")  # type: ignore[arg-type]
    assert again.plan(LeaseSpec(str(plan.recipe["lease"]), "t", "https://i", "writer", 1, 2)) == plan
    assert "the-admin-password" not in repr(plan)


def test_a_password_file_open_to_others_is_refused(tmp_path: Path) -> None:
    """0600, or it is not read."""
    file = tmp_path / "admin"
    file.write_text("x")
    file.chmod(0o644)
    with pytest.raises(ConfigError):
        Login("u", file).password()


class TestNames:
    """Names carry issuer and lease, and fit."""

    @given(st.integers(0, (1 << 48) - 1), st.text(max_size=300))
    def test_a_name_tells_its_time_and_lease(self, at_ms: int, issuer: str) -> None:
        """Back from the name: when, and with the comment, which lease."""
        lease = lease_id("local", at_ms)
        name = names.role(issuer, lease)
        assert len(name.encode()) == 38
        assert name.startswith(names.prefix(issuer))
        assert names.made_ms(name) == at_ms
        assert names.lease_of(name, names.comment(issuer, lease)) == lease
        assert names.lease_of(name, None) == f"lea_unknown_{lease[-26:]}"

    @given(st.text(max_size=80), st.none() | st.text(max_size=80))
    def test_foreign_names_and_comments_are_no_error(self, name: str, comment: str | None) -> None:
        """What others named and wrote is read without trust."""
        names.made_ms(name)
        assert names.lease_of(name, comment) == "" or names.lease_of(name, comment).startswith("lea_")

    def test_a_comment_of_another_lease_is_not_believed(self) -> None:
        """The name is what was made by us alone; the comment must agree with it."""
        one, other = lease_id("local", 1), lease_id("local", 2)
        assert names.lease_of(names.role("i", one), names.comment("i", other)) == f"lea_unknown_{one[-26:]}"

    @pytest.mark.parametrize(
        "lease", ["", "lea_local_x", "tsk_local_" + "0" * 26, 'lea_"_' + "0" * 26, "lea_l_" + "0" * 27]
    )
    def test_what_is_no_lease_has_no_name(self, lease: str) -> None:
        """Nothing unexpected gets into a statement."""
        with pytest.raises(TargetRefused):
            names.role("i", lease)


class TestScram:
    """SCRAM-SHA-256."""

    def test_the_vector_of_rfc_7677(self) -> None:
        """Section 3: user, pencil; the proof and the server's signature are those of the RFC."""
        exchange = scram.Exchange(Secret("pencil"))
        exchange._nonce = "rOprNGfwEbeRWgbNEkqO"
        exchange._bare = "n=user,r=rOprNGfwEbeRWgbNEkqO"
        first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        final = exchange.final(first)
        assert final.endswith(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
        exchange.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        with pytest.raises(scram.ScramError):
            exchange.check(b"v=" + base64.b64encode(b"x" * 32))

    @pytest.mark.parametrize(
        "first",
        [
            b"",
            b"r=other,s=AAAA,i=4096",
            b"r={nonce},s=AAAA,i=4096",
            b"r={nonce}x,s=!,i=4096",
            b"r={nonce}x,s=AAAA,i=1",
            b"r={nonce}x,s=AAAA,i=100000000",
            b"r={nonce}x,s=AAAA",
            b"\xff\xfe",
        ],
    )
    def test_a_false_server_gets_no_proof(self, first: bytes) -> None:
        """Another nonce, too few iterations to hide the password, too many to bear, or no sense at all."""
        exchange = scram.Exchange(Secret("p"))
        with pytest.raises(scram.ScramError):
            exchange.final(first.replace(b"{nonce}", exchange._nonce.encode()))

    def test_a_verifier_is_libpq_s(self) -> None:
        """The same as libpq's own for the same salt, in PostgreSQL's form, and without the password."""
        text = scram.verifier(Secret("pencil"), salt=b"0123456789abcdef")
        assert text.startswith("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$")
        assert "pencil" not in text
        assert scram.verifier(Secret("pencil")) != scram.verifier(Secret("pencil"))


@given(st.binary(max_size=300))
def test_a_server_s_refusal_is_bounded_whatever_it_sends(payload: bytes) -> None:
    """No length, control character or lacking field of a foreign server's gets further."""
    refusal = _refusal(payload)
    assert len(refusal.sqlstate) <= 5
    assert len(refusal.message) <= 160
    assert refusal.message.isprintable()


def test_a_driver_s_own_text_does_not_travel() -> None:
    """It may quote a connection string; only what a server said does."""
    error = translate("primary", psycopg.OperationalError("host=db password=hunter2 something odd"))
    assert isinstance(error, TargetUnavailable)
    assert "hunter2" not in f"{error.detail}{error!r}"


def test_group_names_with_commas_are_refused() -> None:
    """The setup SQL takes the groups with commas between."""
    with pytest.raises(ConfigError):
        setup.apply(None, admin="a", password="p", groups=["a,b"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "sqlstate", "message", "counts"),
    [
        ("primary", "28P01", "password authentication failed", True),
        ("primary", "28000", "role is not permitted to log in", True),
        ("standby", "28P01", "password authentication failed", True),
        ("primary", "53300", "too many connections for role", False),
        ("primary", "57P03", "the database system is starting up", False),
        ("primary", "08P01", "no such user", False),
        ("pooler", "28P01", "password authentication failed", True),
        ("pooler", "08P01", "no such user", True),
        ("pooler", "08P01", "SASL authentication failed", True),
        ("pooler", "08P01", "no more connections allowed (max_client_conn)", False),
        ("pooler", "08P01", "no such database: shop", False),
        ("pooler", "08P01", "pgbouncer cannot connect to server", False),
        ("pooler", "08P01", "", False),
    ],
)
def test_what_counts_as_a_refusal_of_the_password(kind: str, sqlstate: str, message: str, counts: bool) -> None:
    """Only what speaks of the authentication. A pooler says nearly all with one SQLSTATE: there its sentence tells."""
    assert _authentication(Door("d", kind, "127.0.0.1", 5432, "shop"), Refusal(sqlstate, message)) is counts
