"""`tasks`, `task show`, `leases`, `revoke`, `suspend`, `resume`, `quarantine`."""

from __future__ import annotations

import base64
import json
from typing import Annotated
from urllib.parse import quote

import typer

from flyball.edges.cli import render
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, JsonOption, ReasonOption
from flyball.edges.cli.errors import MISUSED, UNWELL, CliError
from flyball.edges.cli.plain import Plain
from flyball.kernel.json import Json

task = typer.Typer(name="task", help="One task.", no_args_is_help=True, rich_markup_mode=None)

StateOption = Annotated[list[str] | None, typer.Option("--state", metavar="STATE", help="Only these (repeatable).")]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="How many at most.")]
TaskOption = Annotated[str, typer.Option("--task", metavar="TASK", help="One task.")]
LeaseOption = Annotated[str, typer.Option("--lease", metavar="LEASE", help="One lease; its task goes on without it.")]
AgentOption = Annotated[str, typer.Option("--agent", metavar="NAME", help="Everything of one agent.")]
OwnerOption = Annotated[str, typer.Option("--owner", metavar="NAME", help="Everything of one owner's agents.")]
WaitOption = Annotated[
    int, typer.Option("--wait", metavar="MS", min=0, max=30_000, help="How long to wait for the receipts.")
]


