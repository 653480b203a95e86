"""A check from Python in the same process, its record buffered."""

from __future__ import annotations

from bench import setting
from bench.child import Child
from bench.measure import Context, median, row


def run(context: Context) -> None:
    """1,024 tasks, arguments of its own for every call, sealed, budgets charged; both cores are free to it."""
    repetitions, count = (2, 2_000) if context.quick else (7, 60_000)
    with setting.fresh("inproc") as home:
        child = Child("bench.checker", str(home / "core"), log=home / "log", core=None)
        try:
            child.read()
            child.ask("open", count=1024)
            child.ask("check", count=count)
            p50s, p99s, whole = [], [], []
            for at in range(repetitions):
                found = child.ask("check", count=count)
                p50s.append(float(str(found["p50_us"])))
                p99s.append(float(str(found["p99_us"])))
                child.ask("settle")
                whole.append(child.number("check", "p50_us", count=count // 4, json_too=True))
                child.ask("settle")
                context.say(f"inproc {at + 1}/{repetitions}: p50 {p50s[-1]:.1f} µs, p99 {p99s[-1]:.1f} µs")
        finally:
            child.stop()
    note = (
        f"JSON bytes in, verdict out; p99 {median(p99s):.0f} µs. "
        f"With the arguments' `json.dumps` in the time: p50 {median(whole):.1f} µs."
    )
    context.add(row("inproc", p50s, "µs", note=note))
