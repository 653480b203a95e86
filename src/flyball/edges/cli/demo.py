"""`demo`, `completion`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flyball.edges.cli.context import JsonOption
from flyball.edges.cli.errors import MISUSED, CliError

SHELLS = ("bash", "zsh", "fish")


def demo(
    as_json: JsonOption = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running until Ctrl-C (or set KEEP=1).")
    ] = False,
    home: Annotated[
        Path | None, typer.Option("--home", metavar="DIR", help="Where it plays; else ./.flyball/demo.")
    ] = None,
) -> int:
    """Watch privilege live and die with a task: a real PostgreSQL, real agents, under a minute.

    \b
    Examples:
      flyball demo
      flyball demo --keep
      flyball demo --json | jq -c 'select(.event == "saw")'
    """
    from flyball.demo import story

    return story.main(as_json=as_json, keep=keep or os.environ.get("KEEP", "") not in ("", "0"), home=home)


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      flyball completion bash > ~/.local/share/bash-completion/completions/flyball
      flyball completion zsh > "${fpath[1]}/_flyball"
      flyball completion fish > ~/.config/fish/completions/flyball.fish
    """
    from typer._completion_shared import get_completion_script

    if shell not in SHELLS:
        raise CliError(f"there is no completion for {shell!r}", f"one of {', '.join(SHELLS)}", exit_code=MISUSED)
    print(get_completion_script(prog_name="flyball", complete_var="_FLYBALL_COMPLETE", shell=shell))
