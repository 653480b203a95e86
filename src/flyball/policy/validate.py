"""Cedar's own validation, with its findings brought back to the places they come from.

The decision plane knows a policy by its id and the compiled schema by its lines. What it says of a
rule's permit belongs to the rule in the profile; what it says of a line of the compiled schema
belongs to schema.cedarschema, or to the declaration in bundle.yaml that the line was made from.
"""

from __future__ import annotations

import json
from typing import cast

from flyball.kernel.json import Json
from flyball.policy.bundle import Bundle
from flyball.policy.diagnostics import Mark, Problems
from flyball.policy.engine import Core, PolicyLoadError


def validate_compiled(compiled: bytes, bundle: Bundle, own_schema_line: int, problems: Problems) -> None:
    """Let the decision plane validate a compiled bundle; what it finds goes to `problems`.

    Args:
        own_schema_line: the line of the compiled schema on which schema.cedarschema begins, from 1.
    """
    try:
        found = json.loads(Core.validate(compiled))
    except PolicyLoadError as refused:
        found = json.loads(refused.args[2]) if len(refused.args) > 2 else []
        _take(found, bundle, own_schema_line, problems)
        if not problems.failed:
            # Whatever was wrong, it has no place: the bundle is refused all the same.
            problems.error("cedar", Mark("bundle.yaml"), str(refused.args[1] if len(refused.args) > 1 else refused))
        return
    _take(found, bundle, own_schema_line, problems)


def _take(found: object, bundle: Bundle, own_schema_line: int, problems: Problems) -> None:
    listed = found.get("warnings", []) if isinstance(found, dict) else found
    for one in cast("list[dict[str, Json]]", listed if isinstance(listed, list) else []):
        mark = _place(one, bundle, own_schema_line)
        message, hint = str(one.get("message", "")), str(one.get("hint", ""))
        if one.get("severity") == "warning":
            problems.warning("cedar", mark, message, hint)
        else:
            problems.error("cedar", mark, message, hint)


def _place(one: dict[str, Json], bundle: Bundle, own_schema_line: int) -> Mark:
    policy, file = str(one.get("policy", "")), str(one.get("file", ""))
    places = [one.get("line"), one.get("column")]
    line, column = (at if isinstance(at, int) and at > 0 else 1 for at in places)
    for known in (f"rule:{policy}", policy):
        if (place := bundle.places.get(known)) is not None:
            return place
    if file == "schema":
        if line >= own_schema_line:
            return Mark("schema.cedarschema", line - own_schema_line + 1, column)
        return Mark("bundle.yaml")
    if file == "entities":
        return Mark("entities.json")
    written = next((one for one in bundle.policies if one.id == policy), None)
    if written is not None and line == written.mark.line:
        # The plane counts from where the policy begins, which need not be the line's start.
        return Mark(written.mark.file, line, column + written.mark.column - 1)
    return Mark(file or "bundle.yaml", line, column)
