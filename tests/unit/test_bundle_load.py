"""What a bundle becomes: its digest, its compiled form, and the bundles that we ship."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import cast

import pytest

from flyball.identity.agents import AgentDecl
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json
from flyball.policy.bundle import MAX_FILES, digest_of, may_run
from flyball.policy.compile import Compiled, compile_bundle, load_bundle
from flyball.policy.diagnostics import BundleRefused, Problems, all_as_json, render_all
from flyball.policy.load import read_bundle

ROOT = Path(__file__).parents[2]
BASE = ROOT / "tests" / "assets" / "bundles" / "base"
SHIPPED = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())


def document(compiled: Compiled) -> dict[str, Json]:
    return cast("dict[str, Json]", json.loads(compiled.json))


def profile_of(folder: Path, name: str = "pay") -> dict[str, Json]:
    profiles = document(load_bundle(folder))["profiles"]
    assert isinstance(profiles, list)
    return next(one for one in cast("list[dict[str, Json]]", profiles) if one["name"] == name)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BASE, tmp_path / "bundle"))


def edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_bundles_are_accepted(name: str) -> None:
    """Each example bundle loads, in the decision plane too."""
    assert load_bundle(ROOT / "bundles" / name).digest.startswith("sha256:")


def test_the_demo_has_no_warning() -> None:
    """Its issuer vouches for the ticket, and every argument of an effect has its origin or its bound."""
    assert load_bundle(ROOT / "bundles" / "demo").diagnostics == ()


def test_the_examples_warn_where_the_page_says_so() -> None:
    """docs/writing-profiles.md lets its assistant answer whoever wrote a mail, and owns up to that."""
    warnings = load_bundle(ROOT / "bundles" / "examples").diagnostics
    assert [(found.code, found.file) for found in warnings] == [("document_allowed", "profiles/assistant.yaml")] * 2


def test_what_is_cooperative_in_the_demo() -> None:
    """Everything that the demo's closing table must name is found by the lint."""
    found = load_bundle(ROOT / "bundles" / "demo").cooperative["settle-refund"]
    refund = (
        "amount max $inputs.limit; order_id as id from result(tool.read_order).id where ticket in inputs.ticket; "
        "calls 1; total amount $inputs.limit; once per ticket"
    )
    assert [(one.action, one.limit) for one in found] == [
        ("sql.insert", "amount max $inputs.limit"),
        ("tool.refund", refund),
        ("", "calls 1000"),
        ("", "200 checks per second"),
    ]


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Digest and compiled form depend on names and contents only, not on folder, order or time."""
    copies = [load_bundle(Path(shutil.copytree(BASE, tmp_path / name))) for name in ("one", "two")]
    assert copies[0].json == copies[1].json
    assert copies[0].digest == copies[1].digest


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("bundle.yaml", "desk@example.org", "desk2@example.org"),
        ("policies/rules.cedar", "No payment", "Never a payment"),
        ("profiles/pay.yaml", "on_deviation: freeze", "on_deviation: freeze # really"),
    ],
)
def test_any_change_changes_the_digest(bundle: Path, file: str, old: str, new: str) -> None:
    """Even a comment does: a digest names exactly what was reviewed."""
    before = load_bundle(bundle).digest
    edit(bundle, file, old, new)
    assert load_bundle(bundle).digest != before


def test_a_name_is_part_of_the_digest() -> None:
    """Moving a text from one file to another is a change."""
    assert digest_of({"a": b"1", "b": b""}) != digest_of({"a": b"", "b": b"1"})


def test_a_profile_is_pinned_by_what_it_says(bundle: Path) -> None:
    """A comment or a line's place leaves a profile's digest alone; a bound, a purpose or a voucher does not."""
    before = profile_of(bundle)["digest"]
    edit(bundle, "profiles/pay.yaml", "profile: pay", "# a comment\nprofile: pay")
    assert profile_of(bundle)["digest"] == before
    seen = {before}
    for old, new in (
        ("max: 100", "max: 99"),
        ("Pay one invoice", "Pay two"),
        ("openers: [clerk]", "openers: [clerk, supervisor]"),
        ("ttl: 5m", "ttl: 4m"),
    ):
        edit(bundle, "profiles/pay.yaml", old, new)
        seen.add(profile_of(bundle)["digest"])
    assert len(seen) == 5


def test_the_pinned_digest_is_on_the_profile(bundle: Path) -> None:
    """What a task pins is the digest in the compiled form."""
    loaded = load_bundle(bundle)
    assert loaded.bundle.profiles["pay"].digest == profile_of(bundle)["digest"]


def test_a_rule_becomes_a_permit_and_a_program(bundle: Path) -> None:
    """Bounds, budget and counters across tasks stand in the program; the permit names rule and verdict."""
    profile = profile_of(bundle)
    rules = cast("list[dict[str, Json]]", profile["rules"])
    old = {key: rules[1][key] for key in ("id", "action", "on", "where", "budget", "across")}
    assert old == {
        "id": "pay/allow/2",
        "action": "tool.pay",
        "on": ["pay"],
        "where": [
            {"arg": "amount", "op": "max", "value": {"input": "limit"}},
            {"arg": "to", "op": "pattern", "value": {"const": "[a-z]+"}},
        ],
        "budget": {"calls": 2, "sums": [{"arg": "amount", "max": {"input": "limit"}}]},
        "across": [
            {"per": {"input": "invoice"}, "window_ms": None, "calls": 1, "sums": []},
            {"per": "agent", "window_ms": 3_600_000, "calls": 10, "sums": []},
        ],
    }
    policies = cast("list[dict[str, Json]]", profile["policies"])
    assert policies[1] == {
        "id": "pay/allow/2",
        "file": "profiles/pay.yaml",
        "line": 15,
        "text": 'permit(principal, action == Flyball::Action::"tool.pay", resource)\n'
        'when { context.intent.rule == "pay/allow/2" && context.intent.within };',
    }


def test_opening_and_the_profiles_credentials_are_allowed_by_the_profile(bundle: Path) -> None:
    """Each profile carries rules for its own opening and for each credential it names, and for no other."""
    rules = cast("list[dict[str, Json]]", profile_of(bundle)["rules"])
    assert [(rule["id"], rule["action"], rule["on"]) for rule in rules[2:]] == [
        ("pay/open", "task.open", ["pay"]),
        ("pay/credential/ledger", "credential.issue", ["ledger"]),
    ]


def test_constants_have_the_type_of_their_argument(bundle: Path) -> None:
    """A decimal stays text with its digits, a long becomes a number, a list a list."""
    edit(
        bundle,
        "profiles/pay.yaml",
        'to: {pattern: "[a-z]+"}, count: {from: "=1"}, tags: {free: 50}, note',
        "amount: {max: 0.50}, count: {max: 3, min: 1}, to: {one_of: [a, b], max_length: 9}, tags: {one_of: [x]}, note",
    )
    edit(bundle, "profiles/pay.yaml", "amount: {max: $inputs.limit}, ", "")
    rules = cast("list[dict[str, Json]]", profile_of(bundle)["rules"])
    where = cast("list[dict[str, Json]]", rules[1]["where"])
    assert [(bound["arg"], bound["op"], bound["value"]) for bound in where] == [
        ("amount", "max", {"const": "0.50"}),
        ("count", "max", {"const": 3}),
        ("count", "min", {"const": 1}),
        ("to", "one_of", {"const": ["a", "b"]}),
        ("to", "length", {"const": 9}),
        ("tags", "one_of", {"const": ["x"]}),
    ]


def test_columns_bound_an_argument_of_that_name(bundle: Path) -> None:
    """Where an action declares `columns: strings`, the columns in `on` are a bound of the program."""
    edit(
        bundle,
        "bundle.yaml",
        "sql.select: {resource: table, effect: read}",
        "sql.select: {resource: table, args: {columns: strings}}",
    )
    edit(
        bundle, "profiles/pay.yaml", "on: [ledger.accounts]", 'on: ["ledger.accounts(name, id)"]\n    cooperative: true'
    )
    edit(bundle, "bundle.yaml", "on: [ledger.accounts]", 'on: ["ledger.accounts(id)"]')
    rules = cast("list[dict[str, Json]]", profile_of(bundle)["rules"])
    assert rules[0]["on"] == ["ledger.accounts"]
    assert rules[0]["where"] == [{"arg": "columns", "op": "one_of", "value": {"const": ["id", "name"]}}]


def test_agents_and_groups_are_entities(bundle: Path) -> None:
    """Policies see an agent's owner, and its groups as parents; a group's own parents come from entities.json."""
    (bundle / "entities.json").write_text(
        '[{"uid": {"type": "Flyball::Group", "id": "staff"}, "attrs": {},'
        ' "parents": [{"type": "Flyball::Group", "id": "all"}]}]'
    )
    entities = cast("list[dict[str, Json]]", document(load_bundle(bundle))["entities"])
    assert [entity["uid"] for entity in entities].count({"type": "Flyball::Group", "id": "staff"}) == 1
    clerk = next(entity for entity in entities if entity["uid"] == {"type": "Flyball::Agent", "id": "clerk"})
    assert clerk["attrs"] == {"owner": "desk"}
    assert clerk["parents"] == [{"type": "Flyball::Group", "id": "staff"}]


def test_agents_are_what_identity_matches(bundle: Path) -> None:
    """The bundle's agents are the identity room's declarations, and say which profiles each may run."""
    loaded = load_bundle(bundle).bundle
    assert loaded.agents["clerk"] == AgentDecl("clerk", ("spiffe://example.org/agent/clerk",), "desk", None)
    assert may_run(loaded, "clerk") == ("desk", "pay")
    assert may_run(loaded, "nobody") == ()


def test_a_targets_own_fields_reach_its_connector(bundle: Path) -> None:
    """Flyball reads the grants; everything is handed on as it was written."""
    edit(bundle, "bundle.yaml", "kind: memory", "kind: memory\n    doors: {primary: {port: 5432, slow: 0.50}}")
    target = load_bundle(bundle).bundle.targets["ledger"]
    assert target.kind == "memory"
    assert target.config["doors"] == {"primary": {"port": 5432, "slow": "0.50"}}
    accesses = target.config["accesses"]
    assert isinstance(accesses, dict)
    assert accesses["reader"] == {"grants": [{"action": "sql.select", "on": ["ledger.accounts"]}]}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A wrong path is a plain error, not an empty bundle."""
    with pytest.raises(ConfigError) as error:
        load_bundle(tmp_path / "nowhere")
    assert error.value.code == "bundle_missing"


