"""What a bundle says of an HTTP API for the gateway before it: how the key goes in, and what its requests are called.

gateway:
  inject: bearer                      # or none, {basic: USER}, {header: NAME}, {query: NAME}
  operations:
    - {method: GET, path: "/orders/{order_id}", action: read_order}
  openapi: openapi/crm.yaml           # operations, named by their operationId; those above win
  networks: [10.0.0.0/8]              # not public, and meant
  intercept: true                     # CONNECT is answered with a certificate of this deployment's own
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle, Target
from flyball.policy.diagnostics import Mark, Problems
from flyball.policy.reader import NAME, Fields
from flyball.policy.yaml import Table

KIND = "http"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
BODIES = ("fields", "stream", "none")
_PLACES = ("basic", "header", "query")
_PATH = re.compile(r"(?:/(?:[^/{}\s?#]+|\{[A-Za-z_][A-Za-z0-9_]*\})?)+")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_UNDERSTOOD = ("application/json", "application/x-www-form-urlencoded")
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an API is, as its URL says it."""

    scheme: str
    host: str
    port: int
    base: str


def place_of(url: str) -> Place | None:
    """The place that a URL names; none where it is not `http(s)://host[:port][/base]`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").lower()
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not host or not plain or not url.isascii() or url != url.strip():
        return None
    base = parts.path.rstrip("/")
    if base and (not _PATH.fullmatch(base) or "{" in base):
        return None
    return Place(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), base)


def read_http(inner: Fields) -> dict[str, Json]:
    """The fields of `gateway` of an HTTP target; faults are noted."""
    found: dict[str, Json] = {"inject": _inject(inner)}
    networks = list(inner.texts("networks"))
    for text, mark in networks:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            hint = "write `10.0.0.0/8`, or one address"
            inner.problems.error("wrong_network", mark, f"`{text}` is no network", hint, len(text))
    found["networks"] = [text for text, _ in networks]
    found["intercept"] = inner.flag("intercept")
    found["operations"] = [*_operations(inner)]
    if openapi := inner.text("openapi"):
        found["openapi"] = openapi
    return found


def _inject(inner: Fields) -> Json:
    node = inner.node("inject")
    if node is None:
        inner.missing("inject")
        return "none"
    if not isinstance(node, Table):
        return inner.choice("inject", ("bearer", "none"), "none")
    fields = Fields("`inject`", node, inner.problems)
    given = {key: value for key in _PLACES if (value := fields.text(key))}
    fields.done()
    if len(given) != 1:
        inner.problems.error("wrong_inject", node.mark, "`inject` needs one place", f"one of {', '.join(_PLACES)}")
        return "none"
    key, value = next(iter(given.items()))
    sound = ":" not in value if key == "basic" else _TOKEN.fullmatch(value) is not None
    if not sound:
        inner.problems.error("wrong_inject", fields.at(key), f"`{value}` cannot stand there", width=len(value))
    return {key: value}


def _operations(inner: Fields) -> Iterator[Json]:
    for number, node in enumerate(inner.items("operations"), 1):
        fields = Fields(f"operation {number} of {inner.what}", node, inner.problems)
        method = fields.choice("method", METHODS, "")
        path = fields.text("path", required=True)
        if not method:
            fields.missing("method")
        if path and not _PATH.fullmatch(path):
            hint = "write `/orders/{order_id}`: a parameter is a whole segment"
            inner.problems.error("wrong_path", fields.at("path"), f"`{path}` is no path of an API", hint, len(path))
        yield {
            "method": method,
            "path": path,
            "action": fields.text("action"),
            "body": fields.choice("body", BODIES, "fields"),
        }
        fields.done()


def check_http(bundle: Bundle, problems: Problems) -> None:
    """Note what is wrong with HTTP targets as a whole."""
    places: dict[tuple[str, int], str] = {}
    for target in bundle.targets.values():
        if target.kind != KIND:
            continue
        mark = bundle.place(f"target:{target.name}")
        place = place_of(str(target.config.get("url", "")))
        if place is None:
            hint = "write `url: https://api.example.com/v1`"
            problems.error("wrong_url", mark, f"target `{target.name}` has no URL that an API could be at", hint)
            continue
        if not target.gateway:
            problems.error("missing_field", mark, f"target `{target.name}` lacks `gateway`", "say at least `inject`")
        if other := places.get((place.host, place.port)):
            text = f"targets `{other}` and `{target.name}` have one host and port"
            problems.error("place_twice", mark, text, "make them one target, with several accesses")
        places[place.host, place.port] = target.name
        has_key, inject = "secret_file" in target.config, target.gateway.get("inject", "none")
        if target.gateway and has_key != (inject != "none"):
            text = f"target `{target.name}` has {'a key and no place' if has_key else 'a place and no key'} for it"
            problems.error("wrong_inject", mark, text, "give both `secret_file` and `gateway.inject`, or neither")
        if target.gateway.get("intercept") and place.scheme != "https":
            problems.error(
                "wrong_intercept", mark, f"target `{target.name}` is not https: there is nothing to intercept"
            )
        _check_actions(bundle, target, problems, mark)


def _check_actions(bundle: Bundle, target: Target, problems: Problems, mark: Mark) -> None:
    operations = target.gateway.get("operations")
    seen: set[tuple[str, str]] = set()
    for one in operations if isinstance(operations, list) else ():
        assert isinstance(one, dict)
        action, method, path = str(one["action"]), str(one["method"]), str(one["path"])
        if action:
            problems.known("action", action, bundle.actions, mark, "unknown_action")
        shape = (method, re.sub(r"\{[^}]*\}", "{}", path))
        if shape in seen:
            problems.error("operation_twice", mark, f"`{method} {path}` of target `{target.name}` stands twice")
        seen.add(shape)


def with_openapi(
    targets: Mapping[str, Target], documents: Mapping[str, Json], problems: Problems, places: Mapping[str, Mark]
) -> dict[str, Target]:
    """The targets, with the operations that their OpenAPI documents name behind those that they name themselves."""
    found: dict[str, Target] = {}
    for name, target in targets.items():
        file, own = target.gateway.get("openapi"), target.gateway.get("operations")
        if target.kind != KIND or not isinstance(file, str) or not isinstance(own, list):
            found[name] = target
            continue
        if file not in documents:
            mark = places.get(f"target:{name}", Mark("bundle.yaml"))
            problems.error("unknown_openapi", mark, f"there is no `{file}`", "put it into openapi/, as a .yaml file")
        taken = {_shape(one) for one in own}
        named = [one for one in operations_of(documents.get(file)) if _shape(one) not in taken]
        gateway: dict[str, Json] = {**target.gateway, "operations": [*own, *named]}
        found[name] = Target(target.name, target.kind, target.config, target.accesses, gateway)
    return found


def _shape(operation: Json) -> tuple[str, str]:
    assert isinstance(operation, dict)
    return str(operation["method"]), re.sub(r"\{[^}]*\}", "{}", str(operation["path"]))


def operations_of(document: Json) -> Iterator[dict[str, Json]]:
    """The operations of an OpenAPI document that have an `operationId`. What cannot be matched by whole segments is
    left out: it is a plain `http.get` and the like, which a profile must allow by its path."""
    paths = document.get("paths") if isinstance(document, dict) else None
    for path, item in paths.items() if isinstance(paths, dict) else ():
        if not isinstance(item, dict) or not _PATH.fullmatch(path):
            continue
        for method in METHODS:
            operation = item.get(method.lower())
            name = operation.get("operationId") if isinstance(operation, dict) else None
            if not isinstance(operation, dict) or not isinstance(name, str):
                continue
            action = _NO_NAME.sub("-", name)
            if NAME.fullmatch(action):
                yield {"method": method, "path": path, "action": action, "body": _body(operation.get("requestBody"))}


def _body(body: Json) -> str:
    if body is None:
        return "none"
    content = body.get("content") if isinstance(body, dict) else None
    if not isinstance(content, dict) or not content:
        return "fields"  # a reference, say: what is no JSON or form is refused then
    kinds = [kind.partition(";")[0].strip().lower() for kind in content]
    understood = all(kind in _UNDERSTOOD or kind.endswith("+json") for kind in kinds)
    return "fields" if understood else "stream"


def upstreams(bundle: Bundle) -> dict[str, dict[str, Json]]:
    """Each HTTP target as the gateway is told of it, without the authorities of its own."""
    points = [pep for pep in bundle.peps.values() if pep.identity.get("gateway") == KIND]
    reporting = any(pep.may_report for pep in points)
    found: dict[str, dict[str, Json]] = {}
    for name, target in bundle.targets.items():
        place = place_of(str(target.config.get("url", "")))
        if target.kind != KIND or place is None:
            continue
        operations = target.gateway.get("operations")
        routes = [_route(bundle, one) for one in operations] if isinstance(operations, list) else []
        told: list[Json] = [one for one, action in bundle.actions.items() if action.returns is not None and reporting]
        found[name] = {
            "name": name,
            "scheme": place.scheme,
            "host": place.host,
            "port": place.port,
            "base": place.base,
            "inject": target.gateway.get("inject", "none"),
            "networks": target.gateway.get("networks", []),
            "intercept": target.gateway.get("intercept", False),
            "routes": [*routes],
            "reports": told,
        }
    return found


def _route(bundle: Bundle, operation: Json) -> dict[str, Json]:
    assert isinstance(operation, dict)
    action = bundle.actions.get(str(operation["action"]) or f"http.{str(operation['method']).lower()}")
    args = {} if action is None else action.args
    bare: list[Json] = [name for name, kind in args.items() if kind in ("long", "decimal", "bool")]
    return {**operation, "bare": bare}
