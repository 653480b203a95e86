"""`task show`: one task drawn, from what it was for to what is left of it."""

from __future__ import annotations

from flyball.edges.cli import render
from flyball.edges.cli.context import Cli
from flyball.edges.cli.tasks import show_leases
from flyball.kernel.json import Json

_SHOWN = 25


def draw(cli: Cli, told: dict[str, Json]) -> None:
    """A task's story, for people. Every text of it is foreign, and is cleaned on its way."""
    _head(told)
    _inputs(told)
    _plan(told)
    _calls(told)
    _results(told)
    _rest(told)
    render.headline("leases")
    show_leases(cli, render.objects(told, "leases"))
    for limit in render.objects(told, "cooperative"):
        render.line(f"cooperative, not enforced: {render.limit(limit)}", "yellow")


def _head(told: dict[str, Json]) -> None:
    left = "" if told.get("state") in ("fenced", "closed") else render.left(told.get("hard_end_ms"))
    names = ("task", "state", "cause", "agent", "owner", "principal", "instance", "parent", "purpose")
    pairs = [(name, render.text(told.get(name))) for name in names if told.get(name)]
    render.fields(
        [
            *pairs,
            ("profile", f"{render.text(told.get('profile'))} ({render.digest(told.get('profile_digest'))})"),
            ("opened", render.when(told.get("opened_ms"))),
            ("hard end", f"{render.when(told.get('hard_end_ms'))}  {left}".rstrip()),
            ("bound to", render.text(told.get("bound_to"))),
        ]
    )
    if told.get("values") == "erased":
        render.line("its values are gone: the task's data key is erased", "yellow")


def _inputs(told: dict[str, Json]) -> None:
    for name, given in render.member(told, "inputs").items():
        if isinstance(given, dict):
            by = render.text(given.get("vouched_by"))
            source = f"vouched for by {by}" if by else "declared by the agent itself"
            render.fields([(f"input {name}", f"{render.text(given.get('value'))}  ({source})")])


def _plan(told: dict[str, Json]) -> None:
    plan, must = render.member(told, "plan"), render.member(told, "must")
    if plan.get("declared"):
        render.headline("plan, and what is left of it")
        entries = render.objects(plan, "entries")
        for one in entries:
            render.cut(f"  {render.text(one)}")
        if not entries:
            render.line(f"  declared, digest {render.digest(plan.get('digest'))}")
    if must.get("wanted"):
        missing = render.text(must.get("missing"))
        said = f"at least once: {render.text(must.get('wanted'))}"
        render.line(f"{said}; missing: {missing}" if missing else f"{said}; done", "bold yellow" if missing else "")


def _calls(told: dict[str, Json]) -> None:
    counts, calls = render.member(told, "counts"), render.objects(told, "calls")
    render.headline(f"calls: {render.number(counts.get('allowed'))} allowed, {_not_allowed(counts)} not")
    if len(calls) > _SHOWN:
        render.line(f"  the last {_SHOWN}; --json has more", "dim")
    for one in calls[-_SHOWN:]:
        effect, reasons = render.text(one.get("effect")), render.text(one.get("reasons"))
        why = "" if effect == "allow" else f": {reasons}"
        reaction = f", then {render.text(one.get('reaction'))}" if one.get("reaction") else ""
        resource = render.text(render.member(one, "resource").get("id"))
        args = render.text(one.get("args"))
        line = f"  {render.when(one.get('at'))[11:]}  {effect:<16} {render.text(one.get('action'))} on {resource}"
        render.cut(f"{line}{why}{reaction}  {args}  {render.text(one.get('decision'))}")
        breach = render.member(one, "breach")
        for seen in render.objects(breach, "seen")[:3]:
            field = render.text(seen.get("field"))
            of = f"result {render.text(seen.get('result'))} of {render.text(seen.get('action'))}"
            by = render.text(seen.get("by"))
            render.line(
                f"      {render.text(breach.get('arg'))} was first seen in {of}, field {field}, writable by {by}"
            )


def _not_allowed(counts: dict[str, Json]) -> int:
    return render.number(counts.get("not_allowed"))


def _results(told: dict[str, Json]) -> None:
    results = render.objects(told, "results")
    if not results:
        return
    render.headline(f"results: {render.number(render.member(told, 'counts').get('results'))}")
    for one in results[-_SHOWN:]:
        whose = "the agent's own word" if one.get("self") is True else f"reported by {render.text(one.get('pep'))}"
        kept = f"{render.number(one.get('kept'))} values remembered"
        full = ", MEMORY FULL" if one.get("full") is True else ""
        render.cut(f"  {render.text(one.get('action'))} {render.text(one.get('result'))}: {whose}, {kept}{full}")
        fields = render.member(one, "fields")
        said = ", ".join(f"{name or 'the whole'} by {render.text(by)}" for name, by in fields.items())
        render.cut(f"      {said}")


def _rest(told: dict[str, Json]) -> None:
    labels, budgets = render.objects(told, "labels"), render.objects(told, "budgets")
    if labels:
        render.headline("labels")
        for one in labels:
            render.line(
                f"  {render.text(one.get('label'))}  since {render.when(one.get('at'))}, {render.text(one.get('from'))}"
            )
    if budgets:
        render.headline("budgets")
        for one in budgets:
            limit = render.text(one.get("limit"))
            render.line(
                f"  {render.text(one.get('name'))}: {render.text(one.get('used'))}{f' of {limit}' if limit else ''}"
            )
    if breaches := render.member(told, "breaches"):
        render.line(f"breaches: {render.text({**breaches})}", "yellow")
    for one in render.objects(told, "approvals"):
        by = f", by {render.text(one.get('by'))}" if one.get("by") else ""
        note = f" ({render.text(one.get('note'))})" if one.get("note") else ""
        state = render.text(one.get("outcome") or one.get("state"))
        render.line(f"approval {render.text(one.get('decision'))}: {render.text(one.get('action'))}, {state}{by}{note}")
    for one in render.objects(told, "children"):
        render.line(f"child {render.text(one.get('task'))}: {render.text(one.get('state'))}")
