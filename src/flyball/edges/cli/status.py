"""`status`: whether all is well."""

from __future__ import annotations

from flyball.edges.cli import render
from flyball.edges.cli.context import AddrOption, Cli, ConfigOption, JsonOption
from flyball.edges.cli.errors import UNWELL
from flyball.edges.cli.tasks import show_leases
from flyball.kernel.json import Json


def status(config: ConfigOption = None, addr: AddrOption = "", as_json: JsonOption = False) -> int:
    """How Flyball stands. The exit code is 3 while anything is quarantined, unreachable or over-privileged, or new
    certificates cannot be used, and for an hour after reactions had to be degraded to freezing.

    \b
    Examples:
      flyball status
      flyball status --json | jq .quarantined
    """
    cli = Cli.of(config, addr, as_json=as_json)
    with cli.client() as client:
        found = client.get("/v1/status")
    well = found.get("ok") is True and not found.get("quarantined")
    if as_json:
        cli.tell(found)
        return 0 if well else UNWELL
    mode = render.text(found.get("mode"))
    render.line("all is well" if well else "NOT WELL: see below", "bold green" if well else "bold red")
    bundle = render.member(found, "bundle")
    store, journal = render.member(found, "store"), render.member(found, "journal")
    render.fields(
        [
            ("node", f"{render.text(found.get('node'))}, epoch {render.text(found.get('epoch'))}, mode {mode}"),
            ("issuer", render.text(found.get("issuer"))),
            ("bundle", f"{render.text(bundle.get('name'))} {render.digest(bundle.get('digest'))}"),
            ("tasks", _counts(found, "tasks")),
            ("leases", _counts(found, "leases")),
            ("records", render.text(store.get("seq"))),
            ("journal", render.text({**journal})),
            ("decisions", _decisions(render.member(found, "decisions"))),
        ]
    )
    _targets(render.member(found, "targets"))
    for place, problem in render.member(found, "certificates").items():
        render.line(f"new certificates at {place} cannot be used, the old stay: {render.text(problem)}", "bold red")
    for name, state in render.member(found, "agents").items():
        render.line(f"agent {name} is {render.text(state)}", "bold yellow")
    for asked in render.objects(found, "quarantine_requests"):
        who, why = render.text(asked.get("agent")), render.text(asked.get("detail"))
        said = f"quarantine of {who} was asked for by a deviation: {why}"
        render.line(said, "bold yellow")
    for one in render.objects(found, "reactions_degraded"):
        profile, count = render.text(one.get("profile")), render.text(one.get("count"))
        said = f"reactions of profile {profile} are degraded to freezing ({count} so far): too many at once; last"
        render.line(f"{said} by {render.text(one.get('decision'))}", "bold red")
    if waiting := render.number(found.get("approvals_waiting")):
        render.line(f"{waiting} waiting for a person: flyball approvals", "bold yellow")
    quarantined = render.objects(found, "quarantined")
    if quarantined:
        render.headline("QUARANTINED: not proved gone, and retried until it is")
        show_leases(cli, quarantined)
    _cooperative(render.member(found, "cooperative"))
    return 0 if well else UNWELL


def _counts(holder: dict[str, Json], name: str) -> str:
    found = render.member(holder, name)
    return ", ".join(f"{render.text(count)} {state}" for state, count in sorted(found.items())) or "none"


def _decisions(found: dict[str, Json]) -> str:
    shown: dict[str, Json] = {
        name: found[name] for name in ("decided", "allowed", "denied", "p50_us", "p99_us") if name in found
    }
    return render.text(shown) or "none"


def _targets(targets: dict[str, Json]) -> None:
    for name, said in targets.items():
        target = said if isinstance(said, dict) else {}
        if target.get("reachable") is not True:
            render.line(f"target {name} is unreachable: {render.text(target.get('detail'))}", "bold red")
            continue
        excess = target.get("excess")
        for more in excess if isinstance(excess, list) else ():
            said_more = f"target {name}: Flyball's own role may do more than it needs: {render.text(more)}"
            render.line(said_more, "bold red")
        for remark in foreign(target):
            render.line(f"target {name}: {remark}", "bold red")
        version = render.text(target.get("version"))
        rotated = render.when(target.get("rotated_ms"))
        since = f", Flyball's own login rotated {rotated}" if rotated else ""
        render.line(f"target {name} is reachable{f' ({version})' if version else ''}{since}")


def foreign(target: dict[str, Json]) -> list[str]:
    """What a target says of other Flyballs of our issuer: that it is refused to us, what their stores left there."""
    refused = render.text(target.get("refused"))
    left = [
        f"{render.text(count)} of store {store} of our issuer {'stands' if count == 1 else 'stand'} there"
        for store, count in sorted(render.member(target, "foreign").items())
    ]
    return [*([f"nothing is issued: {refused}"] if refused else []), *left]


def _cooperative(profiles: dict[str, Json]) -> None:
    lines = []
    for profile, listed in profiles.items():
        for one in listed if isinstance(listed, list) else ():
            lines.append(f"{profile}: {render.limit(one)}")
    if lines:
        render.headline("cooperative, not enforced")
        for line in lines:
            render.line(f"  {line}", "yellow")
