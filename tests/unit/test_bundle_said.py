"""What people say in other words: lists of words, short names, folders, hosts; read, checked, compiled."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path
from typing import TypedDict, cast

import pytest

from flyball.kernel.json import Json
from flyball.policy import wordings
from flyball.policy.bundle import Bundle
from flyball.policy.compile import compile_bundle
from flyball.policy.diagnostics import Problems, Severity
from flyball.policy.lint import lint
from flyball.policy.lint_intent import _meets
from flyball.policy.load import read_bundle
from flyball.policy.program import Sources, rule_json
from flyball.policy.sources import SourceError, parse_source
from flyball.policy.words import limits_of
from flyball.task.rules import Condition, Rule, Source

BASE = Path(__file__).parents[1] / "assets" / "bundles" / "base"
SEND = '    asked: [send*, "write to"]\n    after: [desk.people]\n'


def edited(folder: Path, was: str, now: str) -> tuple[Bundle, Problems]:
    """The base bundle with one change of its profile `desk`."""
    shutil.copytree(BASE, folder / "bundle")
    path = folder / "bundle" / "profiles" / "desk.yaml"
    text = path.read_text(encoding="utf-8")
    assert was in text
    path.write_text(text.replace(was, now, 1), encoding="utf-8")
    return read_bundle(folder / "bundle")


def rule(bundle: Bundle, number: str) -> Rule:
    return next(one for one in bundle.profiles["desk"].allow if one.id == f"desk/allow/{number}")


class Origin(TypedDict, total=False):
    """As an origin is compiled, as far as these tests look."""

    arg: str
    sources: list[int]
    new_words: int
    below: bool


class Limit(TypedDict):
    """As a bound by a number is compiled."""

    arg: str
    op: str
    source: int


class Made(TypedDict, total=False):
    """As a rule is compiled."""

    asked: Json
    after: Json
    after_any: Json
    each: Json
    origins: list[Origin]
    aggregates: list[Limit]


def compiled(bundle: Bundle, number: str) -> tuple[Made, list[Json]]:
    """A rule as the engine takes it, and the table of sources; the whole bundle is compiled and loaded besides."""
    problems = Problems()
    compile_bundle(bundle, problems)
    assert not problems.failed, [one.render() for one in problems.all()]
    sources = Sources()
    profile = bundle.profiles["desk"]
    rules = {one.id: rule_json(bundle, profile, one, sources) for one in profile.allow}
    return cast("Made", rules[f"desk/allow/{number}"]), sources.json()


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (
            "result(a).b where c named in request and d partly in inputs.team",
            Source("result", "a", "b", (Condition("c", "named", "request"), Condition("d", "partly", "team"))),
        ),
        ("result(a).b where call.c as email named in request",
         Source("result", "a", "b", (Condition("c", "named", "request", True, "email"),))),
        ("anyone at request", Source("input", "request", at=True)),
        ("anyone at result(a).b where c in request",
         Source("result", "a", "b", (Condition("c", "in_input", "request"),), at=True)),
        ("anyone at =acme.example", Source("const", "acme.example", at=True)),
    ],
)  # fmt: skip
def test_a_source_is_read_as_it_is_written(text: str, source: Source) -> None:
    """Every new form, and the source's own text reads back as the same source."""
    assert parse_source(text) == source
    assert parse_source(str(source)) == source


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("result(a).b where c named request", 26, "write `named in request`"),
        ("result(a).b where c partly in d", 30, "in request"),
        ("result(a).b where c name in request", 20, "did you mean `named`?"),
        ("anyone at trusted", 10, "for example"),
        ("anyone at requst", 10, "did you mean `request`?"),
        ("anyone at anyone at request", 10, "for example"),
        ("any one at request", 0, "did you mean `anyone`?"),
    ],
)
def test_a_source_that_cannot_be_read_says_where(text: str, offset: int, says: str) -> None:
    """The fault points at its character and says what to write."""
    with pytest.raises(SourceError) as error:
        parse_source(text)
    assert (error.value.offset, says in error.value.hint) == (offset, True), error.value.hint


