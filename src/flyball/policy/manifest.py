"""Reading bundle.yaml: everything but the profiles, policies and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flyball.identity.agents import AgentDecl, compile_pattern
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json
from flyball.policy.actions import BUILT_IN_ACTIONS, read_actions, read_labels
from flyball.policy.allow import read_resources
from flyball.policy.bundle import Access, AccessClass, Action, Grant, Pep, Target
from flyball.policy.cedar_text import entity_type, is_identifier
from flyball.policy.diagnostics import Mark, Problems
from flyball.policy.gateways import read_gateway
from flyball.policy.reader import Fields, describe
from flyball.policy.yaml import Kind, Node, Scalar, plain

BUILT_IN_TYPES = {"profile": "Flyball::Profile", "credential": "Flyball::Credential"}
#: The control plane's own name as an enforcement point.
CONTROL_PLANE = "flyball"


@dataclass(slots=True)
class Manifest:
    """What bundle.yaml says."""

    name: str = ""
    version: str = ""
    owners: dict[str, str] = field(default_factory=dict)
    agents: dict[str, AgentDecl] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    resource_types: dict[str, str] = field(default_factory=lambda: dict(BUILT_IN_TYPES))
    subject_types: dict[str, str] = field(default_factory=dict)
    generated: set[str] = field(default_factory=set)
    actions: dict[str, Action] = field(default_factory=lambda: dict(BUILT_IN_ACTIONS))
    labels: tuple[str, ...] = ()
    classes: dict[str, AccessClass] = field(default_factory=lambda: {"default": AccessClass("default")})
    peps: dict[str, Pep] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    identity: Mapping[str, Json] = field(default_factory=dict)
    places: dict[str, Mark] = field(default_factory=dict)


def read_manifest(node: Node, problems: Problems) -> Manifest:
    """What bundle.yaml says; every fault goes to `problems`, and what is sound is kept."""
    out = Manifest()
    top = Fields("bundle.yaml", node, problems)
    out.name = top.text("name", required=True)
    out.version = top.text("version", required=True)
    top.choice("mode", ("enforce",), "enforce", later=("observe", "warn"))
    _owners(top, out)
    _agents(top, out)
    _types(top, "resource_types", "resource type", out.resource_types, out)
    _types(top, "subject_types", "subject type", out.subject_types, out)
    _classes(top, out)
    read_actions(top, out.actions, out.places)
    out.labels = read_labels(top)
    _peps(top, out, problems)
    _targets(top, out, problems)
    _identity(top, out)
    top.done()
    return out


def _owners(top: Fields, out: Manifest) -> None:
    for name, mark, fields in top.tables("owners", "owner"):
        out.owners[name] = fields.text("contact")
        out.places[f"owner:{name}"] = mark
        fields.done()


def _agents(top: Fields, out: Manifest) -> None:
    for name, mark, fields in top.tables("agents", "agent"):
        out.places[f"agent:{name}"] = mark
        ids: list[str] = []
        for pattern, at in fields.texts("ids"):
            try:
                compile_pattern(pattern)
                ids.append(pattern)
            except ConfigError as error:
                fields.problems.error("agent_pattern", at, error.detail, error.hint, len(pattern))
        uid = fields.whole("uid", most=2**32 - 2)
        out.agents[name] = AgentDecl(
            name, tuple(ids), fields.text("owner", required=True), uid, fields.text("instance")
        )
        out.places[f"agent:{name}/owner"] = fields.at("owner")
        out.groups[name] = tuple(value for value, _ in fields.texts("groups"))
        fields.done()
        if "ids" not in fields and uid is None and not fields.meant & {"ids", "uid"}:
            fields.problems.error(
                "agent_without_identity", mark, f"agent `{name}` has no identity", "give it `ids` or a `uid`", len(name)
            )


def _types(top: Fields, key: str, what: str, types: dict[str, str], out: Manifest) -> None:
    for name, mark, node in top.named(key, what):
        out.places[f"{key}:{name}"] = mark
        if isinstance(node, Scalar) and node.kind is Kind.NULL:
            if not is_identifier(name):
                top.problems.error(
                    "wrong_name",
                    mark,
                    f"`{name}` is no Cedar type name",
                    f"say which: `{name}: Shop::Thing`",
                    len(name),
                )
                continue
            types[name] = f"Flyball::{name}"
            out.generated.add(types[name])
        elif isinstance(node, Scalar) and entity_type(node.text):
            if name in BUILT_IN_TYPES and types is out.resource_types:
                top.problems.error("built_in", mark, f"`{name}` is built in", width=len(name))
                continue
            types[name] = node.text
        else:
            top.problems.error(
                "wrong_type",
                node.mark,
                f"{what} `{name}` must be nothing, or a Cedar entity type of schema.cedarschema, not {describe(node)}",
            )


def _classes(top: Fields, out: Manifest) -> None:
    for name, mark, fields in top.tables("access_classes", "access class"):
        out.places[f"class:{name}"] = mark
        out.classes[name] = AccessClass(
            name,
            risk=fields.choice("risk", ("low", "medium", "high"), "high"),
            mode=fields.choice("mode", ("enforce",), "enforce", later=("observe", "warn")),
            record=fields.choice("record", ("durable", "buffered"), "durable"),
        )
        fields.done()


def _peps(top: Fields, out: Manifest, problems: Problems) -> None:
    for name, mark, fields in top.tables("peps", "enforcement point"):
        out.places[f"pep:{name}"] = mark
        if name == CONTROL_PLANE:
            problems.error("built_in", mark, f"`{name}` is the control plane's own name", "choose another", len(name))
            continue
        out.peps[name] = Pep(
            name,
            identity=_pep_identity(name, fields, problems),
            actions=tuple(value for value, _ in fields.texts("actions")),
            may_report=fields.flag("may_report"),
            cooperative=fields.flag("cooperative"),
            max_stream_ms=fields.duration("max_stream"),
            may_assert_subject=tuple(value for value, _ in fields.texts("may_assert_subject")),
            trust_properties=tuple(
                value
                for value, at in fields.texts("trust_properties")
                if _one_of(value, at, ("subject", "resource", "action"), "trust_properties", problems)
            ),
        )
        for key in ("actions", "may_assert_subject"):
            out.places[f"pep:{name}/{key}"] = fields.at(key) if key in fields else mark
        fields.done()


def _pep_identity(name: str, fields: Fields, problems: Problems) -> dict[str, Json]:
    node = fields.node("identity")
    if node is None:
        fields.missing("identity")
        return {}
    inner = Fields(f"identity of enforcement point `{name}`", node, problems)
    found: dict[str, Json] = {}
    if inner.flag("self"):
        found["self"] = True
    for key in ("spiffe", "x5t", "gateway"):
        if value := inner.text(key):
            found[key] = value
    if (uid := inner.whole("uid", most=2**32 - 2)) is not None:
        found["uid"] = uid
    inner.done()
    if len(found) != 1:
        problems.error(
            "pep_identity",
            node.mark,
            f"enforcement point `{name}` needs one identity, not {len(found)}",
            "one of `self: true` (the agent itself), `spiffe`, `x5t` (SHA-256 of its certificate), `uid` or `gateway`",
        )
    return found


def _one_of(value: str, mark: Mark, choices: tuple[str, ...], what: str, problems: Problems) -> bool:
    if value not in choices:
        problems.error("wrong_choice", mark, f"`{value}` is no `{what}`", f"one of {', '.join(choices)}", len(value))
        return False
    return True


def _targets(top: Fields, out: Manifest, problems: Problems) -> None:
    for name, mark, fields in top.tables("targets", "target"):
        out.places[f"target:{name}"] = mark
        kind = fields.text("kind", required=True)
        accesses: dict[str, Access] = {}
        for access, access_mark, inner in fields.tables("accesses", "access"):
            out.places[f"access:{name}/{access}"] = access_mark
            grants: list[Grant] = []
            for item in inner.items("grants"):
                grant = Fields(f"a grant of access `{access}`", item, problems)
                action = grant.text("action", required=True)
                grants += [Grant(action, resource, at) for resource, at in read_resources(grant)]
                out.places[f"grant:{name}/{access}/{action}"] = grant.at("action")
                grant.done()
            delivery = inner.choice("delivery", ("released", "brokered"), "released")
            accesses[access] = Access(access, delivery, tuple(grants))
            for _ in inner.rest():
                """The connector's own fields, which it checks itself."""
        gateway = read_gateway(name, kind, fields)
        config: dict[str, Json] = {key: plain(node) for key, _, node in fields.rest()}
        if (node := fields.node("accesses")) is not None:
            config["accesses"] = plain(node)
        else:
            fields.missing("accesses")
        out.targets[name] = Target(name, kind, config, accesses, gateway)


def _identity(top: Fields, out: Manifest) -> None:
    node = top.node("identity")
    if node is None:
        return
    fields = Fields("`identity`", node, top.problems)
    found: dict[str, Json] = {}
    found["trust_domains"] = {name: plain(value) for name, _, value in fields.named("trust_domains", "trust domain")}
    found["oidc"] = [plain(item) for item in fields.items("oidc")]
    fields.done()
    out.identity = found
