"""A check held to what a task remembers, and what remembering costs."""

from __future__ import annotations

from bench import setting
from bench.child import Child
from bench.measure import Context, median, row


def run(context: Context) -> None:
    """64 tasks of 200 results each; every check has a recipient, a day and a title that must be remembered."""
    repetitions, count = (2, 2_000) if context.quick else (7, 20_000)
    tasks = 16 if context.quick else 64
    with setting.fresh("remembered") as home:
        child = Child("bench.rememberer", str(home / "core"), log=home / "log", core=None)
        try:
            child.read()
            weighed = child.ask("weigh", count=4 * tasks)
            each, own = float(str(weighed["bytes_per_task"])), float(str(weighed["own_bytes"]))
            child.ask("open", count=tasks)
            child.ask("check", count=count // 4)
            child.ask("settle")
            p50s, p99s = [], []
            for at in range(repetitions):
                found = child.ask("check", count=count)
                p50s.append(float(str(found["p50_us"])))
                p99s.append(float(str(found["p99_us"])))
                child.ask("settle")
                context.say(f"remembered {at + 1}/{repetitions}: p50 {p50s[-1]:.1f} µs, p99 {p99s[-1]:.1f} µs")
        finally:
            child.stop()
    note = f"JSON bytes in, verdict out, three arguments with origins and one free text; p99 {median(p99s):.0f} µs."
    context.add(row("intent-check", p50s, "µs", note=note, p99_us=median(p99s)))
    note = (
        f"{weighed['entries']} values of 200 results; {own / 1024:.1f} KB of it is the memory itself. Resident memory "
        f"before and after {4 * tasks} such tasks in a core without a store."
    )
    context.add(row("intent-memory", [each / 1024], "KB", note=note))
