"""`mcp`: MCP servers behind Flyball.

The gateway, its event loop and its HTTP are imported by the commands that run them: every other command starts
without.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import ssl
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from typer.core import TyperGroup

import flyball_sdk
from flyball.assembly import logs
from flyball.edges.cli import render
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, InputsOption, VouchersOption
from flyball.edges.cli.errors import FAILED, MISUSED, CliError
from flyball.edges.cli.run import inputs_of, text_of
from flyball.enforcement.mcp import pins as pinning
from flyball.enforcement.mcp.frames import Object, Value
from flyball.kernel import collector

if TYPE_CHECKING:
    from flyball.edges.mcp.servers import Server

T = TypeVar("T")


class Words(TyperGroup):
    """`flyball mcp --profile P -- COMMAND` is `stdio`; a first word that is a command is that command."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # click's own type
        """Put `stdio` in front where no command is named."""
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = ["stdio", *args]
        return super().parse_args(ctx, args)


mcp = typer.Typer(
    name="mcp",
    cls=Words,
    help=(
        "MCP servers behind Flyball.\n\n"
        "In a client's configuration, put `flyball mcp --profile PROFILE --` before the server's own command."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

CommandArgument = Annotated[list[str], typer.Argument(metavar="-- COMMAND [ARG]…", help="The server's own command.")]
IdleOption = Annotated[
    float,
    typer.Option("--idle", metavar="SECONDS", help="End a task that asked for nothing for so long; 0: never."),
]
DecisionsOption = Annotated[
    str, typer.Option("--decisions", metavar="URL", help="The decision plane: unix:/path or https://… (else told).")
]
PepCertOption = Annotated[
    Path | None, typer.Option("--pep-cert", metavar="FILE", help="Our certificate as an enforcement point (mTLS).")
]
PepKeyOption = Annotated[Path | None, typer.Option("--pep-key", metavar="FILE", help="Its key.")]
PinsOption = Annotated[
    Path | None,
    typer.Option("--pins", metavar="FILE", help="The approved tool definitions (else mcp-pins.json beside the store)."),
]
LoginsOption = Annotated[
    Path | None,
    typer.Option("--logins", metavar="DIR", help="The logins at servers (else mcp-logins beside the store)."),
]
NameOption = Annotated[
    str, typer.Option("--name", metavar="NAME", help="The server's name among the approved (else its command line).")
]


@mcp.command("stdio", short_help="One server behind Flyball, on standard streams (`stdio` may be left out).")
def stdio(
    command: CommandArgument,
    profile: Annotated[
        str,
        typer.Option("--profile", "-p", metavar="PROFILE", help="The profile; else the client begins tasks itself."),
    ] = "",
    given: InputsOption = None,
    voucher: VouchersOption = None,
    name: NameOption = "",
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="TEXT", help="Stands before each tool's name in its action: `fs.`.")
    ] = "",
    idle: IdleOption = 900.0,
    observe_only: Annotated[
        bool, typer.Option("--observe", help="Govern nothing: record what the agent does, for a first profile.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="With --observe: the new file that it is recorded in.")
    ] = None,
    credential: Annotated[
        str, typer.Option("--credential", metavar="NAME", help="A credential of the profile that the server is given.")
    ] = "",
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env", metavar="NAME=TEXT", help="Where: a variable, {dsn}, {secret} and the like in it (repeatable)."
        ),
    ] = None,
    approvals_url: Annotated[
        str,
        typer.Option(
            "--approvals-url",
            metavar="URL",
            help="A page, {reference} in it, for a client to open where a call waits for a person.",
        ),
    ] = "",
    pins: PinsOption = None,
    decisions: DecisionsOption = "",
    pep_cert: PepCertOption = None,
    pep_key: PepKeyOption = None,
    config: ConfigOption = None,
    addr: AddrOption = "",
) -> int:
    """Put one MCP server behind Flyball: each call is decided, each result has an origin.

    A task of the profile is opened now and ends with the client. Without a profile the client gets the tools
    begin_task, end_task, park_task and unpark_task. Who the agent is comes from FLYBALL_SVID_FILE or FLYBALL_SVID; who
    we are, as an enforcement point, from our user on the Unix socket or from our certificate.

    \b
    Examples:
      flyball mcp --profile repo-reader -i repo=/srv/app -- uvx mcp-server-git
      flyball mcp --observe -- uvx mcp-server-git
      flyball mcp -- npx -y @modelcontextprotocol/server-filesystem /srv/notes
    """
    if observe_only:
        if profile or given or voucher:
            raise CliError("--observe governs nothing", "leave --profile and its inputs out", exit_code=MISUSED)
        logs.configure("warning", "console")
        from flyball.edges.mcp import observe

        return run_on_loop(
            observe.run(command, out or Path(f"observed-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl"))
        )
    if out is not None:
        raise CliError("--out is where --observe records", "see --help", exit_code=MISUSED)
    if approvals_url and ("{reference}" not in approvals_url or not approvals_url.startswith("https://")):
        raise CliError("--approvals-url is an https URL with {reference} in it", "see --help", exit_code=MISUSED)
    if bool(credential) != bool(env) or not all(one.partition("=")[2] for one in env or ()):
        raise CliError("--credential goes with --env NAME=TEXT", "--env 'DATABASE_URI={dsn}'", exit_code=MISUSED)
    tls = _identity(pep_cert, pep_key)
    if given and not profile:
        raise CliError("--input is an input of a profile", "name it with --profile", exit_code=MISUSED)
    cli = Cli.of(config, addr)
    logs.configure(cli.config.log.level, "console")  # on stderr: stdout is the client's
    file = pins or cli.config.state_dir / "mcp-pins.json"
    approved = pinning.load(file).get(name or shlex.join(command))
    if approved is None:
        raise CliError(
            f"no tool of this server was approved: {name or shlex.join(command)}",
            f"look at them first: flyball mcp approve {'--name ' + name + ' ' if name else ''}-- {shlex.join(command)}",
        )
    from flyball.edges.mcp import gateway
    from flyball.edges.mcp.judge import Settings
    from flyball.edges.mcp.leased import Wanted

    plan = gateway.Plan(
        command=command,
        settings=Settings(cli.addr, decisions=decisions, tls=tls),
        pins=approved,
        profile=profile,
        inputs=inputs_of(given or []),
        vouchers=[text_of(one).strip() for one in voucher or ()],
        prefix=prefix,
        idle_s=idle,
        approvals_url=approvals_url,
        wanted=Wanted(credential, dict(one.split("=", 1) for one in env or ())) if credential else None,
    )
    return run_on_loop(gateway.run(plan))


