"""One task, as a conversation without I/O: what to send, and what an answer means.

The synchronous and the asynchronous client both drive this, so the protocol stands here once.
Time is monotonic seconds, save for proofs, whose clock can be set by the server's.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

from flyball_sdk import _json
from flyball_sdk._json import Json
from flyball_sdk._proof import ProofKey
from flyball_sdk._settings import EVALUATION, Endpoint, endpoint
from flyball_sdk.errors import (
    FlyballError,
    InvalidRequest,
    Refused,
    TaskLost,
    Unauthenticated,
    Unavailable,
)
from flyball_sdk.model import Decision, Reported, Secret

MAX_ANSWER: Final = 1 << 20
_OVER = frozenset({"fenced", "closed"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request to send. `check` says which connection: the decision plane's or the control API's."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    check: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `date` is the server's `Date` header."""

    status: int
    content: bytes = field(repr=False)
    date: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A credential as it was issued; the public classes wrap it."""

    name: str
    lease: str
    connection: Mapping[str, Json]
    secret: Secret
    expires_ms: int
    issued_s: float
    life_s: float


class Session:
    """The state of one task: its key, its token, its deadlines."""

    def __init__(self, control: Endpoint) -> None:
        self.control = control
        self.check = control
        self.task = ""
        self.credentials: tuple[str, ...] = ()
        self.brokered: tuple[str, ...] = ()
        self.state = ""
        self.beat_s = 1.0
        """Seconds between heartbeats: a third of what the server allows."""
        self.token_until_s = 0.0
        """Monotonic time at which the token in hand runs out."""
        self.hard_end_ms = 0
        self._key = ProofKey()
        self._token = ""
        self._scheme = "DPoP"
        self.subject = ""
        self._skew_s = 0.0
        self._bound = ""  # the token that the check connection was last shown a proof for

    @property
    def token(self) -> Secret:
        """The token in hand."""
        return Secret(self._token)

    # --- what to send -------------------------------------------------------------------------

    def open(self, body: Mapping[str, object], identity: str | None) -> Request:
        """Open a task, offering our key."""
        return self.shown("/v1/tasks", body, identity)

    def shown(self, path: str, body: Mapping[str, object], identity: str | None) -> Request:
        """A request by which we show who we are, offering our key."""
        url = self.control.url(path)
        headers = {"DPoP": self._key.proof("POST", url, iat_s=self._now_s(), token=None)}
        if identity is not None:
            headers["Authorization"] = f"Bearer {identity}"
        return _json_request("POST", url, headers, body)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Request:
        """A request to the control API with the task's token and a proof."""
        url = self.control.url(path)
        return _json_request("POST", url, self._authorised("POST", url, proof=True), body or {})

    def evaluate(
        self, action: str, resource_type: str, resource_id: str, args: Mapping[str, object], *, proof: bool = False
    ) -> Request:
        """An AuthZEN evaluation. The proof goes with the first one for each token on the connection."""
        url = self.check.url(EVALUATION)
        body = {
            "subject": {"type": "agent", "id": self.subject},
            "action": {"name": action, "properties": args},
            "resource": {"type": resource_type, "id": resource_id},
            "context": {"task": self.task},
        }
        headers = self._authorised("POST", url, proof=proof or self._bound != self._token)
        return _json_request("POST", url, headers, body, check=True)

    def _authorised(self, method: str, url: str, *, proof: bool) -> dict[str, str]:
        token = self._token
        headers = {"Authorization": f"{self._scheme} {token}"}
        if proof and self._scheme == "DPoP":
            headers["DPoP"] = self._key.proof(method, url, iat_s=self._now_s(), token=token)
        return headers

    def _now_s(self) -> int:
        return int(time.time() + self._skew_s)

    # --- what an answer means -----------------------------------------------------------------

    def learn_time(self, answer: Answer) -> None:
        """After a refused proof: take over the server's clock, if ours is off by more than 2 s."""
        server = _date_s(answer.date)
        if server is not None and abs(server - (time.time() + self._skew_s)) > 2:
            self._skew_s = server - time.time()

    def opened(self, answer: Answer) -> None:
        """The task is open."""
        members = _members(answer, 201)
        self.task = _json.text(members, "task")
        if not self.task:
            raise Unavailable("the server opened a task without a name", code="answer")
        self.hard_end_ms = _json.whole(members, "hard_end_ms")
        self.credentials, self.brokered = _json.texts(members, "credentials"), _json.texts(members, "brokered")
        self._scheme = _json.text(members, "token_type") or "DPoP"
        if self._scheme != "DPoP" and not (self._scheme == "Bearer" and self.control.uds):
            raise Unavailable("the server gave a token that is bound to nothing of ours", code="answer")
        self._renewed(members, _json.whole(members, "heartbeat_ms", 3000))
        self.state = "open"
        self.subject = _unverified_subject(self._token)
        offered = members.get("check_endpoints")
        self.check = _pick(offered if isinstance(offered, list) else [], self.control)

    def heartbeaten(self, answer: Answer) -> None:
        """A heartbeat was answered: a new token, the task's state, when the next is due."""
        members = _members(answer, 200, task=True)
        self.state = _json.text(members, "state") or self.state
        if self.state in _OVER:
            raise TaskLost(f"the task is {self.state}", code=f"task_{self.state}")
        self._renewed(members, _json.whole(members, "next_ms", int(self.beat_s * 3000)))

    def _renewed(self, members: Mapping[str, Json], next_ms: int) -> None:
        token = _json.text(members, "token")
        if not token:
            raise Unavailable("the server gave no token", code="answer")
        self.token_until_s = time.monotonic() + _json.whole(members, "expires_in", 120)
        self.beat_s = min(max(next_ms / 3000, 0.02), 60.0)
        self._token = token

    def connect(self, name: str, renew: str) -> Request:
        """Ask for a ticket for a brokered credential. One in hand is renewed by its user, who stays the same."""
        return self.post(f"/v1/tasks/{self.task}/connect", {"credential": name, "renew": renew})

    def issued(self, name: str, answer: Answer) -> Issued:
        """A credential was issued."""
        members = _members(answer, 201)
        connection, lease = members.get("connection"), _json.text(members, "lease")
        if not lease or not isinstance(connection, dict):
            raise Unavailable("the server gave a credential without a lease or connection", code="answer")
        expires_ms = _json.whole(members, "expires_ms")
        now = _date_s(answer.date) or time.time()
        return Issued(
            name,
            lease,
            connection,
            Secret(_json.text(members, "secret")),
            expires_ms,
            time.monotonic(),
            max(0.0, expires_ms / 1000 - now),
        )

    def delivered(self, answer: Answer) -> None:
        """The receipt of a credential was acknowledged."""
        _members(answer, 204)

    def planned(self, answer: Answer) -> None:
        """A plan was taken."""
        _members(answer, 204)

    def known(self, answer: Answer) -> dict[str, Json]:
        """Who we are was told."""
        return _members(answer, 200)

    def stated(self, answer: Answer) -> str:
        """The task's state was told."""
        self.state = _json.text(_members(answer, 200, task=True), "state") or self.state
        return self.state

    def listed(self, answer: Answer) -> tuple[dict[str, Json], ...]:
        """The task's actions were told."""
        found = _members(answer, 200, task=True).get("actions")
        return tuple(one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()

    def stepped_up(self, answer: Answer) -> None:
        """A voucher was taken; the very same check is allowed once now."""
        _members(answer, 200)

    def reported(self, answer: Answer) -> Reported:
        """A result was taken."""
        members = _members(answer, 200)
        return Reported(
            _json.whole(members, "result"),
            _json.whole(members, "kept"),
            members.get("self_reported") is not False,
            members.get("full") is True,
        )

    def ended(self, answer: Answer) -> tuple[dict[str, Json], ...]:
        """The task has ended; what was taken back. A task that was over already has none to give."""
        try:
            members = _members(answer, 200, task=True)
        except TaskLost:
            return ()
        receipts = members.get("receipts")
        return tuple(one for one in receipts if isinstance(one, dict)) if isinstance(receipts, list) else ()

    def checked(self, request: Request, answer: Answer) -> Decision:
        """A check was answered; the connection has seen our proof if the request carried one."""
        if answer.status != 200:
            raise problem(answer)
        try:
            decision = Decision.read(_json.loads(answer.content))
        except ValueError as error:
            raise Unavailable("the answer to the check cannot be read; not allowed", code="answer") from error
        if "DPoP" in request.headers:
            self._bound = request.headers["Authorization"].partition(" ")[2]
        return decision


def body_of(
    profile: str,
    *,
    inputs: Mapping[str, object] | None,
    plan: Sequence[Mapping[str, object]] | None,
    vouchers: Sequence[str] | None,
    parent: str,
    actions: Sequence[str] | None,
    allot: Mapping[str, object] | None,
) -> dict[str, object]:
    """What opens a task; members that were not given are left out. An empty plan is one: no effect at all."""
    body: dict[str, object] = {"profile": profile, "inputs": dict(inputs or {})}
    if plan is not None:
        body["plan"] = [dict(entry) for entry in plan]
    if vouchers:
        body["vouchers"] = list(vouchers)
    if parent:
        body["parent"] = parent
    if actions is not None:
        body["actions"] = list(actions)
    if allot is not None:
        body["allot"] = {name: str(amount) for name, amount in allot.items()}
    return body


def report_body(
    decision: Decision | str, result: object, labels: Sequence[str], **counts: int | None
) -> dict[str, object]:
    """What reports a result: rows, bytes and ms are left out where they are not known."""
    meta: dict[str, object] = {name: count for name, count in counts.items() if count is not None}
    if labels:
        meta["labels"] = list(labels)
    return {"decision": decision if isinstance(decision, str) else decision.id, "result": result, "meta": meta}


def keeps_trying(error: FlyballError) -> bool:
    """Whether a failed heartbeat is to be tried again, until the token runs out: faults, not refusals.

    A proof that was refused counts as a fault: it is about clocks, not about the task.
    """
    return isinstance(error, Unavailable) or error.status == 409 or error.code.startswith("dpop_")


def problem(answer: Answer, *, task: bool = False) -> FlyballError:
    """The error that an answer stands for (RFC 9457). `task`: it was about the task itself."""
    try:
        members = _json.loads(answer.content)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        members = {}
    code = _json.text(members, "type").rpartition(":")[2] or _json.text(members, "code") or f"http_{answer.status}"
    detail = _json.text(members, "detail") or _json.text(members, "title") or f"the server answered {answer.status}"
    kind: type[FlyballError]
    if answer.status == 401:
        kind = Unauthenticated
    elif answer.status == 410 or (task and answer.status == 404):
        kind = TaskLost
    elif answer.status in (403, 409):
        kind = Refused
    elif answer.status in (408, 425, 429) or answer.status >= 500:
        kind = Unavailable
    else:
        kind = InvalidRequest
    return kind(detail, code=code, hint=_json.text(members, "hint"), status=answer.status)


def _members(answer: Answer, status: int, *, task: bool = False) -> dict[str, Json]:
    if answer.status != status:
        raise problem(answer, task=task)
    if status == 204:
        return {}
    try:
        members = _json.loads(answer.content)
    except ValueError as error:
        raise Unavailable("the server's answer cannot be read", code="answer") from error
    if not isinstance(members, dict):
        raise Unavailable("the server's answer cannot be read", code="answer")
    return members


def _json_request(
    method: str, url: str, headers: Mapping[str, str], body: Mapping[str, object], *, check: bool = False
) -> Request:
    sent = {**headers, "Content-Type": "application/json", "Accept": "application/json"}
    return Request(method, url, sent, _json.dumps(body), check)


def _date_s(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def _unverified_subject(token: str) -> str:
    """Our own name, as our own token has it. The server holds the body against the token, not us."""
    try:
        part = token.split(".")[1]
        members = _json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return ""
    return _json.text(members, "sub") if isinstance(members, dict) else ""


def _pick(offered: Sequence[Json], control: Endpoint) -> Endpoint:
    """The decision plane's address: of the control address's kind if there is one, else the first that will do."""
    found: list[Endpoint] = []
    for one in offered:
        if isinstance(one, dict):  # {"tcp": "host:port"}, {"tls": …}, {"unix": "/path"}
            kind, place = next(iter(one.items()), ("", None))
            scheme = {"tcp": "http://", "tls": "https://", "unix": "unix:"}.get(kind, "")
            one = f"{scheme}{place}"
        if isinstance(one, str):
            try:
                found.append(endpoint(one.removesuffix(EVALUATION)))
            except FlyballError:
                continue
    if not found:
        return control
    return next((place for place in found if bool(place.uds) == bool(control.uds)), found[0])
