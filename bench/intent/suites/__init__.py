"""Suites by name: AgentDojo's from its package or its recorded data, AgentDyn's and tau2's from recorded data."""

from __future__ import annotations

from bench.intent.suites import data, dojo, dyn, tau
from bench.intent.suites.data import SuiteError

AnySuite = dojo.LiveSuite | dojo.DataSuite | dyn.DynSuite | tau.TauSuite

__all__ = ["AnySuite", "SuiteError", "open_suite"]


def open_suite(name: str, *, live: bool = True) -> AnySuite:
    """The suite of that name; `family/name` says which benchmark is meant.

    Args:
        live: AgentDojo's suites are those of the installed package; its recorded ground truth has no environment,
            so it never stands in for the package by itself.

    Raises:
        SuiteError: there is no such suite, or its data is not there.
    """
    family, slash, bare = name.partition("/")
    if not slash:
        family, bare = "", name
    if family in {"", "agentdojo"} and live and bare in dojo.package_suites():
        return dojo.LiveSuite.named(bare)
    family = family or data.family_of(bare)
    if family == "agentdojo" and live:
        raise SuiteError(
            f"suite `{bare}` would need the package agentdojo, which is not installed or does not have it: "
            "`make bench-intent` installs it; `--recorded` replays recorded ground truth, without an environment"
        )
    if family == "agentdojo":
        return dojo.DataSuite(bare)
    if family == "agentdyn":
        return dyn.DynSuite(bare)
    if family == "tau2":
        return tau.TauSuite(bare)
    known = ", ".join(dojo.package_suites()) or "none: the package agentdojo is not installed"
    raise SuiteError(f"there is no suite `{name}` (AgentDojo's package has: {known}; recorded data: {data.folder()})")
