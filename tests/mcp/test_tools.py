"""What a client is shown of a server, and which of its tools may be asked about at all."""

from __future__ import annotations

import pytest
from tests.mcp.inner import MODERN, Allowing

from flyball.edges.mcp import tools as module
from flyball.edges.mcp.tools import Tools
from flyball.enforcement.mcp import frames
from flyball.enforcement.mcp.frames import Frame, Object
from flyball.enforcement.mcp.pins import of_server

LOOK: Object = {"name": "look", "description": "looks", "inputSchema": {"type": "object"}}
OTHER: Object = {**LOOK, "description": "looks, and tells"}
MIRRORED: Object = {"type": "object", "properties": {"a": {"type": "array", "x-mcp-header": "A"}}}


class Few(Allowing):
    """Allows one action."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.action = action

    def shows(self, action: str) -> bool:
        return action == self.action


def request(method: str, *, modern: bool = False) -> Frame:
    return frames.read(frames.request(1, method, {"_meta": MODERN} if modern else {}))


def seen(approved: list[Object], *pages: list[Object]) -> Tools:
    """Tools of which these were approved, and these listed since."""
    made = Tools(of_server(approved, None))
    for page in pages:
        made.see({"tools": list(page)})
    return made


@pytest.mark.parametrize(
    ("approved", "pages", "why"),
    [
        ([LOOK], [[LOOK]], ""),
        ([LOOK], [[LOOK], [LOOK]], ""),
        ([LOOK], [[OTHER]], "tool_changed"),
        ([LOOK], [[LOOK], [OTHER]], "tool_changed"),
        ([LOOK], [[OTHER], [LOOK]], "tool_changed"),
        ([LOOK], [[OTHER, LOOK]], "tool_changed"),
        ([LOOK], [[]], "tool_unknown"),
        ([], [[LOOK]], "tool_not_approved"),
        ([{**LOOK, "inputSchema": MIRRORED}], [[{**LOOK, "inputSchema": MIRRORED}]], "tool_headers"),
    ],
)
def test_a_tool_is_asked_about_by_its_approved_definition(
    approved: list[Object], pages: list[list[Object]], why: str
) -> None:
    """Two words of the server about one tool are none, in whichever order: which a call would meet is unknown."""
    assert seen(approved, *pages).objection("look") == why


def test_so_many_tools_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a server that lists more the rest is unknown, and so not called."""
    monkeypatch.setattr(module, "MAX_TOOLS", 2)
    listed: list[Object] = [{**LOOK, "name": f"look-{number}"} for number in range(3)]
    made = seen(listed, listed)
    assert [made.objection(f"look-{number}") for number in range(3)] == ["", "", "tool_unknown"]


@pytest.mark.parametrize(
    ("method", "member", "action"),
    [
        ("resources/list", "resources", "mcp.resource_read"),
        ("resources/templates/list", "resourceTemplates", "mcp.resource_read"),
        ("prompts/list", "prompts", "mcp.prompt_get"),
    ],
)
def test_resources_and_prompts_are_listed_where_they_may_be_had(method: str, member: str, action: str) -> None:
    """Else the list is empty; without a task too."""
    listed: Object = {member: [{"name": "one", "uri": "note://one"}]}
    made = seen([])
    assert made.shown(request(method), listed, Few(action)) == listed
    for judge in (Few("look"), None):
        assert made.shown(request(method), listed, judge) == {member: []}


def test_what_is_filtered_is_nobody_elses() -> None:
    """A cache that several callers share would show one the other's list."""
    for frame, told in ((request("tools/list", modern=True), {}), (request("tools/list"), {"cacheScope": "public"})):
        page: Object = {"tools": [LOOK], **told}
        shown = seen([LOOK]).shown(frame, page, Few("look"))
        assert shown == {"tools": [LOOK], "cacheScope": "private"}
    assert "cacheScope" not in seen([LOOK]).shown(request("tools/list"), {"tools": [LOOK]}, Few("look"))


def test_a_tool_that_may_not_be_called_is_not_shown() -> None:
    """Another definition, an annotation that cannot be kept, an action that the task does not have, a name of ours."""
    odd: Object = {**LOOK, "name": "odd", "inputSchema": MIRRORED}
    own: Object = {"name": "begin_task", "inputSchema": {"type": "object"}}
    listed: list[Object] = [LOOK, odd, {**LOOK, "name": "begin_task"}, {**LOOK, "name": "other"}, {**LOOK, "name": 7}]
    made = Tools(of_server(listed, None), own=(own,))
    page: Object = {"tools": list(listed)}
    assert made.shown(request("tools/list"), page, Allowing())["tools"] == [own, LOOK, {**LOOK, "name": "other"}]
    assert made.shown(request("tools/list"), page, Few("look"))["tools"] == [own, LOOK]
    assert made.shown(request("tools/list"), page, None)["tools"] == [own]
    changed: Object = {"tools": [OTHER]}
    assert made.shown(request("tools/list"), changed, Allowing())["tools"] == [own]


@pytest.mark.parametrize(("approved", "told"), [("Be odd.", True), ("Be even.", False), (None, False)])
def test_instructions_that_nobody_approved_are_left_out(approved: str | None, told: bool) -> None:
    """They reach a model as a tool's description does."""
    made = Tools(of_server([], approved))
    greeting: Object = {"serverInfo": {"name": "s"}, "instructions": "Be odd.", "cacheScope": "public"}
    for method in ("initialize", "server/discover"):
        shown = made.shown(request(method), greeting, None)
        assert ("instructions" in shown) is told
        assert shown["cacheScope"] == "private"