@mcp.command("approve", short_help="Approve a server's tools as they are now.")
def approve(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND [ARG]…", help="The server's own command.")
    ] = None,
    url: Annotated[str, typer.Option("--url", metavar="URL", help="A server over HTTP, instead of a command.")] = "",
    bearer_file: Annotated[
        Path | None, typer.Option("--bearer-file", metavar="FILE", help="The gateway's own token for it.")
    ] = None,
    servers: Annotated[
        Path | None, typer.Option("--servers", metavar="FILE", help="The file in which the server --name stands.")
    ] = None,
    name: NameOption = "",
    pins: PinsOption = None,
    logins: LoginsOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve without being asked.")] = False,
    config: ConfigOption = None,
) -> int:
    """Start the server, show its tools and what has changed since they were approved, and pin them by hash.

    A tool whose description, schema or annotations change afterwards is shown to no model and called by none until
    it is approved again. Read the descriptions: a model will obey them.

    \b
    Examples:
      flyball mcp approve -- uvx mcp-server-git
      flyball mcp approve --name notes -- npx -y @modelcontextprotocol/server-filesystem /srv/notes
      flyball mcp approve --servers servers.json --name mail
    """
    state = Cli.of(config).config.state_dir
    file = pins or state / "mcp-pins.json"
    known = pinning.load(file)
    if (bool(command), bool(url), servers is not None).count(True) != 1 or (not command and not name):
        hint = "-- COMMAND; or --url URL, or --servers FILE, with --name NAME"
        raise CliError("name one server", hint, exit_code=MISUSED)
    server = name or shlex.join(command or [])
    from flyball.edges.mcp import inspect
    from flyball.edges.mcp import servers as serving
    from flyball.edges.mcp.links import Links

    found = serving.Server(tuple(command or ()), url, bearer_file)
    if servers is not None:
        found = server_in(servers, name)

    async def look() -> tuple[list[Object], Value]:
        return await inspect.look(await Links(logins_folder(logins, state)).to(server, found))

    tools, instructions = run_on_loop(look())
    now = pinning.of_server(tools, instructions)
    change = pinning.compare(known.get(server, pinning.Pins()), now)
    if not change:
        render.line(f"nothing has changed: {len(now.tools)} tools of {server} are approved")
        return 0
    described = {str(tool.get("name")): str(tool.get("description") or "") for tool in tools}
    for mark, names in (("new", change.added), ("changed", change.changed), ("gone", change.gone)):
        for one in names:
            render.line(f"{mark:<8} {one}: {described.get(one, '')}")
    if change.instructions:
        render.line(f"{'changed':<8} the server's instructions: {instructions or 'none'}")
    if not yes and not typer.confirm(f"Approve these of {server}?", default=False):
        render.line("nothing was approved")
        return FAILED
    pinning.save(file, {**known, server: now})
    render.line(f"{len(now.tools)} tools of {server} are approved in {file}", "green")
    return 0


