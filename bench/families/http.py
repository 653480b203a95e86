"""HTTP decisions beside OPA's: throughput, CPU, p99, and the same with every record durable first."""

from __future__ import annotations

from collections.abc import Callable

from bench import load, machine, opa, setting
from bench.governor import Governor, governor
from bench.load import Holder, Measured
from bench.measure import Context, median, row

GENERATOR_LIMIT = 0.9


def run(context: Context) -> None:
    """Take them in turns: Flyball, OPA, Flyball, OPA …"""
    load.build()
    with setting.fresh("http") as home, opa.running() as peer:
        place = setting.write(home)
        with governor(place.home) as ours:
            if context.wants("http-throughput", "http-cpu", "http-p99"):
                _buffered(context, ours, peer)
            if context.wants("http-durable"):
                _durable(context, ours, peer)


def sizes(context: Context) -> tuple[int, float]:
    """Repetitions, and seconds of each."""
    return (2, 1.0) if context.quick else (5, 3.0)


def in_turns(
    context: Context, name: str, ours: Callable[[float], Measured], theirs: Callable[[float], Measured]
) -> tuple[list[Measured], list[Measured]]:
    """A B A B …"""
    repetitions, seconds = sizes(context)
    a: list[Measured] = []
    b: list[Measured] = []
    for at in range(repetitions):
        a.append(ours(seconds))
        b.append(theirs(seconds))
        context.say(
            f"{name} {at + 1}/{repetitions}: Flyball {a[-1].per_s:,.0f}/s p99 {a[-1].p99_us:,.0f} µs "
            f"{a[-1].server_cpu_us:.1f} µs CPU; peer {b[-1].per_s:,.0f}/s p99 {b[-1].p99_us:,.0f} µs "
            f"{b[-1].server_cpu_us:.1f} µs CPU"
        )
    return a, b


def sender(ours: Governor, holders: list[Holder], access_class: str) -> Callable[[float], Measured]:
    """Sends the load once, with fresh tokens and proofs."""

    def send(seconds: float) -> Measured:
        ours.renew(holders)
        plan = load.flyball_plan(ours.decision, holders, access_class, seconds=seconds, pid=ours.pid)
        return load.run(plan, name=f"flyball-{access_class}")

    return send


def opa_sender(peer: opa.Opa) -> Callable[[float], Measured]:
    """Sends OPA's load once."""
    return lambda seconds: load.run(load.opa_plan(peer.addr, seconds=seconds, pid=peer.process.pid), name="opa")


def generator_note(*runs: list[Measured]) -> str:
    """The generator's share of its core, and a warning where it was the limit."""
    most = max(one.generator_cpu for measured in runs for one in measured)
    text = f"Generator: at most {most:.0%} of its core."
    if most > GENERATOR_LIMIT:
        text += " That is over 90 %: the generator was the limit, the server could do more."
    return text


def _buffered(context: Context, ours: Governor, peer: opa.Opa) -> None:
    context.say(f"opening {load.TASKS} tasks")
    holders = ours.holders("settle-fast")
    a, b = in_turns(context, "buffered", sender(ours, holders, "fast"), opa_sender(peer))
    generator = {"generator_cpu": round(max(one.generator_cpu for one in a), 3)}
    note = generator_note(a, b)
    name = "OPA 1.22.2"
    p50 = f"p50 {median([one.p50_us for one in a]):.0f} µs, OPA {median([one.p50_us for one in b]):.0f} µs."
    context.add(
        row("http-throughput", [one.per_s for one in a], "decisions/s", peer=name, peers=[one.per_s for one in b],
            note=f"{note} {p50}", **generator)
    )  # fmt: skip
    context.add(
        row("http-cpu", [one.server_cpu_us for one in a], "µs CPU/decision", peer=name,
            peers=[one.server_cpu_us for one in b], note=note, **generator)
    )  # fmt: skip
    context.add(
        row("http-p99", [one.p99_us / 1000 for one in a], "ms", peer=name, peers=[one.p99_us / 1000 for one in b],
            note=note, **generator)
    )  # fmt: skip


def _durable(context: Context, ours: Governor, peer: opa.Opa) -> None:
    context.say(f"opening {load.TASKS} tasks")
    holders = ours.holders("settle-safe")
    before = machine.fsync_ms()
    a, b = in_turns(context, "durable", sender(ours, holders, "safe"), opa_sender(peer))
    after = machine.fsync_ms()
    both = {name: f"{before[name]} and {after[name]} ms" for name in ("p50", "p99")}
    note = (
        f"The disk's own fsync (4 KiB append, fdatasync), just before and after: p50 {both['p50']}, p99 {both['p99']}. "
        f"p99 of a decision: {median([one.p99_us for one in a]) / 1000:.2f} ms. " + generator_note(a, b)
    )
    context.add(
        row("http-durable", [one.per_s for one in a], "decisions/s", peer="OPA 1.22.2 (no record)",
            peers=[one.per_s for one in b], note=note, fsync_ms=median([before["p50"], after["p50"]]),
            generator_cpu=round(max(one.generator_cpu for one in a), 3))
    )  # fmt: skip
