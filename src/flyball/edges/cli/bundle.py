"""`validate`, `test`: a bundle's checks, with no server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flyball.edges.cli import render
from flyball.edges.cli.context import JsonOption
from flyball.edges.cli.errors import FAILED
from flyball.flow import offline

BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")]


def validate(bundle: BundleArgument, as_json: JsonOption = False) -> int:
    """Read, compile and lint a bundle. Says every fault with its place, and what is only cooperative.

    \b
    Examples:
      flyball validate bundles/demo
      flyball validate . --json | jq '.diagnostics[]'
    """
    report = offline.validate_bundle(bundle)
    if as_json:
        print(json.dumps(report.as_json(), indent=2))
        return 0 if report.ok else FAILED
    for found in report.diagnostics:
        print(found.render())
    if not report.ok:
        render.line(f"{report.name}: refused", "bold red")
        return FAILED
    render.line(f"{report.name}: good, {report.digest}", "green")
    for profile, listed in sorted(report.cooperative.items()):
        for one in listed:
            members = one.as_json()
            said = f"{profile}, {render.limit(members)}: {render.text(members.get('because'))}"
            render.line(f"  cooperative, not enforced: {said}", "yellow")
    return 0


def run_cases(bundle: BundleArgument, as_json: JsonOption = False) -> int:
    """Run the cases that lie beside a bundle's policies, on the real decision plane.

    \b
    Examples:
      flyball test bundles/demo
    """
    told = offline.test_bundle(bundle)
    good = told.get("ok") is True
    if as_json:
        print(json.dumps(told, indent=2))
        return 0 if good else FAILED
    cases = render.objects(told, "cases")
    for case in cases:
        mark, style = ("✓", "green") if case.get("ok") is True else ("✗", "bold red")
        place = f"{render.text(case.get('file'))}:{render.text(case.get('line'))}"
        render.line(f"{mark} {render.text(case.get('name'))}  {place}", style)
        if case.get("error"):
            render.line(f"    {render.text(case.get('error'))}")
        for step in render.objects(case, "steps"):
            if step.get("ok") is not True:
                got = f"{render.text(step.get('effect'))} ({render.text(step.get('reasons'))})"
                said = (
                    f"    line {render.text(step.get('line'))}: expected {render.text(step.get('expect'))}, was {got}"
                )
                render.line(said)
    for one in render.objects(told, "diagnostics"):
        place = f"{render.text(one.get('file'))}:{render.text(one.get('line'))}"
        render.line(f"{place}: {render.text(one.get('message'))}", "bold red")
    failed = sum(case.get("ok") is not True for case in cases)
    render.line(f"{len(cases)} cases, {failed} failed", "green" if good else "bold red")
    return 0 if good else FAILED
