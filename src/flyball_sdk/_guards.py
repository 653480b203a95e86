"""What a task guards: functions whose calls are checked before and observed after."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import ParamSpec, TypeVar

from flyball_sdk._guard import Asked, Resource, observed, say_cooperative, unwanted
from flyball_sdk.errors import InvalidRequest
from flyball_sdk.model import Decision, Reported

P = ParamSpec("P")
R = TypeVar("R")


class Guards(ABC):
    """The part of a synchronous `Task` that guards functions."""

    @property
    @abstractmethod
    def id(self) -> str:
        """The task's id."""

    @abstractmethod
    def _ask(self, action: str, kind: str, which: str, args: Mapping[str, object]) -> Decision: ...

    @abstractmethod
    def report(self, decision: Decision | str, result: object) -> Reported:
        """Report what an allowed call returned; see `Task.report`."""

    def guard(
        self, action: str, *, resource: Resource, args: Collection[str] | None = None, observe: bool = True
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function so that each call is checked first, with the call's own arguments, and observed.

        Like `check`, this is cooperation, and the log says so once. It raises what `check` raises, before the
        function runs, and what `report` raises, after it.

        Args:
            action: the action that a call is.
            resource: `(type, id)`, where `{name}` in the id is replaced by that argument, or a function
                that is given the arguments (a mapping by name) and returns such a pair.
            args: names of the arguments to send; all of them when None.
            observe: see `observe`.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            asked = Asked(function, action, resource, args)

            @functools.wraps(function)
            def guarded(*positional: P.args, **named: P.kwargs) -> R:
                say_cooperative(self)
                decision = self._ask(*asked.question(positional, named))
                result = function(*positional, **named)
                if observe:
                    self.observe(decision, result)
                return result

            return guarded

        return decorate

    def observe(self, decision: Decision, result: object) -> None:
        """Report what an allowed call returned, as `report`, with whatever of it JSON can hold; nothing happens where
        the profile has no use for results.

        Raises:
            Refused, TaskLost, Unavailable.
        """
        try:
            self.report(decision, observed(result))
        except InvalidRequest as fault:
            if not unwanted(fault):
                raise