def tasks(
    state: StateOption = None,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Only this agent's.")] = "",
    owner: Annotated[str, typer.Option("--owner", metavar="NAME", help="Only this owner's.")] = "",
    limit: LimitOption = 100,
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """Tasks, newest first.

    \b
    Examples:
      flyball tasks --state open
      flyball tasks --agent refund-agent --json
    """
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        found = client.get("/v1/tasks", {"state": state, "agent": agent, "owner": owner, "limit": limit})
    listed = render.objects(found, "tasks")
    if as_json:
        cli.tell([*listed])
        return
    rows = [
        (*(render.text(one.get(name)) for name in ("task", "state", "agent", "profile")),
         render.when(one.get("opened_ms")), _left(one), render.text(one.get("cause")))
        for one in listed
    ]  # fmt: skip
    cli.table(("task", "state", "agent", "profile", "opened", "left", "cause"), rows, empty="no tasks")


def _left(one: dict[str, Json]) -> str:
    return "" if one.get("state") in ("fenced", "closed") else render.left(one.get("hard_end_ms"))


@task.command("show", short_help="What one task has done so far.", cls=Plain)
def task_show(
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")],
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """One task so far: its inputs and who vouched for them, its plan, each call with its reason, what was reported
    and who can write it, labels, budgets, approvals, leases.

    \b
    Examples:
      flyball task show tsk_local_01k…
      flyball task show tsk_local_01k… --json | jq '.calls[] | select(.effect == "deny")'
    """
    from flyball.edges.cli import story

    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        found = client.get(f"/v1/tasks/{quote(task_id, safe='')}/story")
    if as_json:
        cli.tell(found)
        return
    story.draw(cli, found)


def leases(
    state: StateOption = None,
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Only this agent's.")] = "",
    target: Annotated[str, typer.Option("--target", metavar="NAME", help="Only at this target.")] = "",
    task_id: Annotated[str, typer.Option("--task", metavar="TASK", help="Only this task's.")] = "",
    limit: LimitOption = 100,
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> None:
    """Leases, oldest first: one credential each, at one target, for one task."""
    cli = Cli.of(config, addr, as_json=as_json)
    query = {"state": state, "agent": agent, "target": target, "task": task_id, "limit": limit}
    with cli.client() as client:
        listed = render.objects(client.get("/v1/leases", query), "leases")
    if as_json:
        cli.tell([*listed])
        return
    show_leases(cli, listed)


def show_leases(cli: Cli, listed: list[dict[str, Json]]) -> None:
    """Leases as a table."""
    rows = [
        (*(render.text(one.get(name)) for name in ("lease", "state", "target", "access", "name", "delivery")),
         "" if one.get("state") == "verified" else render.left(one.get("expires_ms")), render.text(one.get("cause")))
        for one in listed
    ]  # fmt: skip
    columns = ("lease", "state", "target", "access", "name", "delivery", "left", "cause")
    cli.table(columns, rows, empty="no leases")


def revoke(
    task_id: TaskOption = "",
    lease: LeaseOption = "",
    agent: AgentOption = "",
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    wait: WaitOption = 5000,
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> int:
    """Pull the lever: fence at once, then take back all that is held. Name exactly one
    of --task, --lease, --agent, --owner.

    It returns when every receipt is there, or when the wait is over; what is still being revoked
    then goes on being retried, and the exit code is 3.

    \b
    Examples:
      flyball revoke --agent refund-agent --reason "looks hijacked"
      flyball revoke --task tsk_local_01k… --wait 10000
    """
    path = _exactly_one({"tasks": task_id, "leases": lease, "agents": agent, "owners": owner})
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        ended = client.post(f"{path}/revoke", {"reason": reason, "wait_ms": wait})
    return _told(cli, ended)


def suspend(
    agent: AgentOption = "",
    task_id: TaskOption = "",
    reason: ReasonOption = "",
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> int:
    """Suspend an agent (its tasks end, new ones are refused) or one task (refused until resumed).

    \b
    Examples:
      flyball suspend --agent refund-agent --reason "owner on leave"
    """
    return _change("suspend", agent, task_id, reason, Cli.of(config, addr, as_json=as_json))


def resume(
    agent: AgentOption = "",
    task_id: TaskOption = "",
    reason: ReasonOption = "",
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> int:
    """Let a suspended or quarantined agent, or a suspended or frozen task, go on. Nothing taken back is given back.

    \b
    Examples:
      flyball resume --agent refund-agent
    """
    return _change("resume", agent, task_id, reason, Cli.of(config, addr, as_json=as_json))


def quarantine(
    agent: AgentOption = "",
    reason: ReasonOption = "",
    config: ConfigOption = None,
    addr: AddrOption = "",
    as_json: JsonOption = False,
) -> int:
    """Quarantine an agent: like `suspend`, and said loudly wherever the agent is named."""
    return _change("quarantine", agent, "", reason, Cli.of(config, addr, as_json=as_json))


def _change(change: str, agent: str, task_id: str, reason: str, cli: Cli) -> int:
    path = _exactly_one({"agents": agent, "tasks": task_id})
    with cli.client() as client:
        return _told(cli, client.post(f"{path}/{change}", {"reason": reason}))


def _exactly_one(given: dict[str, str]) -> str:
    named = [(kind, name) for kind, name in given.items() if name]
    if len(named) != 1:
        options = ", ".join(f"--{kind.removesuffix('s')}" for kind in given)
        raise CliError(f"name exactly one of {options}", "see the command's --help", exit_code=MISUSED)
    kind, name = named[0]
    return f"/v1/{kind}/{quote(name, safe='')}"


def _told(cli: Cli, ended: dict[str, Json]) -> int:
    pending = ended.get("pending")
    unwell = UNWELL if isinstance(pending, list) and pending else 0
    if cli.as_json:
        cli.tell(ended)
        return unwell
    listed = ended.get("tasks")
    count = len(listed) if isinstance(listed, list) else 0
    receipts = [payload_of(one) for one in render.objects(ended, "receipts")]
    print(f"{count} task{'' if count == 1 else 's'}, {len(receipts)} receipt{'' if len(receipts) == 1 else 's'}")
    for one in receipts:
        took = render.number(one.get("completed_ms")) - render.number(one.get("fenced_ms"))
        outcome = render.text(one.get("outcome"))
        said = (
            f"  {render.text(one.get('receipt'))}  {outcome}  {render.text(one.get('name'))}  {took} ms after the fence"
        )
        render.line(said, "green" if outcome == "verified" else "bold red")
    for lease in pending if isinstance(pending, list) else ():
        render.line(f"  {render.text(lease)}  not yet proved gone; retried until it is", "bold red")
    return unwell


def payload_of(receipt: dict[str, Json]) -> dict[str, Json]:
    """A receipt's payload: beside its envelope, or out of the envelope (DSSE)."""
    inside = receipt.get("payload")
    if isinstance(inside, dict):
        return inside
    envelope = render.member(receipt, "envelope") or receipt
    try:
        value: Json = json.loads(base64.b64decode(str(envelope.get("payload", ""))))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
