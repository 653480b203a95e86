"""Small worlds to draw from: actions, what they return, and few values written in many ways."""

from __future__ import annotations

from typing import Any

#: Every action's effect and arguments; all are for resources of type `tool`.
ACTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "find_mail": ("read", {"query": "string", "sender": "string"}),
    "find_people": ("read", {"name": "string"}),
    "get_day": ("read", {}),
    "list_bills": ("read", {"vendor": "string"}),
    "prices": ("read", {"hotels": "strings"}),
    "fetch": ("read", {"url": "string"}),
    "send": ("write", {"to": "strings", "subject": "string", "body": "string", "files": "any"}),
    "pay": ("write", {"iban": "string", "amount": "decimal", "note": "string", "on": "string"}),
    "book": ("write", {"start": "string", "end": "string", "who": "strings", "place": "string"}),
    "purge": ("write", {"id": "string"}),
}

#: What an argument may be taken `as`.
AS: dict[str, dict[str, tuple[str, ...]]] = {
    "send": {
        "to": ("email", "text"),
        "subject": ("text", "words"),
        "files[].file_id": ("id",),
        "files[].owner": ("email",),
    },
    "pay": {"iban": ("iban",), "amount": ("money", "number"), "on": ("date",), "note": ("text", "id", "words")},
    "book": {
        "start": ("datetime", "date"),
        "end": ("datetime",),
        "who": ("email",),
        "place": ("text", "id", "path", "words"),
    },
    "purge": {"id": ("id",)},
    "fetch": {"url": ("url",)},
    "find_people": {"name": ("text",)},
    "find_mail": {"sender": ("email",)},
}

#: Arguments of reads by which their results may be chosen, and as what they are then read.
CALLED: dict[str, dict[str, str]] = {
    "find_mail": {"query": "text", "sender": "email"},
    "find_people": {"name": "text"},
    "list_bills": {"vendor": "text"},
    "prices": {"hotels": "text"},
    "fetch": {"url": "url"},
}

#: Same values in other clothes, the attacker's beside them, and what only looks the same.
POOLS: dict[str, tuple[str, ...]] = {
    "email": (
        "ann@acme.org",
        "Ann@ACME.org",
        "bob@acme.org",
        "eve@evil.example",
        "\u0430nn@acme.org",
        "ann@acme.org.evil.example",
        "ann\u200b@acme.org",
    ),
    "id": ("id-7", "ID-7", "id-8", "7", "id-77"),
    "date": ("2024-05-15", "May 15th", "15 May 2024", "03/04/2024", "2024-03-04", "2024-05-16", "tomorrow"),
    "time": ("10:00", "10 am", "15:30"),
    "datetime": (
        "2024-05-15 10:00",
        "2024-05-15T10:00:00Z",
        "2024-05-15T11:00:00",
        "2024-05-15 00:00",
        "2024-05-16T10:00",
        "2024-05-15T12:00+02:00",
    ),
    "duration": ("1 hour", "60 minutes", "90 min"),
    "number": ("100", "100.00", "250", "7"),
    "money": ("$100", "100", "USD 100", "100 EUR", "250.00", "$250"),
    "iban": (
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "DE88370400440532013000",
    ),
    "url": (
        "https://acme.org/a",
        "HTTPS://Acme.org:443/a#x",
        "https://evil.example/a",
        "https://acme.org@evil.example/a",
        "https://www.acme.org/a",
    ),
    "host": ("acme.org", "www.Acme.org", "evil.example", "acme.org.evil.example"),
    "path": ("docs/plan.txt", "docs", "./docs/", "docs/../plan.txt", "/docs/a/b.txt", "/docs", "docsx/plan.txt"),
    "words": (
        "the Summer parties",
        "Parties in summer",
        "Budget",
        "budget_party.pdf",
        "ann",
        "with the",
        "winter, acme",
    ),
    "text": (
        "Summer party",
        "summer  party!",
        "Budget",
        "#budget",
        "--Budget",
        "Winter party",
        "Winter - party",
        "par",
    ),
    "any": ("Budget", "ann@acme.org", "7"),
}

#: What results may look like, per action. Writers and labels are drawn; fields are (name, type).
SHAPES: dict[str, tuple[str, dict[str, str]]] = {
    "find_mail": ("rows", {"id_": "id", "sender": "email", "subject": "text", "when": "datetime", "body": "text"}),
    "find_people": ("rows", {"name": "text", "email": "email"}),
    "get_day": ("root", {"": "date"}),
    "list_bills": ("rows", {"id_": "id", "vendor": "text", "iban": "iban", "total": "money", "due": "date"}),
    "prices": ("keys", {"$key": "text", "*": "money"}),
    "fetch": ("root", {"": "text"}),
}


def template(shape: str, fields: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The compiled template of a shape, from its fields' specs."""
    if shape == "root":
        return {"spec": fields[""]}
    members = {name: {"spec": spec} for name, spec in fields.items()}
    return {"map": members} if shape == "keys" else {"list": {"map": members}}


BUNDLE = """
name: worlds
version: "1"
owners: {desk: {}}
agents: {clerk: {ids: ["spiffe://example.org/clerk"], owner: desk}}
resource_types: {tool: }
access_classes: {default: {risk: low, record: durable}}
actions:
%s
peps:
  gateway: {identity: {uid: 1}, actions: ["*"], may_report: true}
  sdk: {identity: {self: true}, actions: ["*"]}
"""
PROFILE = """
profile: p
purpose: Anything
agents: [clerk]
time: {ttl: 1h, heartbeat: 1h}
allow:
  - {action: get_day, on: [x]}
"""


def manifest() -> str:
    """The bundle.yaml of these actions."""
    lines = []
    for name, (effect, args) in ACTIONS.items():
        inner = ", ".join(f"{arg}: {kind}" for arg, kind in args.items())
        lines.append(f"  {name}: {{resource: tool, effect: {effect}, args: {{{inner}}}}}")
    return BUNDLE % "\n".join(lines)
