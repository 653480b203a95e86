"""What crosses the door of `flow`: plain values that an edge parses and renders.

Every edge (HTTP, CLI, MCP) fills these from its own wire and calls `flow`; nothing deeper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flyball.kernel.json import Json
from flyball.kernel.secret import Secret


@dataclass(frozen=True, slots=True)
class Proof:
    """What a caller showed with one request.

    `authorization` and `dpop` are the header values as received (`dpop` holds every header line,
    so that two can be refused); `method` and `url` are what a DPoP proof must name (`url` without
    query); `peer_uid` is the user id behind a Unix socket, None on any other connection.
    """

    authorization: str = ""
    dpop: tuple[str, ...] = ()
    method: str = ""
    url: str = ""
    peer_uid: int | None = None

    def __repr__(self) -> str:
        return f"Proof(method={self.method!r}, url={self.url!r}, peer_uid={self.peer_uid!r})"


@dataclass(frozen=True, slots=True)
class OpenAsk:
    """A request to open a task.

    `plan` is the effects that the agent means to make, None for no plan. With `parent` the task is that
    one's child: `actions` then narrows what it may do, and `allot` is what it gets of its parent's budgets
    ({name: amount}); None leaves each as the parent has it.
    """

    profile: str
    inputs: Mapping[str, Json]
    vouchers: Sequence[str] = ()
    plan: Sequence[Json] | None = None
    parent: str = ""
    actions: Sequence[str] | None = None
    allot: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A task that is open. `token` is the task token; `token_type` is `DPoP` or `Bearer`."""

    task: str
    token: Secret
    token_type: str
    expires_in: int
    heartbeat_ms: int
    hard_end_ms: int
    state: str
    credentials: tuple[str, ...]
    check_endpoints: tuple[str, ...]
    brokered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Renewed:
    """A heartbeat's answer: a fresh token, and how long until the next beat is due."""

    token: Secret
    token_type: str
    expires_in: int
    state: str
    next_ms: int


@dataclass(frozen=True, slots=True)
class Released:
    """A credential handed out. Where `delivery` is `released` the agent holds the target's secret; where it is
    `brokered` this is a ticket, for the gateway alone, and `lease` is what the gateway holds."""

    lease: str
    target: str
    connection: Mapping[str, Json]
    secret: Secret
    expires_ms: int
    delivery: str = "released"


@dataclass(frozen=True, slots=True)
class Ended:
    """What an end or a revocation set going. `receipts` are those completed within the wait;
    `pending` are leases still being revoked (retries never stop); `unmet` are actions that a profile
    wants at least once, and that an ended task never did."""

    tasks: tuple[str, ...]
    receipts: tuple[Mapping[str, Json], ...] = ()
    pending: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records an operator wants to see, newest last."""

    kinds: frozenset[str] = field(default_factory=frozenset)
    task: str | None = None
    since_ms: int = 0
    limit: int = 100
