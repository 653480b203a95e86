"""tau2: reference actions of a domain, without results or later turns of the user. Benign only."""

from __future__ import annotations

from collections.abc import Sequence

from bench.intent.suites import data
from bench.intent.suites.model import Call, Done, Facts, Prompt, Recorded, Step, Tool
from bench.intent.suites.seen import Seen
from flyball.kernel.json import Json

_PARTS = ("reason_for_call", "known_info", "task_instructions")


class TauSuite:
    """A domain of tau2. The request is the scenario that the user acts out: more than their first turn says."""

    family = "tau2"

    def __init__(self, name: str) -> None:
        self.name = name
        self._data = data.read("tau2", name)
        self._tasks = data.objects(self._data.get("tasks"))

    def tools(self) -> Sequence[Tool]:
        """Tools of the reference actions: names and argument types."""
        seen = Seen()
        for run in self.benign():
            for step in run.steps:
                seen.call(step.call)
        return seen.tools()

    def prompts(self) -> Sequence[Prompt]:
        """See `model.Suite.prompts`."""
        return [Prompt(str(task["id"]), _scenario(task)) for task in self._tasks]

    def instructions(self) -> str:
        """The domain's policy text, which the agent is given."""
        return str(self._data.get("policy") or "")

    def facts(self) -> Facts:
        """See `model.Facts`."""
        empty = sum(not task.get("actions") for task in self._tasks)
        return Facts(
            "reference actions, upstream's train split; no results, no database, no later turns",
            {"tasks without an action": empty},
        )

    def benign(self) -> Sequence[Recorded]:
        """Every task that has an action."""
        return [
            Recorded(
                str(task["id"]),
                Prompt(str(task["id"]), _scenario(task)),
                [
                    Step(Call(str(one["name"]), data.as_map(one.get("arguments"))), Done(None, "", ""))
                    for one in data.objects(task.get("actions"))
                ],
            )
            for task in self._tasks
            if task.get("actions")
        ]

    def attacked(self) -> Sequence[Recorded]:
        """None: the benchmark has no attacks."""
        return []


def _scenario(task: dict[str, Json]) -> str:
    said = data.as_map(data.as_map(task.get("user_scenario")).get("instructions"))
    return "\n".join(str(said[part]).strip() for part in _PARTS if said.get(part))
