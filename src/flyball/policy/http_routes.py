"""Reading `http` of an action: which HTTP requests are that action, and where its arguments stand in them.

Shapes are checked here. What the texts mean (path templates, places of arguments, two routes for the same
requests) is read by the decision plane alone, and its findings come back to the places noted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flyball.kernel.json import Json
from flyball.policy.diagnostics import Mark
from flyball.policy.reader import Fields, text


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """One kind of request that is an action.

    Attributes:
        request: `METHOD HOST/PATH`, the path a template.
        resource: the resource's id, with `{variable}`s of the path; empty for the host's name.
        args: argument → where it stands (`path.x`, `query.x`, `header.x`, `body.x.y`).
        unread: what may hold more than is named: `query`, `body`.
        strip: request headers that do not go upstream.
        credential: the task's credential that goes upstream: `name`, and `header` and `form` where they are said.
    """

    request: str
    resource: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()
    credential: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """What the decision plane reads."""
        out: dict[str, Json] = {"request": self.request}
        if self.resource:
            out["resource"] = self.resource
        if self.args:
            out["args"] = dict(self.args)
        if self.unread:
            out["unread"] = list(self.unread)
        if self.strip:
            out["strip"] = list(self.strip)
        if self.credential:
            out["credential"] = dict(self.credential)
        return out


def read_routes(action: str, fields: Fields, places: dict[str, Mark]) -> tuple[HttpRoute, ...]:
    """The routes of an action, from the list `http`; each one's place is noted as `http:<action>/<n>`."""
    found: list[HttpRoute] = []
    for number, node in enumerate(fields.items("http")):
        places[f"http:{action}/{number}"] = node.mark
        inner = Fields(f"request {number + 1} of action `{action}`", node, fields.problems)
        args = {
            arg: text(value, f"the place of argument `{arg}`", fields.problems)
            for arg, _, value in inner.named("args", "argument")
        }
        found.append(
            HttpRoute(
                inner.text("request", required=True),
                inner.text("resource"),
                args,
                tuple(value for value, _ in inner.texts("unread")),
                tuple(value for value, _ in inner.texts("strip")),
                _credential(action, inner),
            )
        )
        inner.done()
    return tuple(found)


def _credential(action: str, fields: Fields) -> dict[str, str]:
    node = fields.node("credential")
    if node is None:
        return {}
    inner = Fields(f"the credential of action `{action}`", node, fields.problems)
    found = {"name": inner.text("name", required=True), "header": inner.text("header"), "form": inner.text("form")}
    inner.done()
    return {key: value for key, value in found.items() if value}
