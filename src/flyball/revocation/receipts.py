"""Receipts: signed evidence that a lease was taken back, or that it is not proved gone.

A DSSE envelope (secure-systems-lab/dsse v1) around canonical JSON, signed with Ed25519. Anyone
with the public key can check one offline, years later; the payload says which steps were done
and when, what each observed, and what every door answered to the revoked credential.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from flyball.audit.text import escape
from flyball.credential.backend import ProbeReport
from flyball.credential.lease import Lease
from flyball.kernel.errors import InvalidInput
from flyball.kernel.json import Json, canonical
from flyball.revocation.marks import plain_object

PAYLOAD_TYPE = "application/vnd.flyball.receipt+json"
VERSION = 1


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


class ReceiptSigner:
    """Signs receipts with one Ed25519 key. `keyid` is the first 16 hex digits of the public key's SHA-256."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.keyid = key_id(self.public)

    def sign(self, payload: Mapping[str, Json]) -> dict[str, Json]:
        """The DSSE envelope of a receipt's payload."""
        body = canonical(dict(payload))
        signature = self._key.sign(pae(PAYLOAD_TYPE, body))
        return {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(body).decode(),
            "signatures": [{"keyid": self.keyid, "sig": base64.b64encode(signature).decode()}],
        }


def key_id(public: Ed25519PublicKey) -> str:
    """How a signature names its key."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def verify(envelope: Mapping[str, Json], keys: Sequence[Ed25519PublicKey]) -> dict[str, Json]:
    """The payload of a receipt that one of `keys` signed. Needs no server.

    Raises:
        InvalidInput: not a receipt, or no signature of these keys holds.
    """
    try:
        payload = base64.b64decode(str(envelope["payload"]), validate=True)
        signatures = cast("list[dict[str, Json]]", envelope["signatures"])
        offered = [(str(s.get("keyid", "")), base64.b64decode(str(s["sig"]), validate=True)) for s in signatures]
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise ValueError("payloadType")
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error) as fault:
        raise InvalidInput("not a receipt's envelope", code="receipt_malformed") from fault
    signed = pae(PAYLOAD_TYPE, payload)
    if not any(_holds(key, signature, signed) for _, signature in offered for key in keys):
        raise InvalidInput(
            "no known key signed this receipt", code="receipt_signature", hint="take the key from /.well-known/flyball"
        )
    try:
        body = cast("object", json.loads(payload))
    except ValueError as fault:
        raise InvalidInput("the receipt's payload is not JSON", code="receipt_malformed") from fault
    if not isinstance(body, dict) or body.get("v") != VERSION:
        raise InvalidInput("a receipt of a version this Flyball does not read", code="receipt_version")
    return cast("dict[str, Json]", body)


def _holds(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True, slots=True)
class StepDone:
    """One revoke step as the receipt lists it. `ms` is how long it took."""

    step: str
    at_ms: int
    ms: int
    attempt: int
    observed: Mapping[str, Json]
    weaknesses: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """The receipt's form."""
        return {
            "step": self.step,
            "at_ms": self.at_ms,
            "ms": self.ms,
            "attempt": self.attempt,
            "observed": plain_object(self.observed),
            "weaknesses": list(self.weaknesses),
        }


@dataclass(frozen=True, slots=True)
class Proof:
    """What a receipt is made from, beside the lease."""

    receipt: str
    fenced_ms: int
    completed_ms: int
    steps: Sequence[StepDone]
    probe: ProbeReport | None
    record: tuple[int, bytes] | None = None
    cooperative: Sequence[str] = ()


