"""HTTP requests of actions in a bundle: what is taken, and where each fault is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flyball.policy.compile import load_bundle
from flyball.policy.diagnostics import BundleRefused

BUNDLE = """name: http
version: "1"
owners: {desk: {contact: desk@flyball.dev}}
agents: {agent: {ids: ["spiffe://flyball.dev/agent"], owner: desk}}
identity: {trust_domains: {flyball.dev: {dev: true}}}
resource_types: {invoice: null}
peps: {envoy: {identity: {uid: 7}, actions: [look]}}
actions:
  look:
    resource: invoice
    effect: read
    args: {id: string, limit: long}
    http:
      - request: GET api.example/v1/invoices/{id}
        args: {limit: query.limit}
        credential: {name: api}
"""
PROFILE = """profile: looks
purpose: Look
agents: [agent]
time: {ttl: 1h, heartbeat: 1m}
allow: [{action: look, on: ["*"]}]
"""


def bundle(folder: Path, old: str = "", new: str = "") -> Path:
    (folder / "profiles").mkdir()
    assert old in BUNDLE
    (folder / "bundle.yaml").write_text(BUNDLE.replace(old, new, 1))
    (folder / "profiles" / "looks.yaml").write_text(PROFILE)
    return folder


def test_requests_reach_the_decision_plane(tmp_path: Path) -> None:
    """The compiled bundle carries them as they were written."""
    compiled = json.loads(load_bundle(bundle(tmp_path)).json)
    assert compiled["actions"]["look"]["http"] == [
        {
            "request": "GET api.example/v1/invoices/{id}",
            "args": {"limit": "query.limit"},
            "credential": {"name": "api"},
        }
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{id}\n", "{id\n", "path template"),
        ("GET api.example", "get api.example", "capital letters"),
        ("query.limit", "cookie.limit", "is no place"),
        ("{limit: query.limit}", "{rows: query.limit}", "no argument `rows`"),
        ("{name: api}", "{name: api, form: Bearer}", "`{secret}` once"),
        ("{name: api}", "{name: api, header: host}", "no credential goes upstream"),
        ("        credential", "        unread: [headers]\n        credential", "cannot go unread"),
        ("        credential", "        resource: '{other}'\n        credential", "no variable `other`"),
        ("        credential", "      - request: GET api.example/v1/invoices/{x}\n        credential", "another route"),
    ],
)
def test_a_fault_is_told_at_its_request(tmp_path: Path, old: str, new: str, said: str) -> None:
    """What the decision plane finds comes back to the line of the request in bundle.yaml."""
    with pytest.raises(BundleRefused) as refused:
        load_bundle(bundle(tmp_path, old, new))
    [found] = [one for one in refused.value.diagnostics if said in one.message]
    assert found.file == "bundle.yaml"
    assert found.line in (14, 16)


def test_a_stated_stream_is_listed_as_not_enforced(tmp_path: Path) -> None:
    """`max_stream` of an enforcement point: what it alone asks about may outlive its fence, and is told so."""
    compiled = load_bundle(bundle(tmp_path, "actions: [look]", "actions: [look], max_stream: 90s"))
    [listed] = compiled.cooperative["looks"]
    assert (listed.action, "90000 ms" in listed.limit) == ("look", True)
    assert json.loads(compiled.json)["peps"][0]["max_stream_ms"] == 90_000
