"""The command line against a real server."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.edges.conftest import Agent
from tests.server import RunningServer
from tests.wait import until

RUN = ("run", "settle-refund", "-i", "ticket={}", "-i", "limit=50", "--")


def opened(server: RunningServer) -> Agent:
    """An agent with a task that holds its credential, acknowledged."""
    agent = Agent(server)
    assert agent.open().status_code == 201
    issued = agent.post(f"/v1/tasks/{agent.task}/credentials/orders")
    assert issued.status_code == 201, issued.text
    assert agent.post(f"/v1/leases/{issued.json()['lease']}/delivered").status_code == 204
    return agent


@pytest.fixture(scope="session")
def svid_file(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("svid") / "agent.svid"
    file.touch(0o600)
    words = ("spiffe://flyball.dev/agent/refund-agent", "--audience", server.issuer)
    file.write_text(server.flyball("dev", "svid", *words))
    return file


def launch(server: RunningServer, svid_file: Path, ticket: str, *command: str, **env: str) -> subprocess.Popen[str]:
    words = [word.format(ticket) for word in RUN] + list(command)
    return subprocess.Popen(
        [sys.executable, "-m", "flyball", *words],
        env={**server.env, "FLYBALL_SVID_FILE": str(svid_file), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def states(server: RunningServer, ticket: str) -> list[str]:
    """States of the tasks of one ticket, by their records."""
    found = []
    for task in server.operator.get("/v1/tasks?limit=1000").json()["tasks"]:
        if server.operator.get(f"/v1/tasks/{task['task']}").json()["inputs"].get("ticket", {}).get("value") == ticket:
            found.append(task["state"])
    return found


def test_tasks_and_one_task(server: RunningServer) -> None:
    """`tasks --json` lists a task, `task show` tells its inputs and whose word they are, and its lease."""
    agent = opened(server)
    listed = json.loads(server.flyball("tasks", "--state", "open", "--json"))
    assert agent.task in [one["task"] for one in listed]
    plain = [line.split("\t") for line in server.flyball("tasks", "--limit", "1000").splitlines()]
    assert plain[0] == ["task", "state", "agent", "profile", "opened", "left", "cause"]
    assert [row[1:4] for row in plain if row[0] == agent.task] == [["open", "refund-agent", "settle-refund"]]
    leases = server.flyball("leases", "--task", agent.task).splitlines()
    assert leases[0].startswith("lease\tstate\ttarget")
    assert "\tdelivered\torders\t" in leases[1]
    shown = server.flyball("task", "show", agent.task)
    assert "T-1042  (declared by the agent itself)" in shown
    assert "delivered" in shown
    assert "allow            credential.issue on orders" in shown
    assert "calls: 2 allowed, 0 not" in shown
    agent.post(f"/v1/tasks/{agent.task}/end")


@pytest.mark.parametrize("text", ["{", "{}", '["x"]'])
def test_run_takes_no_plan_that_is_none(server: RunningServer, tmp_path: Path, text: str) -> None:
    """Not JSON, no list, no entries; and a file that is not there: misused, and no task is opened."""
    file = tmp_path / "plan.json"
    file.write_text(text)
    for words in (("--plan", str(file)), ("--plan", str(tmp_path / "no")), ("--voucher", str(tmp_path / "no"))):
        server.flyball("run", "settle-refund", *words, "--", "true", code=2)


def test_revoke_says_what_came_of_it(server: RunningServer) -> None:
    """The receipt's line, exit code 0; and the reason stands in the record."""
    agent = opened(server)
    told = server.flyball("revoke", "--task", agent.task, "--reason", "a drill of ours")
    assert told.startswith("1 task, 1 receipt")
    assert "verified" in told
    assert "a drill of ours" in server.flyball("audit", "show", "--task", agent.task, "--kind", "fenced")


