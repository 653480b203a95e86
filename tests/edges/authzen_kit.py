"""An edge over a real plane and store, with a bundle of its own; tokens and proofs made here, by another library."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from flyball._core._native import Core, Edge, Writer
from flyball.kernel.ids import task_id
from flyball.kernel.json import Json
from flyball.stores.sqlite.migrate import migrate

ISSUER = "https://flyball.test"
EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
PRINCIPAL = "spiffe://dev.test/agents/refund-agent"
DIGEST = "sha256:" + "1" * 64

SCHEMA = """
namespace Flyball {
  entity Group in [Group];
  entity Agent in [Group] = { "owner": String };
  entity Profile in [Group];
  entity Credential in [Group];
  entity user = { "role"?: String, "roles"?: Set<String>, "owner_id"?: String };
  entity record = { "status"?: String };
  entity todo = { "ownerID"?: String };
  entity table;
  type Intent = { "rule": String, "within": Bool };
  type Task = { "id": String, "profile": String, "owner": String, "inputs": {} };
  action "read", "write" appliesTo { principal: [user], resource: [record], context: { "args": {}, "pep": String } };
  action "delete" appliesTo {
    principal: [user], resource: [record], context: { "args": { "soft"?: Bool }, "pep": String }
  };
  action "can_read_user" appliesTo { principal: [user], resource: [user], context: { "args": {}, "pep": String } };
  action "can_read_todos", "can_create_todo", "can_update_todo", "can_delete_todo" appliesTo {
    principal: [user], resource: [todo], context: { "args": {}, "pep": String }
  };
  action "sql.select", "sql.buffered", "sql.once" appliesTo {
    principal: [Agent], resource: [table],
    context: { "task": Task, "args": { "limit"?: Long }, "intent": Intent, "pep": String }
  };
}
"""

_TODO = {
    "CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs": ("rick@the-citadel.com", ["admin", "evil_genius"]),
    "CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs": ("morty@the-citadel.com", ["editor"]),
    "CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs": ("summer@the-smiths.com", ["editor"]),
    "CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs": ("beth@the-smiths.com", ["viewer"]),
    "CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs": ("jerry@the-smiths.com", ["viewer"]),
}

# The certification scenario's rules and those of the todo scenario, as reference policies.
_POLICIES = {
    "cert/read": 'permit(principal, action == Flyball::Action::"read", resource);',
    "cert/write": 'permit(principal == Flyball::user::"alice", action == Flyball::Action::"write", resource)'
    ' unless { resource has status && resource.status == "archived" };',
    "cert/admin": 'permit(principal, action == Flyball::Action::"write", resource)'
    ' when { principal has role && principal.role == "admin" };',
    "cert/delete": 'permit(principal == Flyball::user::"alice", action == Flyball::Action::"delete", resource)'
    " when { context.args has soft && context.args.soft };",
    "todo/read": "permit(principal, action in "
    '[Flyball::Action::"can_read_user", Flyball::Action::"can_read_todos"], resource);',
    "todo/create": 'permit(principal, action == Flyball::Action::"can_create_todo", resource)'
    ' when { principal has roles && principal.roles.containsAny(["admin", "editor"]) };',
    "todo/update": 'permit(principal, action == Flyball::Action::"can_update_todo", resource)'
    ' when { principal has roles && (principal.roles.contains("evil_genius") || (principal.roles.contains("editor")'
    " && principal has owner_id && resource has ownerID && resource.ownerID == principal.owner_id)) };",
    "todo/delete": 'permit(principal, action == Flyball::Action::"can_delete_todo", resource)'
    ' when { principal has roles && (principal.roles.contains("admin") || (principal.roles.contains("editor")'
    " && principal has owner_id && resource has ownerID && resource.ownerID == principal.owner_id)) };",
}


def bundle(peps: Sequence[Mapping[str, Json]]) -> bytes:
    """The compiled bundle, with these enforcement points."""
    asserted = ["record", "todo", "user"]
    actions: dict[str, Json] = {
        "read": {"effect": "read", "resource_type": "record", "taskless": True},
        "write": {"effect": "write", "resource_type": "record", "taskless": True},
        "delete": {"effect": "write", "resource_type": "record", "taskless": True, "args": {"soft": "bool"}},
        "can_read_user": {"effect": "read", "resource_type": "user", "taskless": True},
        **{
            f"can_{what}": {"effect": "read", "resource_type": "todo", "taskless": True}
            for what in ("read_todos", "create_todo", "update_todo", "delete_todo")
        },
        "sql.select": {"effect": "read", "resource_type": "table", "args": {"limit": "long"}},
        "sql.buffered": {"effect": "read", "resource_type": "table", "args": {"limit": "long"}, "class": "quick"},
        "sql.once": {"effect": "write", "resource_type": "table", "args": {"limit": "long"}},
    }
    rules = ("sql.select", "sql.buffered", "sql.once")
    return json.dumps(
        {
            "digest": "sha256:" + "0" * 64,
            "schema": SCHEMA,
            "entities": [
                {
                    "uid": {"type": "Flyball::Agent", "id": "refund-agent"},
                    "attrs": {"owner": "payments"},
                    "parents": [],
                },
                *(
                    {
                        "uid": {"type": "Flyball::user", "id": sub},
                        "attrs": {"owner_id": owner, "roles": roles},
                        "parents": [],
                    }
                    for sub, (owner, roles) in _TODO.items()
                ),
            ],
            "agents": {"refund-agent": {"entity": 'Flyball::Agent::"refund-agent"', "owner": "payments"}},
            "resource_types": {name: f"Flyball::{name}" for name in ("record", "todo", "user", "table")},
            "subject_types": {"user": "Flyball::user"},
            "actions": actions,
            "classes": {
                "default": {"mode": "enforce", "record": "durable"},
                "quick": {"mode": "enforce", "record": "buffered"},
            },
            "peps": [
                {
                    "actions": ["*"],
                    "may_report": False,
                    "may_assert_subject": asserted,
                    "trust_properties": ["subject", "resource", "action"],
                    **pep,
                }
                for pep in peps
            ],
            "policies": [
                {"id": name, "file": "policies/a.cedar", "line": 1, "text": text} for name, text in _POLICIES.items()
            ],
            "profiles": [
                {
                    "name": "settle-refund",
                    "digest": DIGEST,
                    "policies": [
                        {
                            "id": f"settle-refund/allow/{at}",
                            "file": "profiles/a.yaml",
                            "line": at,
                            "text": f'permit(principal, action == Flyball::Action::"{action}", resource)'
                            f' when {{ context.intent.rule == "settle-refund/allow/{at}" && context.intent.within }};',
                        }
                        for at, action in enumerate(rules, 1)
                    ],
                    "inputs": {},
                    "rules": [
                        {
                            "id": f"settle-refund/allow/{at}",
                            "action": action,
                            "on": ["orders"],
                            **({"budget": {"calls": 1}} if action == "sql.once" else {}),
                        }
                        for at, action in enumerate(rules, 1)
                    ],
                    "reaction": "deny",
                    "time": {"ttl_ms": 900000, "heartbeat_ms": 60000},
                }
            ],
        }
    ).encode()


def b64(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: Mapping[str, Json], claims: Mapping[str, Json], key: object) -> str:
    """A compact JWS by Ed25519 or ES256."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    if isinstance(key, Ed25519PrivateKey):
        signature = key.sign(signed.encode())
    else:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{signed}.{b64(signature)}"


