"""What was done to a lease before this process took it over, for its receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.audit.chain import parse_body
from flyball.audit.ports import RecordLog
from flyball.audit.record import Kind, Record
from flyball.credential.lease import LIVE, Lease
from flyball.kernel.json import Json
from flyball.revocation.receipts import StepDone


def done_before(records: RecordLog, journalled: Sequence[Record], lease: Lease) -> tuple[list[StepDone], int]:
    """The steps already done to a lease, from the chain and from records the store has not taken; and
    when its task was fenced (0 if nothing says)."""
    if lease.state in LIVE or not lease.task:
        return [], 0
    bodies: list[Mapping[str, Json]] = []
    for stored in records.of_task(lease.task):
        if stored.kind == Kind.LEASE_STEP:
            bodies.append(parse_body(stored.body)[0])
    seen = {(body.get("lease"), body.get("step"), body.get("attempt"), body.get("at")) for body in bodies}
    for record in journalled:
        late: dict[str, Json] = {**record.members, "at": record.at_ms}
        key = (late.get("lease"), late.get("step"), late.get("attempt"), late.get("at"))
        if record.kind is Kind.LEASE_STEP and key not in seen:
            bodies.append(late)
    steps: list[StepDone] = []
    fenced = 0
    for body in bodies:
        if body.get("lease") != lease.id:
            continue
        observed = body.get("observed")
        seen_there = observed if isinstance(observed, dict) else {}
        if body.get("outcome") == "done":
            steps.append(_step(body, seen_there))
        elif body.get("outcome") == "begun":
            began = seen_there.get("fenced_ms")
            fenced = fenced or (began if isinstance(began, int) else 0)
    return steps, fenced


def _step(body: Mapping[str, Json], observed: Mapping[str, Json]) -> StepDone:
    weaknesses = body.get("weaknesses")
    return StepDone(
        step=str(body.get("step", "")),
        at_ms=_number(body.get("at")),
        ms=_number(body.get("ms")),
        attempt=_number(body.get("attempt")),
        observed=observed,
        weaknesses=tuple(str(item) for item in weaknesses) if isinstance(weaknesses, list) else (),
    )


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0
