"""Intents, inputs and traces, drawn so that matches are as frequent as misses."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from hypothesis import strategies as st
from tests.model.program import LADDERS
from tests.model.worlds import ACTIONS, AS, CALLED, SHAPES, template
from tests.model.worlds import POOLS as ALL

Draw = st.DrawFn
WRITERS = ("user", "org", "outside")
LABELS = ("user", "org", "outside", "pii", "secret")
#: The values in use; each world draws its own few.
POOLS = dict(ALL)
SOFT = ("deny", "deny", "deny", "freeze", "suspend", "revoke")
ASKED: tuple[list[Any], ...] = (
    ["pay*"], ["book", "send it"], ["party"], ["about", "pay", "book"],
    [["pay*", "book"], ["party", "about"]], [["send it"], ["summer party", "acme*"]],
)  # fmt: skip
#: Which fields give values of another type.
_ALSO = (("datetime", "date"), ("datetime", "time"), ("email", "host"), ("url", "host"))
#: What is not looked for in another result.
TEMPORAL = ("date", "time", "datetime")
#: Arguments that may choose a row.
CHOOSERS = ("note", "subject", "id", "place", "amount", "files[].file_id", "files[].owner")
RARE = ["plan", "settle", "settle", "restart", "state", "back"]


@st.composite
def returns(draw: Draw) -> dict[str, Any]:
    """Templates: who can write what differs from case to case."""
    out = {}
    for action, (shape, fields) in SHAPES.items():
        if action != "get_day" and draw(st.integers(0, 9)) == 0:
            continue
        specs = {}
        for name, kind in fields.items():
            own = draw(st.sampled_from([[], [], [], ["pii"], ["secret"]]))
            specs[name] = {"type": kind, "by": draw(st.sampled_from(WRITERS)), "labels": own}
        out[action] = template(shape, specs)
    return out


def conditions(draw: Draw, action: str, later: bool = True) -> list[dict[str, Any]]:
    """Up to two row conditions on an action's fields. `later`: arguments of a later call may choose rows.

    A source in which something must be found stands inside its condition, until `placed` gives it a number.
    """
    fields = {name: kind for name, kind in SHAPES[action][1].items() if name}
    out: list[dict[str, Any]] = []
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2])) if fields else 0):
        name = draw(st.sampled_from(sorted(fields)))
        which = draw(
            st.sampled_from(
                ["in_input", "in_input", "is_arg", "is", "extreme", "call", "partly", "named", "named", "in_source"]
            )
        )
        if not later and which == "is_arg":
            continue
        called = sorted(CALLED.get(action, {}).items())
        if which == "call":
            arg, kind = draw(st.sampled_from(called or [("nothing", "text")]))
            one = {"call": arg} if draw(st.booleans()) else {"call": arg, "as": kind}
            if draw(st.integers(0, 4)) == 0:
                # Each word of it, in any order.
                one, kind = {"call": arg, "as": "words"}, "words"
            tests = ["in_input", "in_input", "is", "partly", "named"] + (["is_arg"] if later else ["in_input"])
            if kind not in TEMPORAL:
                tests.append("in_source")
            if kind == "words":
                tests = ["in_input", "in_source"]
            test = draw(st.sampled_from(tests))
            if test == "in_source":
                out.append({**one, test: linked(draw, kind if "as" in one else "text")})
                continue
            value = {
                "in_input": "request",
                "partly": "request",
                "named": "request",
                "is_arg": draw(st.sampled_from(["note", "subject", "place"])),
            }
            out.append({**one, test: value.get(test) or draw(st.sampled_from(POOLS[kind]))})
        elif which in ("in_input", "partly", "named"):
            out.append({"field": name, which: "request"})
        elif which == "in_source":
            if fields[name] not in TEMPORAL:
                out.append({"field": name, which: linked(draw, fields[name])})
        elif which == "is_arg":
            out.append({"field": name, "is_arg": draw(st.sampled_from(CHOOSERS))})
        elif which == "is":
            out.append({"field": name, "is": draw(st.sampled_from(POOLS[fields[name]]))})
        elif fields[name] in ("number", "money", "date"):
            out.append({"field": name, "extreme": draw(st.sampled_from(["max", "min"]))})
    return out


def source(draw: Draw, kind: str) -> dict[str, Any]:
    """A source that may well offer values of that kind."""
    which = draw(st.sampled_from(["input", "input", "result", "result", "result", "const", "trusted", "ticket"]))
    if which == "input":
        return {"input": "request"}
    if which == "ticket":
        return {"input": "ticket"}
    if which == "trusted":
        return {"trusted": True}
    if which == "const":
        return {"const": draw(st.sampled_from(POOLS[kind]))}
    action, name = draw(st.sampled_from(fitting(kind)))
    return {"result": {"action": action, "field": name, "rows": conditions(draw, action)}}


def fitting(kind: str) -> list[tuple[str, str]]:
    """Actions and fields that may well give values of that kind."""
    found = [
        (action, name)
        for action, (_, fields) in SHAPES.items()
        for name, own in fields.items()
        if own in (kind, "text") or kind in ("text", "words") or (own, kind) in _ALSO
    ]
    return found or [("fetch", "")]


def linked(draw: Draw, kind: str) -> dict[str, Any]:
    """A result in which a value of that kind may well have been found before."""
    action, name = draw(st.sampled_from(fitting(kind)))
    return {"result": {"action": action, "field": name, "rows": conditions(draw, action, later=False)}}


def placed(sources: list[dict[str, Any]], one: dict[str, Any]) -> int:
    """The source's number in the table, those that choose its rows before it."""
    if "result" in one:
        rows = [
            {**row, "in_source": placed(sources, row["in_source"])} if isinstance(row.get("in_source"), dict) else row
            for row in one["result"]["rows"]
        ]
        one = {"result": {**one["result"], "rows": rows}}
    if one not in sources:
        sources.append(one)
    return sources.index(one)


