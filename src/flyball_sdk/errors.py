"""What can go wrong, one class for each thing a caller would do differently.

Every error carries the server's stable `code`, its `detail` and its `hint` (RFC 9457 problem
details). No error text holds a token or a secret.
"""

from __future__ import annotations

from flyball_sdk.model import Decision


class FlyballError(Exception):
    """The base of all errors of this package.

    Attributes:
        code: stable reason code, snake_case.
        detail: what was wrong.
        hint: what to do, or empty.
        status: the HTTP status it came with, 0 where there was none.
    """

    def __init__(self, detail: str, *, code: str = "error", hint: str = "", status: int = 0) -> None:
        super().__init__(f"{detail} ({hint})" if hint else detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.status = status


class ConfigError(FlyballError):
    """This side is not set up: no address, no identity, an address that would send tokens in clear."""


class InvalidRequest(FlyballError):
    """The server did not understand the request (400, 404, 422): unknown profile, bad input, bad name."""


class Unauthenticated(FlyballError):
    """The server does not accept the identity or the proof (401)."""


class Refused(FlyballError):
    """The server knows who asks and says no (403), or not as things stand (409: suspended, frozen)."""


class Denied(FlyballError):
    """An action check was answered no.

    Attributes:
        reason: the first reason code (also `code`).
        reasons: all of them.
        decision: the decision's id, for `flyball why`.
        answer: the whole `Decision`.
    """

    def __init__(self, answer: Decision, detail: str) -> None:
        reason = next((one for one in answer.reasons if one), answer.effect)
        super().__init__(detail, code=reason, hint="ask `flyball why` for the decision's id", status=200)
        self.reason = reason
        self.reasons = answer.reasons
        self.decision = answer.id
        self.answer = answer


class ApprovalRequired(Denied):
    """The action is allowed once a person says so. Ask again with the very same arguments, or pass
    `wait_for_approval=` to `check`, which does; an operator answers with `flyball approve`.

    Attributes:
        reference: what the person is given: the pending decision's id.
    """

    def __init__(self, answer: Decision, detail: str) -> None:
        super().__init__(answer, detail)
        self.reference = answer.approval
        self.hint = f"an operator answers {self.reference}"


class StepUpRequired(Denied):
    """The action is allowed once somebody's signed word for this very call is brought: `task.step_up`.

    Attributes:
        reference: the pending decision's id.
        digest: the call's digest, which the voucher's claim `call` must be.
    """

    def __init__(self, answer: Decision, detail: str) -> None:
        super().__init__(answer, detail)
        self.reference = answer.approval
        self.digest = answer.digest
        self.hint = f"a voucher whose claim `call` is {self.digest}"


class TaskLost(FlyballError):
    """The task is over, or can no longer be kept: fenced, revoked, expired. Nothing brings it back."""


class Unavailable(FlyballError):
    """No answer, or one that is not an answer (5xx, 429, transport). Treat an action as *not* allowed.

    A check that ends so may have been recorded and charged by the server.
    """
