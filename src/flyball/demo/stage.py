"""The scene of the demo: an embedded PostgreSQL, a dev trust domain, a Flyball server, agents.

It looks at the database as its superuser, a login that Flyball does not have, so that what is
said to be seen does not come from Flyball.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from flyball.assembly import config as configuration
from flyball.assembly import local
from flyball.demo import certificates, database
from flyball.demo.postgres import EmbeddedPostgres, free_ports
from flyball.demo.processes import end
from flyball.demo.sight import Sight, StageFault
from flyball.demo.unmodified import FLYBALL, McpClient, Psql
from flyball.kernel.json import Json

ISSUER = "https://flyball.demo.internal"
DESK = "spiffe://flyball.dev/desk"
TOOL = "spiffe://flyball.dev/tool/shop"
BUNDLE = Path(__file__).with_name("bundle")


class AgentProcess:
    """One agent: a process that takes orders on stdin."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.secret = ""

    def ask(self, do: str, **order: str) -> dict[str, Json]:
        """Give one order; its answer.

        Raises:
            StageFault: the agent died, or could not do it.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"do": do, **order}) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise StageFault("the agent's process ended", "look at agents.log in the demo's folder")
        answer: dict[str, Json] = json.loads(line)
        if not answer.pop("ok"):
            raise StageFault(f"the agent could not {do}: {answer.get('error')}")
        return answer

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Let the process end."""
        end(self._process)