@st.composite
def profiles(draw: Draw) -> dict[str, Any]:
    """A compiled profile."""
    sources: list[dict[str, Any]] = []

    def place(one: dict[str, Any]) -> int:
        return placed(sources, one)

    rules = []
    for action in ACTIONS:
        writes = ACTIONS[action][0] == "write"
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 1, 2, 2] if writes else [1, 1, 1, 1, 1, 2]))):
            rules.append(rule(draw, f"p/allow/{len(rules) + 1}", action, place))
    never = []
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):
        action = draw(st.sampled_from(sorted(AS)))
        if draw(st.booleans()):
            never.append({"by": "outside", "action": action, "arg": draw(st.sampled_from(sorted(AS[action])))})
        else:
            never.append({"after": draw(st.sampled_from(LABELS)), "action": action})
    ladder = st.lists(st.sampled_from(SOFT), min_size=1, max_size=3)
    reactions = {kind: draw(ladder) for kind in LADDERS}
    if draw(st.integers(0, 3)):
        reactions = {kind: ["deny"] for kind in LADDERS}
    out: dict[str, Any] = {
        "name": "p", "digest": "sha256:" + "0" * 64, "inputs": {"request": "string", "ticket": "string"},
        "rules": rules, "budget": draw(st.sampled_from([{}, {}, {"calls": 6}])), "labels": list(LABELS),
        "sources": sources, "never": never, "reactions": reactions,
        "plan": draw(st.sampled_from(["optional", "optional", "required", "none"])),
        "today": draw(st.sampled_from(["clock", {"input": "ticket"}, {"result": {"action": "get_day", "field": ""}}])),
        "denials": draw(st.sampled_from([[], [], [[2, "freeze"]], [[3, "revoke"]]])),
        "most_per_minute": draw(st.sampled_from([0, 1, 10])),
    }  # fmt: skip
    return out


