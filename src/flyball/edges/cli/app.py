"""The commands, named."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer

from flyball.edges.cli import agent, approvals, audit, bundle, demo, evidence, mcp, run, serve, status, target, tasks
from flyball.edges.cli.plain import Plain

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

_COMMANDS = (
    ("serve", "Run Flyball.", serve.serve),
    ("run", "Run a command with a task's privilege.", run.run),
    ("status", "Whether all is well.", status.status),
    ("tasks", "List tasks.", tasks.tasks),
    ("leases", "List leases.", tasks.leases),
    ("revoke", "Take privilege back, now.", tasks.revoke),
    ("suspend", "Suspend an agent or a task.", tasks.suspend),
    ("resume", "Let an agent or a task go on.", tasks.resume),
    ("quarantine", "Quarantine an agent.", tasks.quarantine),
    ("approvals", "What waits for a person.", approvals.approvals),
    ("approve", "Allow one call, once.", approvals.approve),
    ("refuse", "Refuse one call.", approvals.refuse),
    ("why", "Why a decision came out as it did.", evidence.why),
    ("validate", "Check a bundle.", bundle.validate),
    ("test", "Run a bundle's cases.", bundle.run_cases),
    ("reload", "Read the bundle anew.", serve.reload),
    ("demo", "Watch it work: under a minute.", demo.demo),
    ("completion", "A shell's completion script.", demo.completion),
)
for _name, _short, _command in _COMMANDS:
    app.command(_name, short_help=_short, cls=Plain)(_command)
_GROUPS = (
    (tasks.task, "One task."),
    (agent.agent, "One agent."),
    (agent.profile, "Draft a profile."),
    (target.target, "Targets; Flyball's own login there."),
    (mcp.mcp, "MCP servers behind Flyball."),
    (evidence.receipts, "Signed evidence of revocations."),
    (audit.audit, "The record: verify it, read it."),
    (serve.dev, "Identities for trying out."),
)
for _group, _short in _GROUPS:
    app.add_typer(_group, short_help=_short)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"flyball {metadata.version('flyball')}")
        sys.exit(0)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Every command's root; it does nothing of its own."""
