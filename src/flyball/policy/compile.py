"""From a bundle to what the decision plane loads: one JSON document, and the digests in it.

Each rule of a profile becomes a Cedar permit that holds where the conformance program says the
call is within the rule; the program (bounds, budgets, counters) stands beside it. Hand-written
policies go through as they are, one by one, each with its place. Same files in, same bytes out.
The document's shape is described in crates/decision/src/document.rs; `digest` covers all files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from flyball.kernel.json import Json, canonical
from flyball.policy.bundle import Bundle, Policy
from flyball.policy.cedar_text import quote
from flyball.policy.diagnostics import Diagnostic, Mark, Problems
from flyball.policy.lint import Cooperative, lint
from flyball.policy.load import read_bundle, refuse
from flyball.policy.program import Sources, flow_json, rule_json
from flyball.policy.returns import template_json
from flyball.policy.validate import validate_compiled
from flyball.task.profile import Profile
from flyball.task.rules import Resource, Rule

_CEDAR_TYPES = {"string": "String", "long": "Long", "decimal": "decimal", "bool": "Bool", "strings": "Set<String>"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A bundle that was accepted.

    Attributes:
        bundle: the bundle; its profiles carry their digests.
        json: what `Core.load` takes.
        digest: `sha256:…` over all files of the bundle.
        diagnostics: the warnings.
        cooperative: for each profile, what rests on the agent's cooperation.
    """

    bundle: Bundle
    json: bytes
    digest: str
    diagnostics: tuple[Diagnostic, ...]
    cooperative: Mapping[str, tuple[Cooperative, ...]]


def load_bundle(folder: Path) -> Compiled:
    """Read, check, lint, compile and validate the bundle in `folder`.

    Raises:
        BundleRefused: with every problem found; nothing of the bundle is used.
        ConfigError: the folder is missing or unreadable.
    """
    bundle, problems = read_bundle(folder)
    compiled = compile_bundle(bundle, problems)
    refuse(problems)
    return compiled


def compile_bundle(bundle: Bundle, problems: Problems) -> Compiled:
    """Lint, compile and validate a bundle that was read; findings go to `problems`.

    Cedar's own validation runs only where nothing is wrong yet: it would only repeat in its words
    what was already said in the bundle's.
    """
    broken = problems.failed
    cooperative = lint(bundle, problems)
    if broken:
        # What an error left out of the bundle would be warned of as dead, unreported or unreachable.
        problems.without_warnings()
    _check_schema(bundle, problems)
    schema, own_schema_line = schema_text(bundle)
    profiles = [_profile(bundle, profile) for profile in bundle.profiles.values()]
    entities = _entities(bundle, problems)
    document: dict[str, Json] = {
        "digest": bundle.digest,
        "schema": schema,
        "entities": entities,
        "agents": {
            name: {"entity": f"Flyball::Agent::{quote(name)}", "owner": agent.owner}
            for name, agent in bundle.agents.items()
        },
        "resource_types": dict(bundle.resource_types),
        "subject_types": dict(bundle.subject_types),
        "actions": {
            name: {
                "effect": action.effect,
                "resource_type": action.resource_type,
                "class": action.access_class,
                "args": dict(action.args),
                "taskless": action.taskless,
                **({} if action.returns is None else {"returns": template_json(action.returns)}),
                **({"http": [route.as_json() for route in action.http]} if action.http else {}),
            }
            for name, action in bundle.actions.items()
        },
        "classes": {name: {"mode": one.mode, "record": one.record} for name, one in bundle.classes.items()},
        "peps": [
            {
                "name": pep.name,
                "identity": dict(pep.identity),
                "actions": list(pep.actions),
                "may_report": pep.may_report,
                "may_assert_subject": list(pep.may_assert_subject),
                "trust_properties": list(pep.trust_properties),
                **({} if pep.max_stream_ms is None else {"max_stream_ms": pep.max_stream_ms}),
            }
            for pep in bundle.peps.values()
        ],
        "policies": [_policy(policy) for policy in bundle.policies],
        "profiles": [dict(profile) for profile in profiles],
    }
    digests = {str(profile["name"]): str(profile["digest"]) for profile in profiles}
    pinned = {name: dataclasses.replace(profile, digest=digests[name]) for name, profile in bundle.profiles.items()}
    data = canonical(document)
    if not problems.failed:
        validate_compiled(data, bundle, own_schema_line, problems)
    return Compiled(dataclasses.replace(bundle, profiles=pinned), data, bundle.digest, problems.all(), cooperative)


def schema_text(bundle: Bundle) -> tuple[str, int]:
    """The whole Cedar schema of a bundle, and the line on which the bundle's own text begins (from 1)."""
    base = resources.files("flyball.policy").joinpath("schema.cedarschema").read_text(encoding="utf-8").rstrip()
    out = [base.removesuffix("}").rstrip()]
    out += [f"  entity {name.removeprefix('Flyball::')} in [Group];" for name in sorted(bundle.generated)]
    inputs: dict[str, str] = {}
    for profile in bundle.profiles.values():
        inputs.update({spec.name: _CEDAR_TYPES[spec.type.wire] for spec in profile.inputs.values()})
    task = f'{{ "id": String, "profile": String, "owner": String, "inputs": {_record(inputs)}, "labels": Set<String> }}'
    out.append(f"  type Task = {task};")
    subjects = sorted(set(bundle.subject_types.values()))
    for name, action in bundle.actions.items():
        args = _record({arg: _CEDAR_TYPES[kind] for arg, kind in action.args.items() if kind != "any"})
        resource = bundle.resource_types.get(action.resource_type, "Flyball::Profile")
        if action.taskless:
            who, context = ", ".join(subjects), f'{{ "args": {args}, "pep": String }}'
        else:
            who = "Agent"
            origins = _record(dict.fromkeys(action.args, "Set<String>"))
            context = f'{{ "task": Task, "args": {args}, "origins": {origins}, "intent": Intent, "pep": String }}'
        out.append(f"  action {quote(name)} appliesTo {{")
        out.append(f"    principal: [{who}], resource: [{resource}], context: {context}")
        out.append("  };")
    out += ["}", ""]
    text = "\n".join(out)
    return (text + bundle.schema, text.count("\n") + 1) if bundle.schema else (text, text.count("\n") + 1)