def rule(draw: Draw, name: str, action: str, place: Any) -> dict[str, Any]:
    """One rule of an action, with a few of all that a rule can say."""
    out: dict[str, Any] = {"id": name, "action": action, "on": ["x"], "where": [], "budget": {}, "across": []}
    often = st.sampled_from([False] * (5 if ACTIONS[action][0] == "write" else 20) + [True])
    for arg, kinds in AS.get(action, {}).items():
        if draw(st.booleans() if ACTIONS[action][0] == "write" else often):
            out.setdefault("origins", []).append(origin(draw, arg, draw(st.sampled_from(kinds)), place))
    if draw(often):
        out["asked"] = draw(st.sampled_from(ASKED))
    for key in ("after", "before", "after_any"):
        if draw(often):
            most = 3 if key == "after_any" else 1
            out[key] = draw(st.lists(st.sampled_from(sorted(ACTIONS)), min_size=most, max_size=most, unique=True))
    if draw(often):
        out["unless"] = [draw(st.sampled_from(LABELS))]
    if draw(often):
        out["on_breach"] = draw(st.lists(st.sampled_from(SOFT), min_size=1, max_size=2))
    if draw(often):
        out["budget"] = {"calls": draw(st.integers(1, 2)), "sums": []}
    if action == "pay":
        if draw(st.booleans()):
            limit = {"const": draw(st.sampled_from(["150", "350"]))}
            out["budget"] = {**out["budget"], "sums": [{"arg": "amount", "max": limit}]}
        if draw(often):
            limit = {"const": "200"}
            out["where"] = [{"arg": "amount", "op": "max", "value": limit}]
        if draw(often):
            bills = {"action": "list_bills", "field": "total", "rows": conditions(draw, "list_bills")}
            out["aggregates"] = [
                {
                    "arg": "amount", "as": "money", "source": place({"result": bills}),
                    "op": draw(st.sampled_from(["max", "min", "eq"])),
                    "aggregate": draw(st.sampled_from(["sum", "min", "max"])),
                }
            ]  # fmt: skip
        if draw(often):
            fixed = {"arg": "amount", "as": "number", "source": place({"const": "100"}), "aggregate": "max"}
            out.setdefault("aggregates", []).append({**fixed, "op": draw(st.sampled_from(["max", "min", "eq"]))})
        if draw(often):
            out["across"] = [{"per": {"input": "ticket"}, "window_ms": None, "calls": 1, "sums": []}]
    if action == "send":
        if draw(often):
            without = draw(st.sampled_from([[], ["secret"], ["pii"]]))
            out["free"] = [{"arg": "body", "max": draw(st.sampled_from([12, 4000])), "without": without}]
            out["free"][0]["required"] = draw(st.booleans())
        if draw(often):
            out["distinct"] = [{"arg": "to", "as": "email", "max": draw(st.integers(1, 2))}]
    if action == "send" and draw(often):
        out["each"] = [{"arg": "to", "as": "email", "max": draw(st.integers(1, 2))}]
    if action == "pay" and draw(often):
        out["distinct"] = [{"arg": "on", "as": "date", "max": draw(st.integers(1, 2))}]
    if action in ("find_mail", "list_bills") and draw(often):
        out["reported"] = draw(st.sampled_from([{"rows": 2}, {"bytes": 100}, {"seconds": 1}]))
    if action in ("send", "pay") and draw(often):
        out["effect"] = draw(st.sampled_from(["require_approval", "step_up"]))
    return out


def origin(draw: Draw, arg: str, kind: str, place: Any) -> dict[str, Any]:
    """Sources for an argument, and at most one modifier."""
    out: dict[str, Any] = {"arg": arg, "as": kind}
    out["sources"] = [place(source(draw, kind)) for _ in range(draw(st.integers(1, 3)))]
    if kind == "email" and draw(st.integers(0, 2)) == 0:
        inner = source(draw, "host")
        if "trusted" not in inner:
            out["sources"].append(place({"at": place(inner)}))
    if kind == "path" and draw(st.booleans()):
        out["below"] = True
    if kind == "words" and draw(st.booleans()):
        out["new_words"] = draw(st.integers(1, 2))
    if draw(st.integers(0, 4)) == 0:
        out["required"] = True
    if draw(st.integers(0, 5)) == 0:
        out["not_by"] = ["outside"]
    if kind in ("date", "datetime"):
        which = draw(st.sampled_from(["", "", "plus", "within", "same_day"]))
        if which == "plus":
            request = place({"input": "request"})
            steps = st.sampled_from([{"ms": 0}, {"ms": 3_600_000}, {"ms": 86_400_000}, {"source": request}])
            out["plus"] = draw(st.lists(steps, min_size=1, max_size=2))
        elif which == "within":
            out["within_ms"] = draw(st.sampled_from([3_600_000, 172_800_000]))
        elif which == "same_day" and kind == "datetime":
            out["same_day"] = True
    return out


def text_with(draw: Draw, kinds: list[str]) -> str:
    """Running text with values of some kinds in it."""
    pieces = []
    for kind in kinds:
        pieces.append(draw(st.sampled_from(("please pay", "book", "about", "send it to"))))
        pieces.append(draw(st.sampled_from(POOLS[kind])))
    return " ".join(pieces)


