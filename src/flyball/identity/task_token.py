"""The task token: what an agent shows after its task is open.

A compact JWS by Ed25519 with a type of its own, minutes of life, renewed by each heartbeat, and
always bound: to a key (`cnf.jkt`, shown by DPoP) or to a Unix user (`cnf.uid`, shown by the
kernel's peer credentials). It is made for one audience, this Flyball. A stolen one is not enough.

    header  {"alg":"EdDSA","kid":"<thumbprint of the signing key>","typ":"flyball-task+jwt"}
    claims  {"iss","aud","sub":<principal id>,"tid":<task id>,"iat","exp","cnf":{"jkt"}|{"uid"}}

The decision plane's edge (crates/edge) reads the same format; a change here is a change there.
The token only names the task: whether that still lives is asked of the task table each time.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import InitVar, dataclass

from flyball.identity import jose
from flyball.identity.token_keys import TokenKeys
from flyball.kernel.clock import Clock
from flyball.kernel.errors import InvalidInput, Unauthenticated
from flyball.kernel.ids import is_id
from flyball.kernel.json import Json

TYP = "flyball-task+jwt"
MIN_LIFE_MS = 2 * 60_000
MAX_LIFE_MS = 10 * 60_000
MAX_BYTES = 4096

_HEADER = frozenset({"alg", "kid", "typ"})
_ROOM = object()
_HINT = "open a new task, or use the token that the last heartbeat gave"


@dataclass(frozen=True, slots=True)
class TaskToken:
    """A verified task token; made only by `verify`. Its binding is *not yet shown*: see `require_binding`.

    `jkt` or `uid` is set, never both. Times are wall milliseconds.
    """

    task: str
    principal: str
    jkt: str | None
    uid: int | None
    issued_ms: int
    expires_ms: int
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _ROOM:
            raise TypeError("a TaskToken is made only by flyball.identity.task_token.verify")

    @property
    def binding(self) -> str:
        """`jkt:<thumbprint>` or `uid:<n>`, as the task keeps it."""
        return f"jkt:{self.jkt}" if self.jkt is not None else f"uid:{self.uid}"


def expiry_ms(*, now_ms: int, heartbeat_ms: int, hard_end_ms: int) -> int:
    """When a token minted now runs out: three heartbeats, held to 2 to 10 minutes, never past the hard end."""
    life = min(max(3 * heartbeat_ms, MIN_LIFE_MS), MAX_LIFE_MS)
    return min(now_ms + life, hard_end_ms)


def mint(keys: TokenKeys, *, issuer: str, task: str, principal: str, binding: str, now_ms: int, expires_ms: int) -> str:
    """A task token.

    Args:
        keys: signs with the current one.
        issuer: this Flyball; also the audience.
        task: the task's id.
        principal: the id of the principal that opened it.
        binding: `jkt:<thumbprint>` or `uid:<n>`. There is no unbound token.
        now_ms: wall time.
        expires_ms: wall time of expiry, see `expiry_ms`; rounded down to seconds.

    Raises:
        InvalidInput: `binding` where it is neither.
    """
    kid, key = keys.signer()
    header: dict[str, Json] = {"alg": "EdDSA", "kid": kid, "typ": TYP}
    claims: dict[str, Json] = {
        "iss": issuer,
        "aud": issuer,
        "sub": principal,
        "tid": task,
        "iat": now_ms // 1000,
        "exp": expires_ms // 1000,
        "cnf": _confirmation(binding),
    }
    return jose.sign(header, claims, key)


def verify(token: str, *, keys: TokenKeys, issuer: str, clock: Clock) -> TaskToken:
    """Verify signature, type, issuer, audience and time. What is left to the caller is the binding.

    `iat` is not held against the clock: the token is our own, and a clock that steps back must not
    end healthy tasks. There is no leeway on `exp`: the clock that set it reads it.

    Raises:
        Unauthenticated: `task_token_malformed`, `task_token_key`, `task_token_signature`,
            `task_token_audience`, `task_token_expired`, `task_token_unbound`.
    """
    try:
        jws = jose.parse(token, max_bytes=MAX_BYTES)
        jose.check_header(jws, algs={"EdDSA"}, members=_HEADER)
        exp, iat = jose.number(jws.claims, "exp"), jose.number(jws.claims, "iat")
        audiences = jose.audiences(jws.claims)
    except jose.JoseError as error:
        raise _refused("task_token_malformed", f"not a task token: {error.detail}") from error
    if jws.header.get("typ") != TYP or exp is None or iat is None:
        raise _refused("task_token_malformed", "not a task token: its type or a date is missing")
    jwk = keys.find(jws.header.get("kid"))
    if jwk is None:
        raise _refused("task_token_key", "the task token is signed by a key that is not, or no longer, ours")
    if not jwk.verify(jws):
        raise _refused("task_token_signature", "the task token's signature is wrong")
    task, principal = jws.claims.get("tid"), jws.claims.get("sub")
    if jws.claims.get("iss") != issuer or audiences != (issuer,):
        raise _refused("task_token_audience", "the task token is for another Flyball")
    if clock.wall_ms() >= exp * 1000:
        raise _refused("task_token_expired", "the task token has run out")
    if not isinstance(task, str) or not is_id(task, "tsk") or not isinstance(principal, str) or not principal:
        raise _refused("task_token_malformed", "not a task token: it names no task or no principal")
    jkt, uid = _bound_to(jws.claims.get("cnf"))
    return TaskToken(task, principal, jkt, uid, int(iat * 1000), int(exp * 1000), seal=_ROOM)


def require_binding(token: TaskToken, *, proof: str | None = None, peer_uid: int | None = None) -> None:
    """Refuse a token whose binding was not shown on this request.

    Args:
        token: the verified token.
        proof: thumbprint of the key of a DPoP proof that was *verified for this token* (dpop.py).
        peer_uid: user id of the Unix socket's peer, from the kernel; None on any other connection.

    Raises:
        Unauthenticated: `task_token_unproved`.
    """
    if token.jkt is not None:
        shown = proof is not None and hmac.compare_digest(proof.encode(), token.jkt.encode())
    else:
        shown = peer_uid is not None and peer_uid == token.uid
    if not shown:
        raise Unauthenticated(
            "the task token came without proof that its holder may use it",
            code="task_token_unproved",
            hint="send a DPoP proof by the task's key, or use the Unix socket as the task's user",
        )


def _confirmation(binding: str) -> dict[str, Json]:
    kind, _, value = binding.partition(":")
    if kind == "jkt" and len(value) == 43:
        return {"jkt": value}
    if kind == "uid" and value.isdecimal() and value.isascii():
        return {"uid": int(value)}
    raise InvalidInput("a task token is bound to a key (jkt:…) or a Unix user (uid:…)", code="binding")


def _bound_to(cnf: Json) -> tuple[str | None, int | None]:
    members: Mapping[str, Json] = cnf if isinstance(cnf, dict) else {}
    jkt, uid = members.get("jkt"), members.get("uid")
    if set(members) == {"jkt"} and isinstance(jkt, str) and len(jkt) == 43:
        return jkt, None
    if set(members) == {"uid"} and isinstance(uid, int) and not isinstance(uid, bool) and uid >= 0:
        return None, uid
    raise _refused("task_token_unbound", "the task token is bound to nothing")


def _refused(code: str, detail: str) -> Unauthenticated:
    return Unauthenticated(detail, code=code, hint=_HINT)