@dataclass
class Holder:
    """Somebody with a key: makes proofs, and is what a token is bound to."""

    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def jwk(self) -> dict[str, Json]:
        if isinstance(self.key, Ed25519PrivateKey):
            return {"crv": "Ed25519", "kty": "OKP", "x": b64(self.key.public_key().public_bytes_raw())}
        numbers = self.key.public_key().public_numbers()
        x, y = (b64(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
        return {"crv": "P-256", "kty": "EC", "x": x, "y": y}

    @property
    def jkt(self) -> str:
        return b64(hashlib.sha256(json.dumps(self.jwk, separators=(",", ":")).encode()).digest())

    def proof(self, url: str, token: str, **change: Json) -> str:
        """A DPoP proof; `change` replaces claims, or header members where named `header_…`; None leaves one out."""
        alg = "EdDSA" if isinstance(self.key, Ed25519PrivateKey) else "ES256"
        header: dict[str, Json] = {"typ": "dpop+jwt", "alg": alg, "jwk": self.jwk}
        claims: dict[str, Json] = {
            "jti": secrets.token_urlsafe(16),
            "htm": "POST",
            "htu": url,
            "iat": int(time.time()),
            "ath": b64(hashlib.sha256(token.encode()).digest()),
        }
        for name, value in change.items():
            part, name = (header, name.removeprefix("header_")) if name.startswith("header_") else (claims, name)
            part[name] = value
        header, claims = ({k: v for k, v in part.items() if v is not None} for part in (header, claims))
        return compact(header, claims, self.key)


@dataclass
class Running:
    """A running edge, and what stands behind it."""

    core: Core
    writer: Writer
    edge: Edge
    places: list[dict[str, str]]
    store: Path
    signer: Ed25519PrivateKey

    @property
    def url(self) -> str:
        return "http://" + next(place["tcp"] for place in self.places if "tcp" in place)

    @property
    def socket(self) -> str:
        return next(place["unix"] for place in self.places if "unix" in place)

    def open(self, binding: str) -> str:
        """A live task, bound as said."""
        now = int(time.time() * 1000)
        task = task_id("test", now)
        spec = {
            "id": task,
            "principal": PRINCIPAL,
            "agent": "refund-agent",
            "owner": "payments",
            "profile": "settle-refund",
            "profile_digest": DIGEST,
            "inputs": {},
            "opened_ms": now,
            "hard_end_ms": now + 600_000,
            "heartbeat_ms": 60_000,
            "data_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "state": "open",
            "binding": binding,
        }
        self.core.open(json.dumps(spec).encode())
        return task

    def token(self, task: str, bound: Mapping[str, Json], **change: Json) -> str:
        """A task token; `change` replaces claims, or header members where named `header_…`."""
        now = int(time.time())
        header: dict[str, Json] = {"alg": "EdDSA", "kid": "k1", "typ": "flyball-task+jwt"}
        claims: dict[str, Json] = {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": PRINCIPAL,
            "tid": task,
            "iat": now,
            "exp": now + 300,
            "cnf": dict(bound),
        }
        for name, value in change.items():
            part, name = (header, name.removeprefix("header_")) if name.startswith("header_") else (claims, name)
            part[name] = value
        return compact(header, claims, self.signer)

    def records(self, kind: str = "decided") -> list[dict[str, Json]]:
        """The bodies of records, in order."""
        rows = self.writer.query("SELECT body FROM record WHERE kind = ? ORDER BY seq", (kind,))
        return [json.loads(row[0]) for row in rows if isinstance(row[0], bytes)]

    def client(self, *, unix: bool = False) -> httpx.Client:
        """A client with connections of its own."""
        if unix:
            return httpx.Client(transport=httpx.HTTPTransport(uds=self.socket), base_url="http://localhost", timeout=20)
        return httpx.Client(base_url=self.url, timeout=20)


def call(task: str | None, action: str = "sql.select", table: str = "orders", **extra: Json) -> dict[str, Json]:
    """The body of a task's evaluation."""
    body: dict[str, Json] = {
        "subject": {"type": "agent", "id": "refund-agent"},
        "action": {"name": action, "properties": {"limit": 5}},
        "resource": {"type": "table", "id": table},
        "context": {"task": task} if task else {},
    }
    return {**body, **extra}


@contextmanager
def running(folder: Path, **config: object) -> Iterator[Running]:
    """Start an edge on a loopback port and a Unix socket."""
    store = folder / "store.db"
    migrate(store)
    writer = Writer(str(store))
    core = Core(cell="test", node="n1", epoch=1, deployment_key=b"k" * 32, writer=writer)
    peps: list[dict[str, Json]] = [
        {"name": "sdk", "identity": {"self": True}},
        {"name": "gateway", "identity": {"uid": os.getuid()}, "may_report": True},
        {"name": "mesh", "identity": {"spiffe": "spiffe://dev.test/gateway"}},
    ]
    core.load(bundle(peps))
    signer = Ed25519PrivateKey.generate()
    settings = {
        "issuer": ISSUER,
        "listen": [{"tcp": "127.0.0.1:0"}, {"unix": str(folder / "edge.sock"), "mode": 0o600}],
        "token_keys": [{"kid": "k1", "x": b64(signer.public_key().public_bytes_raw())}],
        **config,
    }
    edge = Edge(core, json.dumps(settings).encode())
    places = json.loads(edge.start())
    try:
        yield Running(core, writer, edge, places, store, signer)
    finally:
        edge.stop(200)
        writer.close()


def raw(place: str, *chunks: bytes, timeout: float = 5) -> bytes:
    """Send bytes as they are to a TCP place; all that comes back until it closes or is silent."""
    host, port = place.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=timeout) as conn:
        for chunk in chunks:
            conn.sendall(chunk)
        answer = b""
        try:
            while block := conn.recv(65536):
                answer += block
        except TimeoutError:
            pass
        return answer
