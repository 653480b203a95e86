"""Errors as problem documents (RFC 9457): one shape for every refusal, and no internals in any.

`type` is `urn:flyball:error:<code>`; `code`s are stable. `instance` names the request, as
`X-Request-ID` does, so that an operator can find it in the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from flyball.flow.text import clean
from flyball.kernel.errors import FlyballError
from flyball.kernel.json import Json

MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="flyball", DPoP algs="ES256 EdDSA"'
_MAX_FAULTS = 16
_log = structlog.get_logger("flyball.http")
_CODES = {404: "route_unknown", 405: "method_unknown"}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str = "",
    request_id: str = "",
    extra: Mapping[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document as a response."""
    members: dict[str, Json] = {
        "type": f"urn:flyball:error:{code}",
        "title": title(status),
        "status": status,
        "code": code,
        # Details may quote what the caller sent; what cannot be seen is written as an escape.
        "detail": clean(detail, 1000),
    }
    if hint:
        members["hint"] = clean(hint, 1000)
    if request_id:
        members["instance"] = f"urn:flyball:request:{request_id}"
    members.update(extra or {})
    sent = dict(headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        sent.setdefault("WWW-Authenticate", CHALLENGE)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        sent.setdefault("Retry-After", "1")
    return Response(json.dumps(members), status_code=status, media_type=MEDIA_TYPE, headers=sent)


def internal(request_id: str) -> Response:
    """The answer to a fault of our own that nobody foresaw: it says nothing but where to look."""
    return problem(
        500,
        "internal",
        "Flyball failed while it answered",
        hint="the server's log has it under this request's id",
        request_id=request_id,
    )


def of_flyball(request: Request, fault: Exception) -> Response:
    """A deliberate error. One that is no answer (a broken key file, say) names paths: the caller is not told."""
    assert isinstance(fault, FlyballError)
    request_id = id_of(request)
    if fault.status >= HTTPStatus.INTERNAL_SERVER_ERROR and fault.status != HTTPStatus.SERVICE_UNAVAILABLE:
        _log.error("a request failed", request=request_id, code=fault.code, detail=fault.detail)
        return internal(request_id)
    return problem(fault.status, fault.code, fault.detail, hint=fault.hint, request_id=request_id)


def of_http(request: Request, fault: Exception) -> Response:
    """No such route, or not with this method."""
    assert isinstance(fault, HTTPException)
    code = _CODES.get(fault.status_code, f"http_{fault.status_code}")
    detail = {404: "there is no such route", 405: f"this route does not take {request.method}"}.get(
        fault.status_code, str(fault.detail)
    )
    return problem(fault.status_code, code, detail, request_id=id_of(request), headers=fault.headers)


def of_validation(request: Request, fault: Exception) -> Response:
    """A request that is not of the documented shape. Says where; never echoes the value (it may be a secret)."""
    assert isinstance(fault, RequestValidationError)
    faults: list[Json] = []
    for one in fault.errors()[:_MAX_FAULTS]:
        faults.append({"where": clean(_place(one["loc"]), 200), "what": clean(str(one["msg"]), 200)})
    first = faults[0] if faults else None
    detail = f"{first['where']}: {first['what']}" if isinstance(first, dict) else "the request is malformed"
    return problem(
        400,
        "invalid_input",
        detail,
        hint="api/openapi.json describes every field",
        request_id=id_of(request),
        extra={"errors": faults},
    )


def id_of(request: Request) -> str:
    """The request's id, as the shell around the app gave it."""
    found = request.scope.get("flyball.request_id", "")
    return found if isinstance(found, str) else ""


def _place(parts: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in parts) or "body"


def title(status: int) -> str:
    """The phrase of a status (RFC 9110)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