def payload_of(lease: Lease, proof: Proof, outcome: str, reason: str = "") -> dict[str, Json]:
    """A receipt's payload. `outcome` is `verified` or `quarantined`, the latter with its `reason`."""
    doors: list[Json] = []
    if proof.probe is not None:
        doors = [
            {
                "door": door.door,
                "verdict": door.verdict,
                "control": door.control,
                "detail": door.detail[:500],
                "sessions": door.sessions,
            }
            for door in proof.probe.doors
        ]
    body: dict[str, Json] = {
        "v": VERSION,
        "receipt": proof.receipt,
        "lease": lease.id,
        "task": lease.task,
        "agent": lease.agent,
        "owner": lease.owner,
        "target": lease.target,
        "access": lease.access,
        "name": lease.name,
        "delivery": lease.delivery.value,
        "cause": lease.cause,
        "fenced_ms": proof.fenced_ms,
        "steps": [step.to_json() for step in proof.steps],
        "probe": {"doors": doors},
        "outcome": outcome,
        "completed_ms": proof.completed_ms,
        "cooperative": list(proof.cooperative),
    }
    if lease.progress.get("handover"):
        body["handover"] = lease.progress["handover"]  # how the holder said that it handed the secret on
    if reason:
        body["reason"] = reason
    if proof.record is not None:
        body["record"] = {"seq": proof.record[0], "hash": proof.record[1].hex()}
    native = lease.progress.get("native_expiry_ms")
    if outcome != "verified" and isinstance(native, int) and native > proof.completed_ms:
        body["residual_expiry_ms"] = native
    return body


def digest(envelope: Mapping[str, Json]) -> str:
    """How the chain names a receipt: SHA-256 of the signed payload."""
    return "sha256:" + hashlib.sha256(base64.b64decode(str(envelope["payload"]))).hexdigest()


def render(payload: Mapping[str, Json]) -> list[str]:
    """A receipt as lines for people. All foreign text is escaped and bounded."""
    start = _number(payload.get("fenced_ms"))
    lines = [
        f"receipt {escape(payload.get('receipt'), 60)}: {escape(payload.get('outcome'), 20).upper()}",
        (
            f"  lease {escape(payload.get('lease'), 60)} as {escape(payload.get('name'), 80)}"
            f" at {escape(payload.get('target'), 60)} ({escape(payload.get('access'), 60)})"
        ),
        (
            f"  task {escape(payload.get('task'), 60)} of {escape(payload.get('agent'), 60)},"
            f" because {escape(payload.get('cause'), 40)}; {escape(payload.get('delivery'), 20)}"
            + (f", handed on by {escape(payload['handover'], 20)}" if "handover" in payload else "")
        ),
    ]
    for step in _objects(payload.get("steps")):
        seen = json.dumps(step.get("observed"), ensure_ascii=True, sort_keys=True)
        weak = ", ".join(escape(item, 120) for item in cast("list[Json]", step.get("weaknesses") or []))
        lines.append(
            f"  +{_number(step.get('at_ms')) - start:>6} ms  {escape(step.get('step'), 40):<16}"
            f" {_number(step.get('ms')):>5} ms  {seen[:200]}" + (f"  weak: {weak}" if weak else "")
        )
    probe = payload.get("probe")
    for door in _objects(probe.get("doors") if isinstance(probe, dict) else None):
        control = "control login good" if door.get("control") is True else "control login FAILED"
        lines.append(
            f"  door {escape(door.get('door'), 60)}: {escape(door.get('verdict'), 20)}, {control},"
            f" {_number(door.get('sessions'))} sessions left ({escape(door.get('detail'), 160)})"
        )
    if "reason" in payload:
        lines.append(f"  not proved gone: {escape(payload.get('reason'), 200)}; retried until it is")
    if "residual_expiry_ms" in payload:
        lines.append(f"  cannot outlive its own expiry at {_number(payload.get('residual_expiry_ms'))}")
    lines.extend(
        f"  cooperative, not enforced: {escape(item, 160)}"
        for item in cast("list[Json]", payload.get("cooperative") or [])
    )
    lines.append(f"  done +{_number(payload.get('completed_ms')) - start} ms after the fence")
    return lines


def _objects(value: object) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
