"""A house in this process: the real store, journal, decision plane and revoker, at targets in memory."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import ec

from flyball.assembly import catalog, config
from flyball.assembly.build import Built, build
from flyball.assembly.local import dev_domain
from flyball.connectors.memory.backend import MemoryBackend, World
from flyball.credential.guarded import Guarded
from flyball.credential.lease import LeaseState
from flyball.flow import end, request
from flyball.flow.asks import Ended, OpenAsk, Opened, Proof, Released, Renewed
from flyball.flow.house import House
from flyball.flow.watch import Watch
from flyball.identity import dpop
from flyball.kernel.clock import Clock
from flyball.kernel.json import Json, canonical, parse_object
from flyball.policy.engine import Verdict
from flyball.task.task import Task

ISSUER = "https://flyball.test.internal"
BASE = "http://flyball.test.internal"
REFUNDS = "spiffe://flyball.dev/agent/refund-agent"
POD = "spiffe://flyball.dev/agent/pod-agent"
PARCELS = "spiffe://flyball.dev/agent/parcel-agent"
DESK = "spiffe://flyball.dev/desk"
REACTIONS = ("deny", "freeze", "suspend", "revoke", "quarantine")
REQUEST = "Write to ana@shop.example about order 1042"
INPUTS: dict[str, Json] = {"ticket": "T-1042", "limit": "120.00"}

MANIFEST = """
    name: flow
    version: "1"
    owners: {payments: {contact: payments@flyball.dev}, shipping: {contact: shipping@flyball.dev}}
    agents:
      refund-agent: {ids: ["spiffe://flyball.dev/agent/refund-agent"], owner: payments, groups: [support]}
      parcel-agent: {ids: ["spiffe://flyball.dev/agent/parcel-agent"], owner: shipping}
      pod-agent: {ids: ["spiffe://flyball.dev/agent/pod-agent"], owner: shipping, instance: instance}
      host-agent: {ids: ["spiffe://flyball.dev/agent/host-agent"], owner: shipping, uid: 4711}
    identity: {trust_domains: {flyball.dev: {dev: true}}}
    resource_types: {table: , tool: }
    access_classes: {default: {risk: high, record: durable}}
    actions:
      sql.select: {resource: table, effect: read}
      sql.insert: {resource: table, effect: write, args: {amount: decimal}}
      tool.refund: {resource: tool, effect: write, args: {order_id: string, amount: decimal}}
      tool.send_mail: {resource: tool, effect: write, args: {to: string}}
      crm.find:
        resource: tool
        effect: read
        args: {name: string}
        returns: [{id: id by org, email: email by org, note: "text by outside, pii"}]
      crm.mail: {resource: tool, effect: write, args: {to: string, body: string}, returns: any by org}
      crm.pay: {resource: tool, effect: write, args: {amount: decimal}, returns: any by org}
      crm.wire: {resource: tool, effect: write, args: {amount: decimal}, returns: any by org}
    peps:
      sdk: {identity: {self: true}, actions: [sql.*, tool.*, crm.*]}
      crm: {identity: {spiffe: "spiffe://flyball.dev/tool/crm"}, actions: [crm.*], may_report: true}
    targets:
      orders:
        kind: memory
        accesses:
          refunds-writer:
            grants: [{action: sql.select, on: [orders.public.orders]}]
      parcels:
        kind: memory
        accesses:
          reader:
            grants: [{action: sql.select, on: [orders.public.orders]}]
"""
PROFILE = """
    profile: {name}
    purpose: Settle one customer refund from a ticket
    agents: {agents}
    inputs:
      ticket: {{type: string, pattern: "T-[0-9]+"}}
      limit: {{type: decimal, min: 0.01, max: 200}}
    time: {{ttl: {ttl}, heartbeat: {heartbeat}}}
    credentials:
      orders: {{access: refunds-writer, ttl: {lease_ttl}}}
      parcels: {{access: reader, ttl: {lease_ttl}}}
    allow:
      - {{action: sql.select, on: [orders.public.orders]}}
      - action: tool.refund
        on: [refund]
        where: {{amount: {{max: $inputs.limit}}}}
        budget: {{calls: 2, amount: $inputs.limit{once_per}}}
    budget: {{calls: 1000}}
    on_deviation: {reaction}