class Stage(Sight):
    """Sets the scene, looks at it, and clears it away."""

    control_user = database.CONTROL_USER

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.home = home.resolve()
        self.control_password = secrets.token_urlsafe(18)
        self._admin_password = secrets.token_urlsafe(24)
        self._server: subprocess.Popen[bytes] | None = None
        self._agents: list[AgentProcess] = []
        self._unmodified: list[Psql | McpClient] = []
        self._identities = 0
        self._tools: subprocess.Popen[str] | None = None
        self._tools_password = secrets.token_urlsafe(18)
        self._control_port, self._decision_port, self._tools_port, self._gateway_port = free_ports(4)

    # -- setting up ---------------------------------------------------------------------------

    def set_up(self) -> None:
        """Everything but the server itself. The folder of the last run is replaced."""
        if self.home.exists():
            shutil.rmtree(self.home)
        self.home.mkdir(parents=True, mode=0o700)
        self._postgres = EmbeddedPostgres(self.home / "postgres")
        self._postgres.start()
        database.prepare(
            self._postgres,
            admin_password=self._admin_password,
            control_password=self.control_password,
            tools_password=self._tools_password,
        )
        certificates.make(self.home / "certificates", TOOL)
        (self.home / "orders-admin.password").touch(mode=0o600)
        (self.home / "orders-admin.password").write_text(self._admin_password + "\n")
        self._write_bundle()
        self._write_config()
        self._flyball("dev", "init")

    def _write_bundle(self) -> None:
        shutil.copytree(BUNDLE, self.home / "bundle")
        manifest = self.home / "bundle" / "bundle.yaml"
        text = manifest.read_text()
        text = text.replace("port: 5432", f"port: {self.pg_port}").replace("uid: 1000", f"uid: {os.getuid()}")
        manifest.write_text(text)

    def _write_config(self) -> None:
        lines = [
            "mode: dev",
            f"issuer: {ISSUER}",
            f"state_dir: {self.home}/state",
            f"bundle: {self.home}/bundle",
            "control:",
            f"  listen: 127.0.0.1:{self._control_port}",
            "decision:",
            f"  listen: 127.0.0.1:{self._decision_port}",
            f"  tls_cert: {self.home}/certificates/server.pem",
            f"  tls_key: {self.home}/certificates/server.key",
            f"  client_ca: {self.home}/certificates/ca.pem",
            "postgresql_gateway:",
            f"  listen: 127.0.0.1:{self._gateway_port}",
        ]
        (self.home / "flyball.yaml").write_text("\n".join(lines) + "\n")

    # -- the server ---------------------------------------------------------------------------

    def start_flyball(self) -> float:
        """Start the server and wait until it answers; seconds that took."""
        began = time.monotonic()
        with (self.home / "flyball.log").open("ab") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "flyball", "serve", "--config", str(self.home / "flyball.yaml")],
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )
        while time.monotonic() - began < 30:
            if self._server.poll() is not None:
                raise StageFault("Flyball did not start", f"look at {self.home}/flyball.log")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.control_url}/v1/health", timeout=1).status_code == 200:
                    return time.monotonic() - began
            time.sleep(0.02)
        raise StageFault("Flyball did not answer within 30 s", f"look at {self.home}/flyball.log")

    def kill_flyball(self, sign: signal.Signals) -> int:
        """Send the server a signal and wait for its end; its pid."""
        assert self._server is not None
        self._server.send_signal(sign)
        self._server.wait(timeout=20)
        return self._server.pid

    @property
    def control_url(self) -> str:
        """Where the control API listens."""
        return f"http://127.0.0.1:{self._control_port}"

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLYBALL_", "PG"))}
        return {**kept, "FLYBALL_CONFIG": str(self.home / "flyball.yaml"), "PYTHONUNBUFFERED": "1"}

    def _flyball(self, *words: str) -> str:
        line = [sys.executable, "-m", "flyball", *words]
        done = subprocess.run(line, env=self._environment(), capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise StageFault(f"flyball {' '.join(words)} failed: {said}")
        return done.stdout

    def cli(self, *words: str) -> str:
        """Run a command of the CLI as an operator would; the line as typed."""
        self._flyball(*words)
        shown = " ".join(f'"{word}"' if " " in word else word for word in words)
        return f"flyball {shown}"

    # -- the shop's tools ---------------------------------------------------------------------

    def start_tools(self) -> None:
        """Start the process that reads orders and sends mail: an enforcement point of its own identity."""
        login = self.postgres.dsn(dbname=database.DATABASE, user=database.TOOLS_USER, password=self._tools_password)
        self.outbox.touch(mode=0o600)
        environment = self._environment() | {
            "SHOP_PORT": str(self._tools_port),
            "SHOP_DSN": login,
            "SHOP_DECISIONS": f"https://127.0.0.1:{self._decision_port}",
            "SHOP_CERTIFICATES": str(self.home / "certificates"),
            "SHOP_OUTBOX": str(self.outbox),
        }
        with (self.home / "tools.log").open("ab") as log:
            line = [sys.executable, "-m", "flyball.demo.tools"]
            self._tools = subprocess.Popen(
                line, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, start_new_session=True
            )
        assert self._tools.stdout is not None
        if self._tools.stdout.readline().strip() != "listening":
            raise StageFault("the shop's tools did not start", "look at tools.log in the demo's folder")

    @property
    def outbox(self) -> Path:
        """Where the tools put what they send."""
        return self.home / "outbox.jsonl"

    def mails_to(self, address: str) -> int:
        """How many mails were sent to an address."""
        mails = [json.loads(line) for line in self.outbox.read_text().splitlines()]
        return sum(mail["to"] == address for mail in mails)

    def voucher(self, ticket: str) -> str:
        """The support desk's signed word that there is this ticket."""
        domain = local.dev_domain(configuration.load(self.home / "flyball.yaml", {}))
        return domain.issue(DESK, ISSUER, claims={"inputs": {"ticket": ticket}})

    def why(self, decision: str) -> dict[str, Json]:
        """`flyball why --json`."""
        told: dict[str, Json] = json.loads(self._flyball("why", decision, "--json"))
        return told

    # -- agents -------------------------------------------------------------------------------

    def agent(self, name: str) -> AgentProcess:
        """Start an agent with an identity of its own, issued by the dev trust domain."""
        environment = self._environment()
        environment |= {"FLYBALL_ADDR": self.control_url, "FLYBALL_SVID_FILE": str(self._identity(name))}
        environment |= {"FLYBALL_CA_FILE": f"{self.home}/certificates/ca.pem", "SHOP_PORT": str(self._tools_port)}
        with (self.home / "agents.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flyball.demo.agent"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                start_new_session=True,
            )
        agent = AgentProcess(process)
        self._agents.append(agent)
        return agent

    def _identity(self, name: str) -> Path:
        self._identities += 1
        svid = self.home / f"{name}-{self._identities}.svid"
        text = self._flyball("dev", "svid", f"spiffe://flyball.dev/agent/{name}", "--audience", ISSUER)
        svid.touch(mode=0o600)
        svid.write_text(text.strip())
        return svid

    def psql_through(self, profile: str) -> Psql:
        """PostgreSQL's own psql in a task of a profile, at the gateway."""
        environment = self._environment() | {"FLYBALL_SVID_FILE": str(self._identity("clerk"))}
        psql = Psql(self.psql, profile, environment)
        self._unmodified.append(psql)
        return psql

    def mcp_client(self, profile: str) -> McpClient:
        """An MCP client with the desk's server behind Flyball, whose tools were approved."""
        server = [sys.executable, "-m", "flyball.demo.desk"]
        self._flyball("mcp", "approve", "--yes", "--name", "desk", "--", *server)
        environment = self._environment()
        environment |= {"FLYBALL_SVID_FILE": str(self._identity("clerk")), "DESK_OUTBOX": str(self.outbox)}
        decisions = f"unix:{self.home}/state/decision.sock"
        line = [*FLYBALL, "mcp", "--profile", profile, "--name", "desk", "--prefix", "desk.", "--decisions", decisions]
        client = McpClient([*line, "--", *server], environment, self.home / "mcp.log")
        self._unmodified.append(client)
        return client

    def seen_secret(self, agent: AgentProcess) -> str:
        """The agent's password, as the agent tells it: the story shows it once it is worth nothing."""
        if not agent.secret:
            agent.secret = str(agent.ask("tell_secret")["secret"])
        return agent.secret

    # -- evidence -------------------------------------------------------------------------------

    @property
    def store(self) -> Path:
        """The embedded store's file."""
        return self.home / "state" / "store.db"

    def bundle_digest(self) -> str:
        """The bundle in force, shortened."""
        bundle = self.status()["bundle"]
        assert isinstance(bundle, dict)
        return str(bundle["digest"])[:19]

    def status(self) -> dict[str, Json]:
        """`flyball status --json`."""
        answer: dict[str, Json] = json.loads(self._flyball("status", "--json"))
        return answer

    def cooperative(self) -> list[str]:
        """What rests on the agent's cooperation, by the bundle's own account."""
        listed = self.status()["cooperative"]
        assert isinstance(listed, dict)
        found = [one for many in listed.values() if isinstance(many, list) for one in many if isinstance(one, dict)]
        return [f"{one['action'] or 'the whole task'}: {one['limit']}" for one in found]

    def receipt(self, lease: str, within_s: float = 10) -> dict[str, Json]:
        """The receipt of a lease, once there is one, verified offline."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            listed: list[dict[str, Json]] = json.loads(self._flyball("receipts", "list", "--lease", lease, "--json"))
            if listed:
                file = self.home / "receipt.json"
                file.write_text(json.dumps(listed[-1]["envelope"]))
                self._flyball("receipts", "verify", str(file))
                return listed[-1]
            time.sleep(0.05)
        raise StageFault(f"no receipt for {lease} within {within_s:.0f} s", "look at `flyball status`")

    def receipt_lines(self, receipt: dict[str, Json]) -> list[str]:
        """A receipt's steps, a line each, in milliseconds since the fence."""
        payload = receipt["payload"]
        assert isinstance(payload, dict)
        fenced = int(str(payload["fenced_ms"]))
        lines = []
        steps = payload["steps"]
        assert isinstance(steps, list)
        for step in steps:
            assert isinstance(step, dict)
            observed = step.get("observed")
            facts = ", ".join(f"{k} {v}" for k, v in observed.items()) if isinstance(observed, dict) else ""
            lines.append(f"  +{int(str(step['at_ms'])) - fenced:>5} ms  {step['step']}  {facts}")
        probe = payload["probe"]
        assert isinstance(probe, dict)
        doors = probe["doors"]
        assert isinstance(doors, list)
        for door in doors:
            assert isinstance(door, dict)
            control = "works" if door["control"] else "failed"
            lines.append(f"  probe at {door['door']}: {door['verdict']}, control login {control}")
        return lines

    def copy_store(self, name: str) -> Path:
        """A consistent copy of the store, to be spoiled."""
        copy = self.home / "copies" / name.replace(" ", "-")
        database.copy_sqlite(self.store.parent, copy)
        return copy / "store.db"

    def verify_audit(self, store: Path) -> dict[str, Json]:
        """`flyball audit verify --json` on a store, against the real anchor. It exits 1 where it finds something."""
        line = [sys.executable, "-m", "flyball", "audit", "verify", "--json", "--store", str(store)]
        done = subprocess.run(line, env=self._environment(), capture_output=True, text=True, timeout=60, check=False)
        try:
            report: dict[str, Json] = json.loads(done.stdout)
        except ValueError as fault:
            raise StageFault(f"audit verify failed: {done.stderr.strip()}") from fault
        return report

    # -- the end --------------------------------------------------------------------------------

    def look_around(self) -> list[str]:
        """How to go on from here."""
        config = f"FLYBALL_CONFIG={self.home}/flyball.yaml"
        return [
            "look around, with KEEP=1 while it runs, or in the store afterwards:",
            f"  {config} flyball receipts list",
            f"  {config} flyball audit show",
            f"  {config} flyball why DECISION",
        ]

    def keep_lines(self) -> list[str]:
        """Where things are while it is left running."""
        config = f"FLYBALL_CONFIG={self.home.resolve()}/flyball.yaml"
        return [
            "in another terminal:",
            f"  {config} flyball status",
            f"  {config} flyball target rotate orders",
            f'  {self.psql} "{self.postgres.dsn(dbname=database.DATABASE)}"',
            f"the control API is at {self.control_url}",
            f"to stop it all: Ctrl-C here, or kill {os.getpid()}",
        ]

    def wait_for_interrupt(self) -> None:
        """Until Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()

    def tear_down(self) -> None:
        """Stop every process. The store stays where it is."""
        for program in (*self._agents, *self._unmodified):
            program.stop()
        if self._tools is not None:
            end(self._tools)
        if self._server is not None:
            end(self._server, within_s=15)
        if self._postgres is not None:
            self._postgres.stop()
