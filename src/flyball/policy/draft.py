"""A profile to begin with: least privilege first, and a mark wherever a person must decide.

From tool schemas (MCP's `tools/list`, OpenAI's functions, or a plain list of name, description and
parameters) comes a tool sheet and a profile: what is not known to be a read is an effect, what nobody
vouches for is outside, and what cannot be bounded waits for a person. From reviewed tasks (their
calls, with arguments and results) come the sources that were really used, and nothing beyond them.

Nothing that a schema says of itself is believed; descriptions and hints of a server only appear in
comments. Every line that a person must look at carries `DECIDE`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.kernel.errors import InvalidInput
from flyball.kernel.json import Json
from flyball.policy.draft_calls import Seen, observe, rules_from
from flyball.policy.draft_schemas import Tool, read_tools, rules_for, sheet_text
from flyball.policy.draft_text import AGENT, FRAME, HEAD, VOUCHER, slug

MAX_TOOLS = 2000


def draft(name: str, *, schemas: Json = None, stories: Sequence[Mapping[str, Json]] = ()) -> str:
    """The files of `draft_files` as one text, each after a line that names it.

    Raises:
        InvalidInput: there is nothing in it to draft from.
    """
    files = draft_files(name, schemas=schemas, stories=stories)
    return "\n".join(f"# file: {path}\n{text}" for path, text in files.items())


def draft_notes(schemas: Json) -> tuple[str, ...]:
    """What a person should know: names that no action can have, two tools of one name, what was left out."""
    tools, notes = read_tools(schemas)
    return (
        (*notes, f"only the first {MAX_TOOLS} of {len(tools)} tools are drafted") if len(tools) > MAX_TOOLS else notes
    )


def framed(name: str, files: Mapping[str, str]) -> dict[str, str]:
    """The drafted files with a bundle.yaml that `flyball validate` takes: an agent, a voucher, a gateway."""
    filled = {
        path: text.replace("agents: []", f"agents: [{AGENT}]").replace("vouched_by: []", f"vouched_by: [{VOUCHER}]")
        for path, text in files.items()
    }
    return {"bundle.yaml": FRAME.format(name=slug(name), agent=AGENT), **filled}


def draft_files(name: str, *, schemas: Json = None, stories: Sequence[Mapping[str, Json]] = ()) -> dict[str, str]:
    """A profile, and from schemas a tool sheet, by the paths that they would have in a bundle.

    Args:
        name: the profile's name.
        schemas: tool schemas as JSON; None to draft from tasks alone.
        stories: reviewed tasks: `inputs` (name → text, or → {"value": …}) and `calls`, each with `action`,
            `args`, `effect` (left out: it was allowed) and `result` where it is known.

    Raises:
        InvalidInput: there is nothing in it to draft from.
    """
    if schemas is None and stories:
        return draft_from_calls(stories, name)
    if not stories:
        return draft_from_schemas(schemas, name)
    tools = _tools(schemas)
    known = {tool.name: tool for tool in tools}
    seen = observe(stories)
    if not seen:
        raise InvalidInput("these tasks made no call that was allowed", code="draft_empty")
    return {
        f"tools/{slug(name)}.yaml": sheet_text(slug(name), tools),
        f"profiles/{slug(name)}.yaml": _profile(name, rules_from(seen, known), _inputs(seen)),
    }


def draft_from_schemas(schemas: Json, name: str = "draft") -> dict[str, str]:
    """A tool sheet and a profile from tool schemas alone.

    Raises:
        InvalidInput: the JSON holds no tool.
    """
    tools = _tools(schemas)
    return {
        f"tools/{slug(name)}.yaml": sheet_text(slug(name), tools),
        f"profiles/{slug(name)}.yaml": _profile(name, rules_for(tools), ("request",)),
    }


def draft_from_calls(tasks: Sequence[Mapping[str, Json]], name: str = "draft") -> dict[str, str]:
    """A profile of what reviewed tasks did: their actions, as often, with the sources that their arguments had.

    Raises:
        InvalidInput: no call was allowed in any of them.
    """
    seen = observe(tasks)
    if not seen:
        raise InvalidInput(
            "these tasks made no call that was allowed", code="draft_empty", hint="name tasks that did their work"
        )
    return {f"profiles/{slug(name)}.yaml": _profile(name, rules_from(seen, {}), _inputs(seen))}


def _tools(schemas: Json) -> tuple[Tool, ...]:
    tools, _ = read_tools(schemas)
    if not tools:
        raise InvalidInput(
            "there is no tool in this JSON",
            code="draft_empty",
            hint="a list of tools with `name`, and `parameters` or `inputSchema`: what `tools/list` answers",
        )
    return tools[:MAX_TOOLS]


def _inputs(seen: Mapping[str, Seen]) -> tuple[str, ...]:
    """The inputs that the drafted rules cite; the request always."""
    cited = {source.partition(".")[2] for one in seen.values() for source in one.inputs()}
    return ("request", *sorted(cited - {"", "request"}))


def _profile(name: str, rules: str, inputs: Sequence[str]) -> str:
    kinds = {"request": "text"}
    lines = "".join(
        f"  {one}: {{type: {kinds.get(one, 'string')}, vouched_by: []}}   # DECIDE: who signs it; else it counts for "
        "nothing\n"
        for one in inputs
    )
    return HEAD.format(name=slug(name), agents="", inputs=lines) + rules
