"""Sources, tool sheets and what they become: read as written, resolved against the bundle, compiled once each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle
from flyball.policy.diagnostics import Problems, Severity
from flyball.policy.lint import lint
from flyball.policy.load import read_bundle
from flyball.policy.program import Sources, flow_json, rule_json
from flyball.policy.provenance import documents, effect_of
from flyball.policy.returns import fields_of, read_returns, template_json
from flyball.policy.sources import SourceError, parse_aggregate, parse_source
from flyball.policy.words import limits_of
from flyball.policy.yaml import parse
from flyball.task.rules import Condition, Never, Reaction, Rule, Source

BASE = Path(__file__).parents[1] / "assets" / "bundles" / "base"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("request", Source("input", "request")),
        ("inputs.team", Source("input", "team")),
        ("args.start", Source("arg", "start")),
        ("args.files[].id", Source("arg", "files[].id")),
        ("trusted", Source("trusted")),
        ("=EUR", Source("const", "EUR")),
        ("=result(x)", Source("const", "result(x)")),
        ("result(mail.find)", Source("result", "mail.find")),
        ("result(a).items.price", Source("result", "a", "items.price")),
        ("result(a).shared_with.$key", Source("result", "a", "shared_with.$key")),
        ("result(a).*.price", Source("result", "a", "*.price")),
        ('result(a)."Check-in day"', Source("result", "a", "Check-in day")),
        ("result( a ) . b", Source("result", "a", "b")),
        (
            " ".join(
                (
                    "result(a).id where title in request and day in inputs.day",
                    'and owner is args.who and state is "open" and n is max',
                )
            ),
            Source(
                "result",
                "a",
                "id",
                (
                    Condition("title", "in_input", "request"),
                    Condition("day", "in_input", "day"),
                    Condition("owner", "is_arg", "who"),
                    Condition("state", "is", "open"),
                    Condition("n", "extreme", "max"),
                ),
            ),
        ),
        (
            'result(a) where call.path in request and call.to[].id as email is args.to and call.n is "1"',
            Source(
                "result",
                "a",
                "",
                (
                    Condition("path", "in_input", "request", True),
                    Condition("to[].id", "is_arg", "to", True, "email"),
                    Condition("n", "is", "1", True),
                ),
            ),
        ),
        (
            "result(a).id where call in request",
            Source("result", "a", "id", (Condition("call", "in_input", "request"),)),
        ),
        (
            'result(a).id where t is "say \\"in request\\" and"',
            Source("result", "a", "id", (Condition("t", "is", 'say "in request" and'),)),
        ),
    ],
)
def test_a_source_is_read_as_it_is_written(text: str, source: Source) -> None:
    """Every form of the language, and the source's own text reads back as the same source."""
    assert parse_source(text) == source
    if '"Check' not in text:
        assert parse_source(str(source)) == source


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("requst", 0, "did you mean `request`?"),
        ("", 0, "a source is"),
        ("result", 6, "write `result(ACTION)`"),
        ("result(a", 6, "write `result(ACTION)`"),
        ("result()", 7, ""),
        ("result(a).", 10, "tool sheet"),
        ("result(a).b were c in request", 12, "did you mean `where`?"),
        ("result(a).b where", 17, "tool sheet"),
        ("result(a).b where c", 19, "in request"),
        ("result(a).b where c in d", 23, "in request"),
        ("result(a).b where c is d", 23, "is args.NAME"),
        ("result(a).b where c in request and", 34, "tool sheet"),
        ("result(a).b where c in request or d is max", 31, "join conditions by `and`"),
        ("result(a).b where call.c is max", 18, "greatest"),
        ("result(a).b where call.c as txt in request", 28, "did you mean `text`?"),
        ("result(a).b where call. in request", 23, "args.start"),
        ("args.a[]b", 8, "joined by `.`"),
        ("args.a..b", 6, "joined by `.`"),
        ("inputs.Team", 7, ""),
        ("inputs", 6, ""),
        ("args.", 5, "args.start"),
        ("trusted.email", 7, "stands alone"),
        ("=", 0, "left out"),
    ],
)
def test_a_source_that_cannot_be_read_says_where(text: str, offset: int, says: str) -> None:
    """The fault points at its character and says what to write."""
    with pytest.raises(SourceError) as error:
        parse_source(text)
    assert error.value.offset == offset
    assert says in error.value.hint


