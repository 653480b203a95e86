"""What a suite of any benchmark gives the harness: its tools, its tasks, and worlds to run calls in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from flyball.kernel.json import Json


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as its suite describes it. `returns` are the lines of its result's shape."""

    name: str
    description: str
    schema: Mapping[str, Json]
    returns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One call that an agent wants to make."""

    function: str
    args: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a call that ran: what the tool returned, its error, and the text that a model would see."""

    result: Json
    error: str = ""
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a user asks for."""

    task: str
    text: str


class World(Protocol):
    """The environment of one run."""

    def run(self, call: Call) -> Done:
        """Carry a call out."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a recorded run: whose it is, and what came of it then. `real` is false for a name that is no tool."""

    call: Call
    done: Done
    of_attack: bool = False
    real: bool = True


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded run. `attack` names the injection task, or is empty."""

    id: str
    prompt: Prompt
    steps: Sequence[Step]
    attack: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Where a suite's data is from, and what of it could not be used."""

    source: str
    left_out: Mapping[str, int] = field(default_factory=dict)


class Suite(Protocol):
    """A suite: what its agent may know of it."""

    name: str
    family: str

    def tools(self) -> Sequence[Tool]:
        """Its tools, as an agent is told of them."""

    def prompts(self) -> Sequence[Prompt]:
        """What its users ask for."""

    def instructions(self) -> str:
        """What the agent itself is told beforehand, where the benchmark has that; else empty."""
