"""From a folder to a `Bundle`: reads every file, then checks that every name in it means something."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from flyball.kernel.json import Json
from flyball.policy.actions import read_sheet
from flyball.policy.bundle import Bundle, Policy, digest_of, read_files
from flyball.policy.cedar_text import split_policies
from flyball.policy.check import check_bundle
from flyball.policy.diagnostics import BundleRefused, Mark, Problems
from flyball.policy.http_gateway import with_openapi
from flyball.policy.intent import read_profile
from flyball.policy.manifest import Manifest, read_manifest
from flyball.policy.provenance import resolve
from flyball.policy.reader import NAMED_UNDER
from flyball.policy.yaml import parse, plain
from flyball.task.profile import Profile


def read_bundle(folder: Path) -> tuple[Bundle, Problems]:
    """The bundle in `folder`, and what was found wrong with it.

    Where `problems.failed`, the bundle holds only what could be read and may not be compiled.

    Raises:
        ConfigError: the folder is missing or unreadable.
    """
    problems = Problems()
    files = read_files(folder, problems)
    places: dict[str, Mark] = {}
    manifest = Manifest()
    if (data := files.get("bundle.yaml")) is not None and (node := parse("bundle.yaml", data, problems)) is not None:
        manifest = read_manifest(node, problems)
    else:
        for kind in NAMED_UNDER.values():
            problems.doubt(kind)
    labels = list(manifest.labels)
    profiles: dict[str, Profile] = {}
    policies: list[Policy] = []
    documents: dict[str, Json] = {}
    for name, data in files.items():
        if name.startswith("profiles/"):
            node = parse(name, data, problems)
            profile = read_profile(name, node, problems, places) if node is not None else None
            if profile is not None and profile.name in profiles:
                problems.error("profile_twice", places[f"profile:{profile.name}"], f"a second profile `{profile.name}`")
            elif profile is not None:
                profiles[profile.name] = profile
        elif name.startswith("tools/"):
            node = parse(name, data, problems)
            if node is None:
                problems.doubt("action")
            else:
                labels += read_sheet(name, node, problems, manifest.actions, manifest.places)
        elif name.startswith("openapi/"):
            node = parse(name, data, problems)
            documents[name] = None if node is None else plain(node)
        elif name.startswith("policies/"):
            policies += split_policies(name, _text(name, data, problems), problems)
    places.update(manifest.places)
    _unique(policies, problems)
    bundle = Bundle(
        name=manifest.name,
        version=manifest.version,
        digest=digest_of(files),
        owners=manifest.owners,
        agents=manifest.agents,
        groups=manifest.groups,
        resource_types=manifest.resource_types,
        subject_types=manifest.subject_types,
        generated=frozenset(manifest.generated),
        actions=manifest.actions,
        classes=manifest.classes,
        peps=manifest.peps,
        targets=with_openapi(manifest.targets, documents, problems, manifest.places),
        identity=manifest.identity,
        profiles=profiles,
        policies=tuple(policies),
        schema=_text("schema.cedarschema", files.get("schema.cedarschema", b""), problems),
        entities=_entities(files.get("entities.json"), problems),
        tests={name: data for name, data in files.items() if name.startswith("tests/")},
        places=places,
        labels=tuple(sorted(set(labels))),
    )
    bundle = resolve(bundle)
    check_bundle(bundle, problems)
    return bundle, problems


def refuse(problems: Problems) -> None:
    """Raise `BundleRefused` with every finding where one of them is an error."""
    if problems.failed:
        raise BundleRefused(problems.all())


def _text(name: str, data: bytes, problems: Problems) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.error("wrong_encoding", Mark(name, line), "the file is not UTF-8", "save it as UTF-8")
        return ""
    problems.add_source(name, text)
    return text


def _unique(policies: Iterable[Policy], problems: Problems) -> None:
    seen: dict[str, Mark] = {}
    for policy in policies:
        if policy.id in seen:
            first = seen[policy.id]
            problems.error(
                "policy_twice", policy.mark, f"a second policy `{policy.id}`", f"the first is on line {first.line}"
            )
        seen.setdefault(policy.id, policy.mark)


def _entities(data: bytes | None, problems: Problems) -> tuple[Json, ...]:
    """entities.json as a list of objects; Cedar checks them against the schema when the bundle is loaded."""
    if data is None:
        return ()
    text = _text("entities.json", data, problems)
    try:
        value = cast("Json", json.loads(text, object_pairs_hook=_no_duplicates, parse_float=_no_float))
    except json.JSONDecodeError as error:
        problems.error("json_syntax", Mark("entities.json", error.lineno, error.colno), f"not valid JSON: {error.msg}")
        return ()
    except (ValueError, RecursionError) as error:
        problems.error("json_syntax", Mark("entities.json"), f"not usable JSON: {error}")
        return ()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        problems.error("wrong_shape", Mark("entities.json"), "the file must hold a list of entities, each an object")
        return ()
    return tuple(value)


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_float(text: str) -> str:
    raise ValueError(f'{text} is a float; write {{"__extn": {{"fn": "decimal", "arg": "{text}"}}}}')