def test_a_folder_without_bundle_yaml(tmp_path: Path) -> None:
    """An empty folder allows nothing and is refused."""
    with pytest.raises(BundleRefused) as error:
        load_bundle(tmp_path)
    assert [found.code for found in error.value.diagnostics] == ["bundle_yaml_missing"]


def test_a_link_out_of_the_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    """What is not in the folder was not reviewed with it."""
    outside = tmp_path / "other.cedar"
    outside.write_text("permit(principal, action, resource);")
    (bundle / "policies" / "other.cedar").symlink_to(outside)
    _, problems = read_bundle(bundle)
    assert [found.code for found in problems.all()] == ["outside_bundle"]


def test_a_bundle_of_too_many_files_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading is bounded."""
    assert MAX_FILES > 1000
    monkeypatch.setattr("flyball.policy.bundle.MAX_FILES", 2)
    _, problems = read_bundle(bundle)
    assert "bundle_oversize" in {found.code for found in problems.all()}


def test_hidden_files_do_not_count(bundle: Path) -> None:
    """An editor's or git's files change nothing."""
    before = load_bundle(bundle).digest
    (bundle / ".git").mkdir()
    (bundle / ".git" / "config").write_text("x")
    assert load_bundle(bundle).digest == before


def test_findings_as_text_and_json() -> None:
    """All findings in one text with a count, and the same as JSON."""
    problems = Problems()
    bundle, found = read_bundle(ROOT / "bundles" / "demo")
    compile_bundle(bundle, found)
    assert render_all(found.all()).endswith("0 errors, 0 warnings")
    as_json = all_as_json(found.all())
    assert as_json["ok"] is True
    assert render_all(problems.all()) == "0 errors, 0 warnings"


def test_many_hand_written_policies_are_read_in_reasonable_time(bundle: Path) -> None:
    """Twenty thousand policies in one file are split without going over it again and again."""
    one = '@id("p{n}")\nforbid (principal, action == Flyball::Action::"tool.pay", resource) when {{ false }};\n'
    (bundle / "policies" / "many.cedar").write_text("".join(one.format(n=n) for n in range(20_000)))
    loaded, problems = read_bundle(bundle)
    assert not problems.failed
    assert len(loaded.policies) == 20_001
    last = next(policy for policy in loaded.policies if policy.id == "many#p19999")
    assert last.mark.line == 40_000 - 1
