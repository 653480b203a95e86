"""`serve`, `dev`, `reload`: running Flyball."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flyball.assembly import config as configuration
from flyball.assembly import local
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, JsonOption
from flyball.edges.cli.errors import MISUSED, CliError
from flyball.edges.cli.plain import Plain
from flyball.edges.cli.render import text
from flyball.kernel.json import Json

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


@dev.command("init", short_help="Make the trust domain, where there is none.", cls=Plain)
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


@dev.command("svid", cls=Plain)
def dev_svid(
    spiffe_id: Annotated[str, typer.Argument(metavar="SPIFFE_ID", help="spiffe://<the dev trust domain>/…")],
    audience: Annotated[
        str, typer.Option("--audience", metavar="URL", help="Whom it is for; else this Flyball's issuer.")
    ] = "",
    ttl: Annotated[int, typer.Option("--ttl", metavar="SECONDS", help="Seconds of life, a day at most.")] = 3600,
    instance: Annotated[
        str, typer.Option("--instance", metavar="NAME", help="Which running instance it is; else a new one.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Issue a JWT-SVID and print it. It is an identity: keep it in a file of mode 0600.

    \b
    Examples:
      (umask 077; flyball dev svid spiffe://flyball.dev/agent/refund-agent > agent.svid)
      FLYBALL_SVID_FILE=agent.svid python my_agent.py
    """
    loaded = configuration.load(config, os.environ)
    print(local.dev_domain(loaded).issue(spiffe_id, audience or loaded.issuer, ttl_s=ttl, instance=instance))


@dev.command("voucher", short_help="Issue a signed word for inputs or a call.", cls=Plain)
def dev_voucher(
    spiffe_id: Annotated[str, typer.Argument(metavar="SPIFFE_ID", help="Who vouches: spiffe://<the dev domain>/…")],
    given: Annotated[
        list[str] | None, typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input vouched for (repeatable).")
    ] = None,
    call: Annotated[str, typer.Option("--call", metavar="DIGEST", help="The call of a step-up, by its digest.")] = "",
    ttl: Annotated[int, typer.Option("--ttl", metavar="SECONDS", help="Seconds of life, a day at most.")] = 300,
    config: ConfigOption = None,
) -> None:
    """Issue a signed word for a task's inputs, or for one call, and print it. Whoever vouches is no agent.

    \b
    Examples:
      flyball dev voucher spiffe://flyball.dev/desk -i ticket=T-1042 > ticket.voucher
      flyball dev voucher spiffe://flyball.dev/desk --call sha256:…
    """
    loaded = configuration.load(config, os.environ)
    claims: dict[str, Json] = {}
    if given:
        pairs = [one.partition("=") for one in given]
        if any(not name or not equals for name, equals, _ in pairs):
            raise CliError("an input is written NAME=VALUE", exit_code=MISUSED)
        claims["inputs"] = {name: value for name, _, value in pairs}
    if call:
        claims["call"] = call
    if not claims:
        raise CliError("a voucher speaks of inputs or of a call", "give --input or --call", exit_code=MISUSED)
    print(local.dev_domain(loaded).issue(spiffe_id, loaded.issuer, ttl_s=ttl, claims=claims))
