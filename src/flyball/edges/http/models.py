# mypy: disable-error-code="explicit-any"
# (pydantic's BaseModel brings `Any` in through its metaclass; nothing here names it)
"""The shapes of the control API's requests and answers. Requests refuse unknown fields; every text has a bound."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

TASK = r"^tsk_[a-z][a-z0-9-]{0,15}_[0-9a-hjkmnp-tv-z]{26}$"
LEASE = r"^lea_[a-z][a-z0-9-]{0,15}_[0-9a-hjkmnp-tv-z]{26}$"
RECEIPT = r"^rcp_[a-z][a-z0-9-]{0,15}_[0-9a-hjkmnp-tv-z]{26}$"
DECISION = r"^dec_[a-z][a-z0-9-]{0,15}_(none|[0-9a-hjkmnp-tv-z]{26})_[0-9]{1,10}_[0-9]{1,20}$"
NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$"
MAX_WAIT_MS = 30_000

Name = Annotated[str, Field(pattern=NAME)]
ActionName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.:/-]{0,127}$")]
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$")]


class Asked(BaseModel):
    """A request's body: nothing in it goes unread."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Answered(BaseModel):
    """An answer. More members may come in later versions."""

    model_config = ConfigDict(extra="allow")


class Nothing(Asked):
    """An empty object; the body may be left out."""


class PlanEntry(Asked):
    """So many calls of one action, with arguments where they are known."""

    action: ActionName
    count: int = Field(default=1, ge=1, le=1_000_000)
    args: dict[Annotated[str, Field(min_length=1, max_length=64)], JsonValue] = Field(
        default_factory=dict, max_length=32
    )


class OpenTask(Asked):
    """Open a task of a profile."""

    profile: Name
    inputs: dict[Annotated[str, Field(min_length=1, max_length=64)], JsonValue] = Field(
        default_factory=dict, max_length=32, description="Values by the profile's names; write a decimal as text."
    )
    plan: list[PlanEntry] | None = Field(
        default=None, max_length=256, description="The effects that the agent means to make; the task is held to it."
    )
    vouchers: list[Annotated[str, Field(max_length=8192)]] = Field(
        default_factory=list, max_length=8, description="Compact JWS that vouch for inputs."
    )
    parent: str | None = Field(
        default=None,
        pattern=TASK,
        description="The task that delegates to this one: shown by its own token, or opened by this very identity.",
    )
    actions: list[ActionName] | None = Field(
        default=None, min_length=1, max_length=256, description="With `parent`: no other actions than these."
    )
    allot: dict[Annotated[str, Field(min_length=1, max_length=200)], Amount] | None = Field(
        default=None,
        max_length=64,
        description="With `parent`: what it gets of its parent's budgets; all where left out.",
    )


class DeclarePlan(Asked):
    """The effects that the agent means to make from here on."""

    plan: list[PlanEntry] = Field(max_length=256)


class StepUp(Asked):
    """Somebody's signed word for one call."""

    decision: Annotated[str, Field(pattern=DECISION)]
    voucher: Annotated[str, Field(min_length=1, max_length=8192)] = Field(
        description="A JWS by a registered issuer that is no agent, whose claim `call` is the call's digest."
    )


class Settle(Asked):
    """An operator's answer to one pending decision."""

    outcome: Literal["approve", "refuse"]
    note: str = Field(default="", max_length=500)


class Delivered(Asked):
    """The credential has arrived."""

    handover: Literal["", "memory", "file", "environment"] = Field(
        default="", description="How the holder hands the secret on, if it does; the receipt says it."
    )


class Connect(Asked):
    """Which of the profile's brokered credentials a ticket is wanted for."""

    credential: Annotated[str, Field(pattern=NAME)]
    renew: str = Field(default="", max_length=64, description="The user of a ticket in hand: it gets a new secret.")


class Meta(Asked):
    """What else is known of a result. Labels are only added; counts are held against the plane's own."""

    labels: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]] = Field(default_factory=list, max_length=16)
    rows: int | None = Field(default=None, ge=0, le=1 << 40)
    bytes: int | None = Field(default=None, ge=0, le=1 << 40)
    ms: int | None = Field(default=None, ge=0, le=1 << 40)


class Result(Asked):
    """The result of an allowed call."""

    decision: Annotated[str, Field(pattern=DECISION)]
    result: JsonValue = Field(description="As the tool answered: structured, or a text.")
    meta: Meta = Field(default_factory=Meta)


