"""Stands in until the decision plane reads the whole program: what the older one knows of a compiled bundle."""

from __future__ import annotations

from typing import cast

from flyball.kernel.json import Json
from flyball.policy.engine import Core

_RULE = ("id", "action", "on", "where", "budget", "across")
_FLOW = ("labels", "sources", "today", "plan", "must", "never", "reactions", "denials", "most_per_minute")
WHOLE = hasattr(Core, "declare_plan")


def for_the_plane(document: dict[str, Json]) -> dict[str, Json]:
    """The document as the plane at hand reads it."""
    if WHOLE:
        return document
    out = dict(document)
    out["schema"] = str(document["schema"]).replace(', "labels": Set<String> }', " }")
    profiles = cast("list[dict[str, Json]]", document["profiles"])
    out["profiles"] = [dict(_profile(one)) for one in profiles]
    actions = cast("dict[str, dict[str, Json]]", document["actions"])
    out["actions"] = {name: {k: v for k, v in one.items() if k != "returns"} for name, one in actions.items()}
    return out


def _profile(one: dict[str, Json]) -> dict[str, Json]:
    out = {key: value for key, value in one.items() if key not in _FLOW}
    reactions = cast("dict[str, list[str]]", one["reactions"])
    out["reaction"] = reactions["argument"][0]
    rules = cast("list[dict[str, Json]]", one["rules"])
    out["rules"] = [{key: rule[key] for key in _RULE} for rule in rules]
    return out