def test_a_bound_by_results_is_a_computation_of_one_source() -> None:
    """`sum`, `min` and `max` of a result; a plain value is none; anything else in brackets is refused."""
    assert parse_aggregate("sum(result(cart).price where id is args.id)") == (
        "sum",
        Source("result", "cart", "price", (Condition("id", "is_arg", "id"),)),
    )
    assert parse_aggregate("12.50") is None
    assert parse_aggregate("max(3)") is None
    for wrong in ("avg(result(a).b)", "result(a).b", "sum(trusted and result)", "sum(result(a).b"):
        with pytest.raises(SourceError):
            parse_aggregate(wrong)


def test_a_sheet_declares_fields_by_their_paths() -> None:
    """Lists add nothing to a name, maps add the key, `*` and `$key` stand for themselves, the root has no name."""
    text = """
- id: id by org
  tags: [text by outside]
  shared: {$key: email by org, "*": "text by outside, pii"}
  items: [{price: money by org}]
"""
    problems = Problems()
    node = parse("a.yaml", text.encode(), problems)
    assert node is not None
    template = read_returns(node, "`returns`", problems)
    assert not problems.failed
    assert template is not None
    fields = fields_of(template)
    assert list(fields) == ["id", "tags", "shared.$key", "shared.*", "items.price"]
    assert (fields["shared.*"].kind, fields["shared.*"].by, fields["shared.*"].labels) == ("text", "outside", ("pii",))
    assert template_json(template) == {
        "list": {
            "map": {
                "id": {"spec": {"type": "id", "by": "org", "labels": []}},
                "tags": {"list": {"spec": {"type": "text", "by": "outside", "labels": []}}},
                "shared": {
                    "map": {
                        "$key": {"spec": {"type": "email", "by": "org", "labels": []}},
                        "*": {"spec": {"type": "text", "by": "outside", "labels": ["pii"]}},
                    }
                },
                "items": {"list": {"map": {"price": {"spec": {"type": "money", "by": "org", "labels": []}}}}},
            }
        }
    }


@pytest.fixture
def bundle() -> Bundle:
    read, problems = read_bundle(BASE)
    assert not problems.failed
    return read


def compiled(bundle: Bundle, number: str) -> tuple[dict[str, Json], list[Json]]:
    profile = bundle.profiles["desk"]
    sources = Sources()
    rules = {rule.id: rule_json(bundle, profile, rule, sources) for rule in profile.allow}
    return rules[f"desk/allow/{number}"], sources.json()


def test_a_rule_of_provenance_becomes_a_program(bundle: Bundle) -> None:
    """Origins name their sources by number, durations are milliseconds, what is left out has its default."""
    rule, sources = compiled(bundle, "2")
    assert rule["origins"] == [
        {
            "arg": "to",
            "as": "email",
            "sources": [0, 1, 2],
            "required": True,
            "plus": [],
            "within_ms": None,
            "same_day": False,
            "not_by": [],
        },
        {
            "arg": "day",
            "as": "date",
            "sources": [0, 3],
            "required": False,
            "plus": [{"ms": 0}, {"ms": 86_400_000}, {"source": 0}],
            "within_ms": None,
            "same_day": False,
            "not_by": [],
        },
        {
            "arg": "files[].mail_id",
            "as": "id",
            "sources": [4],
            "required": False,
            "plus": [],
            "within_ms": None,
            "same_day": False,
            "not_by": ["outside"],
        },
    ]
    assert sources[:5] == [
        {"input": "request"},
        {"input": "team"},
        {"result": {"action": "desk.people", "field": "email", "rows": [{"field": "name", "in_input": "request"}]}},
        {"result": {"action": "desk.today", "field": "", "rows": []}},
        {"result": {"action": "desk.mails", "field": "mail_id", "rows": [{"field": "received", "extreme": "max"}]}},
    ]
    assert rule["free"] == [
        {"arg": "subject", "max": 200, "without": []},
        {"arg": "body", "max": 4000, "without": ["pii"]},
    ]
    assert (rule["asked"], rule["after"], rule["before"]) == (["send*", "write to"], ["desk.people"], ["desk.transfer"])
    assert (rule["unless"], rule["on_breach"], rule["effect"]) == (["internal"], ["freeze"], "allow")
    assert rule["distinct"] == [{"arg": "to", "as": "email", "max": 5}]
    assert rule["reported"] == {"rows": 1000, "bytes": 100_000, "seconds": 60}
    assert rule["budget"] == {"sums": [], "calls": 3}


def test_a_bound_by_a_sum_becomes_an_aggregate(bundle: Bundle) -> None:
    """It compares numbers, and money where the field holds money."""
    rule, sources = compiled(bundle, "3")
    aggregate = cast("list[dict[str, Json]]", rule["aggregates"])[0]
    assert (aggregate["arg"], aggregate["op"], aggregate["aggregate"], aggregate["as"]) == (
        "amount",
        "max",
        "sum",
        "number",
    )
    source = sources[cast("int", aggregate["source"])]
    assert source == {
        "result": {"action": "desk.mails", "field": "size", "rows": [{"field": "subject", "in_input": "request"}]}
    }


