"""SPIFFE IDs against the conformance cases and the reject table of the standard's rules."""

import json
from pathlib import Path

import pytest

from flyball.identity.spiffe_id import SpiffeId, trust_domain_name
from flyball.kernel.errors import InvalidInput

CASES = json.loads((Path(__file__).parents[1] / "conformance/spiffe-id/cases.json").read_text())["cases"]
REJECTED = [
    "spiffe://",
    "http://x/y",
    "spiffe://X/y",
    "SPIFFE://x/y",
    "spiffe://x:80/y",
    "spiffe://u@x/y",
    "spiffe://x/",
    "spiffe://x//y",
    "spiffe://x/y/",
    "spiffe://x/./y",
    "spiffe://x/../y",
    "spiffe://x/%61",
    "spiffe://x/y?q",
    "spiffe://x/y#f",
    "spiffe://x/y\n",
    "spiffe://x\n",
    "spiffe://x/" + "a" * 2048,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"][:40] or "empty")
def test_conformance_cases(case):
    """Every case of the conformance set is accepted into its parts, or refused, as it says."""
    if case["valid"]:
        parsed = SpiffeId.parse(case["id"])
        path = case.get("path", case["id"].removeprefix(f"spiffe://{case['trust_domain']}"))
        assert (parsed.trust_domain, parsed.path, str(parsed)) == (case["trust_domain"], path, case["id"])
    else:
        with pytest.raises(InvalidInput) as refused:
            SpiffeId.parse(case["id"])
        assert refused.value.code == "spiffe_id"


@pytest.mark.parametrize("text", REJECTED)
def test_reject_table(text):
    """Everything in the reject table is refused."""
    with pytest.raises(InvalidInput):
        SpiffeId.parse(text)


def test_the_longest_id_is_accepted_and_one_byte_more_refused():
    """2048 bytes must be accepted; 2049 are refused."""
    longest = "spiffe://x/" + "a" * (2048 - 11)
    assert SpiffeId.parse(longest).path[1:] == "a" * 2037
    with pytest.raises(InvalidInput):
        SpiffeId.parse(longest + "a")


def test_a_workload_needs_a_path():
    """A trust domain's own id names no workload."""
    with pytest.raises(InvalidInput):
        SpiffeId.parse_workload("spiffe://td.example")


def test_trust_domains_compare_by_name():
    """Membership is by the exact trust domain: no suffix, no prefix, with or without scheme."""
    found = SpiffeId.parse("spiffe://td.example/a")
    assert found.member_of("td.example")
    assert found.member_of("spiffe://td.example")
    assert not found.member_of("a.td.example")
    assert not found.member_of("example")
    with pytest.raises(InvalidInput):
        trust_domain_name("spiffe://td.example/a")
