"""The whole story in assertions: the SDK, a real `flyball serve`, and a real PostgreSQL 18 that has the last word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import psycopg
import pytest
from tests.forked import ForkedServer, running
from tests.server import CONTROL_PASSWORD, shop
from tests.wait import until
from tests.wire import EVALUATION, REFUNDS, Wire, svid

import flyball_sdk
from flyball.demo.database import CONTROL_USER
from flyball.demo.postgres import EmbeddedPostgres, wheel_bin
from flyball.flow.offline import verify_receipt
from flyball.kernel.errors import FlyballError

pytestmark = pytest.mark.heavy
HOST_PEP = """
  host:
    identity: {uid: %d}
    actions: [sql.*, tool.read_order]
"""
LONG_READ = (
    "SELECT a.id, a.amount, b.note FROM public.orders a CROSS JOIN public.orders b "
    "CROSS JOIN generate_series(1, 200) ORDER BY a.id"
)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with shop(tmp_path_factory.mktemp("pg")) as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[ForkedServer]:
    """A server with one more enforcement point than the demo's: a process of this user on the Unix socket."""
    server = ForkedServer(tmp_path_factory.mktemp("e2e"), postgres=postgres, heartbeat="5s")
    manifest = server.home / "bundle" / "bundle.yaml"
    text = manifest.read_text()
    manifest.write_text(text.replace("peps:\n", "peps:" + HOST_PEP % os.getuid(), 1))
    with running(server):
        yield server


def task(server: ForkedServer, ticket: str, limit: str = "120.00") -> flyball_sdk.Task:
    """A task of the SDK's, not yet open."""
    return flyball_sdk.task(
        "settle-refund",
        inputs={"ticket": ticket, "limit": limit},
        addr=server.control_url,
        identity=lambda: svid(server),
    )


def roles(postgres: EmbeddedPostgres) -> dict[str, list[str]]:
    """Flyball's roles at the database, with the groups that each is a member of."""
    asked = """
        SELECT r.rolname, array_remove(array_agg(g.rolname::text), NULL) FROM pg_roles r
        LEFT JOIN pg_auth_members m ON m.member = r.oid LEFT JOIN pg_roles g ON g.oid = m.roleid
        WHERE r.rolname LIKE 'fb\\_%' GROUP BY r.rolname
    """
    with psycopg.connect(postgres.dsn(dbname="orders")) as connection:
        return {str(name): list(groups) for name, groups in connection.execute(asked).fetchall()}


def refused(dsn: str) -> bool:
    """Whether the server refuses this login as such; any other failure is an error."""
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError as fault:
        if "password authentication failed" not in str(fault):
            raise
        return True
    return False


def test_privilege_lives_with_its_task(server: ForkedServer, postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """No role before, one within, none after; no wider than the intent; and a receipt that verifies offline."""
    assert roles(postgres) == {}
    with task(server, "T-1042") as held:
        assert roles(postgres) == {}, "opening alone gives no privilege"
        credential = held.credential("orders")
        user = str(credential.connection["user"])
        assert roles(postgres) == {user: ["flyball_refunds_writer"]}
        assert credential.lease.rpartition("_")[2] in user
        assert credential.secret.reveal() not in repr(credential) + repr(held)
        with psycopg.connect(credential.dsn(), autocommit=True) as connection:
            row = connection.execute("SELECT amount FROM public.orders WHERE id = 1042").fetchone()
            assert row is not None
            for forbidden in (
                "SELECT * FROM public.customers",
                "INSERT INTO public.refunds (order_id, amount, at) VALUES (1, 1, now())",
                "DELETE FROM public.refunds",
                "CREATE TABLE t ()",
                "CREATE ROLE more LOGIN",
                f"ALTER ROLE {user} VALID UNTIL 'infinity'",
                "SET ROLE postgres",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden)
            assert held.check("tool.refund", "tool", "refund", order_id="1042", amount=Decimal("30.00")).allowed
            connection.execute("INSERT INTO public.refunds (order_id, amount) VALUES (1042, 30.00)")
            (envelope,) = held.end()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        assert refused(credential.dsn())
    assert roles(postgres) == {}
    told = receipt(server, envelope, tmp_path)
    assert (told["lease"], told["cause"], told["delivery"]) == (credential.lease, "ended", "released")
    assert told["outcome"] == "verified"
    probed = told["probe"]
    assert isinstance(probed, dict)
    assert [(door["verdict"], door["control"]) for door in probed["doors"]] == [("refused", True)]  # type: ignore[index,union-attr]


def receipt(server: ForkedServer, found: object, tmp_path: Path) -> dict[str, object]:
    """A receipt's payload, verified without the server; a changed one is not taken."""
    assert isinstance(found, dict)
    envelope = found.get("envelope", found)
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(envelope))
    told = verify_receipt(file, server.state / "public-keys.json")
    forged = {**envelope, "payload": envelope["payload"][:-8] + "AAAA" + envelope["payload"][-4:]}
    file.write_text(json.dumps(forged))
    with pytest.raises(FlyballError):
        verify_receipt(file, server.state / "public-keys.json")
    return dict(told)


