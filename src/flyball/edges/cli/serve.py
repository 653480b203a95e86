"""`serve`, `dev`, `reload`: running Flyball."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flyball.assembly import config as configuration
from flyball.assembly import local
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, JsonOption
from flyball.edges.cli.render import text

dev = typer.Typer(
    name="dev",
    help="A trust domain for trying out: it issues identities to agents on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def serve(config: ConfigOption = None) -> int:
    """Run Flyball until SIGTERM or SIGINT; SIGHUP reads the bundle anew.

    \b
    Examples:
      flyball serve
      flyball serve --config /etc/flyball/flyball.yaml
    """
    from flyball.assembly.server import serve as run

    return run(configuration.load(config, os.environ), os.environ)


def reload(config: ConfigOption = None, addr: AddrOption = "", as_json: JsonOption = False) -> None:
    """Read the bundle's folder anew. A bad bundle is refused, and the running one stays."""
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        told = client.post("/v1/bundle")
    if as_json:
        cli.tell(told)
        return
    print(f"bundle {text(told.get('name'))} is in force: {text(told.get('digest'))}")


@dev.command("init")
def dev_init(config: ConfigOption = None) -> None:
    """Make the development trust domain's key and bundle, where there is none yet.

    \b
    Examples:
      flyball dev init
    """
    loaded = configuration.load(config, os.environ)
    domain = local.dev_domain(loaded)
    print(f"trust domain {domain.trust_domain}: {domain.bundle_path}")
    print(
        f"next: flyball dev svid spiffe://{domain.trust_domain}/agent/NAME, with `{domain.trust_domain}: {{dev: true}}`"
    )
    print("under `identity.trust_domains` of the bundle")


@dev.command("svid")
def dev_svid(
    spiffe_id: Annotated[str, typer.Argument(metavar="SPIFFE_ID", help="spiffe://<the dev trust domain>/…")],
    audience: Annotated[
        str, typer.Option("--audience", metavar="URL", help="Whom it is for; else this Flyball's issuer.")
    ] = "",
    ttl: Annotated[int, typer.Option("--ttl", metavar="SECONDS", help="Seconds of life, a day at most.")] = 3600,
    config: ConfigOption = None,
) -> None:
    """Issue a JWT-SVID and print it. It is an identity: keep it in a file of mode 0600.

    \b
    Examples:
      (umask 077; flyball dev svid spiffe://flyball.dev/agent/refund-agent > agent.svid)
      FLYBALL_SVID_FILE=agent.svid python my_agent.py
    """
    loaded = configuration.load(config, os.environ)
    print(local.dev_domain(loaded).issue(spiffe_id, audience or loaded.issuer, ttl_s=ttl))
