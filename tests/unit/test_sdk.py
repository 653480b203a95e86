"""The synchronous client against a real server that verifies every proof."""

import datetime
import pickle
import ssl
import stat
import threading
from decimal import Decimal
from email.utils import formatdate

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.unit.sdk_server import serving, until

import flyball_sdk
from flyball.edges.http import runner
from flyball_sdk import _settings, _shared

EVALUATION = "/access/v1/evaluation"


@pytest.fixture
def flyball(tmp_path, monkeypatch):
    for name in ("FLYBALL_ADDR", "FLYBALL_SVID", "FLYBALL_SVID_FILE", "FLYBALL_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    with serving(tmp_path) as found:
        monkeypatch.setenv("FLYBALL_ADDR", found.base)
        monkeypatch.setenv("FLYBALL_SVID", found.svid())
        yield found


def paths(flyball, suffix):
    return [request for request in flyball.requests if request[0].endswith(suffix)]


def test_a_task_from_beginning_to_end(flyball):
    """Opened on entry, alive by heartbeats within, ended on exit; inputs and key are sent."""
    with flyball_sdk.task("settle-refund", inputs={"ticket": "T-1", "limit": Decimal("12.50")}) as task:
        assert flyball.tasks == {task.id: "open"}
        assert task.state == "open"
        assert task.credentials == ("orders",)
        until(lambda: len(paths(flyball, "/heartbeat")) >= 3)
        assert not task.lost
    assert flyball.tasks == {task.id: "ended"}
    assert task.state == "ended"
    path, body, raw = flyball.bodies[0]
    assert (path, body["profile"], body["inputs"]["ticket"]) == ("/v1/tasks", "settle-refund", "T-1")
    assert b'"limit":12.50' in raw
    assert all(had_proof for path, had_proof, _ in flyball.requests)


def test_a_task_ends_when_its_block_raises(flyball):
    """An exception inside the block ends the task and goes on."""
    with pytest.raises(KeyError), flyball_sdk.task("p") as task:
        raise KeyError("work")
    assert flyball.tasks == {task.id: "ended"}


def test_end_gives_receipts_once(flyball):
    """`end` returns the receipts; a second one, and the block's own, do nothing more."""
    with flyball_sdk.task("p") as task:
        assert len(task.end()) == 1
        assert task.end() == ()
    assert len(paths(flyball, "/end")) == 1
    with pytest.raises(flyball_sdk.TaskLost):
        task.check("a", "t", "i")
    with pytest.raises(flyball_sdk.TaskLost):
        task.open()


def test_heartbeats_stop_with_the_task(flyball):
    """No thread outlives its task."""
    with flyball_sdk.task("p"):
        assert any(thread.name.startswith("flyball tsk_") for thread in threading.enumerate())
    assert not any(thread.name.startswith("flyball tsk_") for thread in threading.enumerate())


def test_a_check_that_is_allowed(flyball):
    """The question holds subject, action, arguments, resource and task; the decision is true."""
    with flyball_sdk.task("p") as task:
        decision = task.check("tool.refund", "order", "1042", amount=Decimal("80.00"), tags={"b", "a"})
        assert decision
        assert (decision.effect, decision.id) == ("allow", "dec_1")
    body = next(body for path, body, _ in flyball.bodies if path == EVALUATION)
    assert body == {
        "subject": {"type": "agent", "id": "spiffe://flyball.dev/agent/refund"},
        "action": {"name": "tool.refund", "properties": {"amount": Decimal("80.00"), "tags": ["a", "b"]}},
        "resource": {"type": "order", "id": "1042"},
        "context": {"task": task.id},
    }


def test_a_check_that_is_denied(flyball):
    """A no raises, with reason and decision; or comes back as a false decision."""
    context = {"effect": "deny", "id": "dec_2", "reasons": ["budget_spent", "x"], "reaction": "freeze"}
    flyball.decide = lambda body: {"decision": False, "context": context}
    with flyball_sdk.task("p") as task:
        with pytest.raises(flyball_sdk.Denied) as denied:
            task.check("tool.refund", "order", "1")
        assert (denied.value.reason, denied.value.code, denied.value.decision) == ("budget_spent",) * 2 + ("dec_2",)
        assert denied.value.answer.reaction == "freeze"
        assert "budget_spent" in str(denied.value)
        decision = task.check("tool.refund", "order", "1", raise_on_deny=False)
        assert not decision
        assert decision.reasons == ("budget_spent", "x")


@pytest.mark.parametrize("effect", ["modify", "require_approval", "step_up", "defer", "future"])
def test_an_effect_that_asks_for_more_is_not_allow(flyball, effect):
    """A caller that does not carry out an obligation must not go ahead, whatever `decision` says."""
    flyball.decide = lambda body: {"decision": True, "context": {"effect": effect}}
    with flyball_sdk.task("p") as task, pytest.raises(flyball_sdk.Denied) as denied:
        task.check("a", "t", "i")
    assert denied.value.code == effect


@pytest.mark.parametrize("answer", [{}, {"decision": "true"}, {"decision": 1}, {"decision": None}])
def test_an_answer_that_is_no_decision(flyball, answer):
    """What is not a decision is no answer: not allowed."""
    flyball.decide = lambda body: answer
    with flyball_sdk.task("p") as task, pytest.raises(flyball_sdk.Unavailable):
        task.check("a", "t", "i", raise_on_deny=False)


def test_the_proof_goes_first_and_then_once_for_each_token(flyball):
    """One connection for checks: the first carries a proof, the next need none until the token changes."""
    flyball.heartbeat_ms = 60_000
    flyball.check_endpoints = [flyball.base + EVALUATION]
    with flyball_sdk.task("p") as task:
        for _ in range(5):
            task.check("a", "t", "i")
        flyball.life_s = 60  # so that the next token differs
        task._session.heartbeaten(task._send(lambda: task._session.post(f"/v1/tasks/{task.id}/heartbeat")))
        for _ in range(3):
            task.check("a", "t", "i")
    checks = paths(flyball, EVALUATION)
    assert [had_proof for _, had_proof, _ in checks] == [True, False, False, False, False, True, False, False]
    assert len({connection for _, _, connection in checks}) == 1


def test_a_new_connection_is_shown_the_proof_again(flyball):
    """If the server closed the connection, the check is repeated with a proof; nothing was decided before."""
    flyball.heartbeat_ms = 60_000
    flyball.drop_checks = True
    decided = []
    flyball.decide = lambda body: decided.append(1) or {"decision": True}
    with flyball_sdk.task("p") as task:
        for place in range(3):
            task.check("a", "t", "i")
            until(lambda place=place: flyball.closed > place)
    assert len(decided) == 3
    assert [had_proof for _, had_proof, _ in paths(flyball, EVALUATION)] == [True, False, True, False, True]


def test_a_separate_decision_plane_is_used_where_it_is_offered(flyball, tmp_path):
    """`check_endpoints` says where to ask; an unusable one is passed over."""
    (tmp_path / "plane").mkdir()
    with serving(tmp_path / "plane") as plane:
        plane.keys = flyball.keys
        flyball.check_endpoints = ["http://other.example:1", "nonsense", {"tcp": plane.base.removeprefix("http://")}]
        with flyball_sdk.task("p") as task:
            task.check("a", "t", "i")
        assert paths(plane, EVALUATION)
        assert not paths(flyball, EVALUATION)


def test_guard(flyball):
    """A guarded function is checked with its own arguments before it runs, and not run when denied."""
    ran = []
    with flyball_sdk.task("p") as task:

        @task.guard("tool.refund", resource=("order", "o-{order_id}"), args=["amount"])
        def refund(order_id: int, amount: Decimal, note: str = "x") -> str:
            """Refund."""
            ran.append(order_id)
            return note

        @task.guard("tool.note", resource=lambda args: ("note", str(args["raise_on_deny"])))
        def note(raise_on_deny: bool, **more: str) -> None:
            """Note."""

        assert refund(7, amount=Decimal("1.5")) == "x"
        assert refund.__name__ == "refund"
        note(False, kind="k")
        flyball.decide = lambda body: {"decision": False}
        with pytest.raises(flyball_sdk.Denied):
            refund(8, Decimal(2))
        with pytest.raises(TypeError):
            refund()
        with pytest.raises(TypeError):
            task.guard("x", resource=("a", "b"), args=["absent"])(refund)
    assert ran == [7]
    asked = [body for path, body, _ in flyball.bodies if path == EVALUATION]
    assert asked[0]["action"] == {"name": "tool.refund", "properties": {"amount": Decimal("1.5")}}
    assert asked[0]["resource"] == {"type": "order", "id": "o-7"}
    assert asked[1]["action"]["properties"] == {"raise_on_deny": False, "kind": "k"}


def test_a_credential(flyball, tmp_path, capsys):
    """Issued, acknowledged, hidden in every text form, shown only where it is asked for."""
    with flyball_sdk.task("p") as task:
        held = task.credential("orders")
        assert flyball.leases == {held.lease: True}
        assert task.credential("orders") is held
        assert held.fresh() is held
        secret = held.secret.reveal()
        assert secret == "s3cr:et\\/ü"
        print(held, repr(held), held.secret, f"{held.secret}", vars(held), [held.secret], task)
        assert "s3cr" not in capsys.readouterr().out
        with pytest.raises(TypeError):
            pickle.dumps(held.secret)
        assert held.dsn() == "postgresql://fb_x:s3cr%3Aet%5C%2F%C3%BC@db.test:5432/shop?sslmode=require"
        file = held.pgpass(tmp_path / "pgpass")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text("utf-8") == "db.test:5432:shop:fb_x:s3cr\\:et\\\\/ü\n"
        with pytest.raises(FileExistsError):
            held.pgpass(file)
        with pytest.raises(flyball_sdk.InvalidRequest) as unknown:
            task.credential("other")
        assert unknown.value.code == "credential_unknown"
        for name in ("", "..", "a/b", "a?b"):
            with pytest.raises(ValueError):
                task.credential(name)


def test_a_credential_past_two_thirds_of_its_life_is_issued_anew(flyball):
    """`fresh` keeps it until then, and afterwards gives the next one."""
    flyball.credential_life_ms = 2_500
    with flyball_sdk.task("p") as task:
        first = task.credential("orders")
        until(lambda: first.due)
        second = first.fresh()
        assert second.lease != first.lease
        assert all(flyball.leases.values())


def test_a_credential_that_cannot_be_acknowledged_is_not_handed_out(flyball):
    """The acknowledgement is tried three times; then the credential is not used."""
    flyball.fault = lambda path: (503, {}) if path.endswith("/delivered") else None
    with flyball_sdk.task("p") as task, pytest.raises(flyball_sdk.Unavailable):
        task.credential("orders")
    assert len(paths(flyball, "/delivered")) == 3


def test_an_end_without_an_answer_is_told_again(flyball):
    """The end counts once: a connection that was closed as it was sent leaves no task behind, and no error."""
    with flyball_sdk.task("p") as task:
        flyball.unanswered = ["/end"]
    assert len(paths(flyball, "/end")) == 2
    assert flyball.tasks == {task.id: "ended"}
    assert task.end_error is None


def test_no_request_meets_a_connection_that_flyball_closes():
    """The client lets go of an idle connection before the control API does."""
    assert _shared.CONTROL_IDLE_S < runner.KEEP_ALIVE_S


def test_a_server_that_answers_nothing_is_told_three_times_and_no_more(flyball):
    """Then the block ends all the same, and says what it could not do."""
    with flyball_sdk.task("p") as task:
        flyball.hang.set()
    assert len(paths(flyball, "/end")) == 3
    assert task.end_error.code == "unreachable"


def test_a_fenced_task_is_lost(flyball):
    """When the server says that the task is over, every next use raises."""
    with flyball_sdk.task("p") as task:
        flyball.tasks[task.id] = "fenced"
        assert task.wait_lost(10)
        for use in (lambda: task.check("a", "t", "i"), lambda: task.credential("orders"), task.ensure_live):
            with pytest.raises(flyball_sdk.TaskLost) as lost:
                use()
            assert lost.value.code == "task_fenced"
        assert task.state == "lost"
    assert task.end_error is None


@pytest.mark.parametrize("state", ["fenced", "closed"])
def test_a_heartbeat_that_answers_with_a_final_state(flyball, state):
    """The state in the answer counts like a refusal."""
    flyball.answers["/heartbeat"] = {"state": state}
    with flyball_sdk.task("p") as task:
        assert task.wait_lost(10)


def test_a_suspended_task_is_not_lost(flyball):
    """A state that can pass is shown, and the heartbeat goes on."""
    flyball.answers["/heartbeat"] = {"state": "suspended"}
    with flyball_sdk.task("p") as task:
        until(lambda: task.state == "suspended" and len(paths(flyball, "/heartbeat")) > 3)
        assert not task.lost


@pytest.mark.parametrize(
    "fault",
    [
        (503, {}),
        (500, {"type": "urn:flyball:error:internal"}),
        (429, {}),
        (409, {"type": "urn:flyball:error:conflict"}),
        (401, {"type": "urn:flyball:error:dpop_before_start"}),
        (200, {}),
    ],
)
def test_faults_do_not_lose_the_task(flyball, fault):
    """A fault of the server or of clocks is waited out; the task lives on."""
    flyball.fault = lambda path: fault if path.endswith("/heartbeat") else None
    with flyball_sdk.task("p") as task:
        until(lambda: len(paths(flyball, "/heartbeat")) >= 3)
        flyball.fault = None
        seen = len(paths(flyball, "/heartbeat"))
        until(lambda: len(paths(flyball, "/heartbeat")) >= seen + 3)
        assert not task.lost


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_refusals_lose_the_task(flyball, status):
    """A refusal is final."""
    flyball.fault = lambda path: (status, {"type": "urn:flyball:error:no"}) if path.endswith("/heartbeat") else None
    with flyball_sdk.task("p") as task:
        assert task.wait_lost(10)
        with pytest.raises(flyball_sdk.TaskLost) as lost:
            task.ensure_live()
        assert lost.value.code == "no"


def test_an_unreachable_server_loses_the_task_with_its_token(flyball):
    """Without an answer the task is kept until its token has run out, and is then lost."""
    flyball.life_s = 1
    with flyball_sdk.task("p") as task:
        flyball.hang.set()
        assert not task.wait_lost(0.3)
        with pytest.raises(flyball_sdk.Unavailable):
            task.check("a", "t", "i")
        assert task.wait_lost(10)
        with pytest.raises(flyball_sdk.TaskLost) as lost:
            task.ensure_live()
        assert lost.value.code == "unreachable"
    assert task.end_error is not None


def test_a_check_without_answer_is_not_repeated(flyball):
    """A check whose answer got lost may have been charged: it is not sent again by itself."""
    flyball.heartbeat_ms = 60_000
    with flyball_sdk.task("p") as task:
        flyball.hang.set()
        with pytest.raises(flyball_sdk.Unavailable):
            task.check("a", "t", "i")
        assert len(paths(flyball, EVALUATION)) == 1


def test_a_clock_that_is_off_is_set_by_the_servers(flyball, monkeypatch):
    """After a refused proof the server's `Date` is taken over."""
    import time

    ours = time.time
    monkeypatch.setattr("flyball_sdk._session.time.time", lambda: ours() - 3600)
    flyball.date = formatdate(ours(), usegmt=True)
    with flyball_sdk.task("p") as task:
        assert task.check("a", "t", "i")


def test_a_forked_child_has_no_task(flyball):
    """In a forked child every use raises, and leaving the block does not end the parent's task."""
    with flyball_sdk.task("p") as task:
        monkey_pid, task._pid = task._pid, task._pid + 1  # what a child sees
        with pytest.raises(flyball_sdk.TaskLost) as forked:
            task.check("a", "t", "i")
        assert forked.value.code == "forked"
        assert task.end() == ()
        assert flyball.tasks[task.id] == "open"
        task._pid = monkey_pid


def test_over_a_unix_socket(tmp_path, monkeypatch):
    """`unix:/path` is spoken to over the socket, for the check too."""
    monkeypatch.delenv("FLYBALL_SVID", raising=False)
    with serving(tmp_path, unix=True) as flyball:
        flyball.check_endpoints = ["http://127.0.0.1:1", flyball.base]
        with flyball_sdk.task("p", addr=flyball.base, identity=flyball.svid) as task:
            assert task.check("a", "t", "i")


def certificate(folder):
    """A self-signed certificate for `localhost`: (server's context, the CA file)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, folder / "cert.pem"


def test_over_tls(tmp_path, monkeypatch):
    """An https server is believed by the authorities in FLYBALL_CA_FILE; without them it is refused."""
    context, authority = certificate(tmp_path)
    with serving(tmp_path, tls=context) as flyball:
        with pytest.raises(flyball_sdk.Unavailable):
            flyball_sdk.task("p", addr=flyball.base, identity=flyball.svid).open()
        monkeypatch.setenv("FLYBALL_CA_FILE", str(authority))
        with flyball_sdk.task("p", addr=flyball.base, identity=flyball.svid) as task:
            assert task.check("a", "t", "i")
        monkeypatch.setenv("FLYBALL_CA_FILE", str(tmp_path / "key.pem"))
        with pytest.raises(flyball_sdk.ConfigError):
            flyball_sdk.task("p", addr=flyball.base, identity=flyball.svid)


def test_authorities_are_read_once(tmp_path, monkeypatch):
    """Not for each task, which takes tens of milliseconds; anew where the file has changed, and by it alone."""
    place = _settings.endpoint("https://flyball.example")
    _, authority = certificate(tmp_path)
    monkeypatch.setenv("FLYBALL_CA_FILE", str(authority))
    first = _settings.tls(place)
    assert _settings.tls(place) is first
    (tmp_path / "other").mkdir()
    _, renewed = certificate(tmp_path / "other")
    renewed.replace(authority)
    second = _settings.tls(place)
    assert second is not first
    assert first.get_ca_certs() != second.get_ca_certs()
    authority.write_text("")
    with pytest.raises(flyball_sdk.ConfigError):
        _settings.tls(place)


def test_a_heartbeat_that_breaks_loses_the_task(flyball, monkeypatch):
    """If the heartbeat's thread dies of a fault of its own, the task counts as lost, not as alive."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with flyball_sdk.task("p") as task:
        monkeypatch.setattr(task._session, "heartbeaten", lambda answer: 1 / 0)
        assert task.wait_lost(10)
        with pytest.raises(flyball_sdk.TaskLost):
            task.ensure_live()


def test_a_token_that_is_bound_to_nothing_of_ours_is_not_taken(flyball):
    """Over TCP the server must give a DPoP-bound token."""
    flyball.answers["/v1/tasks"] = {"token_type": "Bearer"}
    with pytest.raises(flyball_sdk.Unavailable):
        flyball_sdk.task("p").open()


def test_identities(flyball, tmp_path, monkeypatch):
    """A text, a function, a file that is read each time, the environment; none is an error."""
    svid = flyball.svid()
    monkeypatch.delenv("FLYBALL_SVID")
    with pytest.raises(flyball_sdk.ConfigError):
        flyball_sdk.task("p").open()
    for identity in (svid, lambda: svid):
        with flyball_sdk.task("p", identity=identity):
            pass
    file = tmp_path / "svid"
    monkeypatch.setenv("FLYBALL_SVID_FILE", str(file))
    with pytest.raises(flyball_sdk.ConfigError):
        flyball_sdk.task("p").open()
    file.write_text(svid + "\n")
    with flyball_sdk.task("p"):
        pass
    file.write_text("not a token")
    with pytest.raises(flyball_sdk.Unauthenticated) as refused:
        flyball_sdk.task("p").open()
    assert refused.value.code == "token_malformed"
    file.write_text("a\nb")
    with pytest.raises(flyball_sdk.ConfigError):
        flyball_sdk.task("p").open()
