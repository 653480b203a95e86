"""A bound means the same to the reader of a bundle, to `flyball why` and to the decision plane."""

from __future__ import annotations

import base64
import json
import re
import secrets
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flyball.kernel import ids
from flyball.kernel.json import Json
from flyball.policy.compile import load_bundle
from flyball.policy.engine import Core
from flyball.policy.explain import holds
from flyball.policy.regex import refused_pattern
from flyball.task.rules import Op

MANIFEST = """
name: bounds
version: "1"
owners: {desk: {}}
agents: {clerk: {ids: ["spiffe://example.org/clerk"], owner: desk}}
resource_types: {tool: }
actions:
  act: {resource: tool, args: {text: string, whole: long, money: decimal, set: strings}}
peps: {gateway: {identity: {uid: 1}, actions: [act]}}
"""
PROFILE = """
profile: p
purpose: Try one bound
agents: [clerk]
time: {ttl: 1h, heartbeat: 1h}
on_deviation: deny
allow:
  - {action: act, on: [x], where: {%s: {%s: %s}}}
"""


def decide(arg: str, op: str, bound: str, values: list[Json]) -> list[bool]:
    """What the decision plane says to each value, under one bound written as YAML."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "profiles").mkdir()
        (Path(folder) / "bundle.yaml").write_text(MANIFEST, encoding="utf-8")
        (Path(folder) / "profiles" / "p.yaml").write_text(PROFILE % (arg, op, bound), encoding="utf-8")
        compiled = load_bundle(Path(folder))
    core = Core(cell="a", node="n", epoch=1, deployment_key=secrets.token_bytes(32))
    core.load(compiled.json)
    now = time.time_ns() // 1_000_000
    spec = {
        "id": ids.task_id("a", now),
        "principal": "spiffe://example.org/clerk",
        "agent": "clerk",
        "owner": "desk",
        "profile": "p",
        "profile_digest": compiled.bundle.profiles["p"].digest,
        "inputs": {},
        "opened_ms": now,
        "hard_end_ms": now + 3_600_000,
        "heartbeat_ms": 3_600_000,
        "data_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "state": "open",
        "binding": "uid:1",
    }
    core.open(json.dumps(spec).encode())
    verdicts = [
        core.check(str(spec["id"]), "gateway", "act", "tool", "x", json.dumps({arg: value}).encode())
        for value in values
    ]
    for verdict in verdicts:
        assert verdict.reasons in (("allowed",), ("argument_out_of_bounds",)), verdict.reasons
    return [verdict.effect == "allow" for verdict in verdicts]


SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
DECIMALS = st.decimals(-1000, 1000, places=4).map(str)
TEXTS = st.text("abAB01-_. é٣\n", max_size=8)


@given(st.text("ab01()[]*+?|\\dws.-{2,}^&~", max_size=10), st.lists(TEXTS, min_size=1, max_size=8))
@SLOW
def test_a_pattern_means_the_same_in_python_and_rust(pattern: str, values: list[str]) -> None:
    """Every pattern that is taken matches the same texts, in full, in both engines."""
    assume(pattern and not pattern.isspace() and not refused_pattern(pattern))
    expected = [re.fullmatch(pattern, value, re.ASCII) is not None for value in values]
    assert decide("text", "pattern", json.dumps(pattern), list(values)) == expected


@given(st.sampled_from(["max", "min", "eq"]), DECIMALS, st.lists(DECIMALS, min_size=1, max_size=8))
@SLOW
def test_money_is_compared_by_value(op: str, bound: str, values: list[str]) -> None:
    """Decimals compare exactly, and `why` agrees with what was decided."""
    expected = [holds(Op(op), value, bound) for value in values]
    assert decide("money", op, f'"{bound}"', list(values)) == expected


@given(
    st.sampled_from(["max", "min", "eq"]),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6),
)
@SLOW
def test_whole_numbers_are_compared_to_their_last_digit(op: str, bound: int, values: list[int]) -> None:
    """A long keeps all of its 64 bits."""
    near = [value for value in (bound - 1, bound, bound + 1) if -(2**63) <= value < 2**63]
    tried: list[Json] = [*values, *near]
    assert decide("whole", op, str(bound), tried) == [holds(Op(op), value, bound) for value in tried]


@given(
    st.sampled_from(["one_of", "max_length"]),
    st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=3, unique=True),
    st.lists(st.lists(st.text("abc", max_size=2), max_size=4), min_size=1, max_size=6),
)
@SLOW
def test_each_member_of_a_set_is_bounded(op: str, bound: list[str], values: list[list[str]]) -> None:
    """A set is within a list where each of its members is; its length is how many it has."""
    limit = tuple(bound) if op == "one_of" else str(len(bound))
    written = json.dumps(bound) if op == "one_of" else str(len(bound))
    kind = Op.ONE_OF if op == "one_of" else Op.LENGTH
    expected = [holds(kind, list(value), limit) for value in values]
    assert decide("set", op, written, [list(value) for value in values]) == expected