def test_what_holds_for_the_whole_task(bundle: Bundle) -> None:
    """Labels in the order of their bits, every ladder written out, `never` taken apart at the action's name."""
    flow = flow_json(bundle, bundle.profiles["desk"])
    assert flow["labels"] == ["user", "org", "outside", "internal", "pii"]
    assert flow["today"] == {"result": {"action": "desk.today", "field": ""}}
    assert flow["must"] == ["desk.send"]
    assert flow["never"] == [
        {"by": "outside", "action": "desk.transfer", "arg": "amount"},
        {"after": "internal", "action": "desk.send"},
    ]
    reactions = cast("dict[str, Json]", flow["reactions"])
    assert reactions["target"] == ["freeze", "revoke"]
    assert {reactions[kind] == ["deny", "freeze"] for kind in reactions if kind != "target"} == {True}
    assert len(reactions) == 8
    assert (flow["denials"], flow["most_per_minute"], flow["plan"]) == ([[3, "revoke"]], 5, "optional")


def test_one_word_is_every_ladder(bundle: Bundle) -> None:
    """`on_deviation: freeze` means freeze at the first breach of any kind."""
    reactions = cast("dict[str, Json]", flow_json(bundle, bundle.profiles["pay"])["reactions"])
    assert set(map(str, reactions.values())) == {"['freeze']"}


def test_listed_actions_are_a_rule_each(bundle: Bundle) -> None:
    """`actions` gives `<n>.<m>`, each with its own place; a single action keeps `<n>`."""
    rules = bundle.profiles["desk"].allow
    assert [rule.id.removeprefix("desk/allow/") for rule in rules] == ["1.1", "1.2", "1.3", "1.4", "2", "3"]
    assert bundle.places["rule:desk/allow/1.2"].column > bundle.places["rule:desk/allow/1.1"].column


DOCUMENTS = [
    ("result(desk.bill).iban", False),
    ("result(desk.bill).iban where number in request", True),
    ("result(desk.bill).iban where number in inputs.team", True),
    ('result(desk.bill).iban where number is "B-1"', True),
    ("result(desk.bill).iban where call.number in request", True),
    ("result(desk.bill).iban where call.number is args.iban", False),
    ('result(desk.bill).iban where call.number is "B-1"', True),
    ("result(desk.bill).iban where total is max", False),
    ("result(desk.bill).iban where number is args.iban", False),
    ('result(desk.mails).body where sender is "bank@example.org"', False),
]


def edited(folder: Path, old: str, new: str, file: str = "profiles/desk.yaml") -> Bundle:
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    read, problems = read_bundle(folder)
    assert [one.render() for one in problems.all() if one.severity is Severity.ERROR] == []
    return read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BASE, tmp_path / "bundle"))


def transfer(read: Bundle) -> Rule:
    return read.profiles["desk"].allow[-1]


@pytest.mark.parametrize(("source", "named"), DOCUMENTS)
def test_a_document_must_be_named(folder: Path, source: str, named: bool) -> None:
    """Named by the request, by an input, or by a constant in a field no outsider writes; not by being newest, not by
    what the sender himself writes, not by the argument that it is to decide."""
    read = edited(folder, "result(desk.bill).iban where number in request", source)
    found = list(documents(read, read.profiles["desk"], transfer(read)))
    assert [one.named for one in found] == [named]
    problems = Problems()
    lint(read, problems)
    assert ("document_not_named" in {one.code for one in problems.all()}) is not named


def test_an_argument_from_the_request_names_a_document(folder: Path) -> None:
    """`where number is args.reference` names it where the reference itself is the user's word, and only there."""
    edited(
        folder, "amount: decimal, urgent: bool", "amount: decimal, urgent: bool, reference: string", "tools/desk.yaml"
    )
    edited(folder, "iban where number in request", "iban where number is args.reference")
    read = edited(folder, "      urgent: false", "      urgent: false\n      reference: {as: id, from: [request]}")
    assert [one.named for one in documents(read, read.profiles["desk"], transfer(read))] == [True]
    read = edited(folder, "{as: id, from: [request]}", "{as: id, from: [request, result(desk.mails).mail_id]}")
    assert [one.named for one in documents(read, read.profiles["desk"], transfer(read))] == [False]


