"""Errors that explain themselves: what was wrong, and what to do.

Every error Flyball raises on purpose is a `FlyballError`. It carries a stable reason `code`
(snake_case; shown over HTTP as the problem type's last segment, on the CLI after `error:`),
a `detail` that says what was wrong, a `hint` that says what to do, and the HTTP `status` that
an edge answers with. No error text may hold a secret.
"""

from __future__ import annotations


class FlyballError(Exception):
    """The base of all deliberate errors.

    Args:
        code: stable reason code, snake_case.
        detail: what was wrong, one sentence, no secret.
        hint: what to do about it, or empty.
    """

    status: int = 500
    default_code: str = "internal"

    def __init__(self, detail: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(detail)
        self.code = code or self.default_code
        self.detail = detail
        self.hint = hint


class InvalidInput(FlyballError):
    """The caller sent something malformed or unknown (400)."""

    status = 400
    default_code = "invalid_input"


class Unauthenticated(FlyballError):
    """The caller has not proved who it is (401)."""

    status = 401
    default_code = "unauthenticated"


class Denied(FlyballError):
    """The caller is known and the answer is no (403)."""

    status = 403
    default_code = "denied"


class NotFound(FlyballError):
    """The thing does not exist, or the caller may not know that it does (404)."""

    status = 404
    default_code = "not_found"


class Conflict(FlyballError):
    """The state has moved on; what was asked no longer applies (409)."""

    status = 409
    default_code = "conflict"


class Gone(FlyballError):
    """The task or lease has ended; nothing brings it back (410)."""

    status = 410
    default_code = "gone"


class Unavailable(FlyballError):
    """A fault of our own or of a target: refused for now, never a deviation (503)."""

    status = 503
    default_code = "unavailable"


class ConfigError(FlyballError):
    """The configuration or bundle cannot be used."""

    status = 500
    default_code = "config"