"""


def profile(
    name: str,
    *,
    agents: str = "[refund-agent]",
    ttl: str = "15m",
    heartbeat: str = "60s",
    lease_ttl: str = "1m",
    once: bool = False,
    reaction: str = "revoke",
    vouched: bool = False,
) -> str:
    """A profile's text."""
    once_per = ", once_per: ticket" if once else ""
    told = {"name": name, "agents": agents, "ttl": ttl, "heartbeat": heartbeat, "lease_ttl": lease_ttl}
    text = dedent(PROFILE).format(**told, once_per=once_per, reaction=reaction)
    if vouched:
        text = text.replace("max: 200}", f'max: 200, vouched_by: ["{DESK}"]}}')
    return text


INTENT = """
    profile: {name}
    purpose: Answer a customer
    agents: [refund-agent, parcel-agent, host-agent, pod-agent]
    inputs:
      request: {{type: text, vouched_by: ["{desk}"]}}
    time: {{ttl: 15m, heartbeat: 60s}}
    credentials:
      orders: {{access: refunds-writer, ttl: 1m}}
    plan: {plan}
    must: {must}
    allow:
      - {{action: crm.find}}
      - {{action: sql.select, on: [orders.public.orders]}}
      - action: crm.mail
        where:
          to: {{as: email, from: [request, result(crm.find).email]}}
          body: {{free: 200}}
        budget: {{calls: 4}}
      - {{action: crm.pay, effect: require_approval, where: {{amount: {{max: 100}}}}}}
      - {{action: crm.wire, effect: step_up, where: {{amount: {{max: 100}}}}}}
"""
INTENTS: dict[str, dict[str, str]] = {
    "intent": {},
    "planned": {"plan": "required"},
    "unplanned": {"plan": "none"},
    "owing": {"must": "[crm.mail]"},
}


def intent(name: str, *, plan: str = "optional", must: str = "[]") -> str:
    """A profile whose arguments have origins."""
    return dedent(INTENT).format(name=name, plan=plan, must=must, desk=DESK)


def write_bundle(folder: Path, *profiles: str, policies: str = "") -> None:
    """The bundle of these tests, with profiles for every reaction."""
    (folder / "profiles").mkdir(parents=True, exist_ok=True)
    (folder / "bundle.yaml").write_text(dedent(MANIFEST))
    everybody = "[refund-agent, parcel-agent, host-agent, pod-agent]"
    texts = [
        profile("settle-refund", agents=everybody, once=True),
        profile("plain", agents=everybody),
        profile("vouched", vouched=True),
        *(profile(f"on-{reaction}", reaction=reaction) for reaction in REACTIONS),
        *(intent(name, **more) for name, more in INTENTS.items()),
        *profiles,
    ]
    for text in texts:
        name = text.partition("profile: ")[2].partition("\n")[0]
        (folder / "profiles" / f"{name}.yaml").write_text(text)
    if policies:
        (folder / "policies").mkdir(exist_ok=True)
        (folder / "policies" / "rules.cedar").write_text(dedent(policies))


