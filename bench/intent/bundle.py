"""From a folder of profiles to a bundle that the plane loads: the harness writes bundle.yaml around it.

The folder holds `tools/*.yaml` and `profiles/*.yaml`, perhaps `profiles/<suite>/*.yaml` for single kinds of
task, and `policies/*.cedar`. It is frozen by hash before anything is run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from bench.intent.names import AGENT, OWNER, PEP, RESOURCE, TRUST_DOMAIN
from bench.intent.suites.data import as_map
from bench.intent.suites.model import Tool
from flyball.kernel.json import Json
from flyball.policy.compile import Compiled, load_bundle

_KEPT = ("policies/", "schema.cedarschema", "entities.json")
_MAPPING = "tasks.yaml"


class FolderError(Exception):
    """A folder of profiles cannot be used. The text says why, and what to do."""


@dataclass(frozen=True)
class Folder:
    """A folder of profiles as it was when it was frozen."""

    files: Mapping[str, bytes]
    digest: str

    def text(self, name: str) -> Mapping[str, Json]:
        """A YAML file's map, read loosely: the bundle's own strict reader judges it later."""
        try:
            found: Json = yaml.safe_load(self.files[name])
        except yaml.YAMLError as error:
            raise FolderError(f"{name} is not YAML: {error}") from error
        return as_map(found)

    def under(self, prefix: str) -> list[str]:
        """YAML files directly in a folder."""
        return [
            name for name in self.files
            if name.startswith(prefix) and name.endswith(".yaml") and "/" not in name.removeprefix(prefix)
        ]  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """A bundle that the plane took, and which profile each task runs."""

    compiled: Compiled
    agent_profile: str
    by_task: Mapping[str, str]

    def profile_of(self, task: str) -> str:
        """The profile's name."""
        return self.by_task.get(task, self.agent_profile)


def freeze(path: Path) -> Folder:
    """Read every file of a folder, once; later changes to it change nothing of the run.

    Raises:
        FolderError: there is no such folder, or no profile in it.
    """
    if not path.is_dir():
        raise FolderError(f"there is no folder {path}")
    files = {
        one.relative_to(path).as_posix(): one.read_bytes()
        for one in sorted(path.rglob("*"))
        if one.is_file() and not any(part.startswith(".") for part in one.relative_to(path).parts)
    }
    if not any(name.startswith("profiles/") for name in files):
        raise FolderError(f"{path} holds no profiles/*.yaml")
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return Folder(files, "sha256:" + hashlib.sha256(lines.encode()).hexdigest())


def load(folder: Folder, suite: str, tools: Sequence[Tool], into: Path, *, by_task: bool = False) -> Loaded:
    """Write the suite's bundle into an empty folder and load it.

    Args:
        by_task: with the profiles for kinds of task, where the folder has some for this suite.

    Raises:
        FolderError: no profile is for this suite.
        BundleRefused: the bundle's own reader, lint or compiler found faults.
    """
    agent_file = _agent_file(folder, suite)
    chosen = {agent_file: agent_file}
    kinds: dict[str, str] = {}
    if by_task:
        kinds = _kinds(folder, suite)
        chosen |= {name: f"profiles/{suite}--{name.rsplit('/', 1)[1]}" for name in set(kinds.values())}
    names = {name: str(folder.text(name).get("profile") or "") for name in chosen}
    sheets = _sheets(folder, suite)
    for name, place in [*chosen.items(), *((sheet, sheet) for sheet in sheets)]:
        _write(into / place, folder.files[name])
    for name, data in folder.files.items():
        if name.startswith(_KEPT):
            _write(into / name, data)
    profiles = [folder.text(name) for name in chosen]
    manifest = _manifest(suite, tools, profiles, [folder.text(sheet) for sheet in sheets])
    _write(into / "bundle.yaml", json.dumps(manifest, indent=1).encode())
    compiled = load_bundle(into)
    return Loaded(compiled, names[agent_file], {task: names[name] for task, name in kinds.items()})


def load_role(suite: str, tools: Sequence[Tool], used: Iterable[str], into: Path) -> Loaded:
    """The floor: a role with the names of tools that the suite's tasks use, and nothing else."""
    declared = {tool.name: tool for tool in tools}
    wanted = sorted(set(used))
    every = [*declared.values(), *(Tool(name, "", {}) for name in wanted if name not in declared)]
    rules: list[Json] = [{"action": name} for name in wanted]
    profile: dict[str, Json] = {
        "profile": "role", "purpose": "The tools that this agent's tasks use", "agents": [AGENT],
        "time": {"ttl": "1h", "heartbeat": "1m"}, "allow": rules,
    }  # fmt: skip
    _write(into / "profiles/role.yaml", json.dumps(profile).encode())
    _write(into / "bundle.yaml", json.dumps(_manifest(suite, every, [profile], [])).encode())
    return Loaded(load_bundle(into), "role", {})