def test_lists_of_words_are_filled_in(tmp_path: Path) -> None:
    """`verbs(…)` stands for its words, beside one's own; a person who reads the rule sees them."""
    bundle, problems = edited(tmp_path, SEND, '    asked: {all: [[verbs(send), "write to"], [nouns(mail)]]}\n')
    assert not problems.failed
    asked = compiled(bundle, "2")[0]["asked"]
    assert asked == [[*wordings.VERBS["send"], "write to"], [*wordings.NOUNS["mail"]]]


def test_a_list_that_there_is_not_is_an_error_with_its_neighbour(tmp_path: Path) -> None:
    """A misspelt list names the right one, at its place."""
    _, problems = edited(tmp_path, SEND, "    asked: [verbs(sent)]\n")
    (found,) = [one for one in problems.all() if one.severity is Severity.ERROR]
    assert (found.code, found.line, found.column) == ("wrong_phrase", 17, 13)
    assert "did you mean `verbs(send)`?" in found.hint


PAIRS = {
    "delete": ("mail", "file", "event", "order", "booking", "account", "people", "post", "code"),
    "cancel": ("order", "booking", "event", "money", "account"),
    "change": ("event", "account", "file", "booking", "order", "people", "code", "post"),
    "pay": ("money", "booking", "account"),
    "refund": ("order", "money", "booking"),
    "create_event": ("event",),
    "save": ("file", "mail"),
    "move": ("file", "mail", "event"),
    "download": ("file", "web", "mail"),
    "browse": ("web", "order", "booking"),
    "share": ("file", "people", "event", "code"),
    "invite": ("people", "event"),
    "install": ("code",),
    "report": ("code",),
}


def test_a_deed_and_its_usual_thing_share_no_word() -> None:
    """A single word never satisfies both; every entry is a phrase that can be looked for."""
    for verbs, nouns in ((verb, noun) for verb, things in PAIRS.items() for noun in things):
        both = itertools.product(wordings.VERBS[verbs], wordings.NOUNS[nouns])
        assert not [(one, other) for one, other in both if _meets(one, other)], (verbs, nouns)
    for one in itertools.chain(*wordings.VERBS.values(), *wordings.NOUNS.values()):
        assert all("*" not in word.removesuffix("*") and word.strip("*") for word in one.split()), one
        assert one == one.lower()


def test_the_page_names_every_list() -> None:
    """Whoever reads only the page finds every list of words."""
    page = (Path(__file__).parents[2] / "docs" / "writing-profiles.md").read_text(encoding="utf-8")
    assert set(wordings.NAMES) - set(re.findall(r"`((?:verbs|nouns)\([a-z_]+\))`", page)) == set()


def test_one_of_several_actions_came_before(tmp_path: Path) -> None:
    """`after: {any: […]}` wants one of them, `all` beside it each; unknown actions are found."""
    bundle, problems = edited(
        tmp_path, "after: [desk.people]", "after: {any: [desk.people, desk.mails], all: [desk.today]}"
    )
    assert not problems.failed
    made, _ = compiled(bundle, "2")
    assert (made["after_any"], made["after"]) == (["desk.people", "desk.mails"], ["desk.today"])
    assert "after one of desk.people, desk.mails" in limits_of(rule(bundle, "2"))
    _, problems = edited(tmp_path / "other", "after: [desk.people]", "after: {any: [desk.peple]}")
    assert [one.code for one in problems.all()] == ["unknown_action"]
    _, problems = edited(tmp_path / "empty", "after: [desk.people]", "after: {one: [desk.people]}")
    assert {one.code for one in problems.all()} == {"unknown_key", "missing_field"}


def test_an_after_of_which_nothing_is_allowed_never_holds(tmp_path: Path) -> None:
    """Only where none of the actions is allowed: one is enough."""
    for number, (actions, warned) in enumerate([("[desk.wipe]", True), ("[desk.wipe, desk.people]", False)]):
        shutil.copytree(BASE, tmp_path / str(number) / "bundle")
        sheet = tmp_path / str(number) / "bundle" / "tools" / "desk.yaml"
        sheet = sheet if sheet.exists() else next(sheet.parent.glob("*.yaml"))
        sheet.write_text(sheet.read_text(encoding="utf-8") + "  desk.wipe: {effect: read}\n", encoding="utf-8")
        path = tmp_path / str(number) / "bundle" / "profiles" / "desk.yaml"
        text = path.read_text(encoding="utf-8").replace("after: [desk.people]", f"after: {{any: {actions}}}")
        path.write_text(text, encoding="utf-8")
        bundle, problems = read_bundle(path.parents[1])
        lint(bundle, problems)
        assert ("unreachable_rule" in {one.code for one in problems.all()}) is warned


