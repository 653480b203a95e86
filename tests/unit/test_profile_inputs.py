"""A task's inputs: typed, bounded, and marked with who vouched for them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flyball.kernel.errors import InvalidInput, Unauthenticated
from flyball.kernel.json import Json
from flyball.task.profile import (
    InputSpec,
    InputType,
    Profile,
    Voucher,
    canonical_value,
    validate_inputs,
)
from flyball.task.rules import Resource


def profile(*specs: InputSpec) -> Profile:
    inputs = {spec.name: spec for spec in specs}
    return Profile("pay", "Pay", ("clerk",), ("clerk",), 60_000, 5_000, inputs=inputs)


TICKET = InputSpec("ticket", InputType.STRING, pattern="T-[0-9]+")
LIMIT = InputSpec("limit", InputType.DECIMAL, minimum="0.01", maximum="200")


def refused(given: Mapping[str, Json], *specs: InputSpec) -> str:
    with pytest.raises(InvalidInput) as error:
        validate_inputs(profile(*specs), given)
    return error.value.detail


def test_an_input_of_the_agents_own_is_declared() -> None:
    """Without a voucher nobody vouches: `vouched_by` is empty."""
    taken = validate_inputs(profile(TICKET, LIMIT), {"ticket": "T-1042", "limit": "120.50"})
    assert (taken["ticket"].value, taken["ticket"].type, taken["ticket"].vouched_by) == ("T-1042", "string", "")
    assert (taken["limit"].value, taken["limit"].type) == ("120.5", "decimal")


@pytest.mark.parametrize(
    ("kind", "value", "canonical"),
    [
        (InputType.DECIMAL, "120.00", "120"),
        (InputType.DECIMAL, "0.1000", "0.1"),
        (InputType.DECIMAL, "-0.00", "0"),
        (InputType.DECIMAL, 7, "7"),
        (InputType.DECIMAL, "1.00001", None),
        (InputType.DECIMAL, 1.5, None),
        (InputType.DECIMAL, "1e3", None),
        (InputType.DECIMAL, "١", None),
        (InputType.DECIMAL, "1\n", None),
        (InputType.DECIMAL, True, None),
        (InputType.LONG, 9223372036854775807, "9223372036854775807"),
        (InputType.LONG, 9223372036854775808, None),
        (InputType.LONG, "-0", None),
        (InputType.LONG, "07", None),
        (InputType.BOOL, True, "true"),
        (InputType.BOOL, "false", "false"),
        (InputType.BOOL, 1, None),
        (InputType.STRING, "a\nb", None),
        (InputType.STRING, "a\u202eb", None),
        (InputType.STRING, 5, None),
        (InputType.STRING, ["a"], None),
        (InputType.DATE, "2026-02-28", "2026-02-28"),
        (InputType.DATE, "2026-02-30", None),
        (InputType.DATE, "20260228", None),
        (InputType.TEXT, "Dear all,\n\tsee\u00a0you 👩\u200d💻", "Dear all,\n\tsee\u00a0you 👩\u200d💻"),
        (InputType.TEXT, "a\x1b[2Jb", None),
        (InputType.TEXT, "a\u202eb", None),
        (InputType.TEXT, "a\ud800", None),
        (InputType.EMAIL, "Ana.Ruiz@House.EXAMPLE", "Ana.Ruiz@house.example"),
        (InputType.EMAIL, "ana@house", None),
        (InputType.EMAIL, "ana ruiz@house.example", None),
        (InputType.EMAIL, "ana@evil@house.example", None),
        (InputType.URL, "https://house.example/a?b=1", "https://house.example/a?b=1"),
        (InputType.URL, "https://house.example@evil.example/", None),
        (InputType.URL, "javascript:alert(1)", None),
        (InputType.URL, "https://", None),
        (InputType.URL, "https://[", None),
        (InputType.DATETIME, "2026-02-28 09:30", "2026-02-28T09:30:00"),
        (InputType.DATETIME, "2026-02-28T09:30:00+02:00", "2026-02-28T09:30:00+02:00"),
        (InputType.DATETIME, "2026-02-30T09:30", None),
        (InputType.DATETIME, "2026-02-28", None),
        (InputType.MONEY, "120.50 EUR", "120.5 EUR"),
        (InputType.MONEY, "EUR 7", "7 EUR"),
        (InputType.MONEY, "7", None),
        (InputType.MONEY, "1.2.3 EUR", None),
    ],
)
def test_each_value_has_one_text(kind: InputType, value: Json, canonical: str | None) -> None:
    """Values that mean the same have the same text, so that nothing is counted twice; the rest is refused."""
    assert canonical_value(kind, value) == canonical


def test_what_is_out_of_bounds_is_refused() -> None:
    """Each bound of an input holds, at its edges too."""
    assert validate_inputs(profile(LIMIT), {"limit": "200.00"})["limit"].value == "200"
    assert "above 200" in refused({"limit": "200.0001"}, LIMIT)
    assert "below 0.01" in refused({"limit": "0"}, LIMIT)
    assert "does not match" in refused({"ticket": "T-1042; drop"}, TICKET)
    assert "does not match" in refused({"ticket": "T-\u0661"}, TICKET)
    assert "longer" in refused({"note": "x" * 21}, InputSpec("note", InputType.STRING, max_length=20))
    assert "none of the values" in refused({"size": "xl"}, InputSpec("size", InputType.STRING, one_of=("s", "m")))
    day = InputSpec("day", InputType.DATE, minimum="2026-01-01", maximum="2026-12-31")
    assert "above 2026-12-31" in refused({"day": "2027-01-01"}, day)


def test_all_faults_of_the_inputs_are_named_at_once() -> None:
    """Unknown, missing and wrong inputs stand in one error, with what was expected as its hint."""
    with pytest.raises(InvalidInput) as error:
        validate_inputs(profile(TICKET, LIMIT), {"limit": 1.5, "colour": "red"})
    assert error.value.code == "inputs_invalid"
    assert all(word in error.value.detail for word in ("colour", "ticket", "limit"))
    assert error.value.hint == "inputs of pay: ticket (string), limit (decimal)"


def test_a_hostile_name_is_shown_escaped_and_cut() -> None:
    """An unknown input's name does not reach a terminal or log as it stands."""
    detail = refused({"\x1b[2J" + "x" * 500: "1"})
    assert detail.isprintable()
    assert len(detail) < 200


