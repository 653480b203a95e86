"""Chains of results: what one of them says chooses the rows of another. Read, checked, compiled."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast

import pytest

from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle
from flyball.policy.compile import compile_bundle
from flyball.policy.diagnostics import Problems, Severity
from flyball.policy.lint import lint
from flyball.policy.load import read_bundle
from flyball.policy.program import Sources, rule_json
from flyball.policy.provenance import documents, effect_of, labels_of
from flyball.policy.sources import SourceError, parse_source
from flyball.task.rules import Condition, Rule, Source

BASE = Path(__file__).parents[1] / "assets" / "bundles" / "base"
WAS = "result(desk.bill).iban where number in request"
MAIL = Source("result", "b", "c", (Condition("d", "named", "request"),))


def transfer(bundle: Bundle) -> Rule:
    return bundle.profiles["desk"].allow[-1]


def edited(folder: Path, source: str) -> tuple[Bundle, Problems]:
    """The base bundle with another source of the payee."""
    shutil.copytree(BASE, folder / "bundle")
    path = folder / "bundle" / "profiles" / "desk.yaml"
    text = path.read_text(encoding="utf-8")
    assert WAS in text
    path.write_text(text.replace(f"from: [{WAS}]", f"from: ['{source}']", 1), encoding="utf-8")
    return read_bundle(folder / "bundle")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("result(a).x where y in result(b).c",
         Source("result", "a", "x", (Condition("y", "in_source", "", source=Source("result", "b", "c")),))),
        ("result(a) where call.u as host in (result(b).c where d named in request) and z in request",
         Source("result", "a", "", (Condition("u", "in_source", "", True, "host", MAIL),
                                    Condition("z", "in_input", "request")))),
        ("result(a) where call.p as words in result(b)",
         Source("result", "a", "", (Condition("p", "in_source", "", True, "words", Source("result", "b")),))),
        ("anyone at result(a).x where y in (result(b).c where d named in request)",
         Source("result", "a", "x", (Condition("y", "in_source", "", source=MAIL),), at=True)),
        ("result(e) where f in (result(a) where call.u in (result(b).c where d named in request))",
         Source("result", "e", "", (Condition("f", "in_source", "", source=Source(
             "result", "a", "", (Condition("u", "in_source", "", True, "", MAIL),))),))),
    ],
)  # fmt: skip
def test_a_chain_is_read_as_it_is_written(text: str, source: Source) -> None:
    """Each form, and the source's own text reads back as the same source."""
    assert parse_source(text) == source
    assert str(source) == text


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("result(a).x where y in result(b).c where d in request", 35, "in (result(b).c where d in request)"),
        ("result(a).x where y in (result(b).c where d in request", 54, "closed behind"),
        ("result(a).x where y in (request)", 24, "only a result"),
        ("result(a) where call.p as words is args.q", 16, "as words in"),
        ("result(a).x where y in trusted", 23, "in result(ACTION).FIELD"),
        ("result(a) where b in (result(a) where b in (result(a) where b in (result(a) where b in result(a))))", 87, ""),
    ],
)
def test_a_chain_that_cannot_be_read_says_where(text: str, offset: int, says: str) -> None:
    """The fault points at its character and says what to write."""
    with pytest.raises(SourceError) as error:
        parse_source(text)
    assert (error.value.offset, says in error.value.hint) == (offset, True), (error.value.message, error.value.hint)


def test_a_chain_becomes_a_program(tmp_path: Path) -> None:
    """What chooses a row stands before it in the table, and the condition has its number; the engine takes it."""
    bundle, problems = edited(
        tmp_path, "result(desk.bill).iban where call.number in (result(desk.mails).body where sender named in request)"
    )
    assert not problems.failed, [one.render() for one in problems.all()]
    compile_bundle(bundle, problems)
    assert not problems.failed, [one.render() for one in problems.all()]
    sources = Sources()
    rule_json(bundle, bundle.profiles["desk"], transfer(bundle), sources)
    table = cast("list[dict[str, dict[str, Json]]]", sources.json())
    assert table[0]["result"]["rows"] == [{"field": "sender", "named": "request"}]
    assert table[1]["result"]["rows"] == [{"call": "number", "in_source": 0}]


@pytest.mark.parametrize(
    ("source", "code", "marked"),
    [
        ("result(desk.bill).iban where number in result(desk.mials).body", "unknown_action", "desk.mials"),
        ("result(desk.bill).iban where number in result(desk.mails).boddy", "unknown_field", "boddy"),
        ("result(desk.bill).iban where number in result(desk.mails).received", "source_type_mismatch",
         "result(desk.mails)"),
        ("result(desk.bill).iban where number in (result(desk.mails).body where sender named in inputs.teem)",
         "unknown_input", "teem"),
        ("result(desk.bill).iban where number in (result(desk.mails).body where subject is args.urgent)",
         "wrong_source", "result(desk.mails)"),
        ("result(desk.bill).iban where call.number as date in result(desk.mails).body", "source_type_mismatch",
         "result(desk.mails)"),
    ],
)  # fmt: skip
def test_a_link_that_means_nothing_is_an_error(tmp_path: Path, source: str, code: str, marked: str) -> None:
    """Found where the bundle is read, once, and the caret stands under the link."""
    _, problems = edited(tmp_path, source)
    errors = [one for one in problems.all() if one.severity is Severity.ERROR]
    assert [one.code for one in errors] == [code]
    (line, caret) = errors[0].render().splitlines()[1:3]
    assert line[caret.index("^") :].startswith(marked), errors[0].render()


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("result(desk.bill).iban where number in (result(desk.mails).body where sender named in request)", True),
        ("result(desk.bill).iban where call.number in (result(desk.mails).body where subject in request)", True),
        ("result(desk.bill).iban where number in result(desk.mails).body", False),
        ("result(desk.bill).iban where number in result(desk.mails).mail_id", False),
    ],
)
def test_a_chain_is_named_by_its_first_link(tmp_path: Path, source: str, named: bool) -> None:
    """A document that another leads to is named where that other is."""
    bundle, _ = edited(tmp_path, source)
    assert [one.named for one in documents(bundle, bundle.profiles["desk"], transfer(bundle))] == [named]
    problems = Problems()
    lint(bundle, problems)
    assert ("document_not_named" in {one.code for one in problems.all()}) is not named


def test_whoever_writes_a_link_has_a_hand_in_what_comes_of_it(tmp_path: Path) -> None:
    """What only the user writes, in a row that a mail chooses, is a document's word, and a person is asked."""
    bundle, _ = edited(
        tmp_path, "result(desk.people).name where name in (result(desk.mails).body where sender named in request)"
    )
    source = transfer(bundle).origins[0].sources[0]
    assert labels_of(bundle, source) >= {"user", "outside", "pii"}
    assert effect_of(bundle, bundle.profiles["desk"], transfer(bundle)) == "require_approval"


def test_a_link_that_is_never_reported_or_vouched_for_is_warned_of(tmp_path: Path) -> None:
    """A dead link makes the whole chain dead."""
    chain = "result(desk.bill).iban where number in (result(desk.mails).body where sender named in inputs.team)"
    bundle, _ = edited(tmp_path, chain)
    path = tmp_path / "bundle" / "profiles" / "desk.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("desk.mails, desk.bill]", "desk.bill]"), encoding="utf-8")
    bundle, _ = read_bundle(tmp_path / "bundle")
    problems = Problems()
    lint(bundle, problems)
    assert any(one.code == "unreachable_source" and "desk.mails" in one.message for one in problems.all())
