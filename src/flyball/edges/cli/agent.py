"""`agent fresh`, `profile draft`: what an operator knows of an agent, and a profile to begin with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from flyball.edges.cli import render
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, JsonOption, ReasonOption
from flyball.edges.cli.errors import MISUSED, CliError
from flyball.edges.cli.plain import Plain
from flyball.flow import offline
from flyball.flow.text import clean
from flyball.kernel.json import Json

agent = typer.Typer(name="agent", help="One agent.", no_args_is_help=True, rich_markup_mode=None)
profile = typer.Typer(name="profile", help="Profiles of intent.", no_args_is_help=True, rich_markup_mode=None)


@agent.command("fresh", short_help="Say that an agent's instances are fresh.", cls=Plain)
def fresh(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent's name in the bundle.")],
    reason: ReasonOption = "",
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say that what runs as this agent from now on is a fresh instance: no label of earlier ones follows it.

    Refused while the agent has tasks. Say it only once the old processes, with all they have read, are gone.

    \b
    Examples:
      flyball agent fresh mail-agent --reason "redeployed"
    """
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        told = client.post(f"/v1/agents/{quote(name, safe='')}/fresh", {"reason": reason})
    if as_json:
        cli.tell(told)
        return
    labels, instances = told.get("labels"), told.get("instances")
    count = len(instances) if isinstance(instances, list) else 0
    gone = render.text(labels) or "no label"
    render.line(f"agent {name} is fresh: {gone} followed {count} instance{'' if count == 1 else 's'} of it", "green")


@profile.command("draft", short_help="Propose one, from tools or reviewed tasks.", cls=Plain)
def draft(
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="FILE|TASK",
            help="Tool schemas of a server, a recording, or a reviewed task (repeatable).",
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The profile's name.")] = "draft",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write the files below this folder, over none.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over an earlier sheet and profile; never over bundle.yaml.")
    ] = False,
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """Propose a profile: from tool schemas (MCP's `tools/list`, OpenAI's functions), from what `flyball mcp --observe`
    recorded, or from tasks that you reviewed.

    Least privilege first; what a person must decide is marked. It is a text to be edited, not to be used as it is.
    A folder without bundle.yaml gets one that `flyball validate` takes.

    \b
    Examples:
      flyball profile draft --from tools.json --name assistant --out bundle/
      flyball profile draft --from tsk_local_01k… --from tsk_local_01k… --name settle-refund
    """
    if not sources:
        raise CliError("say what to draft from", "give --from FILE or --from TASK", exit_code=MISUSED)
    files = [Path(one) for one in sources if not one.startswith("tsk_")]
    tasks = [one for one in sources if one.startswith("tsk_")]
    stories: list[dict[str, Json]] = []
    cli = Cli.of(config, addr, as_json=as_json)
    if tasks:
        with cli.client() as client:
            stories = [client.get(f"/v1/tasks/{quote(one, safe='')}/story") for one in tasks]
    drafted = offline.draft_profile(name, schemas=files, stories=stories)
    for note in drafted.notes:
        print(f"note: {clean(note, 500)}", file=sys.stderr)
    written = [] if out is None else _write(out, drafted, force=force)
    if as_json:
        cli.tell({"name": name, "files": {**drafted.files}, "notes": [*drafted.notes], "written": [*map(str, written)]})
    elif out is None:
        print("\n".join(f"# file: {path}\n{text}" for path, text in drafted.files.items()), end="")
        print("note: a bundle needs a bundle.yaml too; --out FOLDER writes one where there is none", file=sys.stderr)
    else:
        for path in written:
            render.line(f"{path}: decide what is marked, then run `flyball validate {out}`")


def _write(out: Path, drafted: offline.Drafted, *, force: bool) -> list[Path]:
    """Every file, or none: what a person has written is not written over, and bundle.yaml never is."""
    framed = not (out / "bundle.yaml").exists()
    texts = drafted.framed if framed else drafted.files
    there = [path for path in texts if (out / path).exists()]
    if there and not force:
        raise CliError(f"{out / there[0]} is there already", "choose another --name or --out, or say --force")
    if not framed:
        note = f"{out / 'bundle.yaml'} is left as it is; name one of its agents, and who vouches, in the profile"
        print(f"note: {clean(note, 500)}", file=sys.stderr)
    for path, text in texts.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8")
    return [out / path for path in texts]
