"""Reading actions: `actions` of bundle.yaml, and the tool sheets in tools/*.yaml that are merged with them."""

from __future__ import annotations

from flyball.policy.bundle import ARG_TYPES, Action
from flyball.policy.cedar_text import is_identifier
from flyball.policy.diagnostics import Mark, Problems
from flyball.policy.http_routes import read_routes
from flyball.policy.reader import Fields, describe
from flyball.policy.returns import LABEL, MapOf, Template, read_returns
from flyball.policy.yaml import Node, Scalar
from flyball.task.rules import WRITERS

#: Always there, and not to be declared again. See ARCHITECTURE.md, "credential".
BUILT_IN_ACTIONS = {
    # Opening returns nothing that anybody wrote. A credential may be anything: what is read with it, nobody reports.
    "task.open": Action("task.open", "profile", "write", returns=MapOf({})),
    "credential.issue": Action("credential.issue", "credential", "write"),
}


def read_sheet(
    file: str, node: Node, problems: Problems, actions: dict[str, Action], places: dict[str, Mark]
) -> tuple[str, ...]:
    """Add the actions of one tool sheet to `actions`; the labels that it declares come back."""
    top = Fields(f"tool sheet {file.removeprefix('tools/')}", node, problems)
    name = top.text("tools", required=True)
    if name:
        top.what = f"tool sheet `{name}`"
    resource = top.text("resource", required=True)
    access_class = top.text("class", default="default")
    if "actions" not in top:
        top.missing("actions")
    read_actions(top, actions, places, sheet=(resource, access_class))
    labels = read_labels(top)
    top.done()
    return labels


def read_labels(top: Fields) -> tuple[str, ...]:
    """Labels that no field carries, which an enforcement point may attach when it reports."""
    found: list[str] = []
    for label, mark in top.texts("labels"):
        if not LABEL.fullmatch(label) or label in WRITERS:
            top.problems.error(
                "wrong_name",
                mark,
                f"`{label}` cannot be a label of its own",
                "lower-case letters, digits, `_` and `-`; the writers are labels by themselves",
                len(label),
            )
            continue
        found.append(label)
    return tuple(found)


def read_actions(
    top: Fields, actions: dict[str, Action], places: dict[str, Mark], sheet: tuple[str, str] | None = None
) -> None:
    """Read `actions` into `actions`. `sheet` is the resource type and access class of a whole tool sheet."""
    problems = top.problems
    for name, mark, fields in top.tables("actions", "action"):
        before = problems.count
        if name in BUILT_IN_ACTIONS:
            problems.error("built_in", mark, f"action `{name}` is built in", "leave it out", len(name))
        elif name in actions:
            first = places[f"action:{name}"]
            problems.error(
                "action_twice",
                mark,
                f"action `{name}` is declared already",
                f"it stands in {first.file}, line {first.line}; an action stands once in a bundle",
                len(name),
            )
        places.setdefault(f"action:{name}", mark)
        returns: Template | None = None
        if (node := fields.node("returns")) is not None:
            returns = read_returns(node, f"`returns` of action `{name}`", problems)
        effect = fields.choice("effect", ("read", "write"), "write")
        taskless = fields.flag("taskless")
        args = _args(name, fields)
        http = read_routes(name, fields, places)
        resource, access_class = sheet or (
            fields.text("resource", required=True),
            fields.text("class", default="default"),
        )
        places.setdefault(f"action:{name}/resource", top.at("resource") if sheet else fields.at("resource"))
        places.setdefault(f"action:{name}/class", top.at("class") if sheet else fields.at("class"))
        fields.done()
        if problems.count != before:
            # An argument or field that is not there may be one that could not be read.
            problems.doubt("argument", name)
            problems.doubt("field", name)
        if name not in actions:
            actions[name] = Action(name, resource, effect, access_class, args, taskless, returns, http)


def _args(name: str, fields: Fields) -> dict[str, str]:
    args: dict[str, str] = {}
    for arg, mark, node in fields.named("args", "argument"):
        kind = node.text if isinstance(node, Scalar) else ""
        if kind not in ARG_TYPES:
            fields.problems.error(
                "wrong_choice",
                node.mark,
                f"argument `{arg}` of action `{name}` must have a type, not {kind or describe(node)}",
                f"one of {', '.join(ARG_TYPES)}",
            )
        elif not is_identifier(arg):
            fields.problems.error("wrong_name", mark, f"`{arg}` cannot name an argument", "use letters, digits and `_`")
        else:
            args[arg] = kind
    return args
