"""`mcp login` and `mcp logout`: a person, and the gateway's own token at a server."""

from __future__ import annotations

import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from flyball.edges.cli import render
from flyball.edges.cli.context import Cli, ConfigOption, JsonOption
from flyball.edges.cli.errors import MISUSED, CliError
from flyball.edges.cli.mcp import LoginsOption, logins_folder, mcp, run_on_loop, server_in
from flyball.edges.mcp.oauth.settings import OAuth

ServerArgument = Annotated[str, typer.Argument(metavar="NAME", help="The server, as the file names it.")]
ServersOption = Annotated[Path, typer.Option("--servers", metavar="FILE", help="What the shared gateway serves.")]


@mcp.command("login", short_help="Log in to a server that wants OAuth, for the shared gateway.")
def login(
    name: ServerArgument,
    servers: ServersOption,
    scope: Annotated[
        str, typer.Option("--scope", metavar="TEXT", help="Ask for this too (else what the server says).")
    ] = "",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where the browser comes back to, on loopback; 0: any.")
    ] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page, or only say it.")] = True,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", min=1, help="How long you have.")] = 300.0,
    logins: LoginsOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Log in to a server that wants OAuth, for the shared gateway: a page opens, and what is granted is kept.

    The gateway shows the token, and renews it. Agents never see it. Log in again when a call was refused for want of a
    scope: it is asked for then.

    \b
    Examples:
      flyball mcp login mail --servers servers.json
      flyball mcp login mail --servers servers.json --no-browser
    """
    cli = Cli.of(config, as_json=as_json)
    url, oauth = _oauth_of(servers, name)
    if not oauth.by_person:
        raise CliError(
            f"nobody logs in to {name}", "the gateway has its token by client_credentials", exit_code=MISUSED
        )
    from flyball.edges.mcp.links import logins_in

    kept = logins_in(logins_folder(logins, cli.config.state_dir))
    from flyball.edges.mcp.oauth.login import login as log_in

    def show(page: str) -> None:
        # On stderr, and whole: with --json, stdout is the answer's.
        print(f"Open this page, and come back here:\n\n  {page}\n", file=sys.stderr, flush=True)
        if browser:
            # Some browsers run until they are closed; the page comes back to us meanwhile.
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

    had = run_on_loop(log_in(name, url, oauth, kept, scope=scope, port=port, show=show, wait_s=wait))
    granted = (had.tokens.scope if had.tokens is not None else None) or ""
    renewed = had.tokens is not None and had.tokens.refresh_token is not None
    left = None if had.expires_s is None else max(0, round(had.expires_s - time.time()))
    if as_json:
        cli.tell({"server": name, "url": url, "scope": granted, "expires_in_s": left, "renewed": renewed})
        return 0
    until = "" if left is None else f", for {left} s"
    more = ", renewed by itself" if renewed else ""
    render.line(f"logged in to {name}{f' ({granted})' if granted else ''}{until}{more}", "green")
    return 0


@mcp.command("logout", short_help="Give the token of a server back.")
def logout(
    name: ServerArgument, servers: ServersOption, logins: LoginsOption = None, config: ConfigOption = None
) -> int:
    """Give the gateway's token for a server back, and forget it.

    \b
    Examples:
      flyball mcp logout mail --servers servers.json
    """
    cli = Cli.of(config)
    url, oauth = _oauth_of(servers, name)
    from flyball.edges.mcp.links import logins_in

    kept = logins_in(logins_folder(logins, cli.config.state_dir))
    if not kept.file(name).exists():
        render.line(f"nobody is logged in to {name}")
        return 0
    from flyball.edges.mcp.oauth.login import TakenBack
    from flyball.edges.mcp.oauth.login import logout as log_out

    taken = run_on_loop(log_out(name, url, oauth, kept))
    if taken is TakenBack.ALL:
        render.line(f"logged out of {name}: the authorization server took the token back", "green")
    elif taken is TakenBack.RENEWAL:
        render.line(
            f"logged out of {name}: nothing renews the token any more; the authorization server takes no such token "
            "back, so that it is good until it ends",
            "yellow",
        )
    else:
        render.line(
            "forgotten here; the authorization server did not take it back: it may be good until it ends", "yellow"
        )
    return 0


def _oauth_of(servers: Path, name: str) -> tuple[str, OAuth]:
    found = server_in(servers, name)
    if found.oauth is None:
        raise CliError(f"{name} has no `oauth` in {servers}", 'give it "oauth": {}', exit_code=MISUSED)
    return found.url, found.oauth
