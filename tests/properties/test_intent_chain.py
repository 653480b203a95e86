"""A chain of results, step by step: the engine and its plain model say the same, and what is meant."""

from __future__ import annotations

from typing import Any

import pytest
from tests.model.engine import Pair
from tests.model.program import LADDERS
from tests.model.worlds import ACTIONS, SHAPES, template

POWER, WATER = "GB82WEST12345698765432", "DE89370400440532013000"
BILLS = [
    {"id_": "b-1", "vendor": "Power", "iban": POWER, "total": "$100", "due": "2024-05-15"},
    {"id_": "b-2", "vendor": "Water works", "iban": WATER, "total": "$250", "due": "2024-05-15"},
]
MAIL = [{"id_": "m-1", "sender": "ann@acme.org", "subject": "June bill", "body": "it is from power, at last"}]
READS = [
    {"id": f"p/allow/{number}", "action": name, "on": ["x"], "where": [], "budget": {}, "across": []}
    for number, (name, (effect, _)) in enumerate(ACTIONS.items())
    if effect == "read"
]


def world(not_by: list[str]) -> dict[str, Any]:
    """A bill is paid whose vendor the mail speaks of that the request names."""
    shapes = {
        name: template(shape, {
            field: {"type": kind, "by": "outside" if name == "find_mail" else "org", "labels": []}
            for field, kind in fields.items()
        })
        for name, (shape, fields) in SHAPES.items()
    }  # fmt: skip
    mail = {"action": "find_mail", "field": "body", "rows": [{"field": "subject", "in_input": "request"}]}
    bills = {"action": "list_bills", "field": "iban", "rows": [{"field": "vendor", "in_source": 0}]}
    iban = {"arg": "iban", "as": "iban", "sources": [1], "not_by": not_by}
    own = {"id": "p/own", "action": "pay", "on": ["x"], "where": [], "budget": {}, "origins": [iban]}
    profile = {
        "name": "p", "digest": "sha256:" + "0" * 64, "inputs": {"request": "string", "ticket": "string"},
        "rules": [*READS, own], "budget": {}, "labels": ["user", "org", "outside"],
        "sources": [{"result": mail}, {"result": bills}], "never": [],
        "reactions": {kind: ["deny"] for kind in LADDERS}, "plan": "optional", "denials": [], "most_per_minute": 10,
        "today": "clock",
    }  # fmt: skip
    said = {"value": "pay the June bill", "type": "string", "vouched_by": "desk"}
    return {"returns": shapes, "profile": profile, "inputs": {"request": said, "ticket": said}, "steps": []}


def read(pair: Pair, action: str, result: Any) -> None:
    pair.do({"do": "check", "action": action, "args": {}, "pep": "gateway", "on": "x"})
    pair.do({"do": "report", "back": 1, "result": result, "meta": {}})


def paid(pair: Pair, iban: str) -> bool:
    """Whether both sides allow it."""
    found = pair.do({"do": "check", "action": "pay", "args": {"iban": iban}, "pep": "gateway", "on": "x"})
    assert found is not None
    assert found[0] == found[1]
    return "'allow'" in str(found[0])


@pytest.mark.parametrize(("not_by", "counts"), [([], True), (["outside"], False)])
def test_a_mail_chooses_a_bill_once_it_was_read(not_by: list[str], counts: bool) -> None:
    """Bills that came before the mail are not chosen by it, read again they are; its writer has a hand in it."""
    pair = Pair(world(not_by))
    read(pair, "list_bills", BILLS)
    read(pair, "find_mail", MAIL)
    assert not paid(pair, POWER)
    read(pair, "list_bills", BILLS)
    assert paid(pair, POWER) is counts
    assert not paid(pair, WATER)
