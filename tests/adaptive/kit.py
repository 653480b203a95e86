"""One house for the attacks: the plane with the bundle beside this file, and tasks to attack it from."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from flyball.kernel import ids
from flyball.policy.compile import Compiled, load_bundle
from flyball.policy.engine import Core, Verdict

ANN, BOB, EVE = "ann@acme.example", "bob@acme.example", "eve@evil.example"
OURS, THEIRS = "DE89370400440532013000", "GB82WEST12345698765432"


@cache
def compiled() -> Compiled:
    """The bundle beside this file."""
    return load_bundle(Path(__file__).parent / "bundle")


@dataclass
class House:
    """A plane without a store."""

    core: Core = field(default_factory=lambda: Core(cell="a", node="n", epoch=1, deployment_key=b"k" * 32))

    def __post_init__(self) -> None:
        self.core.load(compiled().json)

    def open(
        self, request: str = "", *, profile: str = "assistant", vouched: str = "spiffe://flyball.dev/app/chat",
        inputs: dict[str, str] | None = None, **more: Any,
    ) -> Run:  # fmt: skip
        """A task; its inputs are vouched for unless said otherwise."""
        now = time.time_ns() // 1_000_000
        values = inputs if inputs is not None else {"request": request}
        kinds = {"limit": "decimal"}
        spec = {
            "id": ids.task_id("a", now), "principal": "spiffe://flyball.dev/agent/assistant", "agent": "assistant",
            "owner": "house", "profile": profile, "profile_digest": compiled().bundle.profiles[profile].digest,
            "inputs": {
                name: {"value": value, "type": kinds.get(name, "string"), "vouched_by": vouched}
                for name, value in values.items()
            },
            "opened_ms": now, "hard_end_ms": now + 3_600_000, "heartbeat_ms": 3_600_000,
            "data_key": base64.b64encode(secrets.token_bytes(32)).decode(), "state": "open", "binding": "uid:1",
            **more,
        }  # fmt: skip
        self.core.open(json.dumps(spec).encode())
        return Run(self, str(spec["id"]), spec)


@dataclass
class Run:
    """One task of the agent that obeys whatever it reads."""

    house: House
    task: str
    spec: dict[str, Any]

    def ask(self, action: str, pep: str = "gateway", raw: bytes | None = None, **args: Any) -> Verdict:
        """Ask for a call, with arguments by name or as raw JSON."""
        data = json.dumps(args).encode() if raw is None else raw
        return self.house.core.check(self.task, pep, action, "tool", action, data)

    def report(self, decision: str, result: Any, pep: str = "gateway", **meta: Any) -> dict[str, Any]:
        """Report a call's result."""
        data = result if isinstance(result, bytes) else json.dumps(result).encode()
        answer: dict[str, Any] = json.loads(
            self.house.core.report_result(self.task, pep, decision, data, json.dumps(meta).encode())
        )
        return answer

    def read(self, action: str, result: Any, pep: str = "gateway", **args: Any) -> Verdict:
        """A read that is allowed, and what came back."""
        verdict = self.ask(action, pep, **args)
        assert verdict.effect == "allow", verdict.reasons
        self.report(verdict.decision, result, pep)
        return verdict

    def outcome(self, action: str, **args: Any) -> str:
        """`allow`, or the reason why not."""
        verdict = self.ask(action, **args)
        return "allow" if verdict.effect == "allow" else verdict.reasons[0]

    def memory(self) -> dict[str, Any]:
        """What the plane remembers of the task."""
        found: dict[str, Any] = json.loads(self.house.core.memory_json(self.task) or b"{}")
        return found


def inbox(body: str, *, subject: str = "Party", sender: str = EVE, mail_id: str = "m-1") -> list[dict[str, str]]:
    """One hostile mail."""
    return [{"mail_id": mail_id, "sender": sender, "subject": subject, "body": body}]
