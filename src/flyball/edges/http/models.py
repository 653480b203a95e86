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


class Asked(BaseModel):
    """A request's body: nothing in it goes unread."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Answered(BaseModel):
    """An answer. More members may come in later versions."""

    model_config = ConfigDict(extra="allow")


class Nothing(Asked):
    """An empty object; the body may be left out."""


class OpenTask(Asked):
    """Open a task of a profile."""

    profile: Name
    inputs: dict[Annotated[str, Field(min_length=1, max_length=64)], JsonValue] = Field(
        default_factory=dict, max_length=32, description="Values by the profile's names; write a decimal as text."
    )
    plan: list[JsonValue] | None = Field(
        default=None, max_length=256, description="Reserved: this version refuses a plan, since it would not hold it."
    )
    vouchers: list[Annotated[str, Field(max_length=8192)]] = Field(
        default_factory=list, max_length=8, description="Compact JWS that vouch for inputs."
    )


class Delivered(Asked):
    """The credential has arrived."""

    handover: Literal["", "memory", "file", "environment"] = Field(
        default="", description="How the holder hands the secret on, if it does; the receipt says it."
    )


class Result(Asked):
    """The result of an allowed call."""

    decision: Annotated[str, Field(pattern=DECISION)]
    result: dict[Annotated[str, Field(min_length=1, max_length=128)], JsonValue] = Field(max_length=64)


class Reason(Asked):
    """Why an operator acts. It stands in the record."""

    reason: str = Field(default="", max_length=500)


class Revoke(Reason):
    """Why, and how long to wait for receipts."""

    wait_ms: int = Field(default=5000, ge=0, le=MAX_WAIT_MS)


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
    check_endpoints: list[str]


class Renewed(Answered):
    """A fresh token, and when the next heartbeat is due at the latest."""

    token: str
    token_type: str
    expires_in: int
    state: str
    next_ms: int


class Credential(Answered):
    """A credential at a target. `delivery` is `released`: the caller holds the secret now."""

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


class Receipts(Answered):
    """Receipts of the task's leases; `pending` leases are still being revoked."""

    receipts: list[dict[str, JsonValue]]
    pending: list[str]


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
