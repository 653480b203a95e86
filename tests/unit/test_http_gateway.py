"""What a bundle says of an HTTP API: read strictly, and told to the gateway."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from flyball.kernel.json import Json
from flyball.policy.http_gateway import operations_of, place_of, upstreams
from flyball.policy.load import read_bundle

MANIFEST = """
    name: http
    version: "1"
    owners: {{me: {{contact: me@example.com}}}}
    agents: {{a: {{ids: ["spiffe://flyball.dev/agent/a"], owner: me}}}}
    identity: {{trust_domains: {{flyball.dev: {{dev: true}}}}}}
    resource_types: {{api: }}
    actions:
      read: {{resource: api, effect: read, args: {{id: string, limit: long, all: bool}}, returns: {{id: id by org}}}}
    peps: {{http-gateway: {{identity: {{gateway: http}}, actions: [read], may_report: true}}}}
    targets:
      crm:
        kind: http
        url: {url}
        secret_file: crm.key
        gateway: {gateway}
        accesses: {{use: {{delivery: brokered, grants: [{{action: read, on: ["crm/*"]}}]}}}}
"""
GET = '{method: GET, path: "/a/{id}", action: read}'


def faults(tmp_path: Path, gateway: str, url: str = "https://api.example.com/v1", openapi: str = "") -> set[str]:
    (tmp_path / "bundle.yaml").write_text(dedent(MANIFEST).format(url=url, gateway=gateway))
    if openapi:
        (tmp_path / "openapi").mkdir(exist_ok=True)
        (tmp_path / "openapi" / "crm.yaml").write_text(dedent(openapi))
    _, problems = read_bundle(tmp_path)
    return {one.code for one in problems.all() if one.severity.value == "error"}


@pytest.mark.parametrize(
    ("gateway", "fault"),
    [
        ("{inject: bearer}", ""),
        ("{inject: {header: X-Api-Key}}", ""),
        (f"{{inject: bearer, operations: [{GET}], networks: [10.0.0.0/8], intercept: true}}", ""),
        ("{inject: cookie}", "wrong_choice"),
        ("{inject: {header: X, query: y}}", "wrong_inject"),
        ("{inject: {header: 'X: y'}}", "wrong_inject"),
        ("{inject: none}", "wrong_inject"),
        ("{}", "missing_field"),
        ("{inject: bearer, networks: [ten]}", "wrong_network"),
        ("{inject: bearer, operations: [{method: GET, path: a}]}", "wrong_path"),
        ("{inject: bearer, operations: [{method: GET, path: '/a/x{id}'}]}", "wrong_path"),
        ("{inject: bearer, operations: [{method: LOOK, path: /a}]}", "wrong_choice"),
        ("{inject: bearer, operations: [{method: GET, path: /a, action: write}]}", "unknown_action"),
        (f"{{inject: bearer, operations: [{GET}, {GET.replace('{id}', '{other}')}]}}", "operation_twice"),
        ("{inject: bearer, openapi: openapi/none.yaml}", "unknown_openapi"),
        ("{inject: bearer, search_path: [public]}", "unknown_key"),
    ],
)
def test_gateway(tmp_path: Path, gateway: str, fault: str) -> None:
    """Each fault has its code; what is sound has none."""
    found = faults(tmp_path, gateway)
    assert fault in found if fault else not found


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://u:p@x", "https://x/?a=1", "//x", "https://x/a/../b#c", "https:///a", "https://x:99999"]
)
def test_no_place(tmp_path: Path, url: str) -> None:
    """A URL that names no place of an API is refused."""
    assert "wrong_url" in faults(tmp_path, "{inject: bearer}", url)


def test_places() -> None:
    """A URL's host is in lower case, its port is its scheme's where none is written, its path ends in no slash."""
    for url, expected in (
        ("https://API.example.com/v1/", ("https", "api.example.com", 443, "/v1")),
        ("http://127.0.0.1:8080", ("http", "127.0.0.1", 8080, "")),
        ("http://[::1]:8080/", ("http", "::1", 8080, "")),
    ):
        place = place_of(url)
        assert place is not None
        assert (place.scheme, place.host, place.port, place.base) == expected


def test_interception_needs_https(tmp_path: Path) -> None:
    """There is nothing to intercept where nothing is encrypted."""
    assert faults(tmp_path, "{inject: bearer, intercept: true}", "http://x.example") == {"wrong_intercept"}


def test_one_place_is_one_target(tmp_path: Path) -> None:
    """Two targets at one host and port could not be told apart."""
    faults(tmp_path, "{inject: bearer}")
    text = (tmp_path / "bundle.yaml").read_text()
    (tmp_path / "bundle.yaml").write_text(text + text[text.index("  crm:") :].replace("  crm:", "  other:", 1))
    _, problems = read_bundle(tmp_path)
    assert "place_twice" in {one.code for one in problems.all()}


def test_openapi() -> None:
    """Operations come by their operationId; what their body is says whether it is read."""
    document: Json = {
        "paths": {
            "/a/{id}": {
                "get": {"operationId": "a/read"},
                "put": {"operationId": "a_write", "requestBody": {"content": {"application/json": {}}}},
                "parameters": [],
            },
            "/files/{name}": {"post": {"operationId": "upload", "requestBody": {"content": {"image/png": {}}}}},
            "/odd/x{id}": {"get": {"operationId": "odd"}},
            "/nameless": {"get": {}},
        }
    }
    found = {(one["method"], one["path"]): (one["action"], one["body"]) for one in operations_of(document)}
    assert found == {
        ("GET", "/a/{id}"): ("a-read", "none"),
        ("PUT", "/a/{id}"): ("a_write", "fields"),
        ("POST", "/files/{name}"): ("upload", "stream"),
    }
    for odd in (None, [], {"paths": 1}, {"paths": {"/a": 1}}, {"paths": {"/a": {"get": {"operationId": 7}}}}):
        assert not list(operations_of(odd))  # type: ignore[arg-type]


def test_told(tmp_path: Path) -> None:
    """The gateway is told the place, the operations with the arguments that are no text, and what is reported."""
    openapi = """
        openapi: 3.1.0
        paths:
          /a/{key}: {get: {operationId: other}}
          /b: {get: {operationId: read}}
    """
    assert (
        faults(tmp_path, f"{{inject: bearer, operations: [{GET}], openapi: openapi/crm.yaml}}", openapi=openapi)
        == set()
    )
    bundle, _ = read_bundle(tmp_path)
    told = upstreams(bundle)["crm"]
    assert (told["scheme"], told["host"], told["port"], told["base"]) == ("https", "api.example.com", 443, "/v1")
    assert told["routes"] == [
        {"method": "GET", "path": "/a/{id}", "action": "read", "body": "fields", "bare": ["limit", "all"]},
        {"method": "GET", "path": "/b", "action": "read", "body": "none", "bare": ["limit", "all"]},
    ]
    reported = told["reports"]
    assert isinstance(reported, list)
    assert "read" in reported