def test_words_folders_and_hosts_become_a_program(tmp_path: Path) -> None:
    """A host's source follows the one that names it; only what is said is written."""
    bundle, problems = edited(
        tmp_path,
        "        from: [request, inputs.team, result(desk.people).email where name in request]\n"
        "      subject: {free: 200}\n",
        "        from: [request, anyone at inputs.team, result(desk.people).email where name named in request]\n"
        "      subject:\n"
        "        as: words\n"
        "        from: [request, result(desk.mails).subject where subject partly in request]\n"
        "        new_words: 2\n",
    )
    assert not problems.failed, [one.render() for one in problems.all()]
    made, sources = compiled(bundle, "2")
    to, subject = made["origins"][0], made["origins"][1]
    assert [sources[number] for number in to["sources"]] == [
        {"input": "request"},
        {"at": sources.index({"input": "team"})},
        {"result": {"action": "desk.people", "field": "email", "rows": [{"field": "name", "named": "request"}]}},
    ]
    assert (subject["new_words"], "below" in subject) == (2, False)
    assert sources[subject["sources"][1]] == {
        "result": {"action": "desk.mails", "field": "subject", "rows": [{"field": "subject", "partly": "request"}]}
    }
    said = limits_of(rule(bundle, "2"))
    assert "anyone at inputs.team" in said
    assert "and 2 new words" in said


@pytest.mark.parametrize(
    ("was", "now", "code"),
    [
        ("subject: {free: 200}", "subject: {as: text, from: [request], new_words: 2}", "wrong_origin"),
        ("subject: {free: 200}", "subject: {as: text, from: [request], below: true}", "wrong_origin"),
        ("subject: {free: 200}", "subject: {free: 200, below: true}", "wrong_origin"),
        ("subject: {free: 200}", "subject: {as: text, from: [anyone at request]}", "wrong_source"),
        ("as: email\n        required: true\n        from: [request,",
         "as: email\n        required: true\n        from: [anyone at result(desk.mails).received,",
         "source_type_mismatch"),
        ("subject: {free: 200}",
         "subject: {as: words, from: [result(desk.mails).subject where sender named in inputs.teem]}", "unknown_input"),
        ("amount: {max: sum(result(desk.mails).size where subject in request)}", "amount: {as: words, from: [request]}",
         "wrong_bound"),
        ('"files[].mail_id": {as: id,', '"files[].mail_id": {max: lots, as: id,', "wrong_bound"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_an_error(tmp_path: Path, was: str, now: str, code: str) -> None:
    """Each is found where the bundle is read, once."""
    _, problems = edited(tmp_path, was, now)
    assert [one.code for one in problems.all() if one.severity is Severity.ERROR] == [code]


def test_a_number_bounds_what_has_no_type(tmp_path: Path) -> None:
    """`max` within an `any` argument: every value there is held against the number."""
    bundle, problems = edited(
        tmp_path, '"files[].mail_id": {as: id,', '"files[].size": {max: 10}\n      "files[].mail_id": {as: id,'
    )
    assert not problems.failed
    made, sources = compiled(bundle, "2")
    (bound,) = made["aggregates"]
    assert (bound["arg"], bound["op"], sources[bound["source"]]) == (
        "files[].size", "max", {"const": "10"},
    )  # fmt: skip
    assert "files[].size max 10" in limits_of(rule(bundle, "2"))


def test_calls_are_counted_for_each_value(tmp_path: Path) -> None:
    """`each` is compiled beside `distinct`, with the type by which the rule compares the argument."""
    bundle, problems = edited(tmp_path, "budget: {distinct: {to: 5},", "budget: {distinct: {to: 5}, each: {to: 2},")
    assert not problems.failed
    assert compiled(bundle, "2")[0]["each"] == [{"arg": "to", "as": "email", "max": 2}]
    assert "2 calls for each to" in limits_of(rule(bundle, "2"))
    _, problems = edited(tmp_path / "other", "budget: {distinct: {to: 5},", "budget: {each: {too: 2},")
    assert [one.code for one in problems.all()] == ["unknown_argument"]
