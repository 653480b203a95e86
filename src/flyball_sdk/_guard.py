"""What `@task.guard` asks for a call: the resource and the arguments, from the function's own; and what it tells."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final, ParamSpec, Protocol, TypeAlias
from weakref import WeakSet

from flyball_sdk import _json
from flyball_sdk.errors import InvalidRequest

P = ParamSpec("P")
Resource: TypeAlias = tuple[str, str] | Callable[[Mapping[str, object]], tuple[str, str]]
"""(type, id); `{name}` in the id is replaced by that argument. Or a function of the arguments by name."""

COOPERATIVE: Final = (
    "cooperative: tools are guarded inside this process, which keeps an honest agent to its intent and is no wall"
)
_log = logging.getLogger("flyball_sdk")
_told: WeakSet[object] = WeakSet()


class _Named(Protocol):
    @property
    def id(self) -> str: ...


def say_cooperative(task: _Named) -> None:
    """Say once for each task what a guard in the agent's own process is worth."""
    if task not in _told:
        _told.add(task)
        _log.warning("task %s: %s", task.id, COOPERATIVE)


def observed(result: object) -> object:
    """A tool's result as it can be reported: JSON, or what its class makes of it as JSON; None where neither is."""
    dump = getattr(result, "model_dump", None)
    if callable(dump):
        result = dump(mode="json")
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        result = dataclasses.asdict(result)
    try:
        _json.dumps(result)
    except (TypeError, ValueError):
        return None
    return result


def unwanted(fault: InvalidRequest) -> bool:
    """Whether a report was not taken because the task's profile has no use for results, so that none is waited for."""
    return fault.code == "decision_unknown"


class Asked:
    """Turns a call of `function` into the question to ask for it."""

    def __init__(
        self, function: Callable[P, object], action: str, resource: Resource, args: Collection[str] | None
    ) -> None:
        """`args` names the arguments to send; None sends all.

        Raises:
            TypeError: `args` names something that the function does not take.
        """
        self.action = action
        self._resource = resource
        self._signature = inspect.signature(function)
        self._args = args
        unknown = set(args or ()) - set(self._signature.parameters)
        if unknown:
            raise TypeError(f"{action}: the function takes no {', '.join(sorted(unknown))}")

    def question(
        self, positional: tuple[object, ...], named: Mapping[str, object]
    ) -> tuple[str, str, str, dict[str, object]]:
        """(action, resource type, resource id, arguments) for one call.

        Raises:
            TypeError: the call does not fit the function, which then is not called.
        """
        bound = self._signature.bind(*positional, **named)
        bound.apply_defaults()
        values: dict[str, object] = {}
        for name, value in bound.arguments.items():
            if self._signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                values.update(value)
            else:
                values[name] = value
        if callable(self._resource):
            kind, name = self._resource(values)
        else:
            kind, template = self._resource
            name = template.format_map({key: str(value) for key, value in values.items()})
        if self._args is not None:
            values = {key: values[key] for key in self._args}
        else:
            values.pop("self", None)
        return self.action, kind, name, values
