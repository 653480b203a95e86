"""Whether cost stays flat: with the number of policies, and with the number of live tasks."""

from __future__ import annotations

from pathlib import Path

from bench import setting
from bench.child import Child
from bench.measure import Context, row

FEW_POLICIES, MANY_POLICIES = 10, 100_000
FEW_TASKS, MANY_TASKS = 1_000, 1_000_000


def run(context: Context) -> None:
    """Two cores side by side, one with few and one with many; asked in turns."""
    with setting.fresh("flat") as home:
        if context.wants("policies-flat"):
            _policies(context, home / "policies")
        if context.wants("tasks-flat"):
            _tasks(context, home / "tasks")


def _pair(home: Path) -> tuple[Child, Child]:
    home.mkdir()
    few, many = (
        Child("bench.checker", str(home / name), log=home / f"{name}.log", core=None) for name in ("few", "many")
    )
    few.read()
    many.read()
    return few, many


def _turns(context: Context, name: str, few: Child, many: Child) -> tuple[list[float], list[float]]:
    repetitions, count = (2, 2_000) if context.quick else (7, 40_000)
    for child in (few, many):
        child.ask("check", count=count)
    a: list[float] = []
    b: list[float] = []
    for at in range(repetitions):
        for child, found in ((many, a), (few, b)):
            found.append(child.number("check", "p50_us", count=count))
            child.ask("settle")
        context.say(f"{name} {at + 1}/{repetitions}: many {a[-1]:.2f} µs, few {b[-1]:.2f} µs")
    return a, b


def _policies(context: Context, home: Path) -> None:
    many_count = 2_000 if context.quick else MANY_POLICIES
    few, many = _pair(home)
    try:
        few.ask("policies", count=FEW_POLICIES)
        context.say(f"loading {many_count:,} policies")
        load_s = many.number("policies", "load_s", count=many_count)
        for child in (few, many):
            child.ask("open", count=1024)
        a, b = _turns(context, "policies", few, many)
    finally:
        few.stop()
        many.stop()
    note = f"{many_count:,} policies are parsed, validated, indexed and swapped in within {load_s:.1f} s, off the path."
    context.add(row("policies-flat", a, "µs p50", peer="10 policies", peers=b, note=note))


def _tasks(context: Context, home: Path) -> None:
    many_count = 20_000 if context.quick else MANY_TASKS
    few, many = _pair(home)
    try:
        few.ask("open", count=FEW_TASKS)
        # What the table and the allocator set aside once is not what a task takes.
        many.ask("open", count=FEW_TASKS)
        context.say(f"opening {many_count:,} tasks")
        each = many.number("open", "bytes_per_task", count=many_count)
        a, b = _turns(context, "tasks", few, many)
    finally:
        few.stop()
        many.stop()
    note = (
        f"{each:.0f} bytes a task: resident memory before and after opening {many_count:,}, over their number "
        f"(two inputs, a data key, a binding, the names of this benchmark taken off). Checks fall on tasks at random."
    )
    context.add(row("tasks-flat", a, "µs p50", peer="1,000 tasks", peers=b, note=note, bytes_per_task=round(each)))