def test_an_optional_input_may_be_left_out() -> None:
    """What is not required is absent from the task, not empty."""
    assert validate_inputs(profile(InputSpec("day", InputType.DATE, required=False)), {}) == {}


VOUCHED = InputSpec("ticket", InputType.STRING, vouched_by=("desk",))


def words(issuer: str = "desk", made_for: str = "", **inputs: Json) -> Voucher:
    return Voucher(issuer, inputs, made_for)


def test_a_voucher_marks_the_input_it_covers() -> None:
    """The issuer's name stands on what it signed and on nothing else."""
    taken = validate_inputs(
        profile(VOUCHED, LIMIT), {"ticket": "T-1", "limit": "5"}, ["jws"], lambda token: words(ticket="T-1", other="x")
    )
    assert taken["ticket"].vouched_by == "desk"
    assert taken["limit"].vouched_by == ""


@pytest.mark.parametrize(
    ("voucher", "code"),
    [
        (words(ticket="T-2"), "voucher_mismatch"),
        (words(made_for="other", ticket="T-1"), "voucher_mismatch"),
        (words("stranger", ticket="T-1"), "voucher_missing"),
        (words(), "voucher_missing"),
    ],
)
def test_a_voucher_that_does_not_fit_is_refused(voucher: Voucher, code: str) -> None:
    """Another value, another profile, another issuer or another input: the task is not opened."""
    with pytest.raises(InvalidInput) as error:
        validate_inputs(profile(VOUCHED), {"ticket": "T-1"}, ["jws"], lambda token: voucher)
    assert error.value.code == code


def test_a_voucher_is_never_taken_unverified() -> None:
    """Without a verifier, or where it refuses, no voucher counts."""
    with pytest.raises(InvalidInput):
        validate_inputs(profile(TICKET), {"ticket": "T-1"}, ["jws"])

    def refuse(token: str) -> Voucher:
        raise Unauthenticated("bad signature")

    with pytest.raises(Unauthenticated):
        validate_inputs(profile(TICKET), {"ticket": "T-1"}, ["jws"], refuse)


def test_too_many_vouchers_are_refused_before_any_is_verified() -> None:
    """Each costs a signature check."""
    with pytest.raises(InvalidInput) as error:
        validate_inputs(profile(TICKET), {"ticket": "T-1"}, ["jws"] * 9, lambda token: words())
    assert error.value.code == "voucher_too_many"


def test_an_opener_vouches_for_what_no_voucher_covers() -> None:
    """A registered opener that is not the agent gives its word for the inputs it sends."""
    taken = validate_inputs(profile(TICKET), {"ticket": "T-1"}, opener="desk-app")
    assert taken["ticket"].vouched_by == "desk-app"


def test_who_may_open() -> None:
    """An agent opens for itself; a named opener for any agent of the profile; nobody else for anybody."""
    both = Profile("p", "P", ("a", "b"), ("a", "desk"), 1, 1)
    assert both.may_open("a", "a")
    assert both.may_open("desk", "a")
    assert both.may_open("desk", "b")
    assert not both.may_open("a", "b")
    assert not both.may_open("b", "b")
    assert not both.may_open("desk", "c")
    assert not both.may_open("stranger", "a")


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        ("db.t", "db.t", True),
        ("db.*", "db.t", True),
        ("db.t", "db.*", False),
        ("db.*", "db.t.*", True),
        ("db.t", "db.tt", False),
        ("*", "anything", True),
    ],
)
def test_what_a_resource_covers(wide: str, narrow: str, covers: bool) -> None:
    """A trailing star covers whatever begins with what stands before it."""
    assert Resource(wide).covers(Resource(narrow)) is covers


def test_columns_narrow_a_resource() -> None:
    """A table with columns covers no more than those columns; without any, all of them."""
    assert Resource("t").covers(Resource("t", ("a",)))
    assert Resource("t", ("a", "b")).covers(Resource("t", ("a",)))
    assert not Resource("t", ("a",)).covers(Resource("t", ("a", "b")))
    assert not Resource("t", ("a",)).covers(Resource("t"))
