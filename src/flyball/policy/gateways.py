"""What a bundle says of gateways in Flyball's own process, and whether it can be kept.

1. A brokered access needs a gateway that stands before its target, declared as an enforcement point of its own.
2. A rule that names columns is kept by a gateway only where its action takes `columns`.
3. An API has a URL, a place for its key, and operations that are actions of the bundle (`http_gateway.py`).
"""

from __future__ import annotations

from flyball.kernel.json import Json
from flyball.policy import http_gateway
from flyball.policy.bundle import Access, Bundle, Pep, Target
from flyball.policy.diagnostics import Problems
from flyball.policy.reader import Fields

#: Kinds of gateways, each before targets of the same kind.
KINDS = ("postgresql", http_gateway.KIND)


def read_gateway(target: str, kind: str, fields: Fields) -> dict[str, Json]:
    """`gateway:` of a target: what the gateway before it must know. Empty where it is left out."""
    node = fields.node("gateway")
    if node is None:
        return {}
    inner = Fields(f"`gateway` of target `{target}`", node, fields.problems)
    found: dict[str, Json] = {}
    if kind not in KINDS:
        fields.problems.error(
            "gateway_kind", node.mark, f"no gateway stands before a target of kind `{kind}`", "leave `gateway` out"
        )
    if kind == http_gateway.KIND:
        found = http_gateway.read_http(inner)
        inner.done()
        return found
    for key in ("search_path", "functions", "triggers"):
        if key not in inner:
            continue
        texts = tuple(inner.texts(key))
        found[key] = [value for value, _ in texts]
        for value, mark in texts:
            if key != "search_path" and value.count(".") != 1:
                inner.problems.error(
                    "wrong_name", mark, f"`{value}` is no `schema.function`", "write it in full", len(value)
                )
    if inner.flag("foreign_tables"):
        found["foreign_tables"] = True
    inner.done()
    return found


def check_gateways(bundle: Bundle, problems: Problems) -> None:
    """Note what no gateway can keep."""
    points = {str(pep.identity["gateway"]): pep for pep in bundle.peps.values() if "gateway" in pep.identity}
    for kind, pep in points.items():
        place = bundle.place(f"pep:{pep.name}")
        problems.known("gateway", kind, KINDS, place, "unknown_gateway")
    for target in bundle.targets.values():
        _brokered(bundle, target, points.get(target.kind), problems)
    for pep in points.values():
        _columns(bundle, pep, problems)
    http_gateway.check_http(bundle, problems)


def _brokered(bundle: Bundle, target: Target, pep: Pep | None, problems: Problems) -> None:
    for access in target.accesses.values():
        place = bundle.place(f"access:{target.name}/{access.name}")
        if access.delivery != "brokered":
            continue
        if pep is None and _swapped(bundle, access):
            continue
        if pep is None:
            problems.error(
                "brokered_without_gateway",
                place,
                f"access `{access.name}` is brokered, and no gateway stands before target `{target.name}`",
                f"declare one under `peps`, with `identity: {{gateway: {target.kind}}}`",
            )
            continue
        for grant in access.grants:
            if not pep.may_ask(grant.action):
                problems.error(
                    "brokered_unasked",
                    bundle.place(f"grant:{target.name}/{access.name}/{grant.action}"),
                    f"the gateway `{pep.name}` may not ask for `{grant.action}`, so nobody could use this grant",
                    f"add it to the `actions` of `{pep.name}`, or take the grant away",
                )


def _swapped(bundle: Bundle, access: Access) -> bool:
    """Whether each grant of an access is an action whose requests carry a credential of that access, put in by the
    proxy that asks about them."""
    names = {
        credential.name
        for profile in bundle.profiles.values()
        for credential in profile.credentials.values()
        if credential.access == access.name
    }
    for grant in access.grants:
        action = bundle.actions.get(grant.action)
        carried = {route.credential.get("name") for route in action.http} if action is not None else set()
        if not carried & names or not any(pep.may_ask(grant.action) for pep in bundle.peps.values()):
            return False
    return bool(access.grants)


def _columns(bundle: Bundle, pep: Pep, problems: Problems) -> None:
    for profile in bundle.profiles.values():
        for rule in profile.allow:
            action = bundle.actions.get(rule.action)
            named = action is not None and any(one.columns for one in rule.on) and pep.may_ask(rule.action)
            if named and action is not None and action.args.get("columns") != "strings":
                problems.error(
                    "columns_unseen",
                    bundle.place(f"rule:{rule.id}"),
                    f"the rule names columns, and `{rule.action}` has no argument for the gateway to name them by",
                    f"give `{rule.action}` the argument `columns: strings`",
                )
