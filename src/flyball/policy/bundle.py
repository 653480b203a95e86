"""The bundle: the reviewed folder that says who may do what, and how it is taken back.

    bundle.yaml            agents, owners, actions, access classes, enforcement points, targets, identity
    profiles/*.yaml        one profile of intent each
    tools/*.yaml           tool sheets: actions, and who can write what they return
    policies/*.cedar       hand-written Cedar
    schema.cedarschema     the bundle's own types (optional)
    entities.json          facts about entities, in Cedar's JSON (optional)
    tests/*.yaml           cases for `flyball test`
    trust/*.json           trust bundles of SPIFFE trust domains (optional)
    openapi/*.yaml         OpenAPI documents that name the operations of HTTP targets (optional)

Every field is described in docs/bundle.md. `read_bundle` reads it all and reports every problem at
once; `flyball.policy.compile` makes of it what the decision plane loads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flyball.identity.agents import AgentDecl
from flyball.kernel.errors import ConfigError
from flyball.kernel.json import Json, canonical
from flyball.policy.diagnostics import Mark, Problems
from flyball.policy.http_routes import HttpRoute
from flyball.policy.returns import FieldSpec, Template, fields_of
from flyball.task.profile import Profile
from flyball.task.rules import WRITERS, Resource

MAX_FILES = 20_000
MAX_TOTAL_BYTES = 128 * 1024 * 1024
PLACES = ("bundle.yaml", "schema.cedarschema", "entities.json", "README.md", "LICENSE")
FOLDERS = {
    "profiles": ".yaml",
    "tools": ".yaml",
    "policies": ".cedar",
    "tests": ".yaml",
    "trust": ".json",
    "openapi": ".yaml",
}

#: Types of an action's arguments. `strings` is a set of texts; `any` is sealed and shown to no policy.
ARG_TYPES = ("string", "long", "decimal", "bool", "strings", "any")


@dataclass(frozen=True, slots=True)
class Action:
    """One privileged action that an enforcement point may ask about.

    Without `returns`, whatever comes back could have been written by anybody outside. `http` says which HTTP
    requests are this action, for enforcement points that see those.
    """

    name: str
    resource_type: str
    effect: str
    access_class: str = "default"
    args: Mapping[str, str] = field(default_factory=dict)
    taskless: bool = False
    returns: Template | None = None
    http: tuple[HttpRoute, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessClass:
    """A class of privileged access: its risk, its mode and how its decisions are recorded."""

    name: str
    risk: str = "high"
    mode: str = "enforce"
    record: str = "durable"


@dataclass(frozen=True, slots=True)
class Pep:
    """An enforcement point: how it proves itself, what it may ask for and what of its word counts.

    `cooperative`: the agent could go around it, so what it alone asks about rests on the agent's cooperation.
    `max_stream_ms`: it asks once for each request, and what was allowed may stream on for so long; None where it
    ends what is open when a task is fenced, or lets nothing stream.
    """

    name: str
    identity: Mapping[str, Json]
    actions: tuple[str, ...]
    may_report: bool = False
    may_assert_subject: tuple[str, ...] = ()
    trust_properties: tuple[str, ...] = ()
    cooperative: bool = False
    max_stream_ms: int | None = None

    @property
    def is_agent(self) -> bool:
        """Whether the agent itself asks: what it asks for rests on its cooperation."""
        return self.identity.get("self") is True

    def may_ask(self, action: str) -> bool:
        """Whether it is registered for `action`."""
        return any(known == action or (known.endswith("*") and action.startswith(known[:-1])) for known in self.actions)


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing that an access gives at the target, in the bundle's own words."""

    action: str
    resource: Resource
    mark: Mark