class Place:
    """One state directory; `house()` may be entered again and again, as a server is restarted."""

    def __init__(self, home: Path, *profiles: str, policies: str = "") -> None:
        self.home = home
        self.bundle = home / "bundle"
        write_bundle(self.bundle, *profiles, policies=policies)
        file = home / "flyball.yaml"
        file.write_text(
            f"mode: dev\nissuer: {ISSUER}\nstate_dir: {home}/state\nbundle: {self.bundle}\njournal: {{size: 1048576}}\n"
        )
        self.config = config.load(file)
        self.domain = dev_domain(self.config)
        self.worlds: dict[str, World] = {}

    @contextmanager
    def house(self, *, clock: Clock | None = None) -> Iterator[Live]:
        """The house, recovered; closed in order when the block is left. Its targets outlive it, as servers would."""

        def memory(name: str, settings: Mapping[str, Json], time: Clock, _mode: str) -> MemoryBackend:
            accesses = settings["accesses"]
            assert isinstance(accesses, dict)
            return MemoryBackend(name, frozenset(accesses), time, self.worlds.setdefault(name, World()))

        with patch.dict(catalog.CONNECTORS, {"memory": memory}):  # type: ignore[arg-type]
            built = build(self.config, clock=clock)
        live = Live(built.house, self, built)
        try:
            yield live
        finally:
            live.close()
            built.close()


@dataclass
class Live:
    """A house that lives, and the threads that watch it once `watch()` was called."""

    house: House
    place: Place
    built: Built
    _watch: Watch | None = None

    def watch(self) -> Watch:
        """Start watching, as `serve` does."""
        if self._watch is None:
            self._watch = Watch(self.house)
            self._watch.start()
        return self._watch

    def close(self) -> None:
        """Stop watching, and let whatever hangs at a target go."""
        for name in self.house.backends:
            self.target(name).faults.clear()
        if self._watch is not None:
            self._watch.stop()

    def target(self, name: str = "orders") -> MemoryBackend:
        """A target itself, behind the façade."""
        guarded = self.house.backends[name]
        assert isinstance(guarded, Guarded)
        backend = guarded._backend
        assert isinstance(backend, MemoryBackend)
        return backend

    def roles(self, name: str = "orders") -> set[str]:
        """What stands at a target."""
        return set(self.target(name).world.roles)

    def agent(self, spiffe_id: str = REFUNDS) -> Agent:
        """An agent that has not opened a task yet."""
        return Agent(self, spiffe_id)

    def state(self, task: str) -> str:
        """Where a task stands in the store."""
        row = self.house.tasks.get(task)
        assert row is not None
        return row.state.value

    def task(self, task: str) -> Task:
        """A task's row."""
        row = self.house.tasks.get(task)
        assert row is not None
        return row

    def lease_states(self, task: str) -> list[LeaseState]:
        """Where a task's leases stand."""
        return [lease.state for lease in self.house.leases.select(task=task)]

    def kinds(self, task: str) -> list[str]:
        """The kinds of a task's records, in order."""
        return [stored.kind for stored in self.house.log.of_task(task)]


