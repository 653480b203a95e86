"""Why a decision was made: the operator sees rule, bound and source; the agent a code and an id."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flyball.kernel.json import Json
from flyball.policy.compile import Compiled, load_bundle
from flyball.policy.explain import Explanation, explain, holds
from flyball.policy.explain_origin import CHANGES
from flyball.policy.verdict import OUR_FAULTS, REASONS
from flyball.task.rules import Op
from flyball.task.task import Input

ROOT = Path(__file__).parents[2]
BASE = ROOT / "tests" / "assets" / "bundles" / "base"
INPUTS = {"limit": Input("50", "decimal"), "invoice": Input("I-7", "string", "ticketing")}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return load_bundle(Path(shutil.copytree(BASE, tmp_path_factory.mktemp("b") / "bundle")))


def body(compiled: Compiled, reason: str, **changes: Json) -> dict[str, Json]:
    record: dict[str, Json] = {
        "v": 1,
        "kind": "decided",
        "task": "tsk_local_x",
        "decision": "dec_local_x_1_1",
        "agent": "clerk",
        "pep": "gateway",
        "action": "tool.pay",
        "resource": {"type": "tool", "id": "pay"},
        "effect": "deny",
        "reasons": [reason],
        "policies": [],
        "rule": "pay/allow/2",
        "bundle": compiled.digest,
    }
    return {**record, **changes}


def facts(found: Explanation, label: str) -> list[str]:
    return [text for name, text in found.facts if name == label]


def test_the_bound_that_failed_is_named_with_its_source(compiled: Compiled) -> None:
    """Argument, value, bound, and where the bound's value came from; the bounds that held are not named."""
    found = explain(
        body(compiled, "argument_out_of_bounds"), compiled, inputs=INPUTS, args={"amount": "50.01", "to": "alice"}
    )
    assert facts(found, "failed") == [
        "amount was 50.01; the bound is max 50 (input limit, declared by the agent itself)"
    ]
    assert facts(found, "rule") == ["pay/allow/2 (profiles/pay.yaml:15)"]
    assert "profiles/pay.yaml" in found.change


def test_a_vouched_value_is_shown_as_such(compiled: Compiled) -> None:
    """The voucher's issuer stands beside the value."""
    inputs = {"limit": Input("50", "decimal", "ticketing")}
    found = explain(body(compiled, "argument_out_of_bounds"), compiled, inputs=inputs, args={"amount": "51", "to": "a"})
    assert facts(found, "failed") == ["amount was 51; the bound is max 50 (input limit, vouched for by ticketing)"]


def test_a_constant_bound_says_where_it_is_written(compiled: Compiled) -> None:
    """A bound written in the profile is called that."""
    found = explain(body(compiled, "argument_out_of_bounds"), compiled, inputs=INPUTS, args={"amount": "1", "to": "A1"})
    assert facts(found, "failed") == ["to was A1; the bound is pattern [a-z]+ (written in the profile)"]


def test_an_argument_that_was_not_sent_is_named(compiled: Compiled) -> None:
    """A bounded argument that is missing is what failed."""
    found = explain(body(compiled, "argument_missing"), compiled, inputs=INPUTS, args={"to": "alice"})
    assert facts(found, "failed") == [
        "amount was not sent; the rule bounds it: max 50 (input limit, declared by the agent itself)"
    ]


def test_erased_arguments_are_not_guessed(compiled: Compiled) -> None:
    """Without the arguments every bound is listed and none is called the one that failed."""
    found = explain(body(compiled, "argument_out_of_bounds"), compiled)
    assert facts(found, "failed") == []
    assert len(facts(found, "bound")) == 2
    assert "are sealed" in facts(found, "note")[0]
    gone = explain(body(compiled, "argument_out_of_bounds"), compiled, erased=True)
    assert "are gone: the task's data key is erased" in facts(gone, "note")[0]


BREACH: dict[str, Json] = {
    "arg": "files[].id",
    "as": "id",
    "kind": "origin",
    "rule": "pay/allow/2",
    "wanted": ["request", "result(find).id"],
    "seen": [{"action": "read_inbox", "result": 3, "field": "body", "by": "outside"}],
}


