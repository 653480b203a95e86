"""`validate`, `test`: a bundle's checks, with no server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flyball.assembly.scratch import scratch
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

    A case that fails is told with its call, what was expected, what came, and where a refused value came from.

    \b
    Examples:
      flyball test bundles/demo
    """
    report = offline.test_bundle(bundle, scratch)
    if as_json:
        print(json.dumps(report.as_json(), indent=2))
        return 0 if report.ok else FAILED
    for found in report.diagnostics:
        print(found.render())
    for case in report.results:
        first, *rest = case.lines()
        render.escaped(first, "green" if case.ok else "bold red")
        for one in rest:
            render.escaped(one)
    render.line(report.summary(), "green" if report.ok else "bold red")
    return 0 if report.ok else FAILED