def _record(members: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{quote(name)}?: {kind}" for name, kind in sorted(members.items())) + " }"


def _check_schema(bundle: Bundle, problems: Problems) -> None:
    for number, line in enumerate(bundle.schema.split("\n"), 1):
        if match := re.search(r"\bnamespace\s+Flyball\b", line.split("//")[0]):
            problems.error(
                "schema_namespace",
                Mark("schema.cedarschema", number, match.start() + 1),
                "the namespace `Flyball` is Flyball's own",
                "declare your types in a namespace of your own",
            )


def _policy(policy: Policy) -> Json:
    return {
        "id": policy.id,
        "file": policy.mark.file,
        "line": policy.mark.line,
        "text": policy.text,
        "annotations": dict(policy.annotations),
    }


def _profile(bundle: Bundle, profile: Profile) -> Mapping[str, Json]:
    mark = bundle.place(f"profile:{profile.name}")
    sources = Sources()
    rules: list[Json] = [
        dict(rule_json(bundle, profile, rule, sources)) for rule in (*profile.allow, *implied_rules(profile))
    ]
    policies: list[Json] = []
    for rule in (*profile.allow, *implied_rules(profile)):
        at = bundle.places.get(f"rule:{rule.id}", mark)
        policies.append({"id": rule.id, "file": at.file, "line": at.line, "text": permit_text(rule)})
    out: dict[str, Json] = {
        "name": profile.name,
        "policies": policies,
        "inputs": {spec.name: spec.type.wire for spec in profile.inputs.values()},
        "rules": rules,
        "budget": {} if profile.budget_calls is None else {"calls": profile.budget_calls},
        "checks_per_second": profile.checks_per_second,
        "sources": sources.json(),
        **flow_json(bundle, profile),
        "time": {"ttl_ms": profile.ttl_ms, "heartbeat_ms": profile.heartbeat_ms},
    }
    out["digest"] = "sha256:" + hashlib.sha256(canonical({**out, **_unseen_by_the_plane(profile)})).hexdigest()
    return out


def _unseen_by_the_plane(profile: Profile) -> dict[str, Json]:
    """What is part of a profile and of its digest, and no matter of the decision plane.

    The places of its rules are left out: moving a profile down a line changes nothing it says.
    """
    described = json.loads(json.dumps(dataclasses.asdict(dataclasses.replace(profile, digest=""))))
    return {"profile": described, "policies": []}


def implied_rules(profile: Profile) -> tuple[Rule, ...]:
    """What every profile allows without saying it: that it is opened, and that its credentials are asked for."""
    opened = Rule(f"{profile.name}/open", "task.open", (Resource(profile.name),))
    issued = (
        Rule(f"{profile.name}/credential/{name}", "credential.issue", (Resource(name),)) for name in profile.credentials
    )
    return (opened, *issued)


def permit_text(rule: Rule) -> str:
    """The Cedar permit that stands for a rule."""
    return (
        f"permit(principal, action == Flyball::Action::{quote(rule.action)}, resource)\n"
        f"when {{ context.intent.rule == {quote(rule.id)} && context.intent.within }};"
    )


def _entities(bundle: Bundle, problems: Problems) -> list[Json]:
    """The bundle's entities, with its agents and their groups, which only bundle.yaml may declare."""
    own: set[tuple[str, str]] = set()
    for entity in bundle.entities:
        uid = _uid(entity)
        if uid[0] == "Flyball::Agent":
            problems.error(
                "agent_entity",
                Mark("entities.json"),
                f"agent `{uid[1]}` is declared in bundle.yaml",
                "give it `groups` there; policies see its `owner`",
            )
        own.add(uid)
    out: list[Json] = list(bundle.entities)
    groups = sorted({group for names in bundle.groups.values() for group in names})
    for group in groups:
        if ("Flyball::Group", group) not in own:
            out.append({"uid": {"type": "Flyball::Group", "id": group}, "attrs": {}, "parents": []})
    for name, agent in bundle.agents.items():
        parents: list[Json] = [{"type": "Flyball::Group", "id": group} for group in bundle.groups.get(name, ())]
        out.append({"uid": {"type": "Flyball::Agent", "id": name}, "attrs": {"owner": agent.owner}, "parents": parents})
    return out


def _uid(entity: Json) -> tuple[str, str]:
    uid = entity.get("uid") if isinstance(entity, dict) else None
    inner = uid.get("__entity", uid) if isinstance(uid, dict) else None
    if isinstance(inner, dict):
        return str(inner.get("type", "")), str(inner.get("id", ""))
    return "", ""
