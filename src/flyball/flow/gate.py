"""Step 1 of every request: who is calling, and what the call is bound to.

Two kinds of caller come here. One opens a task: it shows a workload's token (JWT-SVID or OIDC)
and offers a DPoP key, or comes over a Unix socket. One holds a task: it shows the task token with
a fresh DPoP proof, or comes from the very user id that the token is bound to. A stolen token
alone is never enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyball.flow.asks import Proof
from flyball.flow.house import House
from flyball.identity import dpop, task_token
from flyball.identity.agents import AgentDecl, match_agent
from flyball.identity.principal import Principal
from flyball.kernel.errors import Denied, Unauthenticated
from flyball.kernel.json import Json

MAX_INSTANCE = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """A proven principal's id, the agent it is declared as, what its task's token will be bound to, and
    which running instance of the agent it is."""

    principal: str
    agent: AgentDecl
    binding: str
    instance: str


@dataclass(frozen=True, slots=True)
class TaskHolder:
    """A caller that holds the task named here."""

    task: str


def caller(house: House, proof: Proof) -> Caller:
    """Authenticate the caller of `open`.

    Raises:
        Unauthenticated: no token, a token that does not hold, a bad DPoP proof, or nothing to bind to.
        Denied: the principal is not a declared agent.
    """
    scheme, _, token = proof.authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated(
            "show a workload's token as `Authorization: Bearer …`",
            code="token_missing",
            hint="a JWT-SVID or an OIDC token whose audience is this Flyball's issuer",
        )
    thumbprint = None
    if proof.dpop:
        shown = dpop.verify_proof(
            proof.dpop, method=proof.method, url=proof.url, clock=house.clock, replay=house.replay
        )
        thumbprint = shown.thumbprint
    principal = house.resolver.authenticate(token, proof=thumbprint)
    agent = match_agent(principal, house.active.bundle.agents.values())
    if thumbprint is not None:
        return Caller(principal.id, agent, f"jkt:{thumbprint}", instance_of(principal, agent))
    if proof.peer_uid is None:
        raise Unauthenticated(
            "the task token would be bound to nothing",
            code="binding_missing",
            hint="offer a key with a DPoP proof (RFC 9449), or call over the Unix socket",
        )
    if agent.uid is not None and agent.uid != proof.peer_uid:
        raise Denied(f"agent {agent.name!r} does not run as this user", code="peer_uid_mismatch")
    return Caller(principal.id, agent, f"uid:{proof.peer_uid}", instance_of(principal, agent))


def instance_of(principal: Principal, agent: AgentDecl) -> str:
    """Which running instance of the agent this is: the claim that the bundle names, else the principal itself.

    A claim is named by its name, or by its path with `/` (`kubernetes.io/pod/uid`).

    Raises:
        Denied: `instance_missing`: the proof says nothing of it. Labels would follow nobody then.
    """
    if not agent.instance:
        return principal.id
    found: Json = principal.claims.get(agent.instance)
    if found is None:
        found = dict(principal.claims)
        for part in agent.instance.split("/"):
            found = found.get(part) if isinstance(found, dict) else None
    if not isinstance(found, str) or not 0 < len(found) <= MAX_INSTANCE or not found.isprintable():
        raise Denied(
            f"the proof does not say which instance of {agent.name!r} this is",
            code="instance_missing",
            hint=f"the bundle takes it from the claim {agent.instance!r}",
        )
    return found


def task_holder(house: House, proof: Proof, task: str) -> TaskHolder:
    """Authenticate the holder of `task` by its token and the token's binding.

    Raises:
        Unauthenticated: the token, its binding or its task does not hold.
    """
    scheme, _, raw = proof.authorization.partition(" ")
    kind = scheme.lower()
    if kind not in {"dpop", "bearer"} or not raw:
        raise Unauthenticated("show the task token", code="token_missing")
    token = task_token.verify(raw, keys=house.keys, issuer=house.settings.issuer, clock=house.clock)
    if token.task != task:
        raise Unauthenticated("the token is another task's", code="task_mismatch")
    thumbprint = None
    if token.jkt is not None:
        # RFC 9449 section 7.1: a bound token that comes as a bearer token is refused
        if kind != "dpop":
            raise Unauthenticated("a DPoP-bound token came without its proof", code="task_token_unproved")
        shown = dpop.verify_proof(
            proof.dpop,
            method=proof.method,
            url=proof.url,
            clock=house.clock,
            replay=house.replay,
            access_token=raw,
            thumbprint=token.jkt,
        )
        thumbprint = shown.thumbprint
    task_token.require_binding(token, proof=thumbprint, peer_uid=proof.peer_uid)
    return TaskHolder(token.task)


def heard(house: House) -> None:
    """Note that this process can receive now. Time in which it could not counts against no task's heartbeat."""
    with house.hearing:
        deaf = house.receiving.tick()
        if deaf:
            house.core.deaf(deaf)
