"""Where a refused argument really came from, what was demanded instead, and which change of the profile would allow it.

What happened stands in the record's `breach`: the argument, the sources that the rule names, and where the value was
seen, by action, result and field. The record holds no value; values come from the sealed arguments, while their key
lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flyball.kernel.json import Json

_MOST = 5

#: What follows a refusal for a reason of intent that names no argument of its own.
CHANGES: Mapping[str, str] = {
    "not_asked_for": "a phrase of the request under `asked` of {rule} in {where}",
    "out_of_order": "another order of the work, or another `after` or `before` of {rule} in {where}",
    "not_in_plan": "a plan that names this call, declared when the task is opened",
    "plan_required": "a plan, declared when the task is opened",
    "label_forbids": "less under `unless`, `without` or `never` in {where}, or a fresh instance of the agent",
    "too_long": "a larger `free` for this argument of {rule} in {where}",
    "approval_required": "an operator's word: flyball approve {decision}",
    "step_up_required": "a voucher whose claim `call` is this call's digest, sent with the task's proof",
    "approval_refused": "nothing for this very call in this task: it was refused, or nobody answered in time",
    "approvals_full": "answers to what is asked for already: flyball approvals",
    "memory_full": "a task that reads less, or fewer sources in {where}: what was seen no longer fits its memory",
}


def facts(breach: Mapping[str, Json], args: Mapping[str, Json] | None, *, erased: bool) -> Iterator[tuple[str, str]]:
    """What failed, what was demanded and where the value was seen, as (label, text)."""
    arg, kind = _text(breach.get("arg")), _text(breach.get("as"))
    if arg:
        yield "failed", f"{arg}{f' (as {kind})' if kind else ''} {_value(arg, args, erased=erased)}"
    wanted = [_text(one) for one in _list(breach.get("wanted"))]
    if wanted:
        yield "wanted", " or ".join(wanted)
    seen = [one for one in _list(breach.get("seen")) if isinstance(one, dict)]
    for one in seen[:_MOST]:
        yield "came from", f"first seen in {place(one)}"
    if len(seen) > _MOST:
        yield "came from", f"and {len(seen) - _MOST} more places"
    if not seen and wanted:
        yield "came from", "nowhere that Flyball has seen: no vouched input and no reported result holds it"


def place(seen: Mapping[str, Json]) -> str:
    """Where a value was seen: `result 3 of read_inbox, field body, writable by outside`."""
    field = _text(seen.get("field"))
    of = f"result {seen.get('result')} of {_text(seen.get('action'))}"
    return f"{of}{f', field {field}' if field else ''}, writable by {_text(seen.get('by')) or 'outside'}"


def change(breach: Mapping[str, Json], where: str) -> str:
    """Which change of the profile would let the value in. For operators: an agent is never told."""
    arg, rule = _text(breach.get("arg")), _text(breach.get("rule"))
    at = f"in {where}, under `from` of `{arg}` of {rule or 'a rule'}"
    seen = [one for one in _list(breach.get("seen")) if isinstance(one, dict)]
    if not seen:
        return f"{at}: a source that the value comes from, vouched for or reported by an enforcement point of its own"
    first = seen[0]
    field = _text(first.get("field"))
    source = f"result({_text(first.get('action'))}){f'.{field}' if field else ''}"
    if _text(first.get("by")) in ("user", "org"):
        return f"{at}: `{source}`"
    return (
        f"{at}: `{source} where … in request`; an outsider can write that field, so the rows are named by the request,"
        " and a person approves each call unless the rule itself says `effect: allow`"
    )


def _value(path: str, args: Mapping[str, Json] | None, *, erased: bool) -> str:
    if args is None:
        return "has a value that is gone: the task's data key is erased" if erased else "has a value that is sealed"
    found: list[Json] = [dict(args)]
    for part in path.replace("[]", ".[]").split("."):
        step: list[Json] = []
        for one in found:
            if part == "[]" and isinstance(one, list):
                step += one
            elif part == "[]":
                step.append(one)
            elif isinstance(one, dict) and part in one:
                step.append(one[part])
        found = step
    shown = ", ".join(str(one) for one in found[:_MOST])
    return f"was {shown}" if found else "was not sent"


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