@dataclass
class Agent:
    """An agent's side: a key, an identity, and once it has opened a task, that task's token."""

    live: Live
    spiffe_id: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    opened: Opened | None = None
    token: str = ""

    instance: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def house(self) -> House:
        return self.live.house

    @property
    def task(self) -> str:
        assert self.opened is not None
        return self.opened.task

    def svid(self) -> str:
        """A fresh identity, of this agent's instance."""
        return self.live.place.domain.issue(self.spiffe_id, ISSUER, instance=self.instance)

    def proof(self, path: str = "/v1/tasks", *, token: str = "", svid: str = "", bearer: bool = False) -> Proof:
        """A proof by this agent's key: for its identity, or for a task token."""
        url = BASE + path
        made = dpop.make_proof(
            self.key, method="POST", url=url, iat_s=self.house.clock.wall_ms() // 1000, access_token=token or None
        )
        header = f"{'Bearer' if bearer else 'DPoP'} {token}" if token else f"Bearer {svid or self.svid()}"
        return Proof(header, (made,), "POST", url, None)

    def shown(self) -> Proof:
        """The task's own proof, fresh."""
        return self.proof(f"/v1/tasks/{self.task}", token=self.token)

    def open(self, profile: str = "plain", inputs: dict[str, Json] | None = None, *vouchers: str) -> Agent:
        """Open a task; the agent itself, for a line that goes on."""
        ask = OpenAsk(profile, {**INPUTS, **(inputs or {})}, vouchers)
        self.opened = request.open_task(self.house, self.proof(), ask)
        self.token = self.opened.token.reveal()
        return self

    def ask_for(self, request_text: str = REQUEST, profile: str = "intent", **more: object) -> Agent:
        """Open a task of a profile with origins, the request vouched for by the desk."""
        word = self.live.place.domain.issue(DESK, ISSUER, claims={"inputs": {"request": request_text}})
        ask = OpenAsk(profile, {"request": request_text}, (word,), **more)  # type: ignore[arg-type]
        self.opened = request.open_task(self.house, self.proof(), ask)
        self.token = self.opened.token.reveal()
        return self

    def child(self, *, by_token: bool = False, **more: object) -> Agent:
        """Open a child of this agent's task: with its identity and a key of its own, or with the task's token."""
        row = self.live.task(self.task)
        other = Agent(self.live, self.spiffe_id, instance=self.instance)
        words: dict[str, object] = {"profile": row.profile, "inputs": {}, "parent": self.task, **more}
        proof = self.proof("/v1/tasks", token=self.token) if by_token else other.proof()
        if by_token:
            other.key = self.key
        other.opened = request.open_task(self.house, proof, OpenAsk(**words))  # type: ignore[arg-type]
        other.token = other.opened.token.reveal()
        return other

    def tool(self, action: str, **args: Json) -> Verdict:
        """A check as the CRM's own enforcement point makes it."""
        return self.house.core.check(self.task, "crm", action, "tool", action, canonical(args) if args else b"{}")

    def found(self, *rows: dict[str, Json]) -> dict[str, Json]:
        """A lookup, and what it returned, reported by the CRM."""
        verdict = self.tool("crm.find", name="somebody")
        assert verdict.effect == "allow", verdict.reasons
        return parse_object(self.house.core.report_result(self.task, "crm", verdict.decision, canonical([*rows])))

    def mail(self, to: str) -> Verdict:
        """A mail, through the CRM."""
        return self.tool("crm.mail", to=to, body="hello")

    def beat(self) -> Renewed:
        """A heartbeat."""
        return request.heartbeat(self.house, self.shown(), self.task)

    def credential(self, name: str = "orders", *, deliver: bool = True) -> Released:
        """A credential, acknowledged unless told otherwise."""
        held = request.credential(self.house, self.shown(), self.task, name)
        if deliver:
            request.delivered(self.house, self.shown(), held.lease)
        return held

    def end(self, wait_ms: int = 5000) -> Ended:
        """End the task."""
        return request.end_task(self.house, self.shown(), self.task, wait_ms)

    def check(self, action: str, kind: str, resource: str, **args: Json) -> Verdict:
        """A check as the SDK's enforcement point makes it."""
        body = canonical(args) if args else b"{}"
        return self.house.core.check(self.task, "sdk", action, kind, resource, body)

    def read(self) -> Verdict:
        """A read that every profile allows."""
        return self.check("sql.select", "table", "orders.public.orders")

    def refund(self, amount: str = "10.00") -> Verdict:
        """A write that every profile allows, up to its limit."""
        raw = f'{{"amount":{amount},"order_id":"o-1"}}'.encode()
        return self.house.core.check(self.task, "sdk", "tool.refund", "tool", "refund", raw)

    def deviate(self) -> Verdict:
        """What no profile allows."""
        return self.check("tool.send_mail", "tool", "mail", to="archive@outside.example")


def revoke(live: Live, task: str, wait_ms: int = 5000) -> Ended:
    """An operator revokes a task."""
    return end.revoke_task(live.house, task, by="ops", reason="asked", wait_ms=wait_ms)


def now_s() -> int:
    """The wall clock."""
    return time.time_ns() // 10**9