def test_where_a_value_came_from_is_said(compiled: Compiled) -> None:
    """Argument and value, what was demanded, where it was first seen, and what would let it in."""
    args: dict[str, Json] = {"files": [{"id": "f-1"}, {"id": "f-2"}]}
    found = explain(body(compiled, "origin_mismatch", breach=BREACH), compiled, args=args)
    assert facts(found, "failed") == ["files[].id (as id) was f-1, f-2"]
    assert facts(found, "wanted") == ["request or result(find).id"]
    assert facts(found, "came from") == ["first seen in result 3 of read_inbox, field body, writable by outside"]
    assert "`result(read_inbox).body where … in request`" in found.change
    assert "profiles/pay.yaml" in found.change
    assert "pay/allow/2" in found.change
    assert set(found.for_agent()) == {"reason", "decision"}, "an agent is told no recipe"
    hidden = explain(body(compiled, "origin_mismatch", breach=BREACH), compiled, erased=True)
    assert facts(hidden, "failed") == ["files[].id (as id) has a value that is gone: the task's data key is erased"]


def test_a_value_that_was_seen_nowhere_and_one_that_the_house_writes(compiled: Compiled) -> None:
    """The first needs a source, the second is simply named; many places are counted, not listed."""
    nowhere = explain(body(compiled, "origin_mismatch", breach={**BREACH, "seen": []}), compiled, args={})
    assert facts(nowhere, "failed") == ["files[].id (as id) was not sent"]
    assert facts(nowhere, "came from")[0].startswith("nowhere that Flyball has seen")
    assert "vouched for or reported" in nowhere.change
    own: list[Json] = [{"action": "list", "result": 1, "field": "", "by": "org"}] * 7
    named = explain(body(compiled, "origin_mismatch", breach={**BREACH, "seen": own}), compiled)
    assert named.change.endswith("`result(list)`")
    assert facts(named, "came from")[-1] == "and 2 more places"


@pytest.mark.parametrize("reason", sorted(CHANGES))
def test_every_reason_of_intent_says_what_would_allow_it(compiled: Compiled, reason: str) -> None:
    """With the rule, the place and the reference filled in."""
    found = explain(body(compiled, reason, breach={"rule": "pay/allow/2"}), compiled)
    assert found.change
    assert "{" not in found.change


def test_an_approval_and_new_labels_are_told(compiled: Compiled) -> None:
    """Whether the decision asks, or used up what another asked; and what the task has touched by it."""
    asks = explain(body(compiled, "approval_required", approval="dec_local_x_1_1", labels=["pii"]), compiled)
    assert facts(asks, "approval") == ["a person is asked, by this decision's id"]
    assert facts(asks, "labels") == ["the task has from here on: pii"]
    assert "flyball approve dec_local_x_1_1" in asks.change
    used = explain(body(compiled, "allowed", approval="dec_local_x_1_9", effect="allow"), compiled)
    assert facts(used, "approval") == ["allowed by what dec_local_x_1_9 asked"]
    assert used.change == ""


def test_a_forbidding_policy_is_named_with_its_place(compiled: Compiled) -> None:
    """The policy's id, file and line; and that only the policy itself can change it."""
    found = explain(body(compiled, "policy_forbids", policies=["rules#blocked"], reaction="revoke"), compiled)
    assert facts(found, "policy") == ["rules#blocked (policies/rules.cedar:2)"]
    assert facts(found, "reaction")[0].startswith("revoke")
    assert "forbid wins" in found.change