def test_what_is_unknown_is_refused_with_a_hint(server: RunningServer) -> None:
    """Exit code 1 for a refusal."""
    done = subprocess.run(
        [sys.executable, "-m", "flyball", "revoke", "--agent", "nobody"],
        env=server.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("error: no agent 'nobody'")
    assert done.stderr.splitlines()[1].startswith("hint: ")


def test_a_suspended_agent_opens_nothing_until_it_is_resumed(server: RunningServer) -> None:
    """`suspend` ends its tasks, `status` names it, `resume` lets it open again."""
    agent = opened(server)
    try:
        server.flyball("suspend", "--agent", "refund-agent", "--reason", "a drill")
        assert agent.post(f"/v1/tasks/{agent.task}/heartbeat").status_code == 410
        assert Agent(server).open().status_code == 403
        assert "agent refund-agent is suspended" in server.flyball("status")
    finally:
        server.flyball("resume", "--agent", "refund-agent")
    assert Agent(server).open().status_code == 201


def test_receipts_are_verified_offline_and_a_changed_one_is_refused(server: RunningServer, tmp_path: Path) -> None:
    """`receipts show --json` is what `receipts verify` takes; one flipped byte and it is refused."""
    agent = opened(server)
    agent.post(f"/v1/tasks/{agent.task}/end")
    listed = json.loads(server.flyball("receipts", "list", "--task", agent.task, "--json"))
    assert len(listed) == 1
    assert "\tverified\trefund-agent\torders\t" in server.flyball("receipts", "list", "--task", agent.task)
    assert "VERIFIED" in server.flyball("receipts", "show", listed[0]["payload"]["receipt"])
    shown = server.flyball("receipts", "show", listed[0]["payload"]["receipt"], "--json")
    file = tmp_path / "receipt.json"
    file.write_text(shown)
    assert "the signature holds" in server.flyball("receipts", "verify", str(file))
    document = json.loads(shown)
    envelope = document.get("envelope", document)
    body = envelope["payload"]
    envelope["payload"] = body[:40] + ("A" if body[40] != "A" else "B") + body[41:]
    file.write_text(json.dumps(envelope))
    server.flyball("receipts", "verify", str(file), code=1)


def test_audit_verify_finds_a_flipped_byte(server: RunningServer, tmp_path: Path) -> None:
    """The live store holds; a copy with one changed byte does not, and it says at which record."""
    agent = opened(server)
    agent.post(f"/v1/tasks/{agent.task}/end")
    server.flyball("audit", "verify")
    copy = tmp_path / "copy" / "store.db"
    copy.parent.mkdir()
    with closing(sqlite3.connect(server.state / "store.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        (body,) = target.execute("SELECT body FROM record WHERE seq = 2").fetchone()
        target.execute("UPDATE record SET body = ? WHERE seq = 2", (body.replace(b"1", b"2", 1),))
        target.commit()
    report = json.loads(server.flyball("audit", "verify", "--store", str(copy.parent), "--json", code=1))
    assert report["ok"] is False
    assert report["findings"][0]["seq"] == 2


def test_audit_show_has_filters_and_forms(server: RunningServer) -> None:
    """Lines for people, JSON lines, OCSF events; only what was asked for."""
    agent = opened(server)
    agent.post(f"/v1/tasks/{agent.task}/end")
    lines = server.flyball("audit", "show", "--task", agent.task, "--json").splitlines()
    kinds = [json.loads(line)["record"]["kind"] for line in lines]
    assert kinds[0] == "task_opened"
    assert {"decided", "lease_intent", "lease_active", "lease_delivered", "fenced", "receipt"} <= set(kinds)
    events = [json.loads(line) for line in server.flyball("audit", "show", "--task", agent.task, "--ocsf").splitlines()]
    assert {event["class_uid"] for event in events} == {6003}
    assert server.flyball("audit", "show", "--task", agent.task, "--effect", "deny") == ""
    server.flyball("audit", "show", "--kind", "nonsense", code=1)


def test_why(server: RunningServer) -> None:
    """A decision's id leads to its rule."""
    agent = opened(server)
    lines = server.flyball("audit", "show", "--task", agent.task, "--kind", "decided", "--json").splitlines()
    decision = json.loads(lines[-1])["record"]["decision"]
    told = server.flyball("why", decision)
    assert told.startswith(f"{decision}: allow")
    assert "credential.issue on orders" in told
    server.flyball("why", "dec_local_none_1_999999", code=1)
    agent.post(f"/v1/tasks/{agent.task}/end")


def test_reload_takes_a_good_bundle_and_refuses_a_bad_one(server: RunningServer) -> None:
    """A bad one: exit code 1 and the findings on stderr."""
    assert "is in force" in server.flyball("reload")
    manifest = server.home / "bundle" / "bundle.yaml"
    good = manifest.read_text()
    try:
        manifest.write_text(good + "\nunknown_field: 1\n")
        server.flyball("reload", code=1)
    finally:
        manifest.write_text(good)


def test_run_passes_the_exit_code_on_and_ends_the_task(server: RunningServer, svid_file: Path) -> None:
    """The command's exit code is ours, and no task of it is left."""
    process = launch(server, svid_file, "T-901", "sh", "-c", "exit 7")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    assert states(server, "T-901") == ["closed"]


def test_run_hands_secrets_over_in_private_files_that_are_gone_afterwards(
    server: RunningServer, svid_file: Path, tmp_path: Path
) -> None:
    """Files of mode 0600 in a folder of 0700; nothing secret in the environment; our identity is not handed on."""
    script = (
        "import json,os,stat\n"
        "path=os.environ['FLYBALL_CREDENTIAL_ORDERS']\n"
        "mode=lambda p: stat.S_IMODE(os.stat(p).st_mode)\n"
        "held=json.load(open(path))\n"
        "names=[n for n,v in os.environ.items() if held['secret'] in v]\n"
        "print(json.dumps({'path':path,'file':mode(path),'folder':mode(os.path.dirname(path)),'names':names,"
        "'svid':os.environ.get('FLYBALL_SVID_FILE'),'task':os.environ['FLYBALL_TASK'],'secret':held['secret']}))\n"
    )
    process = launch(server, svid_file, "T-902", sys.executable, "-c", script, XDG_RUNTIME_DIR=str(tmp_path))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert (told["file"], told["folder"]) == (0o600, 0o700)
    assert told["names"] == []
    assert told["svid"] is None
    assert told["task"].startswith("tsk_")
    assert Path(told["path"]).is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert told["secret"] not in server.log()


def test_run_puts_secrets_into_the_environment_only_when_asked(server: RunningServer, svid_file: Path) -> None:
    """--env-secrets is a choice that somebody makes, and the receipt says that it was made."""
    words = ["run", "settle-refund", "-i", "ticket=T-903", "-i", "limit=50", "--env-secrets", "--"]
    env = {"FLYBALL_SVID_FILE": str(svid_file)}
    told = server.flyball(*words, "sh", "-c", 'test -n "$FLYBALL_CREDENTIAL_ORDERS_SECRET" && echo yes', **env)
    assert told == "yes\n"
    payloads = [one["payload"] for one in json.loads(server.flyball("receipts", "list", "--json", "--limit", "1000"))]
    assert [one["handover"] for one in payloads if one.get("handover") == "environment"] == ["environment"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_run_passes_signals_on(server: RunningServer, svid_file: Path, number: signal.Signals, tmp_path: Path) -> None:
    """A signal to us is the command's; its death by it is 128+n, and the task has ended."""
    ready = tmp_path / "ready"
    process = launch(server, svid_file, f"T-91{int(number)}", "sh", "-c", f"touch {ready}; exec sleep 60")
    until(ready.exists, 30)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert states(server, f"T-91{int(number)}") == ["closed"]


def test_run_stops_the_command_when_its_task_is_revoked(tmp_path: Path) -> None:
    """No privilege, no command: it is ended, its files are gone, and it says why."""
    from tests.server import running_server

    with running_server(tmp_path / "s", heartbeat="1s") as server:
        svid = tmp_path / "svid"
        svid.touch(0o600)
        svid.write_text(server.svid())
        ready = tmp_path / "ready"
        process = launch(server, svid, "T-920", "sh", "-c", f"touch {ready}; exec sleep 60")
        until(ready.exists, 30)
        server.flyball("revoke", "--agent", "refund-agent")
        _, err = process.communicate(timeout=30)
        assert process.returncode == 128 + signal.SIGTERM
        assert "is over; the command is stopped" in err


def test_run_refuses_what_the_server_refuses(server: RunningServer, svid_file: Path) -> None:
    """A bad input or an unknown profile: exit code 1, the server's reason, and the command never ran."""
    env = {"FLYBALL_SVID_FILE": str(svid_file)}
    words = ["run", "settle-refund", "-i", "ticket=nonsense", "-i", "limit=50", "--", "echo", "ran"]
    assert server.flyball(*words, code=1, **env) == ""
    assert server.flyball("run", "no-such-profile", "--", "echo", "ran", code=1, **env) == ""


def test_run_with_a_command_that_is_not_there(server: RunningServer, svid_file: Path) -> None:
    """127, as a shell says it, and the task has ended."""
    process = launch(server, svid_file, "T-930", "no-such-command-anywhere")
    process.communicate(timeout=60)
    assert process.returncode == 127
    assert states(server, "T-930") == ["closed"]


def test_targets_are_listed_and_rotated(server: RunningServer) -> None:
    """`target rotate` says that the new login works; list, status and record show when; an unknown one is refused."""
    told = server.flyball("target", "rotate", "orders", "--reason", "a drill")
    assert told.startswith("Flyball's own login at orders was rotated ")
    rows = [line.split("\t") for line in server.flyball("target", "list").splitlines()]
    assert rows[0] == ["target", "kind", "state", "version", "own role", "rotated", "leases", "remark"]
    assert [row[:3] for row in rows[1:]] == [["orders", "memory", "ok"]]
    assert rows[1][5].endswith("Z")
    found = json.loads(server.flyball("target", "rotate", "orders", "--json"))
    assert json.loads(server.flyball("target", "list", "--json"))[0]["rotated_ms"] == found["rotated_ms"]
    assert "Flyball's own login rotated" in server.flyball("status")
    assert "a drill" in server.flyball("audit", "show", "--kind", "target_rotation")
    server.flyball("target", "rotate", "nowhere", code=1)


def test_status_is_3_when_something_is_not_well(tmp_path: Path) -> None:
    """A target that cannot be reached: exit code 3, and the line that says so."""
    from tests.server import running_server, shop

    with shop(tmp_path / "pg") as postgres, running_server(tmp_path / "s", postgres=postgres) as server:
        assert "all is well" in server.flyball("status")
        postgres.stop()
        told = server.flyball("status", code=3)
        assert "NOT WELL" in told
        assert "target orders is unreachable" in told
        server.flyball("status", "--json", code=3)


def test_a_place_that_is_taken_is_told_as_such(server: RunningServer, tmp_path: Path) -> None:
    """A second Flyball at the decision plane's address says which address it is; that is no fault of ours."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = tmp_path / "flyball.yaml"
        config.write_text(f"bundle: {server.home / 'bundle'}\ndecision: {{listen: '{address}'}}\n")
        env = {name: value for name, value in server.env.items() if not name.startswith("FLYBALL_")}
        for words in (("dev", "init"), ("serve",)):
            done = subprocess.run(
                [sys.executable, "-m", "flyball", *words, "--config", str(config)],
                env=env,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    assert done.returncode == 1, done.stderr
    assert f"cannot listen on {address}" in done.stderr
    assert "a fault of ours" not in done.stderr