def test_a_deviation_kills_the_running_read(server: ForkedServer, postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """Mid-result: the read dies, the role is gone, the control login beside it works, and the SDK knows it is over."""
    held = task(server, "T-1043")
    held.open()
    credential = held.credential("orders")
    seen, died, streaming = [0], [""], threading.Event()

    def read() -> None:
        try:
            with psycopg.connect(credential.dsn()) as connection, connection.cursor() as cursor:
                for count, _ in enumerate(cursor.stream(LONG_READ), 1):
                    seen[0] = count
                    streaming.set()
                died[0] = "it ended by itself"
        except psycopg.Error as fault:
            died[0] = type(fault).__name__

    reading = threading.Thread(target=read)
    reading.start()
    assert streaming.wait(20)
    assert not died[0]
    with pytest.raises(flyball_sdk.Denied) as no:
        held.check("tool.send_mail", "tool", "send_mail", to="archive@outside.example", body="all customers")
    assert no.value.reason == "action_not_in_profile"
    reading.join(20)
    assert not reading.is_alive()
    assert died[0] in {"AdminShutdown", "OperationalError"}, died
    assert 0 < seen[0] < 800_000_000
    until(lambda: roles(postgres) == {})
    assert refused(credential.dsn())
    assert not refused(postgres.dsn(dbname="orders", user=CONTROL_USER, password=CONTROL_PASSWORD))

    def receipts() -> list[dict[str, object]]:
        with server.operator as operator:
            found = operator.get("/v1/receipts", params={"lease": credential.lease}).json()
        return found["receipts"] if isinstance(found, dict) else found

    until(receipts)
    told = receipt(server, receipts()[-1]["envelope"], tmp_path)
    assert (told["cause"], told["outcome"]) == ("deviation", "verified")
    steps = told["steps"]
    assert isinstance(steps, list)
    assert all(step["at_ms"] >= told["fenced_ms"] for step in steps)
    assert held.wait_lost(20)
    with pytest.raises(flyball_sdk.TaskLost):
        held.credential("orders")
    held.end()


def test_a_command_with_a_password_file(server: ForkedServer, postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """`flyball run … psql`: it logs in by PGPASSFILE alone, its exit code is ours, its task and role end with it."""
    identity = tmp_path / "svid"
    identity.touch(0o600)
    identity.write_text(svid(server))
    words = ["run", "settle-refund", "-i", "ticket=T-77", "-i", "limit=50", "--"]
    psql = [str(wheel_bin() / "psql"), "-XAtqw", "-c"]
    env = {
        "FLYBALL_SVID_FILE": str(identity),
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": str(wheel_bin().parent / "lib"),
    }
    said = server.flyball(*words, *psql, "SELECT current_user", **env)
    assert said.startswith("fb_")
    assert said.strip() not in roles(postgres)
    server.flyball(*words, *psql, "SELECT 1 FROM public.customers", code=1, **env)
    played = subprocess.Popen(
        [sys.executable, "-m", "flyball", *words, *psql, "SELECT pg_sleep(60)"], env={**server.env, **env},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    until(lambda: roles(postgres), 30)
    until(lambda: sleeping(postgres), 30)
    played.send_signal(signal.SIGTERM)
    played.communicate(timeout=30)
    assert played.returncode == 128 + signal.SIGTERM
    assert roles(postgres) == {}
    assert not sleeping(postgres)


def sleeping(postgres: EmbeddedPostgres) -> bool:
    """Whether some session of Flyball's sleeps there."""
    asked = "SELECT 1 FROM pg_stat_activity WHERE usename LIKE 'fb\\_%' AND query LIKE '%pg_sleep%'"
    with psycopg.connect(postgres.dsn(dbname="orders")) as connection:
        return connection.execute(asked).fetchone() is not None


def question(task_id: str, action: str = "sql.select", kind: str = "table", which: str = "orders.public.orders") -> str:
    """An AuthZEN evaluation."""
    return json.dumps(
        {
            "subject": {"type": "agent", "id": REFUNDS},
            "action": {"name": action},
            "resource": {"type": kind, "id": which},
            "context": {"task": task_id},
        }
    )


def over(socket: Path) -> httpx.Client:
    """A client on a Unix socket."""
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://localhost", timeout=20)


def test_an_unbound_token_counts_on_the_unix_socket_only(server: ForkedServer) -> None:
    """Opened there it is bound to this user; on the socket it decides and beats, anywhere else it is worth nothing."""
    json_type = {"Content-Type": "application/json"}
    with over(server.state / "control.sock") as control, over(server.state / "decision.sock") as decision:
        body = {"profile": "settle-refund", "inputs": {"ticket": "T-5", "limit": "5"}}
        opened = control.post("/v1/tasks", json=body, headers={"Authorization": f"Bearer {svid(server)}"})
        assert opened.status_code == 201, opened.text
        assert opened.json()["token_type"] == "Bearer"
        task_id, bearer = opened.json()["task"], {"Authorization": f"Bearer {opened.json()['token']}"}
        answer = decision.post(EVALUATION, content=question(task_id), headers={**bearer, **json_type})
        assert answer.status_code == 200, answer.text
        assert answer.json()["decision"] is True
        assert control.post(f"/v1/tasks/{task_id}/heartbeat", json={}, headers=bearer).status_code == 200
        stolen = httpx.post(
            server.decision_url + EVALUATION, content=question(task_id), headers={**bearer, **json_type}
        )
        assert stolen.status_code == 401, stolen.text
        for path in (f"/v1/tasks/{task_id}/heartbeat", f"/v1/tasks/{task_id}/credentials/orders"):
            assert httpx.post(server.control_url + path, json={}, headers=bearer).status_code == 401
        if os.getuid() == 0:
            assert as_nobody(server.state / "decision.sock", task_id, bearer["Authorization"]) == "401"
        assert control.post(f"/v1/tasks/{task_id}/end", json={}, headers=bearer).status_code == 200


def as_nobody(socket: Path, task_id: str, authorization: str) -> str:
    """The same request from another user's process: the answer's status, or that the socket refused it."""
    script = (
        "import os,sys,socket\n"
        "s=socket.socket(socket.AF_UNIX)\n"
        "fd=os.open(sys.argv[1],os.O_PATH)\n"  # found as root, used as nobody: only the kernel's word is tried
        "os.setgid(65534); os.setuid(65534)\n"
        "try: s.connect(f'/proc/self/fd/{fd}')\n"
        "except OSError: print('refused'); sys.exit()\n"
        "body=sys.argv[3].encode()\n"
        "s.sendall(b'POST %b HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\n'\n"
        "  b'Authorization: %b\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n'\n"
        "  %(sys.argv[4].encode(),sys.argv[2].encode(),len(body))+body)\n"
        "print(s.recv(64).split()[1].decode())\n"
    )
    words = [sys.executable, "-c", script, str(socket), authorization, question(task_id), EVALUATION]
    mode = socket.stat().st_mode
    socket.chmod(0o666)  # the socket's own mode is the first wall; here it is open, so that the second one shows
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    finally:
        socket.chmod(mode)
    return done.stdout.strip() or done.stderr[-200:]


def test_an_enforcement_point_on_the_unix_socket(server: ForkedServer) -> None:
    """Known by its user: with the task's token it may ask for its own actions, and for nothing without one."""
    wire = Wire(server)
    assert wire.open("T-6").status_code == 201
    shown = {"Flyball-Task": wire.token, "Content-Type": "application/json"}
    with over(server.state / "decision.sock") as pep:
        allowed = pep.post(EVALUATION, content=question(wire.task), headers=shown)
        assert allowed.status_code == 200, allowed.text
        assert allowed.json()["decision"] is True
        unregistered = pep.post(EVALUATION, content=question(wire.task, "tool.refund", "tool", "refund"), headers=shown)
        assert unregistered.json()["decision"] is False
        assert "pep_action_not_registered" in unregistered.text
        without = pep.post(EVALUATION, content=question(wire.task), headers={"Content-Type": "application/json"})
        assert without.status_code == 401 or without.json()["decision"] is False
    outside = httpx.post(server.decision_url + EVALUATION, content=question(wire.task), headers=shown)
    assert outside.status_code == 401, outside.text
    assert wire.allowed(), "none of it was held against the task"
    assert wire.end().status_code == 200
    wire.close()


def test_a_hanging_target_delays_no_other(tmp_path: Path) -> None:
    """PostgreSQL stopped whole: what the task holds elsewhere is gone at once, and the rest when it goes on."""
    with shop(tmp_path / "pg") as postgres:
        server = ForkedServer(tmp_path / "flyball", postgres=postgres, heartbeat="60s")
        add_memory_target(server)
        server.start()
        wire = Wire(server)
        try:
            wire.open("T-8")
            assert wire.credential().status_code == 201
            assert wire.post(f"/v1/tasks/{wire.task}/credentials/parcels").status_code == 201
            stopped = family(postgres.pid)
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                with server.operator as operator:
                    operator.post(f"/v1/tasks/{wire.task}/revoke", json={"reason": "asked"}, timeout=30)
                    until(lambda: states(server, wire.task)["parcels"] == "verified", 5)
                    assert time.monotonic() - began < 8
                    assert states(server, wire.task)["orders"] != "verified"
            finally:
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
            until(lambda: states(server, wire.task)["orders"] == "verified", 60)
            assert roles(postgres) == {}
        finally:
            wire.close()
            server.kill()


def add_memory_target(server: ForkedServer) -> None:
    """A second target, in memory, and a credential there."""
    manifest = server.home / "bundle" / "bundle.yaml"
    target = "\n  parcels:\n    kind: memory\n    accesses:\n      reader:\n"
    grants = "        grants: [{action: sql.select, on: [orders.public.orders]}]\n"
    manifest.write_text(manifest.read_text() + target + grants)
    profile = server.home / "bundle" / "profiles" / "settle-refund.yaml"
    both = "refunds-writer, ttl: 5m}\n  parcels: {access: reader, ttl: 5m}"
    profile.write_text(profile.read_text().replace("refunds-writer, ttl: 5m}", both))


def states(server: ForkedServer, task_id: str) -> dict[str, str]:
    """Lease states of a task, by target."""
    with server.operator as operator:
        told = operator.get(f"/v1/tasks/{task_id}", timeout=30).json()
    return {str(lease["target"]): str(lease["state"]) for lease in told["leases"]}


def family(pid: int) -> list[int]:
    """A process and all of its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def test_the_demo_plays_to_its_end_and_leaves_nothing(tmp_path: Path) -> None:
    """`flyball demo --json`: exit code 0, every line JSON and nothing seen was bad; no process of it is left."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FLYBALL_", "PG", "KEEP"))}
    home = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "flyball", "demo", "--json", "--home", str(home)],
        env={**env, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event.get("step") for event in events} >= {1, 2, 3, 4, 5, 6}
    assert not [event for event in events if event.get("good") is False]
    until(lambda: not named_in(str(home)), 10, "processes of the demo")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_the_demo_that_is_kept_leaves_nothing_when_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """`flyball demo --keep` says how to look around and how to stop; Ctrl-C, `kill` and a closed terminal all end it,
    its server and its database. A signal in the middle of the story does so too."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FLYBALL_", "PG", "KEEP"))}
    home = tmp_path / "demo"
    # Where the tests run in the background it may be ignored, and would be so in what they start.
    before = signal.signal(number, signal.SIG_DFL)
    demo = subprocess.Popen(
        [sys.executable, "-m", "flyball", "demo", "--keep", "--json", "--home", str(home)],
        env={**env, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    signal.signal(number, before)
    assert demo.stdout is not None
    # Only the first is played to its end; the others are stopped once the server runs.
    wanted = "to stop it all" if number is signal.SIGINT else "Flyball started in"
    said = ""
    for said in demo.stdout:
        if wanted in said:
            break
    assert wanted in said
    demo.send_signal(number)
    assert demo.wait(60) in (0, 130)
    demo.stdout.close()
    until(lambda: not named_in(str(home)), 10, "processes of the demo")


def named_in(words: str) -> list[str]:
    """Processes whose command line names this."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line and entry.name != str(os.getpid()):
            found.append(line)
    return found
