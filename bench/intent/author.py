"""`python -m bench.intent.author SUITE`: what somebody who writes profiles for a suite may read, and no more.

Tools with their descriptions and schemas, the shape of their results (field names and types), and what
users ask for. No call, no result, no injection, no right answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping

from bench.intent.names import AGENT, REQUEST, RESOURCE, VOUCHER
from bench.intent.suites import SuiteError, open_suite
from bench.intent.suites.data import as_map
from bench.intent.suites.model import Suite, Tool
from flyball.kernel.json import Json


def page(suite: Suite) -> str:
    """The page, in Markdown."""
    tools, prompts = suite.tools(), suite.prompts()
    out = [
        f"# {suite.family} {suite.name}: what an author of profiles may know",
        "",
        f"{len(tools)} tools, {len(prompts)} requests. Shapes are field names and types; no value is shown.",
        "",
        "## What is fixed",
        "",
        f"- Files: `tools/{suite.name}.yaml` (a sheet), `profiles/{suite.name}.yaml` (one profile for all",
        f"  requests below); where it pays, `profiles/{suite.name}/<request's id>.yaml` for one request, or profiles",
        f"  of any name in that folder and `profiles/{suite.name}/tasks.yaml`, a map from a request's id to the",
        "  profile's file name without `.yaml`. There is no bundle.yaml: the harness writes it.",
        f"- The agent is `{AGENT}` (`agents: [{AGENT}]`), the resource type `{RESOURCE}`; a call's resource id is the",
        "  tool's name. The access class `default` is there.",
        f"- The user's request is the input `{REQUEST}`, vouched for by `{VOUCHER}`. No other input is given.",
        "- The enforcement point stands before the tools and reports what they returned, as JSON. Where a tool returns",
        "  text and the sheet declares a list or a map, the enforcement point parses the text if it is JSON, YAML or a",
        "  Python literal of one.",
        "",
        "## Tools",
        "",
    ]
    for tool in tools:
        out += [*_tool(tool), ""]
    if instructions := suite.instructions().strip():
        out += ["## What the agent is told beforehand", "", *(f"> {line}" for line in instructions.split("\n")), ""]
    out += ["## Requests", ""]
    for prompt in prompts:
        first, *rest = prompt.text.strip().split("\n")
        out += [f"- **{prompt.task}**: {first}", *(f"  {line}" for line in rest)]
    return "\n".join([*out, ""])


def _tool(tool: Tool) -> list[str]:
    out = [f"### {tool.name}", ""]
    if tool.description:
        out += [tool.description.strip(), ""]
    properties = as_map(tool.schema.get("properties"))
    needed = tool.schema.get("required")
    required = set(map(str, needed)) if isinstance(needed, list) else set()
    if properties:
        out.append("Arguments:")
        for name, spec in properties.items():
            out.append(_argument(name, as_map(spec), name in required))
    else:
        out.append("No arguments.")
    out += ["", "Result:", "", "```", *(tool.returns or ("(unknown: no result is in the data)",)), "```"]
    return out


def _argument(name: str, spec: Mapping[str, Json], required: bool) -> str:
    said = str(spec.get("description") or "").strip().replace("\n", " ")
    default = "" if "default" not in spec else f", default `{json.dumps(spec['default'])}`"
    return (
        f"- `{name}`: {type_text(spec)}{'' if required else ' (optional' + default + ')'}{'. ' + said if said else ''}"
    )


def type_text(spec: Mapping[str, Json]) -> str:
    """A JSON schema's type in a few words."""
    if isinstance(choices := spec.get("anyOf"), list):
        return " | ".join(type_text(as_map(choice)) for choice in choices)
    if isinstance(values := spec.get("enum"), list):
        return "one of " + ", ".join(json.dumps(value) for value in values)
    kind = str(spec.get("type") or "any")
    if kind == "array":
        return f"array of {type_text(as_map(spec.get('items')))}"
    return kind


def main() -> int:
    """Print the page of one suite."""
    parser = argparse.ArgumentParser(prog="python -m bench.intent.author", description=__doc__)
    parser.add_argument("suite", help="workspace, travel, shopping, dailylife, airline, retail, or another's name")
    parser.add_argument("--recorded", action="store_true", help="AgentDojo from its recorded ground truth, not live")
    words = parser.parse_args()
    try:
        sys.stdout.write(page(open_suite(words.suite, live=not words.recorded)))
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
