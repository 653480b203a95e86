"""The commands, named.

A command line needs the module of its own command alone, and that is all that is imported for it: some of the others
bring the policy compiler, an HTTP client or an event loop, and each start would pay for them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from typing import Annotated, cast

import typer

from flyball.edges.cli.plain import Plain

_COMMANDS = (
    ("serve", "Run Flyball.", "serve:serve"),
    ("run", "Run a command with a task's privilege.", "run:run"),
    ("status", "Whether all is well.", "status:status"),
    ("tasks", "List tasks.", "tasks:tasks"),
    ("leases", "List leases.", "tasks:leases"),
    ("revoke", "Take privilege back, now.", "tasks:revoke"),
    ("suspend", "Suspend an agent or a task.", "tasks:suspend"),
    ("resume", "Let an agent or a task go on.", "tasks:resume"),
    ("quarantine", "Quarantine an agent.", "tasks:quarantine"),
    ("approvals", "What waits for a person.", "approvals:approvals"),
    ("approve", "Allow one call, once.", "approvals:approve"),
    ("refuse", "Refuse one call.", "approvals:refuse"),
    ("why", "Why a decision came out as it did.", "evidence:why"),
    ("validate", "Check a bundle.", "bundle:validate"),
    ("test", "Run a bundle's cases.", "bundle:run_cases"),
    ("reload", "Read the bundle anew.", "serve:reload"),
    ("demo", "Watch it work: under a minute.", "demo:demo"),
    ("completion", "A shell's completion script.", "demo:completion"),
)
_GROUPS = (
    ("task", "One task.", "tasks:task"),
    ("agent", "One agent.", "agent:agent"),
    ("profile", "Draft a profile.", "agent:profile"),
    ("target", "Targets; Flyball's own login there.", "target:target"),
    ("mcp", "MCP servers behind Flyball.", "mcp_login:mcp"),
    ("receipts", "Signed evidence of revocations.", "evidence:receipts"),
    ("audit", "The record: verify it, read it.", "audit:audit"),
    ("dev", "Identities for trying out.", "serve:dev"),
)
_NAMES = frozenset(name for name, _, _ in (*_COMMANDS, *_GROUPS))


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The program, for a command line: its one command where the first word is one, else all of them."""
    app = typer.Typer(
        name="flyball",
        help=(
            "Flyball: privilege exists only while a task holds it.\n\n"
            "Run it: serve, dev, reload, demo. Before that: validate, test. "
            "Look: status, tasks, task, leases, target, why, receipts, audit. "
            "Act: revoke, suspend, resume, quarantine, approvals, approve, refuse, agent. As an agent: run, mcp. "
            "Write: profile."
        ),
        epilog="Each command has examples: flyball COMMAND --help. The configuration: docs/configuration.md.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    # A shell that completes asks by the environment, and the words are its own.
    one = words[0] if words and words[0] in _NAMES and "_FLYBALL_COMPLETE" not in os.environ else ""
    for name, short, where in _COMMANDS:
        if one in ("", name):
            app.command(name, short_help=short, cls=Plain)(cast("Callable[[], object]", _found(where)))
    for name, short, where in _GROUPS:
        if one in ("", name):
            app.add_typer(cast("typer.Typer", _found(where)), short_help=short)
    return app


def _found(where: str) -> object:
    module, _, name = where.partition(":")
    found: object = getattr(import_module(f"flyball.edges.cli.{module}"), name)
    return found


def _version(wanted: bool) -> None:
    if wanted:
        print(f"flyball {metadata.version('flyball')}")
        sys.exit(0)


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Every command's root; it does nothing of its own."""