class Reason(Asked):
    """Why an operator acts. It stands in the record."""

    reason: str = Field(default="", max_length=500)


class Adopt(Reason):
    """The mark of the store that is lost, and why it is taken for that."""

    store: str = Field(pattern="^[0-9a-f]{12}$")


class Revoke(Reason):
    """Why, and how long to wait for receipts."""

    wait_ms: int = Field(default=5000, ge=0, le=MAX_WAIT_MS)


class Watch(Asked):
    """The state that the caller knows, and how long to wait for another."""

    state: Literal["open", "frozen", "suspended", "parked"] = "open"
    wait_ms: int = Field(default=10_000, ge=0, le=MAX_WAIT_MS)


class Who(Answered):
    """A proven principal, the agent that it is declared as, and which running instance of it."""

    principal: str
    agent: str
    instance: str


class State(Answered):
    """The task's state."""

    state: str


class Actions(Answered):
    """Actions that the task's profile allows, each with `action`, `resource_type` and `effect`."""

    actions: list[dict[str, JsonValue]]


class Opened(Answered):
    """A task is open; the token is bound to the key that was offered, or to the Unix peer."""

    task: str
    token: str
    token_type: str = Field(description="`DPoP`, or `Bearer` on a Unix socket")
    expires_in: int
    heartbeat_ms: int
    hard_end_ms: int
    state: str
    credentials: list[str]
    brokered: list[str] = Field(description="those of the credentials that a gateway holds: ask to connect")
    check_endpoints: list[str]


class Renewed(Answered):
    """A fresh token, and when the next heartbeat is due at the latest."""

    token: str
    token_type: str
    expires_in: int
    state: str
    next_ms: int


class Credential(Answered):
    """A credential at a target. Where `delivery` is `released` the caller holds the target's secret now; where it is
    `brokered` it is a ticket for the gateway that `connection` names, until `expires_ms`."""

    lease: str
    target: str
    connection: dict[str, JsonValue]
    secret: str
    expires_ms: int
    delivery: str


class Ended(Answered):
    """What was taken back: `receipts` are done, `pending` leases are still being revoked."""

    tasks: list[str]
    receipts: list[dict[str, JsonValue]]
    pending: list[str]
    unmet: list[str]


class Receipts(Answered):
    """Receipts of the task's leases; `pending` leases are still being revoked; `unmet` is what the profile wants
    done at least once and was not."""

    receipts: list[dict[str, JsonValue]]
    pending: list[str]
    unmet: list[str]


class Taken(Answered):
    """The result was taken: it is the n-th of its action; under the task's own token nothing of it is kept."""

    result: int
    kept: int
    self_reported: bool
    full: bool


class Settled(Answered):
    """The decision is settled; `outcome` is `approved` or `refused`."""

    decision: str
    task: str
    call: str
    outcome: str
    by: str


class ApprovalList(Answered):
    """What is asked for, oldest first."""

    approvals: list[dict[str, JsonValue]]


class TaskList(Answered):
    """Tasks, newest first."""

    tasks: list[dict[str, JsonValue]]


class LeaseList(Answered):
    """Leases, oldest first."""

    leases: list[dict[str, JsonValue]]


class ReceiptList(Answered):
    """Signed receipts with their payload decoded, newest last."""

    receipts: list[dict[str, JsonValue]]


class RecordList(Answered):
    """Records of the chain, newest last."""

    records: list[dict[str, JsonValue]]


class TargetList(Answered):
    """Targets by name, each with what a look at it found."""

    targets: list[dict[str, JsonValue]]


class Rotated(Answered):
    """Flyball's own login at the target has a new secret since `rotated_ms`."""

    target: str
    kind: str
    rotated_ms: int
    rotated_by: str


class Adopted(Answered):
    """What is being taken back: `count` of them, the first hundred by name."""

    target: str
    store: str
    names: list[str]
    count: int


class Anything(Answered):
    """An object; its members are described in docs/operations.md."""


class Health(Answered):
    """The process serves requests."""

    status: str


class Discovery(Answered):
    """What any client may know."""

    issuer: str
    jwks: dict[str, JsonValue]
    receipt_keys: dict[str, JsonValue]
    check_endpoints: list[str]


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(pattern="^urn:flyball:error:[a-z0-9_]+$")
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    instance: str | None = None
