"""The OpenAPI document: what FastAPI derives, made true to what the shell and the problems do.

`openapi.py`, beside this file, writes it to api/openapi.json; a test compares the two.
"""

from __future__ import annotations

from typing import cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from flyball.edges.http import models, problems
from flyball.kernel.json import Json

Document = dict[str, Json]

_ABOUT = (
    "Opens tasks, renews them, hands out their credentials and takes them back. "
    "Every error is a problem document (RFC 9457). Decisions are asked for at the decision plane (AuthZEN)."
)

_TASK_STATUSES = (400, 401, 403, 404, 408, 409, 410, 413, 503)
_OPERATOR_STATUSES = (400, 401, 403, 404, 408, 409, 410, 413, 503)
_OPEN_STATUSES = (400, 408, 413)
_EXTRA = {"/v1/bundle": (422,), "/v1/agents/{name}/resume": ()}
_SCHEMES: Document = {
    "workload": {"type": "http", "scheme": "bearer", "description": "A JWT-SVID or OIDC token for our issuer."},
    "task": {
        "type": "http",
        "scheme": "dpop",
        "description": "The task token with a DPoP proof (RFC 9449); `Bearer` on the Unix socket it is bound to.",
    },
    "operator": {"type": "http", "scheme": "bearer", "description": "The local operator's token."},
}


def describe(app: FastAPI) -> None:
    """Let `app.openapi()` answer the true document."""

    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            app.openapi_schema = cast("dict[str, object]", document(app))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def document(app: FastAPI) -> Document:
    """The document for an app's routes."""
    found = cast(
        "Document",
        get_openapi(title=app.title, version=app.version, routes=app.routes, description=_ABOUT),
    )
    schemas = _object(_object(found, "components"), "schemas")
    for leftover in ("HTTPValidationError", "ValidationError"):  # FastAPI's 422; we answer 400, as a problem
        schemas.pop(leftover, None)
    schemas["Problem"] = cast("Json", models.Problem.model_json_schema())
    _object(found, "components")["securitySchemes"] = _SCHEMES
    for path, item in _object(found, "paths").items():
        for operation in cast("dict[str, Document]", item).values():
            _operation(path, operation)
    return found


def _operation(path: str, operation: Document) -> None:
    responses = _object(operation, "responses")
    responses.pop("422", None)
    tag = cast("list[str]", operation["tags"])[0]
    statuses = {"tasks": _TASK_STATUSES, "operators": _OPERATOR_STATUSES, "open": _OPEN_STATUSES}[tag]
    for status in (*statuses, *_EXTRA.get(path, ())):
        responses[str(status)] = {
            "description": problems.title(status),
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    if tag == "operators":
        operation["security"] = [{"operator": []}]
    elif tag == "tasks":
        operation["security"] = [{"workload": []}, {"task": []}] if path == "/v1/tasks" else [{"task": []}]


def _object(holder: Document, name: str) -> Document:
    found = holder.setdefault(name, {})
    assert isinstance(found, dict)
    return found