@mcp.command("serve", short_help="The shared gateway: several servers over Streamable HTTP.")
def serve(
    servers: Annotated[Path, typer.Option("--servers", metavar="FILE", help="What it serves, as JSON.")],
    idle: IdleOption = 900.0,
    pins: PinsOption = None,
    logins: LoginsOption = None,
    decisions: DecisionsOption = "",
    pep_cert: PepCertOption = None,
    pep_key: PepKeyOption = None,
    config: ConfigOption = None,
    addr: AddrOption = "",
) -> int:
    """Serve several MCP servers over Streamable HTTP, each at /mcp/NAME, to clients that show a token for this gateway.

    A client begins its task with the tool begin_task; it is one task, whichever of the servers it speaks to. The
    actions are NAME.TOOL. Approve each server's tools first: flyball mcp approve --name NAME -- COMMAND.

    \b
    Examples:
      flyball mcp serve --servers servers.json
    """
    from flyball.edges.mcp import servers as serving
    from flyball.edges.mcp import web
    from flyball.edges.mcp.judge import Settings
    from flyball.edges.mcp.links import Links, logins_in

    cli = Cli.of(config, addr)
    logs.configure(cli.config.log.level, cli.config.log.format)
    served = serving.read(servers)
    known = pinning.load(pins or cli.config.state_dir / "mcp-pins.json")
    for name in served.servers:
        if name not in known:
            render.line(f"no tool of {name} was approved: it serves none", "yellow")
    kept = logins_folder(logins, cli.config.state_dir)
    for name, one in served.servers.items():
        if one.oauth is not None and one.oauth.by_person and logins_in(kept).read(name, one.url).tokens is None:
            render.line(f"nobody has logged in to {name}: flyball mcp login {name} --servers {servers}", "yellow")
    settings = Settings(cli.addr, decisions=decisions, tls=_identity(pep_cert, pep_key))
    return run_on_loop(web.serve(served, settings, known, Links(kept), idle_s=idle))


def logins_folder(given: Path | None, state: Path) -> Path:
    """Where logins are kept: as the option says, else beside the store."""
    return given or state / "mcp-logins"


def server_in(file: Path, name: str) -> Server:
    """The server of this name in a servers' file.

    Raises:
        ConfigError: the file cannot be used.
        CliError: it names no such server.
    """
    from flyball.edges.mcp import servers as serving

    known = serving.read(file).servers
    if name not in known:
        raise CliError(f"{file} names no server {name!r}", f"it names {', '.join(known)}", exit_code=MISUSED)
    return known[name]


def _identity(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if (cert is None) != (key is None):
        raise CliError("--pep-cert and --pep-key go together", "see --help", exit_code=MISUSED)
    if cert is None or key is None:
        return None
    from flyball.edges.mcp import plane

    ca = os.environ.get("FLYBALL_CA_FILE")
    return plane.identity(cert, key, Path(ca) if ca else None)


def run_on_loop(work: Coroutine[object, object, T]) -> T:
    """Run it to its end; what it refuses becomes an error of the command's."""
    import uvloop

    try:
        collector.started()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except flyball_sdk.FlyballError as fault:
        raise CliError(f"{fault.detail} [{fault.code}]", fault.hint) from fault