def has_kinds(folder: Folder, suite: str) -> bool:
    """Whether the folder has profiles for single kinds of the suite's tasks."""
    return bool(_kinds(folder, suite))


def _agent_file(folder: Folder, suite: str) -> str:
    name = f"profiles/{suite}.yaml"
    flat = folder.under("profiles/")
    if name in folder.files:
        return name
    named = [one for one in flat if folder.text(one).get("profile") == suite]
    if len(named) == 1:
        return named[0]
    if len(flat) == 1:
        return flat[0]
    raise FolderError(
        f"no profile for `{suite}`: name it profiles/{suite}.yaml (there are {', '.join(flat) or 'none'})"
    )


def _kinds(folder: Folder, suite: str) -> dict[str, str]:
    """Task → file of the profile for its kind."""
    prefix = f"profiles/{suite}/"
    files = {name.removeprefix(prefix).removesuffix(".yaml"): name for name in folder.under(prefix)}
    mapping = files.pop(_MAPPING.removesuffix(".yaml"), None)
    found = dict(files)
    if mapping is not None:
        for task, kind in folder.text(mapping).items():
            if str(kind) not in files:
                raise FolderError(f"{mapping}: there is no {prefix}{kind}.yaml for `{task}`")
            found[task] = files[str(kind)]
    return found


def _sheets(folder: Folder, suite: str) -> list[str]:
    """The suite's own sheet, and those that are not named after another profile."""
    others = {name.removeprefix("profiles/") for name in folder.under("profiles/")} - {f"{suite}.yaml"}
    return [sheet for sheet in folder.under("tools/") if sheet.removeprefix("tools/") not in others]


def _manifest(
    suite: str, tools: Sequence[Tool], profiles: Sequence[Mapping[str, Json]], sheets: Sequence[Mapping[str, Json]]
) -> dict[str, Json]:
    in_sheets = {action for sheet in sheets for action in as_map(sheet.get("actions"))}
    types = {str(sheet.get("resource") or RESOURCE) for sheet in sheets} | {RESOURCE}
    classes = {str(sheet["class"]) for sheet in sheets if sheet.get("class")}
    for sheet in sheets:
        for action in as_map(sheet.get("actions")).values():
            classes |= {str(as_map(action)["class"])} if as_map(action).get("class") else set()
    actions: dict[str, Json] = {tool.name: _action(tool) for tool in tools if tool.name not in in_sheets}
    agents = {str(one) for profile in profiles for one in _list(profile.get("agents"))} or {AGENT}
    every: list[Json] = [*sorted(in_sheets), *sorted(actions)]
    buffered: Json = {"risk": "low", "record": "buffered"}
    return {
        "name": f"bench-{suite}",
        "version": "1",
        "owners": {OWNER: {}},
        "agents": {name: {"ids": [f"spiffe://{TRUST_DOMAIN}/agent/{name}"], "owner": OWNER} for name in sorted(agents)},
        "identity": _identity(profiles),
        "resource_types": dict.fromkeys(sorted(types)),
        "access_classes": dict.fromkeys(sorted({"default", *classes}), buffered),
        "actions": actions,
        "peps": {PEP: {"identity": {"spiffe": f"spiffe://{TRUST_DOMAIN}/{PEP}"}, "actions": every, "may_report": True}},
    }


def _identity(profiles: Sequence[Mapping[str, Json]]) -> Json:
    """Whoever the profiles name as vouching for inputs is taken: the harness vouches in their name."""
    domains, issuers = {TRUST_DOMAIN}, set()
    for profile in profiles:
        for spec in as_map(profile.get("inputs")).values():
            for one in _list(as_map(spec).get("vouched_by")):
                if str(one).startswith("spiffe://"):
                    domains.add(urlsplit(str(one)).netloc)
                else:
                    issuers.add(str(one))
    oidc: list[Json] = [{"issuer": one, "audience": "bench"} for one in sorted(issuers)]
    return {"trust_domains": {domain: {"dev": True} for domain in sorted(domains)}, "oidc": oidc}


def _action(tool: Tool) -> Json:
    args = {name: _kind(as_map(spec)) for name, spec in as_map(tool.schema.get("properties")).items()}
    return {"resource": RESOURCE, "effect": "write", "args": dict(args)}


def _kind(spec: Mapping[str, Json]) -> str:
    """The plane's type of an argument: one that may be several things is `any`."""
    choices = [as_map(one) for one in _list(spec.get("anyOf")) if as_map(one).get("type") != "null"]
    if len(choices) == 1:
        return _kind(choices[0])
    if spec.get("type") == "array":
        return "strings" if as_map(spec.get("items")).get("type") == "string" else "any"
    known = {"string": "string", "integer": "long", "number": "decimal", "boolean": "bool"}
    return known.get(str(spec.get("type")), "any")


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