def test_a_document_of_which_only_the_store_is_named_is_warned_of(folder: Path) -> None:
    """A tool that takes the mailbox from the request and the bill from whom it likes names half of a document; a
    condition on the call's other argument names the rest."""
    edited(folder, "iban where number in request", "iban")
    edited(folder, "args: {number: string}", "args: {box: string, number: string}", "tools/desk.yaml")
    reading = "  - action: desk.bill\n    where: {box: {as: id, required: true, from: [request]}}\n"
    read = edited(folder, "desk.mails, desk.bill]\n", "desk.mails]\n" + reading)
    assert [(one.named, one.left) for one in documents(read, read.profiles["desk"], transfer(read))] == [
        (True, ("number",))
    ]
    problems = Problems()
    lint(read, problems)
    assert "document_half_named" in {one.code for one in problems.all()}
    read = edited(folder, "result(desk.bill).iban]", "result(desk.bill).iban where call.number in request]")
    assert [(one.named, one.left) for one in documents(read, read.profiles["desk"], transfer(read))] == [(True, ())]


def test_groups_of_words_and_calls_are_compiled_as_written(folder: Path) -> None:
    """`all` becomes lists of lists, one list stays one, and a condition on a call says its argument and type."""
    edited(folder, "asked: [pay*]", "asked: {all: [[pay*, settle], [bill*]]}")
    read = edited(folder, "iban where number in request", "iban where call.number as id in request")
    sources = Sources()
    written = rule_json(read, read.profiles["desk"], transfer(read), sources)
    assert written["asked"] == [["pay*", "settle"], ["bill*"]]
    assert {"call": "number", "as": "id", "in_input": "request"} in cast("Any", sources.json())[0]["result"]["rows"]
    other = next(rule for rule in read.profiles["desk"].allow if rule.action == "desk.send")
    assert rule_json(read, read.profiles["desk"], other, sources)["asked"] == ["send*", "write to"]
    assert "asked for pay*, settle with bill*" in limits_of(transfer(read))


def test_a_call_that_the_request_binds_names_its_result(folder: Path) -> None:
    """Where the tool can be called only with a required argument from the request, whatever it returns was named."""
    edited(folder, "iban where number in request", "iban")
    reading = "  - action: desk.bill\n    where: {number: {as: id, required: true, from: [request]}}\n"
    read = edited(folder, "desk.mails, desk.bill]\n", "desk.mails]\n" + reading)
    assert [one.named for one in documents(read, read.profiles["desk"], transfer(read))] == [True]
    read = edited(
        folder, "required: true, from: [request]}}\n  - action: desk.send", "from: [request]}}\n  - action: desk.send"
    )
    assert [one.named for one in documents(read, read.profiles["desk"], transfer(read))] == [False]


def test_authority_handed_to_a_document_asks(folder: Path) -> None:
    """The rule's effect is `require_approval`, unless the rule says another; a read is left alone."""
    read = edited(folder, "    asked: [pay*]\n", "    asked: [pay*]\n")
    assert effect_of(read, read.profiles["desk"], transfer(read)) == "require_approval"
    read = edited(folder, "    asked: [pay*]\n", "    asked: [pay*]\n    effect: step_up\n")
    assert effect_of(read, read.profiles["desk"], transfer(read)) == "step_up"
    read = edited(folder, "effect: step_up", "effect: allow")
    assert effect_of(read, read.profiles["desk"], transfer(read)) == "allow"


def test_not_by_takes_a_document_away(folder: Path) -> None:
    """A source that `not_by` leaves out hands over no authority."""
    read = edited(folder, "iban where number in request]", "iban where number in request], not_by: [outside]")
    assert list(documents(read, read.profiles["desk"], transfer(read))) == []


def test_a_rule_says_its_limits_in_words(bundle: Bundle) -> None:
    """What stands in `why` and receipts reads as the profile was written."""
    said = limits_of(bundle.profiles["desk"].allow[4])
    assert "asked for send*, write to; after desk.people; before desk.transfer" in said
    assert "day as date from request or result(desk.today) plus 0m or 1d or request" in said
    assert "body at most 4000 characters without pii; calls 3; 5 different to; rows 1000" in said


def test_reactions_and_never_are_typed(bundle: Bundle) -> None:
    """The profile carries what was written, resolved."""
    profile = bundle.profiles["desk"]
    assert profile.never[0] == Never("desk.transfer", "amount", by="outside")
    assert profile.denials == ((3, Reaction.REVOKE),)


def test_the_program_is_plain_json(bundle: Bundle) -> None:
    """All of it survives a round trip through JSON text."""
    rule, sources = compiled(bundle, "2")
    assert json.loads(json.dumps([rule, sources])) == [rule, sources]