def test_what_the_profile_allows_instead(compiled: Compiled) -> None:
    """An action or resource outside the profile is shown beside what is inside, with the rule that would allow it."""
    found = explain(body(compiled, "action_not_in_profile", action="sql.insert", rule=None), compiled, profile="pay")
    assert facts(found, "allowed") == ["sql.select, tool.pay"]
    assert found.change == "a rule in profiles/pay.yaml: {action: sql.insert, on: [pay]}"
    other: dict[str, Json] = {"type": "table", "id": "ledger.salaries"}
    found = explain(
        body(compiled, "resource_not_in_profile", action="sql.select", resource=other, rule=None),
        compiled,
        profile="pay",
    )
    assert facts(found, "allowed on") == ["ledger.accounts"]
    assert found.change == "add ledger.salaries to `on` of pay/allow/1 in profiles/pay.yaml"


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_has_words(compiled: Compiled, reason: str) -> None:
    """Each reason code is explained in words, as text and as JSON, with and without a profile."""
    for profile in ("pay", ""):
        found = explain(body(compiled, reason, rule=None), compiled, profile=profile)
        assert found.headline == REASONS[reason]
        assert found.render().startswith("dec_local_x_1_1: deny, ")
        assert found.as_json()["reasons"] == [reason]


def test_reasons_are_those_of_the_decision_plane() -> None:
    """The words here and the enum in Rust name the same reasons."""
    text = (ROOT / "crates" / "decision" / "src" / "verdict.rs").read_text(encoding="utf-8")
    reasons = text[text.index("Reason {") :]
    named = {line.split('"')[1] for line in reasons.splitlines() if ' = "' in line and line.strip().endswith('",')}
    assert named == set(REASONS)
    assert REASONS.keys() >= OUR_FAULTS


def test_a_fault_of_our_own_is_not_put_on_the_agent(compiled: Compiled) -> None:
    """Invariant 11: it is said that this is no deviation."""
    found = explain(body(compiled, "record_failed"), compiled)
    assert facts(found, "note") == ["this is not the agent's doing and counts as no deviation"]


def test_the_agent_learns_the_code_and_the_id_only(compiled: Compiled) -> None:
    """No bound, rule, policy or profile reaches the agent."""
    found = explain(body(compiled, "argument_out_of_bounds"), compiled, inputs=INPUTS, args={"amount": "99", "to": "a"})
    assert found.for_agent() == {"reason": "argument_out_of_bounds", "decision": "dec_local_x_1_1"}


def test_a_bundle_that_has_changed_is_said(compiled: Compiled) -> None:
    """An explanation by another bundle than the one that decided says so."""
    found = explain(body(compiled, "policy_forbids", bundle="sha256:" + "0" * 64), compiled)
    assert any("has changed since" in note for note in facts(found, "note"))


def test_foreign_text_is_escaped(compiled: Compiled) -> None:
    """What an agent sent cannot steer the operator's terminal."""
    hostile = "\x1b[2J\u202e"
    resource: dict[str, Json] = {"type": "tool", "id": hostile}
    found = explain(
        body(compiled, "argument_out_of_bounds", resource=resource),
        compiled,
        profile="pay",
        inputs=INPUTS,
        args={"to": hostile},
    )
    assert all(char.isprintable() or char == "\n" for char in found.render())


@pytest.mark.parametrize(
    ("op", "value", "limit", "within"),
    [
        (Op.MAX, "50", "50.00", True),
        (Op.MAX, "50.0001", "50", False),
        (Op.MIN, "-1", "-1", True),
        (Op.MAX, "x", "50", False),
        (Op.EQ, "1.0", "1", True),
        (Op.EQ, True, True, True),
        (Op.ONE_OF, "b", ("a", "b"), True),
        (Op.ONE_OF, ["a", "c"], ("a", "b"), False),
        (Op.ONE_OF, [], ("a",), True),
        (Op.PATTERN, "ab", "[a-z]", False),
        (Op.PREFIX, "abc", "ab", True),
        (Op.PREFIX, ["ab", "b"], "a", False),
        (Op.LENGTH, "abc", "2", False),
        (Op.PREFIX, 5, "5", False),
    ],
)
def test_bounds_as_the_plane_decides_them(op: Op, value: Json, limit: str | tuple[str, ...], within: bool) -> None:
    """The explanation holds arguments against bounds by the same rules."""
    assert holds(op, value, limit) is within