def result(draw: Draw, action: str) -> Any:
    """A result of an action: mostly of its shape, sometimes of another."""
    shape, fields = SHAPES.get(action, ("root", {"": "text"}))

    def one() -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, kind in fields.items():
            if draw(st.integers(0, 7)) == 0:
                continue
            row[name] = value(draw, kind)
        if draw(st.integers(0, 5)) == 0:
            row["undeclared"] = draw(st.sampled_from(POOLS["email"]))
        return row

    def whole() -> Any:
        if shape == "root":
            return value(draw, fields[""])
        if shape == "keys":
            names = draw(st.lists(st.sampled_from(POOLS["text"]), max_size=3, unique=True))
            return {name: value(draw, "money") for name in names}
        if draw(st.integers(0, 6)) == 0:
            return one()
        return [one() for _ in range(draw(st.integers(0, 3)))]

    made = whole()
    odd = draw(st.integers(0, 11))
    if odd == 0:
        return json.dumps(made)
    if odd == 1:
        return draw(st.sampled_from([None, "ann@acme.org", 7, [], {}, [[made]], True]))
    return made


def value(draw: Draw, kind: str) -> Any:
    """A field's value: mostly one of its pool."""
    odd = draw(st.integers(0, 15))
    if odd == 0:
        return draw(st.sampled_from([None, 7, True, [], {}, ""]))
    if odd == 1:
        return [draw(st.sampled_from(POOLS[kind])) for _ in range(2)]
    if kind == "text" and odd < 6:
        return text_with(draw, draw(st.lists(st.sampled_from(sorted(POOLS)), min_size=1, max_size=2)))
    return draw(st.sampled_from(POOLS[kind]))


def args(draw: Draw, action: str) -> dict[str, Any]:
    """Arguments: few values, so that they often are somewhere else too."""
    kinds = {"to": "email", "who": "email", "sender": "email", "iban": "iban", "amount": "number", "on": "date",
             "start": "datetime", "end": "datetime", "id": "id", "url": "url"}  # fmt: skip
    out: dict[str, Any] = {}
    for name, typed in ACTIONS[action][1].items():
        odd = draw(st.integers(0, 11))
        if odd == 0:
            continue
        if odd == 1:
            out[name] = None if typed != "strings" else []
            continue
        kind = kinds.get(name, "text")
        if name in ("note", "place", "subject") and draw(st.booleans()):
            kind = draw(st.sampled_from(["id", "words", "words", "path"]))
        if name == "start" and draw(st.integers(0, 3)) == 0:
            kind = "date"
        pool = st.sampled_from(POOLS[kind])
        if typed == "strings":
            out[name] = draw(st.lists(pool, max_size=2))
        elif typed == "any":
            out[name] = draw(
                st.sampled_from(
                    [
                        [],
                        [{"file_id": "id-7"}],
                        [{"file_id": "id-8"}, {}],
                        ["id-7"],
                        {"file_id": "id-7"},
                        "id-7",
                        [{"file_id": "id-7", "owner": "ann@acme.org"}, {"file_id": "id-8", "owner": "bob@acme.org"}],
                        [{"file_id": "id-8", "owner": "ann@acme.org"}, {"owner": "eve@evil.example"}],
                    ]
                )
            )
        elif name == "body":
            out[name] = text_with(draw, draw(st.lists(st.sampled_from(sorted(POOLS)), max_size=2)))
        else:
            out[name] = draw(pool)
    return out


@st.composite
def worlds(draw: Draw) -> dict[str, Any]:
    """A document's changing parts, a task's inputs, and a trace."""
    # A few values of each kind for the whole world, so that one argument often is another's value.
    few = random.Random(draw(st.integers(0, 2**32)))
    for kind, values in ALL.items():
        POOLS[kind] = tuple(few.sample(values, min(len(values), few.choice((1, 2, 2, 3, 9)))))
    profile = draw(profiles())
    inputs: dict[str, Any] = {}
    if draw(st.integers(0, 9)):
        kinds = draw(st.lists(st.sampled_from(sorted(POOLS)), min_size=1, max_size=4))
        vouched = draw(st.sampled_from(["desk", "desk", "desk", "declared"]))
        inputs["request"] = {"value": text_with(draw, kinds), "type": "string", "vouched_by": vouched}
    if draw(st.booleans()):
        ticket = draw(st.sampled_from([POOLS[pool][0] for pool in ("id", "date", "email", "money")]))
        inputs["ticket"] = {
            "value": ticket,
            "type": "string",
            "vouched_by": draw(st.sampled_from(["desk", "declared"])),
        }
    steps: list[dict[str, Any]] = []
    if draw(st.integers(0, 2)) == 0:
        steps.append({"do": "plan", "plan": plan(draw)})
    for _ in range(draw(st.integers(3, 14))):
        steps += step(draw)
    shapes = draw(returns())
    for one in profile["sources"]:
        # A source cites a field that there is.
        action = one.get("result", {}).get("action")
        if action and action not in shapes:
            shape, fields = SHAPES[action]
            shapes[action] = template(shape, {n: {"type": k, "by": "org", "labels": []} for n, k in fields.items()})
    return {"returns": shapes, "profile": profile, "inputs": inputs, "steps": steps}


