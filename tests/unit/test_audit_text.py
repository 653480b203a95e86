"""Foreign text is escaped and bounded; records are shown and mapped without leaking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import stores_kit as kit

from flyball.audit.chain import append
from flyball.audit.export import OtelExporter, ocsf
from flyball.audit.ports import Stored
from flyball.audit.record import Kind, Record
from flyball.audit.show import Filter, as_json, as_line, select
from flyball.audit.text import escape, json_line
from flyball.kernel.errors import InvalidInput
from flyball.kernel.json import Json

BAD = [
    "\x1b[2J",
    "\x00",
    "\x7f",
    "\x9b31m",
    "\u202eexe",
    "\u2066x",
    "a\u200bb",
    "\ufeff",
    "\n",
    "\r",
    "\u2028",
    "\U000e0041",
    "\u00ad",
]


@pytest.mark.parametrize("text", BAD)
def test_the_unseen_is_made_visible(text: str) -> None:
    """Controls, bidirectional and zero-width characters, line separators and tags come out as escapes."""
    shown = escape(f"a{text}z")
    assert shown.isprintable()
    assert shown.startswith("a")
    assert "\\u{" in shown


@given(st.text(max_size=400))
def test_whatever_comes_is_printable_bounded_and_unambiguous(text: str) -> None:
    """Every text becomes one printable line of bounded length; different short texts stay different."""
    shown = escape(text, 50)
    assert shown.isprintable()
    assert len(shown) <= 50 * 10 + 12
    if len(text) <= 50:
        assert shown.encode("ascii", "backslashreplace").decode() == shown.encode("ascii", "backslashreplace").decode()
        assert escape(text + "x", 60) != escape(text, 60)


def test_an_escape_cannot_be_forged() -> None:
    """Text that looks like an escape is told apart from the real thing."""
    assert escape("\\u{1b}") != escape("\x1b")


def test_what_was_cut_is_counted() -> None:
    """A long text is cut and says by how much."""
    assert escape("x" * 300, 200) == "x" * 200 + "…(+100)"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_json_lines_are_ascii(value: Json) -> None:
    """JSON output holds nothing unseen and says the same."""
    line = json_line(value)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == value


def decided(**members: Json) -> Stored:
    body: dict[str, Json] = {
        "decision": "dec_local_x_1_1",
        "agent": "refund-agent",
        "principal": "spiffe://example.org/refund-agent",
        "pep": "sdk",
        "binding": "jkt",
        "action": "sql.select",
        "resource": {"type": "table", "id": "orders.public.orders"},
        "call": "sha256:aa",
        "bundle": "sha256:bb",
        "effect": "deny",
        "reasons": ["policy_forbids"],
        "policies": ["limits#no-vip"],
        "class": "default",
        **members,
    }
    record = Record(Kind.DECIDED, kit.NOW, "tsk_local_x", body, sealed=b"ciphertext of the arguments")
    return append(bytes(32), Stored(7, "tsk_local_x", 1, "decided", kit.NOW, record.body(), record.sealed, b""))


@pytest.mark.parametrize(
    ("members", "ids"),
    [
        ({"effect": "allow", "reasons": ["allowed"]}, (1, 1, 1, 1)),
        ({"effect": "deny", "reasons": ["policy_forbids"]}, (2, 2, 2, 3)),
        ({"effect": "deny", "reasons": ["engine_error"]}, (2, 27, 2, 3)),
        ({"effect": "deny", "reasons": ["task_mismatch"]}, (2, 26, 2, 3)),
        ({"effect": "deny", "reasons": ["budget_spent"], "reaction": "revoke"}, (2, 2, 2, 4)),
        ({"effect": "step_up", "reasons": ["x"]}, (2, 23, 2, 3)),
        ({"effect": "require_approval", "reasons": ["x"]}, (2, 14, 2, 3)),
        ({"effect": "modify", "reasons": ["x"]}, (4, 7, 1, 1)),
    ],
)
def test_ocsf_by_effect(members: dict[str, Json], ids: tuple[int, int, int, int]) -> None:
    """Effects map to OCSF's action, disposition, status and severity as the sheet of the standard says."""
    event = ocsf(decided(**members))
    assert (event["action_id"], event["disposition_id"], event["status_id"], event["severity_id"]) == ids