@dataclass(frozen=True, slots=True)
class Access:
    """One kind of credential at a target. `delivery` says whether the agent ever holds the secret."""

    name: str
    delivery: str
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A target. `config` is the connector's own, as written, with `accesses` in it; Flyball reads only the grants.
    `gateway` is what the gateway before it must know of it."""

    name: str
    kind: str
    config: Mapping[str, Json]
    accesses: Mapping[str, Access]
    gateway: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """One hand-written policy. `id` is `<file>#<@id or number>`; `mark` is where it begins."""

    id: str
    mark: Mark
    text: str
    effect: str
    annotations: Mapping[str, str]
    head: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as read. Its profiles carry digests once it is compiled.

    `groups` names each agent's groups.
    `resource_types` and `subject_types` map AuthZEN type names to Cedar entity types; `generated`
    names those that this bundle's schema text must declare. `labels` are those that no field carries.
    `places` says where things stand in the files: `agent:<name>`, `action:<name>`, `profile:<name>`,
    `rule:<id>`, `credential:<profile>/<name>` …
    """

    name: str
    version: str
    digest: str
    owners: Mapping[str, str]
    agents: Mapping[str, AgentDecl]
    groups: Mapping[str, tuple[str, ...]]
    resource_types: Mapping[str, str]
    subject_types: Mapping[str, str]
    generated: frozenset[str]
    actions: Mapping[str, Action]
    classes: Mapping[str, AccessClass]
    peps: Mapping[str, Pep]
    targets: Mapping[str, Target]
    identity: Mapping[str, Json]
    profiles: Mapping[str, Profile]
    policies: tuple[Policy, ...]
    schema: str
    entities: tuple[Json, ...]
    tests: Mapping[str, bytes]
    places: Mapping[str, Mark]
    labels: tuple[str, ...] = ()

    def all_labels(self) -> tuple[str, ...]:
        """Every label that a task of this bundle can come to carry: writers first, then the bundle's own."""
        own = {
            label for one in self.actions.values() for spec in fields_of(one.returns).values() for label in spec.labels
        }
        return (*WRITERS, *sorted(own | set(self.labels)))

    def field(self, action: str, name: str) -> FieldSpec | None:
        """What a field of an action's results is declared to be; None where it is not declared.

        The whole result of an action without `returns` is anything, by anybody outside.
        """
        declared = self.actions[action].returns if action in self.actions else None
        if declared is None and not name:
            return FieldSpec("any", "outside")
        return fields_of(declared).get(name)

    def place(self, key: str) -> Mark:
        """Where the thing stands; the head of bundle.yaml where that is not known."""
        return self.places.get(key, Mark("bundle.yaml"))


def read_files(folder: Path, problems: Problems) -> dict[str, bytes]:
    """The bundle's files, by path relative to the folder with `/`, in order.

    Names that begin with a dot are left out. Whatever else has no place in a bundle is a problem:
    a misplaced policy that is silently not read is a permission that nobody reviewed.

    Raises:
        ConfigError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"there is no bundle folder {str(folder)!r}",
            code="bundle_missing",
            hint="name the folder that holds bundle.yaml",
        )
    root = folder.resolve()
    files: dict[str, bytes] = {}
    total = 0
    try:
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if any(part.startswith(".") for part in relative.parts) or path.is_dir():
                continue
            name = relative.as_posix()
            if not path.resolve().is_relative_to(root):
                problems.error("outside_bundle", Mark(name), "this file lies outside the bundle's folder")
                continue
            if not _has_place(relative.parts):
                problems.error(
                    "misplaced_file",
                    Mark(name),
                    "a bundle has no place for this file",
                    "profiles/*.yaml, tools/*.yaml, policies/*.cedar, tests/*.yaml, " + ", ".join(PLACES),
                )
                continue
            total += path.stat().st_size
            if len(files) >= MAX_FILES or total > MAX_TOTAL_BYTES:
                problems.error("bundle_oversize", Mark(name), "the bundle is too large", "split it")
                break
            files[name] = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the bundle cannot be read: {error.strerror}: {error.filename}", code="bundle_unreadable"
        ) from error
    if "bundle.yaml" not in files:
        problems.error("bundle_yaml_missing", Mark("bundle.yaml"), "the folder holds no bundle.yaml")
    return files


def _has_place(parts: tuple[str, ...]) -> bool:
    if len(parts) == 1:
        return parts[0] in PLACES
    return len(parts) == 2 and FOLDERS.get(parts[0]) == Path(parts[1]).suffix


def digest_of(files: Mapping[str, bytes]) -> str:
    """`sha256:…` over the names and contents of all files; the same for the same files on any machine."""
    members: Json = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return "sha256:" + hashlib.sha256(canonical(members)).hexdigest()


def may_run(bundle: Bundle, agent: str) -> tuple[str, ...]:
    """The names of the profiles that `agent` may run, in order."""
    return tuple(sorted(name for name, profile in bundle.profiles.items() if agent in profile.agents))
