"""Records for other people's systems: OCSF for a SIEM, OpenTelemetry for traces.

Both are views. A trace may be sampled and a SIEM may drop events; the chain is the record.
The OCSF mapping declares schema 1.8.0 and its `security_control` profile; what OCSF has no field
for stands under `unmapped`, never as an invented top-level key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flyball.audit.chain import parse_body
from flyball.audit.ports import Stored
from flyball.audit.record import Kind
from flyball.kernel.errors import ConfigError, InvalidInput
from flyball.kernel.json import Json

OCSF_VERSION = "1.8.0"
_API_ACTIVITY = 6003
_CREATE, _READ, _UPDATE, _DELETE, _OTHER = 1, 2, 3, 4, 99
_VERBS = {
    "select": _READ, "read": _READ, "get": _READ, "list": _READ, "open": _CREATE,
    "insert": _CREATE, "create": _CREATE, "issue": _CREATE, "update": _UPDATE, "write": _UPDATE, "delete": _DELETE,
}  # fmt: skip
# (action_id, disposition_id): allowed 1, denied 2, observed 3, modified 4 / allowed 1, blocked 2,
# delayed 14, challenge 23, unauthorized 26, error 27.
_EFFECTS = {
    "allow": (1, 1),
    "modify": (4, 7),
    "deny": (2, 2),
    "require_approval": (2, 14),
    "defer": (2, 14),
    "step_up": (2, 23),
}
_NO_IDENTITY = frozenset({"pep_not_registered", "pep_task_proof", "task_mismatch", "not_bound", "task_unknown"})
_OUR_FAULT = frozenset({"engine_error", "policy_error", "record_failed", "queue_full", "bundle_not_loaded"})


def ocsf(stored: Stored) -> dict[str, Json]:
    """A *decided* record as an OCSF API Activity event.

    Raises:
        InvalidInput: the record is of another kind.
    """
    body, problem = parse_body(stored.body)
    if stored.kind != Kind.DECIDED or problem is not None:
        raise InvalidInput(f"record {stored.seq} is no decision", code="not_a_decision")
    effect = _text(body, "effect")
    reasons = _texts(body.get("reasons"))
    action_id, disposition = _EFFECTS.get(effect, (2, 27))
    if effect == "deny" and _OUR_FAULT.intersection(reasons):
        disposition = 27
    elif effect == "deny" and _NO_IDENTITY.intersection(reasons):
        disposition = 26
    action = _text(body, "action")
    activity = _VERBS.get(action.rpartition(".")[2], _OTHER)
    resource = body.get("resource")
    found = resource if isinstance(resource, dict) else {}
    allowed = effect in ("allow", "modify")
    event: dict[str, Json] = {
        "category_uid": 6,
        "class_uid": _API_ACTIVITY,
        "activity_id": activity,
        "type_uid": _API_ACTIVITY * 100 + activity,
        "severity_id": 1 if allowed else 4 if body.get("reaction") else 3,
        "time": stored.at_ms,
        "status_id": 1 if allowed else 2,
        "status_code": reasons[0] if reasons else effect,
        "status_detail": ", ".join(reasons),
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": "Flyball", "vendor_name": "Flyball"},
            "log_name": "decisions",
            "uid": _text(body, "decision"),
            "sequence": stored.seq,
            "profiles": ["security_control"],
        },
        "actor": {
            "app_uid": _text(body, "principal"),
            "app_name": _text(body, "agent"),
            "session": {"uid": stored.task or ""},
        },
        "api": {"operation": action, "service": {"name": _text(body, "pep")}, "request": {"uid": _text(body, "call")}},
        "src_endpoint": {"svc_name": _text(body, "principal") or _text(body, "pep")},
        "resources": [{"type": _text(found, "type"), "uid": _text(found, "id")}],
        "action_id": action_id,
        "disposition_id": disposition,
        "authorizations": [
            {"decision": effect, "policy": {"uid": policy, "version": _text(body, "bundle"), "is_applied": True}}
            for policy in _texts(body.get("policies"))
        ],
        "unmapped": {
            "task": stored.task,
            "rule": body.get("rule"),
            "reaction": body.get("reaction"),
            # Names of arguments, sources and fields, never a value.
            "breach": body.get("breach"),
            "labels": body.get("labels"),
            "approval": body.get("approval"),
            "hash": stored.hash.hex(),
        },
    }
    if activity == _OTHER:
        event["activity_name"] = action
    return event


class _Span(Protocol):
    def end(self, end_time: int | None = None) -> None: ...


class _Tracer(Protocol):
    def start_span(
        self, name: str, *, attributes: Mapping[str, str | int | bool], start_time: int | None = None
    ) -> _Span: ...


def attributes(stored: Stored) -> dict[str, str | int | bool]:
    """A *decided* record as span attributes: facts for finding it again, never arguments or tokens."""
    body, _ = parse_body(stored.body)
    resource = body.get("resource")
    found = resource if isinstance(resource, dict) else {}
    policies = _texts(body.get("policies"))
    named: dict[str, str | int | bool] = {
        "authz.decision": _text(body, "effect"),
        "authz.decision.id": _text(body, "decision"),
        "authz.reason": ", ".join(_texts(body.get("reasons"))),
        "authz.policy.revision": _text(body, "bundle"),
        "authz.task.id": stored.task or "",
        "authz.record.seq": stored.seq,
        "gen_ai.agent.name": _text(body, "agent"),
        "authz.action": _text(body, "action"),
        "authz.resource.type": _text(found, "type"),
        "authz.resource.id": _text(found, "id"),
    }
    breach = body.get("breach")
    if isinstance(breach, dict):
        named["authz.breach.argument"] = _text(breach, "arg")
        named["authz.breach.kind"] = _text(breach, "kind")
    named["authz.labels"] = ", ".join(_texts(body.get("labels")))
    named["authz.approval.id"] = _text(body, "approval")
    if policies:
        named["security_rule.name"] = policies[0]
    return {name: value for name, value in named.items() if value != ""}


class OtelExporter:
    """Emits one span a decision. Needs the `otel` extra."""

    def __init__(self, tracer: _Tracer | None = None) -> None:
        """Use `tracer`, or the process's own.

        Raises:
            ConfigError: OpenTelemetry is not installed.
        """
        if tracer is None:
            try:
                from opentelemetry import trace  # noqa: PLC0415 - an extra, asked for here only
            except ImportError as missing:
                raise ConfigError(
                    "OpenTelemetry is not installed", code="otel", hint="install flyball with the `otel` extra"
                ) from missing
            tracer = trace.get_tracer("flyball")
        self._tracer: _Tracer = tracer

    def emit(self, stored: Stored) -> None:
        """One span for a *decided* record; other kinds are passed over."""
        if stored.kind != Kind.DECIDED:
            return
        at_ns = stored.at_ms * 1_000_000
        self._tracer.start_span("authz.check", attributes=attributes(stored), start_time=at_ns).end(at_ns)


def _text(body: Mapping[str, Json], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _texts(value: Json) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