def test_ocsf_required_fields_and_arithmetic() -> None:
    """Class 6003 with its required objects; type_uid is class and activity; own data only under `unmapped`."""
    event = ocsf(decided())
    assert event["class_uid"] == 6003
    assert event["type_uid"] == 600302
    for name in ("actor", "api", "src_endpoint", "metadata", "time", "severity_id", "category_uid", "activity_id"):
        assert event[name]
    assert event["metadata"]["profiles"] == ["security_control"]  # type: ignore[index,call-overload]
    other = ocsf(decided(action="tool.refund"))
    assert (other["activity_id"], other["type_uid"], other["activity_name"]) == (99, 600399, "tool.refund")
    assert "ciphertext" not in json.dumps(event)


def test_only_decisions_are_mapped() -> None:
    """Other kinds are refused, not half mapped."""
    record = Record(Kind.FENCED, kit.NOW, "t", {"cause": "revoked"})
    with pytest.raises(InvalidInput):
        ocsf(Stored(1, "t", 1, "fenced", kit.NOW, record.body(), None, bytes(32)))


def test_open_telemetry_spans_carry_facts_and_no_arguments() -> None:
    """One span a decision with the decision's id to join on."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    exporter = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(pytest.importorskip("opentelemetry.sdk.trace.export").SimpleSpanProcessor(exporter))
    OtelExporter(provider.get_tracer("test")).emit(decided())
    (span,) = exporter.get_finished_spans()
    assert span.attributes["authz.decision.id"] == "dec_local_x_1_1"
    assert span.start_time == kit.NOW * 1_000_000
    assert "ciphertext" not in repr(span.attributes)


def test_lines_show_no_ciphertext_and_nothing_raw() -> None:
    """A line is printable whatever the record holds; sealed bytes are counted, never shown."""
    stored = decided(agent="\x1b]0;owned\x07", resource={"type": "t", "id": "\u202e"})
    for line in (as_line(stored), as_json(stored)):
        assert line.isprintable()
        assert "ciphertext" not in line
    assert "[27 bytes sealed]" in as_line(stored)
    assert json.loads(as_json(stored))["sealed_bytes"] == 27


def test_filters(tmp_path: Path) -> None:
    """Filters by kind, task, agent, effect; the newest that match, in order; mistyped ones are refused."""
    store = kit.native_store(tmp_path / "state")
    tasks = [kit.put_task(store) for _ in range(2)]
    for number in range(6):
        unit = store.unit()
        effect = "deny" if number % 2 else "allow"
        members: dict[str, Json] = {"agent": f"a{number % 3}", "effect": effect, "decision": f"d{number}"}
        unit.record(Record(Kind.DECIDED, kit.NOW + number, tasks[number % 2].id, members))
        unit.commit()

    def found(wanted: Filter) -> list[str]:
        return [json.loads(stored.body)["decision"] for stored in select(store.records, wanted)]

    decisions = frozenset({"decided"})
    assert found(Filter(kinds=decisions, limit=2)) == ["d4", "d5"]
    assert found(Filter(effect="deny", limit=2)) == ["d3", "d5"]
    assert found(Filter(agent="a0", task=tasks[0].id)) == ["d0"]
    assert found(Filter(decision="d3")) == ["d3"]
    assert found(Filter(kinds=decisions, since_ms=kit.NOW + 4)) == ["d4", "d5"]
    for wrong in (Filter(kinds=frozenset({"decidde"})), Filter(limit=0), Filter(limit=10**9)):
        with pytest.raises(InvalidInput):
            select(store.records, wrong)
    store.close()