def plan(draw: Draw) -> list[dict[str, Any]]:
    """The effects meant: mostly some arguments of each."""
    entries = []
    for _ in range(draw(st.integers(1, 3))):
        action = draw(st.sampled_from(["send", "pay", "book", "purge"]))
        chosen = {name: one for name, one in args(draw, action).items() if one and draw(st.integers(0, 2)) == 0}
        entries.append({"action": action, "count": draw(st.integers(1, 2)), "args": chosen})
    return entries


@st.composite
def families(draw: Draw) -> dict[str, Any]:
    """The same with children: each step is about one of the family."""
    world = draw(worlds())
    steps: list[dict[str, Any]] = []
    for one in world["steps"]:
        if one["do"] in ("restart", "state"):
            actions = draw(st.sampled_from([None, None, ["send", "pay", "get_day"]]))
            allot = draw(st.sampled_from([{}, {}, {"calls": "2"}, {"calls": "100"}, {"nothing": "1"}]))
            steps.append({"do": "child", "who": draw(st.integers(0, 3)), "actions": actions, "allot": allot})
        steps.append({**one, "who": draw(st.integers(0, 3))})
    return {**world, "steps": [{"do": "child", "who": 0, "actions": None, "allot": {}}, *steps]}


def step(draw: Draw) -> list[dict[str, Any]]:
    """One step of a trace; a read is mostly reported."""
    which = draw(
        st.sampled_from(
            ["read"] * 8 + ["write"] * 12 + ["again"] * 2 + ["plan", "settle", "settle", "restart", "state", "back"]
        )
    )
    if which in ("read", "write"):
        action = draw(st.sampled_from([name for name, (effect, _) in ACTIONS.items() if effect == which]))
        asked = {
            "do": "check", "action": action, "args": args(draw, action),
            "pep": draw(st.sampled_from(["gateway"] * 9 + ["sdk"])),
            "on": draw(st.sampled_from(["x"] * 20 + ["y"])),
        }  # fmt: skip
        if which == "write" or draw(st.integers(0, 9)) == 0:
            return [asked]
        meta = draw(st.sampled_from([{}, {}, {"rows": 2}, {"ms": 1500}, {"bytes": 200}, {"labels": ["secret"]}]))
        return [asked, {"do": "report", "back": 1, "result": result(draw, action), "meta": meta}]
    if which == "again":
        return [{"do": "again", "back": draw(st.integers(1, 3))}]
    if which == "plan":
        return [{"do": "plan", "plan": plan(draw)}]
    if which == "settle":
        return [{"do": "settle", "back": draw(st.integers(1, 2)), "approved": draw(st.booleans())}]
    if which == "state":
        return [{"do": "state", "to": draw(st.sampled_from(["open", "open", "open", "frozen", "suspended"]))}]
    if which == "back":
        return [{"do": "return", "back": draw(st.integers(1, 3))}]
    return [{"do": "restart"}]


def document(base: dict[str, Any], world: dict[str, Any]) -> dict[str, Any]:
    """The compiled document of a world, on top of what the compiler made of the bundle."""
    out = copy.deepcopy(base)
    for action, one in world["returns"].items():
        out["actions"][action]["returns"] = one
    profile = copy.deepcopy(world["profile"])
    profile["policies"] = [
        {
            "id": one["id"], "file": "p.yaml", "line": 1,
            "text": (
                f'permit(principal, action == Flyball::Action::"{one["action"]}", resource)\n'
                f'when {{ context.intent.rule == "{one["id"]}" && context.intent.within }};'
            ),
        }
        for one in profile["rules"]
    ]  # fmt: skip
    out["profiles"] = [profile]
    return out
