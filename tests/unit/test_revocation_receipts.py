"""Receipts: signed, checked offline, rendered for people."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests import stores_kit as kit

from flyball.credential.backend import DoorProbe, ProbeReport
from flyball.credential.lease import LeaseState
from flyball.kernel.errors import InvalidInput
from flyball.kernel.json import Json
from flyball.revocation.due import cause_of, due
from flyball.revocation.receipts import Proof, ReceiptSigner, StepDone, pae, payload_of, render, verify
from flyball.task.task import Cause

SIGNER = ReceiptSigner(kit.KEY)
PUBLIC = [kit.KEY.public_key()]
PROBE = ProbeReport((DoorProbe("primary", "refused", True, "28P01", 0),))


def payload(outcome: str = "verified", reason: str = "", completed: int = kit.NOW + 150) -> dict[str, Json]:
    lease = kit.make_lease(kit.make_task())
    steps = [StepDone("deny_logins", kit.NOW + 3, 7, 1, {"oid": 16400}, ("P5 on PostgreSQL 15",))]
    proof = Proof("rcp_local_x", kit.NOW, completed, steps, PROBE, (9, bytes(32)), ("sql.insert amount",))
    return payload_of(lease, proof, outcome, reason)


def test_pre_authentication_encoding() -> None:
    """DSSE's own example."""
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_receipt_verifies_offline_and_says_what_happened() -> None:
    """The payload comes back from the envelope alone, with the members that the format names."""
    body = verify(json.loads(json.dumps(SIGNER.sign(payload()))), PUBLIC)
    assert body == payload() | {name: body[name] for name in ("lease", "task", "name")}
    assert {
        "v",
        "receipt",
        "agent",
        "owner",
        "target",
        "access",
        "delivery",
        "cause",
        "fenced_ms",
        "steps",
        "probe",
    } < set(body)
    assert body["record"] == {"seq": 9, "hash": "00" * 32}
    assert "residual_expiry_ms" not in body


def test_any_changed_byte_is_noticed() -> None:
    """No byte of the payload or the signature can be changed, and no other key passes."""
    envelope = SIGNER.sign(payload())
    raw = base64.b64decode(str(envelope["payload"]))
    for at in range(0, len(raw), 7):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(InvalidInput):
            verify({**envelope, "payload": base64.b64encode(changed).decode()}, PUBLIC)
    with pytest.raises(InvalidInput):
        verify(envelope, [Ed25519PrivateKey.generate().public_key()])
    with pytest.raises(InvalidInput):
        verify(envelope, [])


@pytest.mark.parametrize(
    "change",
    [
        {"payload": "%%%"},
        {"payload": None},
        {"payloadType": "application/json"},
        {"signatures": []},
        {"signatures": [{"keyid": "x"}]},
        {"signatures": "no"},
        {"signatures": [7]},
    ],
)
def test_what_is_no_receipt_is_refused(change: dict[str, Json]) -> None:
    """Malformed envelopes are refused with a reason, never an accident."""
    with pytest.raises(InvalidInput):
        verify({**SIGNER.sign(payload()), **change}, PUBLIC)


def test_a_signed_receipt_of_another_version_is_refused() -> None:
    """Only a version that we know is read, signed or not."""
    with pytest.raises(InvalidInput, match="version"):
        verify(SIGNER.sign({**payload(), "v": 2}), PUBLIC)


def test_a_quarantine_states_the_residual_expiry() -> None:
    """Not proved gone: the reason, and until when the target's own expiry still lets it live."""
    body = payload("quarantined", "probe: standby inconclusive")
    assert body["residual_expiry_ms"] == kit.NOW + 300_000
    assert "residual_expiry_ms" not in payload("quarantined", "x", completed=kit.NOW + 300_001)
    shown = "\n".join(render(body))
    assert "QUARANTINED" in shown
    assert "standby inconclusive" in shown


def test_rendering_escapes_what_targets_say() -> None:
    """Names and details from outside cannot reach the terminal raw."""
    lines = render({**payload(), "name": "\x1b[2J\u202e", "agent": "a\nb", "probe": {"doors": [{"door": "\x07"}]}})
    assert all(line.isprintable() for line in lines)
    assert any("sessions left" in line for line in lines)
    assert render({})


def test_what_is_due_has_its_cause() -> None:
    """Expired for what lives, the first cause for what is being revoked; tasks by the plane's reason."""
    task = kit.make_task()
    live = kit.make_lease(task, state=LeaseState.DELIVERED)
    retried = kit.replace(kit.make_lease(task, state=LeaseState.QUARANTINED), cause="deviation")

    class Leases:
        def due(self, now_ms: int, limit: int = 100) -> list[kit.Lease]:
            return [live, retried]

    class Plane:
        def due(self, limit: int = 1000) -> list[tuple[str, str]]:
            return [("t1", "heartbeat_missed"), ("t2", "hard_end"), ("t3", "something new")]

    found = due(Leases(), Plane(), kit.NOW)  # type: ignore[arg-type]
    assert [cause for _, cause in found.leases] == ["expired", "deviation"]
    assert found.tasks == [("t1", Cause.HEARTBEAT_MISSED), ("t2", Cause.EXPIRED), ("t3", Cause.EXPIRED)]
    assert cause_of(kit.make_lease(task, state=LeaseState.REVOKING)) == "recovered"
